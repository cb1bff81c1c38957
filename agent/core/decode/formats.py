"""The formats of records, by the name that rules call them."""

from __future__ import annotations

from agent.core.decode.format import Format
from agent.core.decode.framed_json import FramedJson
from agent.core.decode.json_format import JSON
from agent.core.model.events import Contract
from agent.core.model.results import Reason
from agent.core.model.schemas import REGISTRY, Schema

FORMATS = ("json", "avro", "protobuf")
"""`events.X.format` is one of these."""


def format_of(contract: Contract) -> Format:
    """The format of a contract's records. The libraries of Avro and Protobuf are an extra: they are
    imported where they are used."""
    schema = contract.schema if isinstance(contract.schema, Schema) else None
    if contract.format == "avro":
        from agent.core.decode.avro_format import AvroCodec
        from agent.core.decode.schema_format import SchemaFormat

        return SchemaFormat(AvroCodec, Reason.NOT_AVRO, schema)
    if contract.format == "protobuf":
        from agent.core.decode.protobuf_format import ProtobufCodec
        from agent.core.decode.schema_format import SchemaFormat

        return SchemaFormat(ProtobufCodec, Reason.NOT_PROTOBUF, schema)
    if contract.schema == REGISTRY:
        return FramedJson()
    return JSON
