"""The pure core: values in, values out; no I/O, no clock, no logging, no Kafka.

Batches of records come in, results go out. `pipeline` names the steps in order; then read along the
way of an event:

| room | in | out |
|---|---|---|
| `model` | | what all of them speak about: contracts, KPIs, rules, the plan, windows, results |
| `decode` | bytes of a batch | a table for each contract, and rejects |
| `aggregate` | rows | partial aggregates, and values |
| `fold` | tables | verdicts, frames, the checkpoint |
| `frame`, `placement` | partials | the wire format between the stages; where a series lives |
| `merge` | frames | closed windows in event-time order, rows of state |
| `evaluate`, `history` | closed windows | target states and alert transitions |
| `state` | | what is kept of a series |
| `output` | results | messages, labels, sentences |
| `changes` | two plans | what a change of the rules does |

`backfill`, `explanation` and `fixed_windows` use the whole core beside the pipeline.
"""
