"""The web server: the board, its data, alerts, private pages, health.

In: the `AgentState` of a running agent. Out: pages, JSON and `/metrics`. Read `server` (the
paths), `middleware` (what each request goes through), `access` and `connections` (what is refused),
`web_config` with `tls` and `identity` (who may use the port), `selection` (what a reader asks for),
`board` with `board_alerts`, `board_cards` and `board_sources` (what the board shows),
`stream` (how it changes), `alerts` and `private`; `pages/` has those of KPIs and alerts. All share
the words of `shown`.
"""
