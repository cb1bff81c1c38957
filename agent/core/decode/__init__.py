"""Decodes a batch of bytes into one table per contract, and rejects records with a reason.

In: a `Batch` of one topic's records, and the topic's contracts. Out: `Decoded`, in which every
record is a row of a contract's table, rejected, empty or ignored. A record's verdict and values
never depend on other records of the batch.

There are two ways to read records, with the same results: many records at once as columns, which is
fast, and one record exactly, for the few that columns can't decide. Read `batch` (input and output)
and `decoder` (the steps) first. Then, as needed:

| module | purpose |
|---|---|
| `column_decoder` | decodes contracts whose fields columns can read |
| `format`, `formats` | the interface of a format; the formats by name |
| `json_format` with `layout` and `single_record` | JSON as columns; one JSON record exactly |
| `json_search` | finds the records of a chunk that are not JSON |
| `schema_format` (`schemas`, `codec`, `schema_reader`) | formats with schemas |
| `avro_format`, `protobuf_format`, `framed_json` | Avro, Protobuf, JSON with a schema id |
| `column_extraction` (`view_columns`) | arrays and envelopes as columns |
| `record_columns`, `record_keys` | headers, key and the like as columns |
| `extraction` | the same for single records, exactly |
| `envelope`, `envelopes` | where the events are in a record; the envelopes by name |
| `inner_text`, `lines` | encoded strings in events; the elements of an array as rows |
| `validation` | checks columns against the contract |
| `event_time`, `time_text`, `time_formats`, `field_values` | times and values from text |

CONTRIBUTING.md says how to add a format, `format` and `envelope` what to implement.
"""
