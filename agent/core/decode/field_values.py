"""Parses the values of fields from text: decimals, times, lists, formatted numbers.

For a demand of dtype String, a format returns any value as text: a number in digits, a time as ISO
8601, a list as JSON. The meaning of that text does not depend on the format, so it is parsed here,
by columns.

Read `read_field` first. A value that can't be parsed counts as one of another type: null and
counted in an optional field, a rejected event in a required one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import polars as pl

from agent.core.decode.event_time import parse_instants
from agent.core.decode.format import Flags, is_converted
from agent.core.decode.time_formats import parse_formatted
from agent.core.decode.tree import text_of
from agent.core.model.events import ComputedField, Field
from agent.core.model.field_types import (
    DECIMAL_DIGITS,
    FIELD_DTYPES,
    BooleanFormat,
    NumberFormat,
    TextRule,
    TimeFormat,
)

_PLAIN_NUMBER = r"^\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?\s*$"
_EXACT_BELOW = 10**15
"""Numbers of 15 digits are read exactly. polars rounds some of 16 digits to the double beside the
nearest one."""
_FINE_DIGITS = 38 - DECIMAL_DIGITS
_BEHIND = rf"(\.[0-9]{{{_FINE_DIGITS}}})[0-9]+"
_NEVER = r"[^\s\S]"
"""Matches nothing."""
_SIGN = "[-+\N{MINUS SIGN}]"
_SPACES = "[ \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}]"

_ZONED_DATE = r"^([0-9]{4}-[0-9]{2}-[0-9]{2})(?:Z|[+-][0-9]{2}:[0-9]{2})$"
_ESCAPED = re.compile(r"[\\\x00-\x1f]")

_LISTS: dict[str, Any] = {
    "string[]": list[str | None],
    "integer[]": list[int | None],
    "float[]": list[float | None],
    "boolean[]": list[bool | None],
}
_WORDS = {
    "string": "a string",
    "integer": "an integer",
    "float": "a number",
    "boolean": "true or false",
    "decimal": "a decimal number",
    "timestamp": "a time",
    "date": "a date",
    "string[]": "a list of strings",
    "integer[]": "a list of integers",
    "float[]": "a list of numbers",
    "boolean[]": "a list of true and false",
}


@dataclass(frozen=True, slots=True)
class ExactValues:
    """The exact values in the records, if a column's text is ambiguous.

    `were_strings`: which values were strings. `value`: the value in the record of a row of the
    column; None if the path does not lead to one.
    """

    were_strings: Callable[[], Flags]
    value: Callable[[int], Any]


def read_field(
    field: Field, raw: pl.Series, timezone: str, exact: ExactValues
) -> tuple[pl.Series, Flags]:
    """The values of a field from its raw column (`format.demanded`), and which of them can't be
    parsed; these are null. `timezone`: for times without an offset. A value that the field's `as`
    maps to null counts as absent."""
    values = _converted(field, raw, timezone, exact) if is_converted(field) else raw
    wrong = values.is_null() & raw.is_not_null()
    if field.computed is not None:
        values = (
            values.alias("value").to_frame().select(field.computed.alias(field.name))[field.name]
        )
    if field.text is not None:
        kept = _kept(field.text, values)
        wrong |= kept.is_null() & values.is_not_null()
        values = kept
    return values.alias(field.name), wrong.to_numpy()


def expectation(field: Field) -> str:
    """What a field's value must be, in words."""
    words, form = _WORDS[field.type], field.format
    if isinstance(form, BooleanFormat):
        return f"one of {', '.join((*form.true, *form.false))}"
    if isinstance(form, TimeFormat):
        return time_words(form, words)
    if isinstance(form, NumberFormat):
        return f"{words} written as {written_like(form)}"
    if field.type == "decimal":
        return f"{words} of at most {DECIMAL_DIGITS - field.scale} digits before the point"
    return words if field.text is None else _text_expectation(field.text)


def time_words(form: TimeFormat, words: str = "a time") -> str:
    """A time in a format, in words."""
    return f"{words} written as {form.format}" if form.format else f"{words} in {form.unit}"


def _text_expectation(rule: TextRule) -> str:
    if rule.values:
        return f"one of {', '.join(rule.values)}"
    bounds = [
        f"at least {rule.min_length}" if rule.min_length else "",
        f"at most {rule.max_length}" if rule.max_length is not None else "",
    ]
    lengths = " and ".join(filter(None, bounds))
    words = f"a string of {lengths} characters" if lengths else "a string"
    return f"{words} that matches {rule.pattern}" if rule.pattern else words


