"""`kpi-agent init`: a first contract, KPIs and rules, from a sample of events or from answers.

In: files of events and answers. Out: YAML that passes the check. Read `reading` (the events of a
sample), `sample` (what fields look like), `inference`, `times` and `identity` (what they are likely
to be), `measures` (which are worth a KPI), `naming` (what names say), `lines` (arrays in events),
`interview` (who decides), `proposal` (thresholds from the data), `write` (YAML with comments) and
`draft` (what the check refuses is left out).
"""
