"""A field of an event: its type, and the notation of its values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import polars as pl
from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, PlainSerializer, Tag

from agent.core.decode.time_formats import format_problem
from agent.core.model.field_types import (
    DECIMAL_DIGITS,
    BooleanFormat,
    EpochUnit,
    FieldType,
    NumberFormat,
)
from agent.language.models.base import Strict
from agent.language.models.paths import AnyPath
from agent.language.models.values import Number, Text, Unit, by_form, form
from agent.language.problems import wrong

ScalarType = Literal["string", "integer", "float", "boolean", "decimal", "timestamp", "date"]
ElementType = Literal["string", "integer", "float", "boolean"]


def _list_type(types: list[str]) -> str:
    return f"{types[0]}[]"


def _written(value: Any) -> Any:
    """The written form `[string]` of a type `string[]`, as models have it."""
    return [value.removesuffix("[]")] if isinstance(value, str) and value.endswith("[]") else value


if TYPE_CHECKING:
    AnyType = FieldType
else:
    _OneElement = Annotated[list[ElementType], Field(min_length=1, max_length=1)]
    AnyType = Annotated[
        Annotated[ScalarType, Tag("<text>")]
        | Annotated[_OneElement, AfterValidator(_list_type), Tag("<list>")],
        Discriminator(form),
        BeforeValidator(_written, json_schema_input_type=ScalarType | _OneElement),
        PlainSerializer(str, when_used="always"),
    ]

_DIGITS = re.compile(r"[-+]?\d(?:[\d .,'\u2019\u00a0\u202f_]*\d)?")


def number_format(example: str) -> NumberFormat:
    """The format that an example is written in: `1,234.50`, `€ 12`. Raises ValueError."""
    number = _DIGITS.search(example)
    if number is None or _DIGITS.search(example, number.end()):
        raise ValueError("it is not one number")
    digits = re.sub("[\u00a0\u202f]", " ", number[0].lstrip("-+"))
    signs = re.findall(r"\D", digits)
    decimal = signs[-1] if signs and _is_decimal_sign(digits, signs) else ""
    groups = set(signs[:-1] if decimal else signs)
    if len(groups) > 1 or decimal in (groups | set(" '\u2019_")) - {""}:
        raise ValueError("it is not clear which sign is the decimal one")
    whole = digits.rsplit(decimal, 1)[0] if decimal else digits
    group = groups.pop() if groups else ""
    if group and not re.fullmatch(rf"\d{{1,3}}(?:{re.escape(group)}\d{{3}})+", whole):
        raise ValueError("its digits are not in groups of three")
    return NumberFormat(group, decimal, example[: number.start()], example[number.end() :])


def _is_decimal_sign(digits: str, signs: list[str]) -> bool:
    """Whether the last separator is the decimal one: of several, if it differs from the others; a
    single one, unless three digits follow, as after thousands."""
    if len(signs) > 1:
        return len(set(signs)) > 1
    return signs[0] in ".," and len(digits.rsplit(signs[0], 1)[1]) != 3


def _read(value: str) -> str:
    if value != "text":
        try:
            number_format(value)
        except ValueError as cause:
            hint = '`text` reads plain numbers; or an example: "1,234.50", "1.234,50", "€ 12"'
            raise wrong(f"'{value}' is not an example of a number: {cause}", hint) from cause
    return value


BooleanValue = str | int | bool


class ReadBooleans(Strict):
    """The values that mean true, and those that mean false."""

    true: list[BooleanValue] = Field(min_length=1, description="The values that mean true.")
    false: list[BooleanValue] = Field(min_length=1, description="The values that mean false.")

    def format(self) -> BooleanFormat:
        """The values as text."""
        return BooleanFormat(tuple(map(_as_text, self.true)), tuple(map(_as_text, self.false)))


def _as_text(value: BooleanValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _differ(read: ReadBooleans) -> ReadBooleans:
    values = read.format()
    for value in values.true:
        if value in values.false:
            raise wrong(f"'{value}' means both true and false", "keep one")
    return read


if TYPE_CHECKING:
    AnyRead = str | ReadBooleans
else:
    AnyRead = by_form(
        text=Annotated[str, AfterValidator(_read)],
        mapping=Annotated[ReadBooleans, AfterValidator(_differ)],
    )


def regex(value: str) -> str:
    """A regular expression as the rules have them: Rust's syntax, which polars has."""
    try:
        pl.Series([""]).str.contains(value)
    except pl.exceptions.ComputeError as cause:
        reasons = re.findall(r"^error: (.*)$", str(cause), re.MULTILINE)
        message = ": ".join([f"'{value}' is not a valid regular expression", *reasons[:1]])
        raise wrong(message, "the syntax is that of Rust's regex: no look-around") from cause
    return value


