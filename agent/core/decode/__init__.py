"""A batch of bytes becomes one table per contract, and rejected records with their reasons.

In: a `Batch` of one topic's records, and the topic's contracts. Out: `Decoded`, in which every
record is a row of a contract's table, rejected, empty or ignored. A record's verdict and values
never depend on the records beside it.

Read `batch` (input and output) and `decoder` (the steps) first. Then, as needed:

| module | idea |
|---|---|
| `column_decoder` | contracts read by columns: the fast way, for fields in objects |
| `format`, `formats` | the interface of a format; the formats by name |
| `json_format` with `layout` and `single_record` | JSON: many records at once, and one exactly |
| `json_search` | which of many records are no JSON |
| `schema_format` (`schemas`, `codec`, `schema_reader`) | what formats with schemas share |
| `avro_format`, `protobuf_format`, `framed_json` | these, and JSON as a registry writes it |
| `column_extraction` (`shape`, `proof`) | arrays and envelopes by columns |
| `record_columns` | headers, key and timestamp as columns |
| `extraction` | the same for a single record, exactly |
| `envelope`, `envelopes` | where the events are in a record; the envelopes by name |
| `inner_text`, `lines` | JSON in strings; the elements of an array as events |
| `validation` | checks columns against the contract |
| `event_time`, `time_text`, `time_formats`, `field_values` | times and values from text |

To add a format without schemas, write a module beside `json_format` with a class that has the
methods of `format.Format`: `screen` and a `reader` that makes columns of many records, `problem`,
`value` and `wrong_types` for the few in doubt. Give it a reference for the fuzz
(`tests/core/decode/fuzz.py`), which holds the columns against a plain reading of each record.
`formats` names the formats; nothing else knows them.
"""
