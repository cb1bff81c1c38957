"""Values, spans, windows and targets in words that people read.

`value_text` turns a base unit into what a person says: 200 seconds are "3 min 20 s", a ratio of
0.842 is "84.2 %". Text only: nothing here is parsed again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from agent.core.model.plan import Dimensions, Scalar, Target
from agent.core.model.windows import CalendarWindow, Window
from agent.core.output.messages import label

CURRENCIES = {
    "eur": "€", "gbp": "£", "usd": "$", "jpy": "¥", "cny": "CN¥", "inr": "₹", "krw": "₩",
    "aud": "A$", "cad": "C$", "nzd": "NZ$", "hkd": "HK$", "brl": "R$", "mxn": "MX$",
    "chf": "CHF ", "sek": "SEK ", "nok": "NOK ", "dkk": "DKK ", "pln": "PLN ", "czk": "CZK ",
    "zar": "ZAR ", "sgd": "S$", "try": "₺", "ils": "₪",
}  # fmt: skip
"""ISO 4217 codes in lower case, as a unit spells them, and what people write before the number."""

_ZEROS = re.compile(r"\.0+(?=\D|$)|(?<=\.\d)0(?= |$)")

CURRENCY_WORDS = {"euros": "eur", "pounds": "gbp", "dollars": "usd"}

_SPANS = ((604_800_000, "w"), (86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"))


def dimension_text(value: Scalar) -> str:
    """A dimension's value for people."""
    if value is None:
        return "none"
    if value == "__other__":
        return "all others"
    return "(empty)" if value == "" else label(value)


def span_text(span_ms: int) -> str:
    """A span as YAML writes it: `5m`, `1h30m`."""
    parts, rest = [], span_ms
    for size, letter in _SPANS:
        whole, rest = divmod(rest, size)
        if whole:
            parts.append(f"{whole}{letter}")
    if rest or not parts:
        parts.append(f"{rest}ms")
    return "".join(parts)


def window_text(window: Window) -> str:
    """A window as YAML writes it: `5m every 1m`, `1h`, `day (Europe/London)`."""
    if isinstance(window, CalendarWindow):
        return f"{window.unit} ({window.timezone})"
    if window.hop_ms == window.size_ms:
        return span_text(window.size_ms)
    return f"{span_text(window.size_ms)} every {span_text(window.hop_ms)}"


def window_words(window: Window) -> str:
    """A window for people: "5 min, every 1 min", "each 1 h", "each day in Europe/London"."""
    if isinstance(window, CalendarWindow):
        return f"each {window.unit} in {window.timezone}"
    size = seconds_text(window.size_ms / 1000)
    if window.hop_ms == window.size_ms:
        return f"each {size}"
    return f"{size}, every {seconds_text(window.hop_ms / 1000)}"


def number_text(value: float) -> str:
    """A number for people: 0.0421, 4.31, 84.2, 12,345, 1.28 M."""
    size = abs(value)
    for limit, letter in ((1e12, " T"), (1e9, " B"), (1e6, " M")):
        if size >= limit * 0.9995:
            return f"{value / limit:,.2f}{letter}"
    if size >= 999.5 or value == int(value):
        return f"{value:,.0f}".replace("-0", "0") if round(value) == 0 else f"{value:,.0f}"
    if size >= 99.95:
        return f"{value:.1f}"
    if size >= 0.995:
        return f"{value:.2f}"
    digits = min(6, 2 - math.floor(math.log10(size)))
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") or "0"


