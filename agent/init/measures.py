"""Chooses the fields that are worth a KPI: few and good ones, with a reason for each other
number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from agent.core.model.paths import Path, Root
from agent.init.fields import FieldDraft
from agent.init.naming import (
    DURATIONS,
    IDENTIFIERS,
    LASTS,
    MEANS,
    MONEY,
    PEOPLE,
    QUANTITIES,
    SUMS,
    amounts_in,
    snake,
)
from agent.init.places import keys_before
from agent.init.sample import Seen

MOST_MEASURES = 5
"""For each event: more KPIs would hide those that matter."""
LEAST_IDENTIFIERS = 20
"""So many numbers that are all different are probably identifiers, not amounts."""
_SENDING = frozenset(
    {"approximate", "retry", "retries", "attempt", "attempts", "redelivered", "webhooks"}
)
_BEFORE = frozenset({"before", "old", "previous", "prev", "old_state", "old_image", "pre_image"})
"""Objects with the values before a change."""
_TOTALS = frozenset({
    "amount", "amt", "total", "revenue", "sum", "payment", "sales", "subtotal", "value",
})  # fmt: skip
"""Words in the names of a price times a quantity."""
_PARTS = frozenset({"discount", "tax", "vat", "shipping", "fee"})
"""Words in the names of parts of such a total, or of deductions."""
_RESERVED = ("total", "count", "sum", "created", "info", "bucket")
"""Last parts of names that Prometheus reserves for other types of metrics."""
_LEAST_CODE = 10**5
_MOST_DIFFERENT = 0.9
"""The share of different values from which on each event has one of its own."""
_COUNTERS = frozenset({"count", "counter", "total"})
"""Last words in the names of counters, and of amounts."""
_SEQUENCE = 0.8
"""The share of increases from which on numbers count as a sequence."""
_FLAGS = ({0}, {1}, {0, 1})
_BEGINS = (
    "ordered",
    "created",
    "placed",
    "requested",
    "opened",
    "started",
    "start",
    "paid",
    "begin",
)
_TIMED = frozenset({
    "request", "response", "processing", "handling", "handle", "waiting", "wait", "queue", "cycle",
    "lead", "hold", "talk", "execution", "run", "load", "reply", "resolution", "transit", "travel",
    "setup", "idle", "down",
})  # fmt: skip
"""Words before `time` in the names of durations."""
_ENDS = (
    "delivered", "completed", "completion", "closed", "finished", "finish", "resolved", "answered",
    "shipped", "ended", "end", "picked", "arrived",
)  # fmt: skip
"""Words in the names of the start and end of a duration, the most likely first."""


@dataclass(frozen=True, slots=True)
class KpiDraft:
    """A KPI: its SQL, and in which direction it is better."""

    name: str
    value: str
    unit: str | None
    better: Literal["higher", "lower"]
    counts: bool = False


Measured = tuple[list[KpiDraft], dict[Path, str]]
"""KPIs, and by path why other numbers have none."""


def kpis_of(
    event: str, fields: Sequence[FieldDraft], seen: Mapping[Path, Seen] | None = None
) -> Measured:
    """The number of events; sums, means and high percentiles of measures; the number of people."""
    prefix = snake(event)
    kpis = [KpiDraft(f"{prefix}_events", "count(*)", None, "higher", counts=True)]
    measures, left_out = measures_of(prefix, fields, seen or {})
    kpis += [*measures, *_times(prefix, fields), *_failures(prefix, fields, seen or {})]
    people = next((f for f in fields if _is_person(f, (seen or {}).get(f.path))), None)
    if people is not None:
        name = f"{prefix}_{people.name}s"
        kpis.append(KpiDraft(name, f"count(distinct {people.name})", None, "higher"))
    return kpis, left_out


def measures_of(prefix: str, fields: Sequence[FieldDraft], seen: Mapping[Path, Seen]) -> Measured:
    """The KPIs of numbers."""
    left_out: dict[Path, str] = {}
    measures: list[tuple[int, KpiDraft, FieldDraft]] = []
    for field in fields:
        if not field.is_number:
            continue
        reason = _not_a_measure(field, seen.get(field.path))
        if reason is not None:
            left_out[field.path] = reason
        else:
            measures.append((*_measure(prefix, field), field))
    revenue = list(_revenue(prefix, [field for _, _, field in measures]))
    measures = [measure for measure in measures if not (revenue and _is_price(measure[2]))]
    measures.sort(key=lambda ranked: ranked[0])
    kept = MOST_MEASURES - len(revenue)
    for _, _, field in measures[kept:]:
        left_out[field.path] = f"one of more than {MOST_MEASURES} numbers"
    return [*revenue, *(kpi for _, kpi, _ in measures[:kept])], left_out


def _revenue(prefix: str, fields: Sequence[FieldDraft]) -> Iterator[KpiDraft]:
    """A price times a quantity, if there is no such amount already."""
    price = next(filter(_is_price, fields), None)
    quantity = next((f for f in fields if f.name.split("_")[-1] in QUANTITIES), None)
    is_said = any(f is not price and _is_total(f) for f in fields)
    if price is not None and quantity is not None and not is_said:
        value = f"sum({price.name} * {quantity.name})"
        yield KpiDraft(f"{prefix}_revenue", value, price.unit, "higher")


def _is_total(field: FieldDraft) -> bool:
    words = {*field.name.split("_")}
    return bool(words & _TOTALS) and not words & _PARTS


def _is_price(field: FieldDraft) -> bool:
    words = field.name.split("_")
    return words[-1] == "price" and not (_TOTALS | {"mean", "avg", "average"}) & {*words}


def _measure(prefix: str, field: FieldDraft) -> tuple[int, KpiDraft]:
    """The KPI of a number, and its rank among others: sums come first."""
    words = set(field.name.split("_"))
    if _is_duration(field):
        value, ending = f"quantile({field.name}, 0.95)", "_p95"
        return 1, KpiDraft(f"{prefix}_{field.name}{ending}", value, field.unit, "lower")
    amounts = amounts_in(field.name)
    is_money = field.type == "decimal" and amounts & MONEY
    if (amounts & SUMS or is_money) and not words & MEANS:
        ending = "_overall" if field.name.split("_")[-1] in _RESERVED else ""
        return 0, KpiDraft(
            f"{prefix}_{field.name}{ending}", f"sum({field.name})", field.unit, "higher"
        )
    rank = 2 if words & MEANS or field.unit else 3
    return rank, KpiDraft(f"{prefix}_{field.name}_mean", f"avg({field.name})", field.unit, "higher")


def _not_a_measure(field: FieldDraft, seen: Seen | None) -> str | None:
    """Why a number can't be averaged or added up; None: it can."""
    *_, last = words = field.name.split("_")
    if field.path[:1] == (Root("envelope"),):
        return "stands beside the event, maybe for several"
    if _BEFORE & {snake(key) for key in keys_before(field.path)[:-1]}:
        return "a value before a change"
    if set(words) & _SENDING:
        return "how it was sent, by its name"
    named = bool(amounts_in(field.name) or set(words) & MEANS or _is_duration(field))
    named = named or field.unit is not None
    is_code = (last in IDENTIFIERS or last.endswith("idx")) and not _is_duration(field)
    if field.unit is None and (is_code or (set(words) & IDENTIFIERS and not named)):
        return "a code, position or time by its name"
    return None if seen is None else _by_values(field, seen, named)


