"""The pure core: values in, values out; no I/O, no clock, no logging, no Kafka.

Batches of records come in, results go out. `pipeline` calls the steps in order. Then follow the
path of an event:

| room | in | out |
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

`backfill`, `explanation`, `fixed_windows` and `restatement` use the whole core beside the pipeline.
"""