Pattern = Annotated[str, AfterValidator(regex), Field(json_schema_extra={"format": "regex"})]


def _time_format(value: str) -> str:
    problem = format_problem(value)
    if problem is not None:
        raise wrong(f"'{value}' is not a time format: {problem}", "for example '%Y/%m/%d %H:%M'")
    return value


TimeFormatText = Annotated[str, AfterValidator(_time_format)]
TIME_FORMAT = (
    "The format of times that are not ISO 8601, RFC 2822 or epoch numbers, as for strftime: "
    "%Y/%m/%d %H:%M."
)
EPOCH_UNIT = (
    "The unit of an epoch number, if its magnitude does not determine it: s, ms, us, ns or day."
)


class FieldSpec(Strict):
    """One field of an event."""

    type: AnyType = Field(
        description="The field's type. A list: [string].", examples=["string", "decimal"]
    )
    path: AnyPath | None = Field(
        None,
        description="The path of the field: user.id, coordinates[2], a list of keys, {header: "
        "name}, {key: path}, {record: part}. The field's name if not given.",
    )
    required: bool = Field(False, description="Whether events without it are rejected.")
    minimum: Number | None = Field(
        None, description="The smallest value allowed, inclusive. Numbers only."
    )
    maximum: Number | None = Field(
        None, description="The largest value allowed, inclusive. Numbers only."
    )
    scale: int | None = Field(
        None,
        ge=0,
        le=DECIMAL_DIGITS - 1,
        description="The number of decimal places of a decimal: 4 if not given. Values are "
        "rounded to it.",
    )
    read: AnyRead | None = Field(
        None,
        description='Numbers and booleans that are written as text: `text` (plain), "1,234.50" '
        '(an example of how), or {true: [1, "Y"], false: [0, "N"]}.',
        examples=["text", "1,234.50"],
    )
    format: TimeFormatText | None = Field(None, description=TIME_FORMAT)
    as_: Text | None = Field(
        None,
        alias="as",
        description="SQL over `value` that computes the field's value before anything else reads "
        "it; of the field's type.",
        examples=["upper(trim(value))", "value / 100"],
    )
    enum: list[str] | None = Field(
        None, min_length=1, description="The values that a string may have."
    )
    ignore_case: bool = Field(False, description="Whether `enum` ignores upper and lower case.")
    pattern: Pattern | None = Field(
        None, description="A regular expression that matches somewhere in the string."
    )
    min_length: int | None = Field(
        None, ge=0, description="The minimum number of characters of a string."
    )
    max_length: int | None = Field(
        None, ge=0, description="The maximum number of characters of a string."
    )
    unit: Unit | None = Field(
        None,
        description="The unit of a number, for readers; of an epoch number in a timestamp or date "
        f"{', '.join(get_args(EpochUnit)[:-1])} or day.",
    )
    description: Text | None = Field(None, description="What the field means.")


def _short_field(type_name: FieldType) -> FieldSpec:
    return FieldSpec.model_validate({"type": type_name})


if TYPE_CHECKING:
    AnyField = FieldSpec  # the short form is made into the long one
else:
    AnyField = by_form(
        mapping=FieldSpec,
        text=Annotated[ScalarType, AfterValidator(_short_field)],
        list=Annotated[_OneElement, AfterValidator(_list_type), AfterValidator(_short_field)],
    )