def written_like(form: NumberFormat) -> str:
    """A number in a format, for people."""
    digits = f"1{form.group}234" if form.group else "1234"
    digits = f"{digits}{form.decimal}5" if form.decimal else digits
    return f"{form.prefix}{digits}{form.suffix}"


def _converted(field: Field, raw: pl.Series, timezone: str, exact: ExactValues) -> pl.Series:
    form = field.format
    if field.type in ("timestamp", "date"):
        return _times(field, raw, timezone)
    if isinstance(form, BooleanFormat):
        meanings = dict.fromkeys(form.true, True) | dict.fromkeys(form.false, False)
        return raw.replace_strict(meanings, default=None, return_dtype=pl.Boolean)
    if field.type in _LISTS:
        return _lists(field, raw, exact)
    return _number(field, _plain(raw, form, exact), exact)


def _kept(rule: TextRule, values: pl.Series) -> pl.Series:
    """The texts that satisfy a rule; others are null."""
    if rule.values and rule.ignore_case:
        listed = pl.Series(rule.values, dtype=pl.String)
        spelled = dict(zip(listed.str.to_lowercase(), listed, strict=True))
        values = values.str.to_lowercase().replace_strict(
            spelled, default=None, return_dtype=pl.String
        )
    text = pl.col(values.name)
    holds = pl.lit(True)
    if rule.values and not rule.ignore_case:
        holds &= text.is_in(list(rule.values))
    if rule.pattern is not None:
        holds &= text.str.contains(rule.pattern)
    if rule.min_length is not None:
        holds &= text.str.len_chars() >= rule.min_length
    if rule.max_length is not None:
        holds &= text.str.len_chars() <= rule.max_length
    return values.to_frame().select(pl.when(holds).then(text))[values.name]


def _times(field: Field, raw: pl.Series, timezone: str) -> pl.Series:
    if isinstance(field.format, TimeFormat):
        us, readable = parse_formatted(raw, field.format, timezone)
    else:
        # A date with an offset (XML Schema) is that date, whatever the zone.
        texts = raw.str.replace(_ZONED_DATE, "$1") if field.type == "date" else raw
        us, readable = parse_instants(texts, timezone)
    times = pl.select(
        pl.when(pl.Series(readable)).then(pl.Series(us)).cast(FIELD_DTYPES["timestamp"])
    ).to_series()
    if field.type == "date":
        return times.dt.convert_time_zone(timezone).dt.date()
    return times


def _plain(raw: pl.Series, form: Any, exact: ExactValues) -> pl.Series:
    """Numbers in a format as JSON numbers. Values that are JSON numbers already stay the same."""
    if not isinstance(form, NumberFormat) or form == NumberFormat():
        return raw
    parts = raw.str.extract_groups(_pattern(form)).struct.unnest()
    before, sign, whole, fraction = (parts[name] for name in parts.columns)
    if form.group:
        whole = whole.str.replace_all(
            _SPACES if form.group == " " else form.group, "", literal=form.group != " "
        )
    signs = (before.fill_null("") + sign.fill_null("")).str.replace("\N{MINUS SIGN}", "-")
    read = signs + whole + ("." + fraction).fill_null("")
    is_plain = raw.str.contains(_PLAIN_NUMBER).fill_null(False)
    if form.group == "." and is_plain.any():  # "1.234" is a thousand, the number 1.234 is not
        is_plain &= ~pl.Series(exact.were_strings())
    return pl.select(
        pl.when(is_plain & (read.is_null() | (form.group == "."))).then(raw).otherwise(read)
    ).to_series()


def _pattern(form: NumberFormat) -> str:
    def around(text: str) -> str:
        return rf"(?:{re.escape(text.strip())})?" if text.strip() else ""

    group = _SPACES if form.group == " " else re.escape(form.group)
    digits = rf"[0-9]+|[0-9]{{1,3}}(?:{group}[0-9]{{3}})+" if form.group else "[0-9]+"
    fraction = rf"(?:{re.escape(form.decimal)}([0-9]+))?" if form.decimal else f"({_NEVER})?"
    return (
        rf"^\s*({_SIGN})?\s*{around(form.prefix)}\s*({_SIGN})?({digits}){fraction}"
        rf"\s*{around(form.suffix)}\s*$"
    )


