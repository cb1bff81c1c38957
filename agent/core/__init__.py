"""The pure core: values in, values out; no I/O, no clock, no logging, no Kafka.

Batches of records come in, results go out. Read `pipeline` first: it calls the steps in order. Then
follow the path of an event through the packages:

| package | in | out |
|---|---|---|
| `model` | | the domain model: contracts, KPIs, rules, the plan, windows, results |
| `decode` | a batch of bytes | a table per contract, and rejected records |
| `aggregate` | rows | partial aggregates, and values |
| `fold` | tables | verdicts, frames, the checkpoint |
| `frame`, `placement` | partials | the wire format between the stages; the partition of a series |
| `merge` | frames | closed windows in event-time order, rows of state |
| `evaluate`, `history` | closed windows | target states and alert transitions |
| `state` | | the state of a series |
| `output` | results | messages, labels, sentences |
| `changes` | two plans | the effects of a rule change |

Six modules use the whole core in other ways than the pipeline: `backfill` computes the past of a
new KPI, `restatement` corrects published windows, `dead_letters` says for which of them,
`explanation` says why a rule is in its state, `erasure` finds what names a person, and
`fixed_windows` evaluates rules on values without events (for rule tests).
"""
