"""The domain model: what is declared, what results from it, and how both are worded.

Frozen values; nothing here computes a KPI. `agent.language` builds a `Plan`, and the other packages
of the core turn it and records into results. Read in this order:

- `events`: contracts of event types; with `field_types`, `paths` and `lookups`
- `windows`, `kpis`, `rules`, `schedules`
- `history`: the history functions of conditions, which read a `window_history`
- `plan`: all of these together
- `results`: windows, target states and alert transitions
- `text`: durations, windows, targets and values in words; `printable` escapes unprintable text
- `metrics`: the names of the exported metrics
"""
