"""Durations, windows, targets, schedules, values and currencies as text; worded only here.

There are two registers. As written in rules, to be copied back into YAML: `duration`,
`window_text`, `bounds_text`, `schedule_text`, `when_text`. For people, with units: `value_text`
(200 seconds are "3 min 20 s", a ratio of 0.842 is "84.2 %"), `window_words`, `target_text`. No code
parses these texts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from agent.core.model.kpis import Target
from agent.core.model.rules import AbsenceLevel, AnyLevel, Rule, Severity, variants
from agent.core.model.schedules import EVERY_DAY, Days, HolidayDays, MonthDays, Schedule, Weekdays
from agent.core.model.windows import CalendarWindow, Window

UNIT_MS = {
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
    "ms": 1,
}
"""The units of a duration, the longest first."""

CURRENCIES = {
    "eur": "€", "gbp": "£", "usd": "$", "jpy": "¥", "cny": "CN¥", "inr": "₹", "krw": "₩",
    "aud": "A$", "cad": "C$", "nzd": "NZ$", "hkd": "HK$", "brl": "R$", "mxn": "MX$",
    "chf": "CHF ", "sek": "SEK ", "nok": "NOK ", "dkk": "DKK ", "pln": "PLN ", "czk": "CZK ",
    "zar": "ZAR ", "sgd": "S$", "try": "₺", "ils": "₪",
}  # fmt: skip
"""ISO 4217 codes in lower case, as a unit spells them, and what people write before the number."""

_ZEROS = re.compile(r"\.0+(?=\D|$)|(?<=\.\d)0(?= |$)")

CURRENCY_WORDS = {"euros": "eur", "pounds": "gbp", "dollars": "usd"}

SINGULARS = {f"{noun}s": noun for noun in (
    "account", "alert", "call", "case", "click", "complaint", "customer", "defect", "employee",
    "error", "event", "failure", "hit", "incident", "invoice", "item", "line", "message", "month",
    "order", "page", "parcel", "payment", "piece", "point", "quarter", "record", "request",
    "return", "ride", "sale", "session", "shipment", "signup", "star", "step", "subscription",
    "task", "ticket", "transaction", "trip", "unit", "user", "visit", "visitor", "week", "year",
)} | {"boxes": "box", "deliveries": "delivery", "people": "person", "replies": "reply"}  # fmt: skip
"""Plural units whose singular is known: one of them is "1 task". No rule derives singulars, because
units are words of any language: "meses" and "status" would become words that are none."""

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NTH = {1: "first", 2: "second", 3: "third", 4: "fourth", -1: "last"}


# --- as the rules write it -----------------------------------------------------------------------


def duration(span_ms: int) -> str:
    """A duration as written in rules: 5400000 is `1h30m`, a week is `1w`."""
    parts = []
    for unit, length_ms in UNIT_MS.items():
        count, span_ms = divmod(span_ms, length_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def window_text(window: Window) -> str:
    """A window as written in rules: `5m every 1m`, `1h`, `day in Europe/London`."""
    if isinstance(window, CalendarWindow):
        return f"{window.unit} in {window.timezone}"
    size = duration(window.size_ms)
    return size if window.hop_ms == window.size_ms else f"{size} every {duration(window.hop_ms)}"


def bounds_text(target: Target) -> str:
    """A target as written in rules: `at_most 240, warn 200`, `at_least kpi(last_year)`."""
    least, most = target.at_least, target.at_most
    if least is not None and most is not None:
        parts = [f"between {least:.15g} and {most:.15g}"]
    elif most is not None:
        parts = [f"at_most {most:.15g}"]
    else:
        parts = [f"at_least {least:.15g}"] if least is not None else []
    for band, name in target.kpis:
        parts.append(f"{'warn' if band.startswith('warn') else band} kpi({name})")
    warns = [f"{w:.15g}" for w in (target.warn_at_least, target.warn_at_most) if w is not None]
    return ", ".join([*parts, *([f"warn {' and '.join(warns)}"] if warns else [])])


def when_text(level: AnyLevel) -> str:
    """When a level fires, in words."""
    if isinstance(level, AbsenceLevel):
        return f"no event for {duration(level.no_data_for_ms)}"
    return level.when_sql


def conditions_of(rule: Rule) -> Iterator[tuple[Severity, str]]:
    """Each severity that a rule can fire with, and its condition in words; for a severity that only
    overrides have, the condition of the first of them."""
    seen: set[Severity] = set()
    for variant in variants(rule):
        for level in variant.levels:
            if level.severity not in seen:
                seen.add(level.severity)
                yield level.severity, when_text(level)


def schedule_text(schedule: Schedule) -> str:
    """A schedule as written in rules: `every week on sunday at 02:00 for 4h in Europe/London`."""
    words = [] if schedule.days is None else [_days(schedule.days)]
    if schedule.at_minutes is not None:
        hours, minutes = divmod(schedule.at_minutes, 60)
        words.append(f"at {hours:02}:{minutes:02} for {duration(schedule.for_ms)}")
    zone = ZoneInfo(schedule.timezone)
    for word, at_ms in (("from", schedule.from_ms), ("until", schedule.until_ms)):
        if at_ms is not None:
            at = datetime.fromtimestamp(at_ms / 1000, zone).replace(tzinfo=None)
            words.append(f"{word} {at.isoformat('T', 'seconds').removesuffix(':00')}")
    return f"{' '.join(words)} in {schedule.timezone}"


def _days(days: Days) -> str:
    if isinstance(days, HolidayDays):
        part = f"-{days.subdivision}" if days.subdivision else ""
        return f"holidays {days.country}{part}"
    if isinstance(days, Weekdays):
        if days == EVERY_DAY:
            return "every day"
        return f"every week on {', '.join(_WEEKDAYS[day] for day in sorted(days.days))}"
    if isinstance(days, MonthDays):
        in_order = sorted(days.numbers, key=lambda number: number if number > 0 else 100)
        names = ["last day" if number == -1 else str(number) for number in in_order]
        names += [f"{_NTH[n]} {_WEEKDAYS[day]}" for n, day in sorted(days.weekdays)]
        return f"every month on {', '.join(names)}"
    return f"every year on {', '.join(f'{m:02}-{d:02}' for m, d in sorted(days.days))}"


# --- for people ----------------------------------------------------------------------------------


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
    if unit in (None, "", "count", "number", "total"):
        return text
    return f"{text} {singular_text(unit) if text in ('1', '−1') else unit_text(unit)}"


def unit_text(unit: str) -> str:
    """A unit's name for people: `tasks_per_employee` is "tasks per employee"."""
    return unit.replace("_", " ")


