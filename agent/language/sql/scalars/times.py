"""Timestamps and dates: differences, parts, calendar units.

The results are DuckDB's with `SET TimeZone` to the contract's zone, with one exception: the
difference of two timestamps is a number of seconds, which aggregates accept, where DuckDB has an
INTERVAL. `epoch(a - b)` is the same number in both. The difference of two dates is a number of
days, as in DuckDB.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from functools import partial

import polars as pl
from sqlglot import exp

from agent.language.sql.expressions import Entry, Scope, fail, refuse_unsupported
from agent.language.sql.instants import in_zone, instant, local
from agent.language.sql.scalars.literals import text_written
from agent.language.sql.scalars.numbers import arithmetic_of
from agent.language.sql.types import Typed, words

_TIMES = ("timestamp", "date")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_UNITS = {
    **{"second": "1s", "minute": "1m", "hour": "1h", "day": "1d", "week": "1w"},
    **{"month": "1mo", "quarter": "1q", "year": "1y"},
}
"""polars' names of them. Weeks begin on Monday, in both."""
_DIRECTIVES = re.compile(r"%[-]?[YymdHMSjBbAaIpuwV%]")
_INSTEAD = "declare the field as `type: timestamp` or `type: date`"


def _time(scope: Scope, node: exp.Expression) -> Typed:
    """A node that has to be a time."""
    typed = scope.translate(node)
    if typed.type not in (*_TIMES, "null"):
        fail(node, f"a timestamp is needed here, this is {words(typed.type)}", _INSTEAD)
    if typed.type == "null":
        return Typed(typed.expr.cast(pl.Datetime("us", "UTC")), "timestamp")
    return typed


def _local(scope: Scope, node: exp.Expression) -> pl.Expr:
    return local(_time(scope, node), scope.timezone)


_PARTS: Mapping[str, Callable[[pl.Expr], pl.Expr]] = {
    "microsecond": lambda x: x.dt.second().cast(pl.Int64) * 1_000_000 + x.dt.microsecond(),
    "millisecond": lambda x: x.dt.second().cast(pl.Int64) * 1000 + x.dt.millisecond(),
    "second": lambda x: x.dt.second(),
    "minute": lambda x: x.dt.minute(),
    "hour": lambda x: x.dt.hour(),
    "day": lambda x: x.dt.day(),
    "week": lambda x: x.dt.week(),
    "month": lambda x: x.dt.month(),
    "quarter": lambda x: x.dt.quarter(),
    "year": lambda x: x.dt.year(),
    "isoyear": lambda x: x.dt.iso_year(),
    "dow": lambda x: x.dt.weekday().cast(pl.Int64) % 7,
    "isodow": lambda x: x.dt.weekday(),
    "doy": lambda x: x.dt.ordinal_day(),
}
"""DuckDB's date parts, of a time of the clocks. `dow`: Sunday is 0."""
_ALIASES = {
    **{"dayofweek": "dow", "weekday": "dow", "dayofyear": "doy", "dayofmonth": "day"},
    **{"weekofyear": "week", **{f"{name}s": name for name in _UNITS}},
}


def _part_of(scope: Scope, node: exp.Expression, name: str, time: exp.Expression | None) -> Typed:
    """One part of a time, by its name."""
    if time is None:
        fail(node, "only a time has parts", f"for example `{name}(ordered_at)`")
    name = _ALIASES.get(name.lower(), name.lower())
    if name == "epoch":
        return _epoch(scope, time)
    if name not in _PARTS:
        hint = f"the parts are {', '.join(sorted((*_PARTS, 'epoch')))}"
        fail(node, f"a time has no part '{name}'", hint)
    return Typed(_PARTS[name](_local(scope, time)).cast(pl.Int64), "integer")


def _epoch(scope: Scope, node: exp.Expression) -> Typed:
    """Seconds since 1970; the difference of two timestamps is a number of seconds already."""
    typed = scope.translate(node)
    if typed.type == "float" and _is_difference(scope, node):
        return typed
    us = in_zone(_time(scope, node), "timestamp", "UTC").to_physical()
    return Typed(us.cast(pl.Float64) / 1e6, "float")


def _is_difference(scope: Scope, node: exp.Expression) -> bool:
    inner = node.unnest()
    return isinstance(inner, exp.Sub) and scope.translate(inner.this).type in _TIMES


def _extract(scope: Scope, node: exp.Extract) -> Typed:
    return _part_of(scope, node, node.this.name, node.expression)


def _named_part(name: str, scope: Scope, node: exp.Hour) -> Typed:
    return _part_of(scope, node, name, node.this)


