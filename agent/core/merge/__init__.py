"""Stage 2: merges the frames of all sources, closes windows and emits what they say.

In come frames (`agent.core.frame`) and, after a restart, the rows of the state table. Out go closed
windows, target states and alert transitions (`Emitted`), the rows to write, and the position from
which a restart must read. One `Merger` holds one state partition.

Read `merger` first: what happens with a frame, and the steps of a commit. Then, as far as you need:

| module | idea |
|---|---|
| `watermark`, `missed_records` | how far event time is, and where records are missing |
| `frontiers` | how far the windows of each KPI are closed |
| `source_snapshots` | what a restart must know of the sources |
| `base_kpi` (`slices`, `slice_partials`, `live_series`) | slices → panes → windows |
| `unsettled` | what idle sources may still replace of sealed slices |
| `open_windows` | the windows that are not closed, as they stand |
| `schedule`, `due_windows`, `window_values` | when windows are due, and their values |
| `derived_kpi` (`input_windows`, `input_members`) | KPIs over KPIs |
| `benchmark_targets` | targets that are KPIs |
| `kpi_absence` | whether a KPI has any events at all |
| `partition_state`, `emission` | what is held here; what is emitted, in event-time order |
| `row_store` | what is still to be written to the table, and what is emitted again |
| `backfill_buffer` | KPIs whose backfill is not read yet, and their live partials |
| `recovery` | rows become state: after a restart, and where a backfill is done |
| `views`, `standing_alerts` | what a board sees, and which alerts stand |
"""
