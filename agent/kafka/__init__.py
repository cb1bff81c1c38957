"""The agent on Kafka: both stages of the aggregation, and everything else that uses topics.

In: records of the source topics. Out: windows, target states and alerts (`kpi-values`,
`kpi-alerts`), dead letters and late records. `agent.core` makes the decisions; this package
determines the order of reading, writing, acknowledgements and commits.

Read in this order:

- stage 1: `ingest_stage` (the steps of a flush), `topic_subscription`, `source_consumer`,
  `batch_fetch` and `fetched` (reading), `ingest_assignment` (where reading begins, and what is
  missing there), `assignment_words` (its log messages), `fold_queue`, `flush_pace` (when a
  flush is due), `idleness`, `source_topics` and `partition_counts` (metadata of the topics),
  `side_outputs`
- between the stages: `frame_batches`, `topics`, `topic_watch` (deleted or truncated ones),
  `message_sizes` (their limits), `placement`
- stage 2: `merge_stage` (frames), `merge_rounds` (the steps of a round), `merge_recovery` and
  `held_partitions` (the mergers), `faust_app` (all use of Faust), `state_table` and
  `state_store` (its rows, and their databases)
- what is published: `publish`; rows for all workers: `board_topic`, `rule_sets`,
  `rule_history` (rule changes), `explain_requests` (requests between workers)
- `values_reader`: published values, for remote write
- reading without a group: `topic_reader` (up to an end), `topic_tail` (without one), `history`,
  `backfill`, `alert_log`, `value_log`, `dead_letters`, `erasure` (which also deletes)
- reports of the stages: `stage_events`
- schemas of records: `schema_registry` (fetched once each), `registry_client`
- topics of lookups: `lookup_reader`
- connections: `client`, `tokens`, `connecting`, `topic_ids`; `embedded` is a broker for the demo
  and tests

Internals of libraries are used in `batch_fetch` and `topic_ids` (aiokafka), `faust_app` and the
table behind it (Faust) only, each with a list that a test holds.
"""