def singular_text(unit: str) -> str:
    """A unit's name beside 1: `tasks_per_employee` is "task per employee". The unit as it is where
    its singular isn't known."""
    counted, *rest = unit.split("_per_", 1)
    *before, noun = counted.split("_")
    return unit_text("_per_".join(["_".join([*before, SINGULARS.get(noun, noun)]), *rest]))


def target_text(target: Target | None, unit: str | None) -> str:
    """A target for people: "at most 4 min, warn above 3 min 20 s". A bound that is the value of
    another KPI is shown as that KPI's name, as its value differs by window and series."""
    if target is None:
        return ""
    least, most = _bound(target, "at_least", unit), _bound(target, "at_most", unit)
    warn_least = _bound(target, "warn_at_least", unit)
    warn_most = _bound(target, "warn_at_most", unit)
    if least and most:
        warns = warn_least or warn_most
        warn = f", warn outside {warn_least or least} to {warn_most or most}" if warns else ""
        return f"between {least} and {most}{warn}"
    if most:
        return f"at most {most}" + (f", warn above {warn_most}" if warn_most else "")
    if least:
        return f"at least {least}" + (f", warn below {warn_least}" if warn_least else "")
    return ""


def _bound(target: Target, band: str, unit: str | None) -> str:
    """One bound of a target for people; "" if the target has no such bound."""
    of_kpis = dict(target.kpis)
    if band in of_kpis:
        return of_kpis[band].replace("_", " ")
    bound: float | None = getattr(target, band)
    if bound is None:
        return ""
    # Values keep trailing zeros so that their width does not jump; a bound never changes.
    text = value_text(bound, unit)
    return text if _currency(unit) else _ZEROS.sub("", text)