def seconds_text(seconds: float) -> str:
    """A span of seconds for people: `340 ms`, `12.4 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 0:
        return "−" + seconds_text(-seconds)
    if seconds == 0:
        return "0 s"
    if seconds < 0.0009995:
        return f"{number_text(seconds * 1e6)} µs"
    if seconds < 0.9995:
        return f"{number_text(float(f'{seconds * 1000:.3g}'))} ms"
    if seconds < 59.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    for big, small, names in (
        (60, 1, ("min", "s")),
        (3600, 60, ("h", "min")),
        (86400, 3600, ("d", "h")),
    ):
        units = round(seconds / small)
        ratio = big // small
        if units < ratio * (24 if big == 3600 else 60) or big == 86400:
            whole, rest = divmod(units, ratio)
            return f"{whole:,} {names[0]}" + (
                f" {rest} {names[1]}" if rest and whole < 1000 else ""
            )
    raise AssertionError("unreachable: the last unit takes every span")


def bytes_text(value: float) -> str:
    """A number of bytes for people, in powers of 1024."""
    size, names = abs(value), ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
    step = 0
    while size >= 1023.5 and step < len(names) - 1:
        size, step = size / 1024, step + 1
    return f"{'−' if value < 0 else ''}{number_text(float(f'{size:.4g}'))} {names[step]}"


def percent_text(percent: float, digits: int = 1) -> str:
    """A percentage for people: 84.2 %, 97 %; small ones keep two digits: 0.42 %."""
    size = abs(percent)
    if size >= 0.95 or size == 0 or digits == 0:
        return f"{percent:,.{digits}f}".removesuffix(".0").replace("-", "−") + " %"
    return f"{number_text(float(f'{percent:.2g}'))} %".replace("-", "−")


def _currency(unit: str | None) -> str | None:
    """The key in CURRENCIES of a unit that is one."""
    code = CURRENCY_WORDS.get(unit or "", unit or "")
    return code if code in CURRENCIES else None


def _currency_text(amount: float, code: str) -> str:
    minus, size = ("−" if amount < 0 else ""), abs(amount)
    cents = size < 999.995 and size != int(size)
    return f"{minus}{CURRENCIES[code]}{f'{size:,.2f}' if cents else number_text(size)}"


_SPECIAL: dict[str, Callable[[float], str]] = {
    "seconds": seconds_text,
    "milliseconds": lambda value: seconds_text(value / 1000),
    "ms": lambda value: seconds_text(value / 1000),
    "minutes": lambda value: seconds_text(value * 60),
    "hours": lambda value: seconds_text(value * 3600),
    "days": lambda value: seconds_text(value * 86_400),
    "bytes": bytes_text,
    "ratio": lambda value: percent_text(value * 100),
    "percent": percent_text,
    "percentage": percent_text,
}


def value_text(value: float | None, unit: str | None) -> str:
    """A KPI's value with its unit for people; "–" where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    if unit in _SPECIAL:
        return _SPECIAL[unit](value)
    if code := _currency(unit):
        return _currency_text(value, code)
    text = number_text(value).replace("-", "−")
    return text if unit in (None, "", "count", "number", "total") else f"{text} {unit_text(unit)}"


def unit_text(unit: str) -> str:
    """A unit's name for people: `tasks_per_employee` is "tasks per employee"."""
    return unit.replace("_", " ")


def target_text(target: Target | None, unit: str | None) -> str:
    """A target for people: "at most 4 min, warn above 3 min 20 s"."""
    if target is None:
        return ""

    def say(bound: float | None) -> str:
        # A bound was written by a person, and never changes: no zeros to keep its width.
        text = value_text(bound, unit)
        return text if _currency(unit) else _ZEROS.sub("", text)

    for band, name in target.kpis:  # whose value is not known, or differs by series
        if band in ("at_least", "at_most"):
            return f"{band.replace('_', ' ')} {name.replace('_', ' ')}"
    least, most = target.at_least, target.at_most
    if least is not None and most is not None:
        text = f"between {say(least)} and {say(most)}"
        if target.warn_at_least is not None or target.warn_at_most is not None:
            low = least if target.warn_at_least is None else target.warn_at_least
            high = most if target.warn_at_most is None else target.warn_at_most
            text += f", warn outside {say(low)} to {say(high)}"
        return text
    if most is not None:
        warn = target.warn_at_most
        return f"at most {say(most)}" + ("" if warn is None else f", warn above {say(warn)}")
    if least is not None:
        warn = target.warn_at_least
        return f"at least {say(least)}" + ("" if warn is None else f", warn below {say(warn)}")
    return ""


def series_text(dimensions: Dimensions | None) -> str:
    """A series for people: its dimension values; "" for the only series of a KPI."""
    return " · ".join(dimension_text(d) for d in dimensions or ())


def series_key(by: Sequence[str], dimensions: Dimensions | None) -> str:
    """A series for programs. Python's spelling keeps null and "None" apart."""
    return ",".join(f"{name}={value!r}" for name, value in zip(by, dimensions or (), strict=False))
