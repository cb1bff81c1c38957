"""Schemas that records are written with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SchemaKind = Literal["AVRO", "PROTOBUF", "JSON"]
"""As a registry calls them."""

REGISTRY: Literal["registry"] = "registry"
"""In place of a schema: each record names one of a registry's."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema: its text, and (name, text) of those that it refers to, each after those that it
    refers to itself. `message`: which of a Protobuf schema's messages records are, "" for the one
    that they name, or else the first."""

    kind: SchemaKind
    text: str
    references: tuple[tuple[str, str], ...] = ()
    message: str = ""
