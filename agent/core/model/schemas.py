"""Schemas of records: Avro, Protobuf and JSON Schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SchemaKind = Literal["AVRO", "PROTOBUF", "JSON"]
"""The schema types of a Confluent schema registry."""

REGISTRY: Literal["registry"] = "registry"
"""Instead of a schema: each record names one in the registry."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema: its text, and (name, text) of the schemas that it references, each after those that
    it references itself. `message`: the Protobuf message that records are; "": the message that the
    record names, or else the first in the schema."""

    kind: SchemaKind
    text: str
    references: tuple[tuple[str, str], ...] = ()
    message: str = ""

    @property
    def format(self) -> str:
        """The format of its records, as an event's `format` names it."""
        return self.kind.lower()
