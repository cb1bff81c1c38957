"""The section `lookups`, tables in files or topics; and the fields that events take from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from agent.language.models.base import Strict
from agent.language.models.fields import ElementType
from agent.language.models.values import FieldName, Text, TimeZone, Topic, Unit, by_form
from agent.language.problems import wrong

ColumnType = Literal["string", "integer", "float", "boolean"]
"""The types of fields that a lookup's columns may have."""
SUFFIXES = (".csv", ".ndjson", ".jsonl")


def _file(path: str) -> str:
    parts = path.replace("\\", "/").split("/")
    if parts[0] == "" or ":" in parts[0] or ".." in parts:
        message = f"'{path}' is outside the rules folder"
        raise wrong(message, "keep the file beside the rules, and name it from there: rates.csv")
    if not path.lower().endswith(SUFFIXES):
        message = f"'{path}' is neither CSV nor NDJSON by its name"
        raise wrong(message, f"use a file that ends in {', '.join(SUFFIXES)}")
    return path


class LookupSpec(Strict):
    """A table with one row for each key, or one at a time."""

    file: Annotated[Text, AfterValidator(_file)] | None = Field(
        None,
        description="A CSV file with a header, or NDJSON; relative to the folder of this file.",
        examples=["rates.csv"],
    )
    topic: Topic | None = Field(
        None,
        description="A compacted topic instead of a file: a JSON object for each row, valid from "
        "its record's timestamp on, or from the time in `from`.",
        examples=["rates"],
    )
    key: Text | Annotated[list[Text], Field(min_length=1)] = Field(
        description="The column, or columns, that identify a row.",
        examples=["currency"],
    )
    columns: dict[Text, ElementType] = Field(
        description="The columns that events may have: name: type. A key is a string if it is not "
        "named here.",
        examples=[{"rate": "float"}],
    )
    from_: Text | None = Field(
        None,
        alias="from",
        description="The column with the date or time from which a row is valid, inclusive. An "
        "event gets the row that is valid at its time. "
        "Of a topic: the record's timestamp if not given.",
        examples=["valid_from"],
    )
    until: Text | None = Field(
        None,
        description="The column with the end of the validity, exclusive. If not given, or empty: "
        "until the next row of the key.",
        examples=["valid_until"],
    )
    timezone: TimeZone | None = Field(
        None, description="The time zone of dates, and of times without an offset."
    )
    description: Text | None = Field(
        None, description="What the table contains, and who maintains it."
    )

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns of the key."""
        return tuple(self.key) if isinstance(self.key, list) else (self.key,)

    def type_of(self, column: str) -> ElementType | None:
        """The type of a column; None: there is no such column."""
        return self.columns.get(column, "string" if column in self.keys else None)


def _column(text: str) -> str:
    lookup, dot, column = text.partition(".")
    if not (lookup and dot and column):
        raise wrong(f"'{text}' is not a column of a lookup", "write `lookup.column`: rates.rate")
    return text


class LookupFieldSpec(Strict):
    """A field that comes from a lookup."""

    column: Annotated[Text, AfterValidator(_column)] = Field(
        description="The lookup and its column.", examples=["rates.rate"]
    )
    key: FieldName | Annotated[list[FieldName], Field(min_length=1)] | None = Field(
        None,
        description="The event's field, or fields, with the lookup's key. The fields with the "
        "same names as the key if not given.",
    )
    unit: Unit | None = Field(None, description="The unit of a number, for readers.")
    description: Text | None = Field(None, description="What the field means.")

    @property
    def lookup(self) -> str:
        """The name of the lookup."""
        return self.column.partition(".")[0]

    @property
    def of_lookup(self) -> str:
        """The name of the lookup's column."""
        return self.column.partition(".")[2]

    def keys(self, lookup: LookupSpec) -> tuple[str, ...]:
        """The event's fields that are the key."""
        if self.key is None:
            return lookup.keys
        return tuple(self.key) if isinstance(self.key, list) else (self.key,)


def _short_lookup(column: str) -> LookupFieldSpec:
    return LookupFieldSpec.model_validate({"column": _column(column)})


if TYPE_CHECKING:
    AnyLookupField = LookupFieldSpec  # the short form is made into the long one
else:
    AnyLookupField = by_form(
        mapping=LookupFieldSpec, text=Annotated[Text, AfterValidator(_short_lookup)]
    )
