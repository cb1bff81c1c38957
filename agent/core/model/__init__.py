"""What everything speaks about, as values: what is declared, what came of it, and how it is worded.

Nothing here computes a KPI. `agent.language` builds a `Plan`; the other rooms of the core read it
and give results. In which order to read: `events` (contracts of event types, with `field_types`,
`paths`, `schemas` and `lookups`), `windows`, `kpis`, `history` (what conditions ask of a series'
past, a `window_history`), `rules`, `schedules`, `plan` (all of these together), `results` (windows,
target states and alert transitions), `text` (all of it in words; `printable` makes foreign text
safe), `metrics` (the names that are exported).
"""
