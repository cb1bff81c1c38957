"""Stage 1: rows become verdicts and cumulative partial aggregates, and those become frames.

In: the tables that `core.decode` makes of a topic's records. Out: frames for stage 2, the rejected
and late records, and what may be committed once these are acknowledged. All of it is a pure
function of each source partition's log.

Read `folder` first: its head is the theory of operation. Then `contract_verdicts` with `lateness`
and `duplicates` (which keeps ids by `dedup` and `id_run`); `kpi_fold`, which keeps the partials by
`series_numbers`; `frame_builder`; and `checkpoint`, which says from where a restart reads.
`future_clock` and `repeated_hour` settle the times that a record alone leaves open; `outcomes` and
`field_counts` add up what became of the records; `lookup_join` gives events what they lack;
`dimensions` bounds the names of series; `runs` has what all of them ask of sorted arrays.
"""