def _epoch_units(per_second: int, scope: Scope, node: exp.Expression) -> Typed:
    """Since 1970, to the nearest."""
    us = in_zone(_time(scope, node), "timestamp", "UTC").to_physical().cast(pl.Int64)
    step = 1_000_000 // per_second
    return Typed((us + step // 2) // step, "integer")


def _epoch_ms(scope: Scope, node: exp.UnixToTime) -> Typed:
    if not (isinstance(node.args.get("scale"), exp.Literal) and node.args["scale"].name == "3"):
        refuse_unsupported(scope.text, node)
    return _epoch_units(1000, scope, node.this)


def _date_part(scope: Scope, node: exp.Anonymous) -> Typed:
    part, time = _two(node, "for example `date_part('hour', ordered_at)`")
    return _part_of(scope, node, text_written(part, "the part", "for example 'hour'"), time)


def _weekday(scope: Scope, node: exp.Anonymous) -> Typed:
    return _part_of(scope, node, node.name, node.expressions[0] if node.expressions else None)


def _epoch_us(scope: Scope, node: exp.Anonymous) -> Typed:
    if len(node.expressions) != 1:
        fail(node, "epoch_us takes one argument", "for example `epoch_us(ordered_at)`")
    return _epoch_units(1_000_000, scope, node.expressions[0])


def _two(node: exp.Anonymous, example: str) -> tuple[exp.Expression, exp.Expression]:
    if len(node.expressions) != 2:
        fail(node, f"{node.name} takes two arguments", example)
    return node.expressions[0], node.expressions[1]


def _named(scope: Scope, node: exp.Anonymous) -> Typed:
    """A function that the parser does not know."""
    translate = _NAMED.get(node.name.lower())
    if translate is None:
        refuse_unsupported(scope.text, node, scope.columns)
    return translate(scope, node)


_NAMED: Mapping[str, Callable[[Scope, exp.Anonymous], Typed]] = {
    "date_part": _date_part,
    "datepart": _date_part,
    "weekday": _weekday,
    "millisecond": _weekday,
    "microsecond": _weekday,
    "epoch_us": _epoch_us,
}


def _unit(node: exp.Expression) -> str:
    unit = node.args.get("unit")
    name = unit.name.lower().rstrip("s") if unit is not None else ""
    if name not in _UNITS:
        fail(unit or node, f"'{name}' is no unit of the calendar", f"one of {', '.join(_UNITS)}")
    return name


def _trunc(scope: Scope, node: exp.TimestampTrunc | exp.DateTrunc) -> Typed:
    """The beginning of the unit that a time lies in."""
    typed, unit = _time(scope, node.this), _unit(node)
    if typed.type == "date" and unit in ("day", "week", "month", "quarter", "year"):
        return Typed(typed.expr.dt.truncate(_UNITS[unit]), "date")
    return Typed(_truncated(scope, typed, unit), "timestamp")


def _truncated(scope: Scope, typed: Typed, unit: str) -> pl.Expr:
    at = in_zone(typed, "timestamp", scope.timezone)
    shown = local(typed, scope.timezone)
    begin = shown.dt.truncate(_UNITS[unit])
    if unit in ("second", "minute", "hour"):
        return at - (shown - begin)
    return instant(begin, scope.timezone)


def _diff(scope: Scope, node: exp.DateDiff) -> Typed:
    """How many beginnings of a unit lie between two times; of weeks, how many whole ones."""
    unit = _unit(node)
    start, end = (_time(scope, each) for each in (node.expression, node.this))
    if unit in ("second", "minute", "hour"):
        first, last = (_truncated(scope, each, unit) for each in (start, end))
        return Typed((last - first).dt.total_seconds() // _SECONDS[unit], "integer")
    first, last = (local(each, scope.timezone) for each in (start, end))
    if unit in ("day", "week"):
        days = (last.dt.truncate("1d") - first.dt.truncate("1d")).dt.total_days()
        weeks = days.sign() * (days.abs() // 7)
        return Typed(days if unit == "day" else weeks, "integer")
    years = last.dt.year().cast(pl.Int64) - first.dt.year()
    quarters = last.dt.quarter().cast(pl.Int64) - first.dt.quarter()
    months = last.dt.month().cast(pl.Int64) - first.dt.month()
    count = {"year": years, "quarter": years * 4 + quarters, "month": years * 12 + months}
    return Typed(count[unit], "integer")


def _strftime(scope: Scope, node: exp.TimeToStr) -> Typed:
    format = text_written(node.args["format"], "the format", "for example '%Y-%m'")
    left = _DIRECTIVES.sub("", format)
    if "%" in left:
        at = left.index("%")
        fail(node.args["format"], f"'{left[at : at + 2]}' is not supported in a format", None)
    return Typed(_local(scope, node.this).dt.strftime(format), "string")


def _name(format: str, scope: Scope, node: exp.Func) -> Typed:
    return Typed(_local(scope, node.this).dt.strftime(format), "string")


def _last_day(scope: Scope, node: exp.LastDay) -> Typed:
    return Typed(_local(scope, node.this).dt.month_end().dt.date(), "date")


def _date(scope: Scope, node: exp.Date) -> Typed:
    return Typed(_local(scope, node.this).dt.date(), "date")


def _interval(node: exp.Interval) -> tuple[int, str]:
    """A count and a unit that are written out."""
    unit = _unit(node)
    number = node.this.unnest() if node.this is not None else None
    if not (isinstance(number, exp.Literal) and re.fullmatch(r"-?\d{1,9}", number.name)):
        fail(node, "an interval has to be written out", "for example `interval 1 hour`")
    return int(number.name), unit


def _seconds(scope: Scope, node: exp.Interval) -> Typed:
    """An interval beside a difference of timestamps, in seconds. A day has 24 hours there."""
    count, unit = _interval(node)
    if unit not in _SECONDS:
        fail(node, f"a {unit} is no number of seconds", "write it in days")
    return Typed(pl.lit(float(count * _SECONDS[unit])), "float")


def _moved(scope: Scope, typed: Typed, interval: exp.Interval, sign: int) -> Typed:
    """A time, moved by the calendar of the zone."""
    count, unit = _interval(interval)
    count *= sign
    if unit in ("second", "minute", "hour"):
        at = in_zone(typed, "timestamp", scope.timezone)
        return Typed(at + pl.duration(seconds=count * _SECONDS[unit]), "timestamp")
    moved = local(typed, scope.timezone).dt.offset_by(f"{count}{_UNITS[unit][1:]}")
    return Typed(instant(moved, scope.timezone), "timestamp")


def _sum(sign: int, scope: Scope, node: exp.Add | exp.Sub) -> Typed:
    """Of times and intervals; of numbers else. Each operand is translated once: twice would double
    the work at every level of a long sum."""
    a, b = node.this, node.expression
    if sign > 0 and isinstance(a, exp.Interval):
        a, b = b, a
    left = scope.translate(a)
    if isinstance(b, exp.Interval) and left.type in _TIMES:
        return _moved(scope, left, b, sign)
    right = scope.translate(b)
    if {left.type, right.type} & set(_TIMES):
        return _of_times(sign, scope, [a, b], left, right)
    operate = operator.add if sign > 0 else operator.sub
    return arithmetic_of(operate, scope.as_number(a, left), scope.as_number(b, right))


def _of_times(
    sign: int, scope: Scope, nodes: list[exp.Expression], left: Typed, right: Typed
) -> Typed:
    """A difference of two times, or a date and a number of days."""
    if left.type == "date" and right.type == "integer":
        return Typed((left.expr + pl.duration(days=right.expr * sign)).cast(pl.Date), "date")
    if sign > 0 or not {left.type, right.type} <= {*_TIMES, "string", "null"}:
        message = f"{words(left.type)} and {words(right.type)} can't be added or subtracted"
        fail(nodes[0], message, "add an interval: `ordered_at + interval 1 hour`")
    (end, start), type_ = scope.unified(nodes, [left, right])
    if type_ == "date":
        return Typed((end - start).dt.total_days().cast(pl.Int64), "integer")
    return Typed((end - start).dt.total_microseconds().cast(pl.Float64) / 1e6, "float")


_BOTH = "this expression"

TIMES: Mapping[type[exp.Expression], Entry] = {
    exp.Add: Entry(_BOTH, partial(_sum, 1)),
    exp.Sub: Entry(_BOTH, partial(_sum, -1)),
    exp.Interval: Entry("this unit", _seconds),
    exp.Extract: Entry(_BOTH, _extract),
    **{
        kind: Entry("this", partial(_named_part, name))
        for kind, name in (
            (exp.Second, "second"),
            (exp.Minute, "minute"),
            (exp.Hour, "hour"),
            (exp.Day, "day"),
            (exp.DayOfMonth, "day"),
            (exp.DayOfWeek, "dow"),
            (exp.DayOfWeekIso, "isodow"),
            (exp.DayOfYear, "doy"),
            (exp.Week, "week"),
            (exp.WeekOfYear, "week"),
            (exp.Month, "month"),
            (exp.Quarter, "quarter"),
            (exp.Year, "year"),
        )
    },
    exp.TimeToUnix: Entry("this", lambda scope, node: _epoch(scope, node.this)),
    exp.UnixToTime: Entry("this scale", _epoch_ms),
    exp.TimestampTrunc: Entry("this unit", _trunc),
    exp.DateTrunc: Entry("this unit", _trunc),
    exp.DateDiff: Entry("this expression unit date_part_boundary", _diff),
    exp.TimeToStr: Entry("this format", _strftime),
    exp.Dayname: Entry("this", partial(_name, "%A")),
    exp.Monthname: Entry("this", partial(_name, "%B")),
    exp.LastDay: Entry("this", _last_day),
    exp.Date: Entry("this", _date),
    exp.Anonymous: Entry("this expressions", _named),
}
