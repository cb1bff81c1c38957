"""`kpi-agent run`: both stages, the board and the exports as one process on one event loop.

In: settings, and a function that loads the rules. Out: a running agent, which ends on SIGTERM.

Read `supervisor` first (what runs, and until when), then `stage_runner` (the stages between two
reloads), `status` (what the stages report, and what /-/ready says) and `fleet_view` (the series of
all workers for the exports). `topic_keeper`, `remote_writer`, `own_alerts`, `signals`, `tasks` and
`malloc_trim` are one idea each.
"""
