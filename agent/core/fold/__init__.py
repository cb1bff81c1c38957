"""Stage 1: gives records their verdicts, and folds them into partials, which are sent as frames.

In: the tables that `core.decode` makes from a topic's records. Out: frames for stage 2, rejected
and late records, and the checkpoint to commit once all of these are acknowledged. All of this is a
pure function of each source partition's log.

Read `folder` first: its docstring is the theory of operation. Then:

| module | purpose |
|---|---|
| `contract_verdicts` | the verdict of each event: folded, duplicate or late |
| `lateness` | which windows are open |
| `dedup` (`id_run`) | which ids are known |
| `kpi_fold` (`series_numbers`) | rows → partials, by slice and series |
| `frame_builder` | partials → frames |
| `checkpoint` | from where a restart reads |
| `future_clock`, `repeated_hour` | events from the future; local times that occur twice |
| `outcomes`, `field_counts` | counts of records by outcome, and of fields without a value |
| `lookup_join` (`lookup_topics`, `lookup_steps`) | adds the columns of lookups |
| `runs` | runs of equal values in arrays |
"""
