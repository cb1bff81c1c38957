"""Stage 2: merges the frames of all sources, closes windows, evaluates and emits results.

In: frames (`agent.core.frame`) and, after a restart, the rows of the state table. Out: closed
windows, target states and alert transitions (`Emitted`), the rows to write, and the position from
which a restart must read. There is one `Merger` per state partition.

Read `merger` first: how a frame is applied, and the steps of a commit. Then, as needed:

| module | purpose |
|---|---|
| `watermark`, `missed_records` | how far event time has advanced, and where records are missing |
| `frontiers` | how far the windows of each KPI are closed |
| `source_snapshots` | the state of the sources that a restart needs |
| `base_kpi`: `slices`, `slice_partials`, `sealing`, `live_series` | slices → panes → windows |
| `unsettled` | partials of sealed slices that idle sources may still replace |
| `due_windows`, `window_values` | when windows are due, and their values |
| `derived_kpi`: `input_windows` | KPIs over KPIs |
| `benchmark_targets` | targets that are KPIs |
| `kpi_absence` | `per: kpi` absence rules |
| `partition_state` | all KPIs and rules of the partition |
| `step`, `emission` | the results of an advance, in event-time order |
| `row_store` | the rows to write, and what a restart emits again |
| `backfill_buffer` | the live partials of KPIs whose backfill is not finished |
| `recovery` | state from rows: after a restart, and at the end of a backfill |
| `views` | the series for the board and `/metrics`; the alerts after a restart |
"""
