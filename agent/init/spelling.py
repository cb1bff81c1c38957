"""Detects the form of numbers and times in text."""

from __future__ import annotations

import re
from collections.abc import Collection

import polars as pl

from agent.core.decode.time_formats import parse_formatted
from agent.core.model.field_types import TimeFormat

TIME_FORMATS = (
    "%Y/%m/%d %H:%M:%S%.f", "%Y/%m/%d %H:%M", "%Y/%m/%d",
    "%d.%m.%Y %H:%M:%S%.f", "%d.%m.%Y %H:%M", "%d.%m.%Y",
    "%d/%m/%Y %H:%M:%S%.f", "%m/%d/%Y %H:%M:%S%.f", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M",
    "%m/%d/%Y %I:%M:%S %p", "%d/%m/%Y", "%m/%d/%Y",
    "%d-%m-%Y %H:%M:%S%.f", "%d-%m-%Y %H:%M", "%d-%m-%Y",
    "%d/%b/%Y:%H:%M:%S %z", "%a %b %e %H:%M:%S %Y", "%b %e %Y %H:%M:%S", "%d %b %Y %H:%M:%S",
    "%Y%m%d%H%M%S", "%Y%m%d-%H:%M:%S%.f",
)  # fmt: skip
"""The formats that are tried for texts that are no ISO 8601, RFC 2822 or epoch numbers."""
_SIGNS = frozenset(
    {
        "",
        "$",
        "€",
        "£",
        "¥",
        "kr",
        "%",
        "USD",
        "EUR",
        "GBP",
        "CHF",
        "NOK",
        "SEK",
        "DKK",
    }
)
_UNITS = frozenset({
    "s", "ms", "min", "h", "kg", "g", "km", "m", "°C", "kWh", "W", "kB", "MB", "GB",
})  # fmt: skip
_NUMBER = re.compile(r"([^\d+-]{0,4})([-+]?)(\d(?:[\d.,' \u00a0\u202f\u2019]*\d)?)([^\d]{0,4})")
_ADDRESS = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}")
_EARLIEST_US, _LATEST_US = 631_152_000_000_000, 4_102_444_800_000_000
"""1990 and 2100: what is read as a time beyond is `2.11.1` or another number with points."""
_EXAMPLES = {
    ",": "1,234.50", ".": "1.234,50", " ": "1 234,50", "'": "1'234.50", "\u2019": "1\u2019234.50",
}  # fmt: skip
"""An example of a number by its thousands separator."""


def time_format(texts: Collection[str]) -> str | None:
    """The format in which all of some texts are times; None: there is none. If day and month could
    be either, the one in which the times are closer together."""
    column = pl.Series(list(texts), dtype=pl.String)
    best: tuple[int, str] | None = None
    for format in TIME_FORMATS if len(column) else ():
        us, readable = parse_formatted(column, TimeFormat(format=format), "UTC")
        if readable.all() and us.min() >= _EARLIEST_US and us.max() < _LATEST_US:
            span = int(us.max() - us.min())
            if best is None or span < best[0]:
                best = span, format
    return None if best is None else best[1]


def is_either(texts: Collection[str], format: str) -> bool:
    """Whether times are as likely with day and month exchanged."""
    other = re.sub("%[dm]", lambda part: "%m" if part[0] == "%d" else "%d", format)
    if other not in TIME_FORMATS:
        return False
    column = pl.Series(list(texts), dtype=pl.String)
    _, readable = parse_formatted(column, TimeFormat(format=other), "UTC")
    return bool(readable.all())


def number_example(texts: Collection[str]) -> str | None:
    """An example of the form in which all of some texts are numbers, if it is not plain:
    `1,234.50`, `€12`. None: they are no numbers, or the form is ambiguous."""
    if all(map(_ADDRESS.fullmatch, texts)):
        return None
    matches = [_NUMBER.fullmatch(text) for text in texts]
    parts = [match for match in matches if match is not None]
    ends = {(match[1], match[4]) for match in parts}
    if len(parts) != len(matches) or len(ends) != 1:
        return None
    ((prefix, suffix),) = ends
    if prefix.strip() not in _SIGNS or suffix.strip() not in _SIGNS | _UNITS:
        return None
    example = _example([re.sub("[\u00a0\u202f]", " ", match[3]) for match in parts])
    if example is None or (example.isdigit() and not (prefix + suffix).strip()):
        return None
    return f"{prefix}{example}{suffix}"


def _example(numbers: list[str]) -> str | None:
    """An example of numbers without surrounding text."""
    signs = {sign for number in numbers for sign in re.findall(r"\D", number)}
    decimal = _decimal_sign(numbers)
    groups = signs - {decimal}
    if decimal is None or len(groups) > 1:
        return None
    if decimal and any(number.count(decimal) > 1 for number in numbers):
        return None
    if not groups:
        return f"1234{decimal}50" if decimal else "1234"
    (group,) = groups
    behind = rf"(?:{re.escape(decimal)}\d+)?" if decimal else ""
    grouped = re.compile(rf"(?:\d{{1,3}}(?:{re.escape(group)}\d{{3}})*|\d+){behind}")
    if not all(map(grouped.fullmatch, numbers)):
        return None
    whole, sign = f"1{group}234", decimal or _EXAMPLES[group][5]
    return f"{whole}{sign}50" if sign != group else None


def _decimal_sign(numbers: list[str]) -> str | None:
    """The decimal sign; "": there are no decimals; None: it is ambiguous."""
    certain, doubtful = set(), set()
    for number in numbers:
        signs = re.findall(r"[.,]", number)
        if not signs:
            continue
        last, behind = signs[-1], len(re.split(r"[.,]", number)[-1])
        if behind != 3 or (len(signs) > 1 and last != signs[-2]) or len(set(signs)) > 1:
            certain.add(last)
        elif len(signs) == 1 and len(re.findall(r"\D", number)) == 1:
            doubtful.add(last)
    if len(certain) > 1:
        return None
    if certain or not doubtful:
        return certain.pop() if certain else ""
    # `1,234` alone: a comma between thousands is more usual than three decimals, a point less so.
    return "" if doubtful == {","} else "." if doubtful == {"."} else None
