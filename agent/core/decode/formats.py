"""The formats of records, by their names in rules."""

from __future__ import annotations

from typing import Literal

from agent.core.decode.format import Format
from agent.core.decode.framed_json import FramedJson
from agent.core.decode.json_format import JSON
from agent.core.model.events import REGISTRY, Contract, Schema
from agent.core.model.results import Reason

FORMATS = ("json", "avro", "protobuf")
"""`events.X.format` is one of these."""


def format_of(contract: Contract) -> Format:
    """The format of a contract's records."""
    return format_named(contract.format, contract.schema)


def format_named(name: str, schema: Schema | Literal["registry"] | None) -> Format:
    """A format by its name, and the schema of its records (see `Contract`). The libraries of Avro
    and Protobuf are an extra: they are imported where they are used."""
    of_all = schema if isinstance(schema, Schema) else None
    if name == "avro":
        from agent.core.decode.avro_format import AvroCodec
        from agent.core.decode.schema_format import SchemaFormat

        return SchemaFormat(AvroCodec, Reason.NOT_AVRO, of_all)
    if name == "protobuf":
        from agent.core.decode.protobuf_format import ProtobufCodec
        from agent.core.decode.schema_format import SchemaFormat

        return SchemaFormat(ProtobufCodec, Reason.NOT_PROTOBUF, of_all)
    return FramedJson() if schema == REGISTRY else JSON
