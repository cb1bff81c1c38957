"""Bytes of a batch become one table for each contract, and rejects with their reasons.

In: a `Batch` of one topic's records, and the topic's contracts. Out: `Decoded`, in which every
record is a row of a contract's table, rejected, empty or ignored. A record's verdict and values
never depend on the records beside it.

Read in this order: `batch` (what goes in and out), `decoder` (the steps), `format` (what a format
has to do), `json_format` with `layout` (many records at once) and `single_record` (one, exactly),
`validation` (columns against a contract's promises), `event_time` (times from text and numbers).

Avro and Protobuf records need a schema: `schemas` (how a record names its own), `codec` (what reads
the records of one), `schema_format` and `schema_reader` (all that depends on no encoding). What a
record means is said once, as JSON (`avro_json`, `protobuf_schema`); `avro_columns`, `avro_values`
and `protobuf_format` make the same of many records. Such a format is a `codec.Codec`, compared with
its own JSON by `tests/core/decode/schema_fuzz.py`.

What columns can't say is taken out of each record by `extraction`: `envelope` with `envelopes`
(where the events are), `inner_text` (strings that hold something), `lines` (arrays in an event).

To add a format without schemas, write a module beside `json_format` with a class that has the
methods of `format.Format`: `screen` and a `reader` that makes columns of many records, `problem`,
`value` and `wrong_types` for the few in doubt. Give it a reference for the fuzz
(`tests/core/decode/fuzz.py`), which holds the columns against a plain reading of each record.
`formats` names the formats; nothing else knows them.
"""