def _number(field: Field, plain: pl.Series, exact: ExactValues) -> pl.Series:
    """Numbers from JSON numbers as text, in the field's type."""
    text = pl.when(plain.str.contains(_PLAIN_NUMBER)).then(plain.str.strip_chars())
    if field.type == "float":
        number = text.cast(pl.Float64, strict=False)
        return pl.select(pl.when(number.is_finite()).then(number)).to_series()
    if field.type == "integer":
        return pl.select(text.cast(pl.Int64, strict=False)).to_series()
    return _with_all_digits(pl.select(scaled(text, field.scale)).to_series(), text, field, exact)


def _with_all_digits(
    values: pl.Series, text: pl.Expr, field: Field, exact: ExactValues
) -> pl.Series:
    """Decimals with the digits of their records: numbers in JSON are read as doubles, which lack
    digits of large decimals. These are read again, one by one."""
    are_numbers = pl.select(text).to_series().is_not_null()
    doubtful = are_numbers & ((values.abs() >= _EXACT_BELOW) | values.is_null())
    rows = doubtful.fill_null(value=False).arg_true()
    if rows.is_empty():
        return values
    recorded = [exact.value(row) for row in rows.to_list()]
    digits = [None if isinstance(value, str) else text_of(value) for value in recorded]
    read_again = pl.Series(digits, dtype=pl.String)
    is_number = read_again.is_not_null()
    again = pl.select(scaled(pl.lit(read_again), field.scale)).to_series()
    return values.scatter(rows.filter(is_number), again.filter(is_number))


def scaled(text: pl.Expr, scale: int) -> pl.Expr:
    """Decimals, from text, times 10^scale, as Int64: rounded half away from zero, like DuckDB's
    cast; null for more than DECIMAL_DIGITS digits."""
    cut = text.str.replace(_BEHIND, "$1")  # polars rounds, half to even
    fine = cut.cast(pl.Decimal(38, _FINE_DIGITS), strict=False).to_physical()
    step = 10 ** (_FINE_DIGITS - scale)
    rounded = (fine.abs() + step // 2) // step
    signed = pl.when(fine < 0).then(0 - rounded).otherwise(rounded)
    return pl.when(rounded < 10**DECIMAL_DIGITS).then(signed).cast(pl.Int64)


def _lists(field: Field, raw: pl.Series, exact: ExactValues) -> pl.Series:
    known: dict[str, list[Any] | None] = {}
    values = []
    for row, text in enumerate(raw.to_list()):
        if text is None or text in known:
            values.append(None if text is None else known[text])
        elif _ESCAPED.search(text):  # polars writes `\\` and control characters as they are
            values.append(_list(field, exact.value(row)))
        else:
            known[text] = _list(field, text)
            values.append(known[text])
    return pl.Series(raw.name, values, dtype=FIELD_DTYPES[field.type])


def _list(field: Field, value: Any) -> list[Any] | None:
    """A list, or a list in text, if its elements have the field's type; otherwise None."""
    type_ = _LISTS[field.type]
    try:
        elements: list[Any] = (
            msgspec.json.decode(value, type=type_)
            if isinstance(value, str)
            else msgspec.convert(value, type_)
        )
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return elements if field.type != "integer[]" or _fits(elements) else None


def _fits(values: list[Any]) -> bool:
    return all(value is None or -(2**63) <= value < 2**63 for value in values)


def shown(field: Field | ComputedField, value: Any) -> Any:
    """A value of a contract's table as it would be in an event."""
    if value is None or field.type not in ("decimal", "timestamp", "date"):
        return value
    if field.type == "decimal":
        digits = f"{abs(value):0{field.scale + 1}d}"
        cut = len(digits) - field.scale
        text = f"{digits[:cut]}.{digits[cut:]}" if field.scale else digits
        return f"-{text}" if value < 0 else text
    return value.isoformat().replace("+00:00", "Z")


def scaled_bound(field: Field, bound: float, towards: Callable[[Decimal], int]) -> float:
    """A field's bound in the unit of its column; for a decimal a whole number, rounded by
    `towards`."""
    if field.type != "decimal":
        return bound
    return towards(Decimal(repr(bound)).scaleb(field.scale))
