"""What everything speaks about, as values: what is declared, what came of it, and how it is worded.

Nothing here computes a KPI. `agent.language` builds a `Plan`; the other rooms of the core read it
and give results. In which order to read: `events` (contracts of event types), `windows`, `kpis`,
`history` (what conditions ask of a series' past), `rules`, `schedules`, `plan` (all of these
together), `results` (windows, target states and alert transitions), `text` (all of it in words).
"""
