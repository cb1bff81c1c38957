"""Stage 1: gives records their verdicts, and folds them into partials that leave as frames.

In: the tables that `core.decode` makes of a topic's records. Out: frames for stage 2, rejected and
late records, and the checkpoint to commit once all of these are acknowledged. All of it is a pure
function of each source partition's log.

Read `folder` first: its docstring is the theory of operation. Then:

| module | idea |
|---|---|
| `contract_verdicts` | the verdict of each event: folded, duplicate or late |
| `lateness`, `duplicates` (`dedup`, `id_run`) | which windows are open, and which ids are known |
| `kpi_fold` (`series_numbers`) | rows → partials, by slice and series |
| `frame_builder` | partials → frames |
| `checkpoint` | where a restart begins to read |
| `future_clock`, `repeated_hour` | events from the future; local times that occur twice |
| `outcomes`, `field_counts` | counts of records by outcome, and of fields without a value |
| `lookup_join` (`lookup_topics`, `lookup_steps`) | adds the columns of lookups |
| `dimensions`, `runs` | the length of dimension values; runs of equal values in arrays |
"""
