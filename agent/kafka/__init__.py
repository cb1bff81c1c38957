"""The agent on Kafka: both stages of the aggregation, and all else that reads or writes topics.

In come records of the source topics; out go windows, target states and alerts (`kpi-values`,
`kpi-alerts`), dead letters and late records. `agent.core` decides everything; here is the order in
which it is read, written, acknowledged and committed.

Read in this order:

- stage 1: `ingest_stage` (the steps of a flush), `source_consumer` and `batch_fetch` (reading),
  `ingest_assignment` (where reading begins, and what is missing there), `fold_queue`, `idleness`,
  `side_outputs`
- between the stages: `frame_batches`, `topics`, `placement`
- stage 2: `merge_stage` (the steps of a round), the Faust app behind it, and its table
- what is published: `publish`; rows for all workers: `board_topic`, `rule_sets`
- reading beside all groups: `topic_reader` (up to an end), `topic_tail` (without one), `history`,
  `backfill`, `alert_log`
- connections: `client`, `connecting`, `topic_ids`; `embedded` is a broker for the demo and tests

Internals of libraries are used in `batch_fetch` and `topic_ids` (aiokafka) and behind Faust's door
only, each with a list that a test holds.
"""