def _by_values(field: FieldDraft, seen: Seen, named: bool) -> str | None:
    """Why a number is no measure, by its values."""
    if seen.is_time:
        return "a time"
    is_whole = field.type == "integer"
    if named or field.name.endswith("length"):
        is_counter = is_whole and field.name.split("_")[-1] in _COUNTERS
        is_counter = is_counter and seen.known >= LEAST_IDENTIFIERS and _rises(seen)
        return "a counter that only rises: `max(x) - min(x)` is its growth" if is_counter else None
    if seen.distinct == 1 and seen.known > 1:
        return f"always {next(iter(seen.values))}"
    return _no_measure([int(value) for value in seen.values], seen) if is_whole else None


def _no_measure(values: Sequence[int], seen: Seen) -> str | None:
    """Why whole numbers are no measure; `values` are the different ones, in their order."""
    if set(values) in _FLAGS:
        return "a yes or no"
    if seen.distinct > _MOST_DIFFERENT * seen.known >= LEAST_IDENTIFIERS and _rises(seen):
        return "another number in each event"
    if min(values) >= _LEAST_CODE and len({len(str(value)) for value in values}) == 1:
        return "a code by its values"
    return None


def _rises(seen: Seen) -> bool:
    """Whether nearly all of a field's different values are above the one before."""
    values = [int(value) for value in seen.values]
    rises = sum(a < b for a, b in pairwise(values))
    is_different = seen.distinct > _MOST_DIFFERENT * seen.known
    return is_different and rises > _SEQUENCE * (len(values) - 1)


def _is_duration(field: FieldDraft) -> bool:
    """Whether a number is a duration: `wait_seconds`, `duration`, `request_time`."""
    *before, last = field.name.split("_")
    return field.unit in DURATIONS or last in LASTS or (last == "time" and bool({*before} & _TIMED))


def _times(prefix: str, fields: Iterable[FieldDraft]) -> Iterator[KpiDraft]:
    """The duration of an event with a start and an end."""
    times = [field for field in fields if field.type == "timestamp"]
    begin, end = _named(times, _BEGINS), _named(times, _ENDS)
    if begin is not None and end is not None and begin is not end:
        value = f"quantile({end.name} - {begin.name}, 0.95)"
        yield KpiDraft(f"{prefix}_{begin.name}_to_{end.name}_p95", value, "seconds", "lower")


def _named(times: Sequence[FieldDraft], words: Sequence[str]) -> FieldDraft | None:
    ranked = [
        (words.index(w), i) for i, f in enumerate(times) for w in f.name.split("_") if w in words
    ]
    return times[min(ranked)[1]] if ranked else None


def _failures(
    prefix: str, fields: Iterable[FieldDraft], seen: Mapping[Path, Seen]
) -> Iterator[KpiDraft]:
    """The share of failures, by an HTTP status."""
    for field in fields:
        part = seen.get(field.path)
        if field.type != "integer" or "status" not in field.name or part is None:
            continue
        if part.distinct > 1 and all(100 <= int(value) < 600 for value in part.values):
            share = f"count(*) filter (where {field.name} >= 500) / count({field.name})"
            yield KpiDraft(f"{prefix}_failed_share", share, "ratio", "lower")
            return


def _is_person(field: FieldDraft, seen: Seen | None) -> bool:
    """Whether a field identifies a person: `customer`, `user_id`, but not `customer_tier`."""
    words = field.name.split("_")
    if field.type not in ("string", "integer") or (seen is not None and seen.distinct < 2):
        return False
    if words[-1] == "distinct":
        return False
    return words[-1] in PEOPLE or (words[-1] in ("id", "key") and bool(PEOPLE & {*words[-2:-1]}))
