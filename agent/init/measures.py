"""Which fields are worth a KPI: few and good ones, and a reason for each number that is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agent.core.model.field_types import FieldType
from agent.init.naming import DURATIONS, snake
from agent.init.sample import Seen

MOST_MEASURES = 5
"""Of one event: more KPIs than people look at hide those that matter."""
LEAST_IDENTIFIERS = 20
"""Numbers that are all different, of so many, are more likely identifiers than amounts."""

_SUMS = frozenset({
    "amount", "total", "revenue", "units", "quantity", "qty", "items", "pieces", "bytes", "eur",
    "usd", "gbp", "chf", "cost", "costs", "count", "sales", "profit", "tax", "fee", "fees",
    "discount", "refund", "volume", "cents", "clicks", "views",
})  # fmt: skip
_MEANS = frozenset({
    "mean", "avg", "average", "median", "rate", "ratio", "percent", "pct", "share", "per",
    "balance", "price", "rank", "score", "rating", "level", "temperature", "value", "weight",
})  # fmt: skip
_IDENTIFIERS = frozenset({
    "id", "ids", "code", "zip", "zipcode", "postcode", "postal", "number", "no", "nr", "key",
    "hash", "index", "idx", "seq", "sequence", "offset", "partition", "position", "pos", "row",
    "version", "revision", "pid", "xid", "xoffset", "gtid", "lsn", "thread", "port", "phone", "lat",
    "lon", "lng", "latitude", "longitude", "year", "month", "day", "weekday", "epoch", "ts",
    "timestamp", "time", "date", "ean", "sku", "isbn", "serial", "account", "status", "state",
})  # fmt: skip
PEOPLE = frozenset({
    "customer", "user", "account", "client", "member", "rider", "visitor", "patient", "buyer",
})  # fmt: skip
_FLAGS = ({0}, {1}, {0, 1})


@dataclass(frozen=True, slots=True)
class FieldDraft:
    """A field of a contract: its name in the rules, where it is, and how it is read. `is_text`: a
    number that is written as text."""

    name: str
    path: str
    type: FieldType
    unit: str | None = None
    is_text: bool = False

    @property
    def is_number(self) -> bool:
        """Whether it can be added up."""
        return self.type in ("integer", "float")


@dataclass(frozen=True, slots=True)
class KpiDraft:
    """A KPI: its SQL, and in which direction it is better."""

    name: str
    value: str
    unit: str | None
    better: Literal["higher", "lower"]
    counts: bool = False


def kpis_of(
    event: str, fields: Sequence[FieldDraft], seen: Mapping[str, Seen] | None = None
) -> tuple[list[KpiDraft], dict[str, str]]:
    """How many events there are; sums, means and slow ends of what is measured; how many people.
    And why other numbers have no KPI, by the path of their field."""
    prefix = snake(event)
    made = [KpiDraft(f"{prefix}_events", "count(*)", None, "higher", counts=True)]
    left_out: dict[str, str] = {}
    measures: list[tuple[int, KpiDraft, FieldDraft]] = []
    for field in fields:
        if not field.is_number:
            continue
        reason = _not_a_measure(field, (seen or {}).get(field.path))
        if reason is not None:
            left_out[field.path] = reason
        else:
            measures.append((*_measure(prefix, field), field))
    measures.sort(key=lambda ranked: ranked[0])
    made += [kpi for _, kpi, _ in measures[:MOST_MEASURES]]
    for _, _, field in measures[MOST_MEASURES:]:
        left_out[field.path] = f"one of more than {MOST_MEASURES} numbers"
    people = next(filter(_is_person, fields), None)
    if people is not None:
        name = f"{prefix}_{people.name}s"
        made.append(KpiDraft(name, f"count(distinct {people.name})", None, "higher"))
    return made, left_out


def _measure(prefix: str, field: FieldDraft) -> tuple[int, KpiDraft]:
    """The KPI of a number, and its rank among others: what is added up says most."""
    words = set(field.name.split("_"))
    if field.unit in DURATIONS:
        value, ending = f"quantile({field.name}, 0.95)", "_p95"
        return 1, KpiDraft(f"{prefix}_{field.name}{ending}", value, field.unit, "lower")
    if words & _SUMS and not words & _MEANS:
        # Prometheus keeps `_total` and `_count` for counters and histograms.
        ending = "_sum" if field.name.endswith(("total", "count", "sum")) else ""
        return 0, KpiDraft(
            f"{prefix}_{field.name}{ending}", f"sum({field.name})", field.unit, "higher"
        )
    rank = 2 if words & _MEANS or field.unit else 3
    return rank, KpiDraft(f"{prefix}_{field.name}_mean", f"avg({field.name})", field.unit, "higher")


def _not_a_measure(field: FieldDraft, seen: Seen | None) -> str | None:
    """Why a number is nothing to be averaged or added up; None: it may be."""
    *_, last = words = field.name.split("_")
    named = bool(set(words) & (_SUMS | _MEANS)) or field.unit is not None
    if field.unit is None and (last in _IDENTIFIERS or (set(words) & _IDENTIFIERS and not named)):
        return "a code, position or time by its name"
    return None if seen is None else _by_values(field, seen, named)


def _by_values(field: FieldDraft, seen: Seen, named: bool) -> str | None:
    """Why a number is no measure, by its values."""
    if seen.known and seen.times == seen.known:
        return "a time"
    if seen.distinct == 1 and seen.known > 1:
        return f"always {next(iter(seen.values))}"
    if field.type == "integer" and set(seen.values) in _FLAGS:
        return "a yes or no"
    is_unique = seen.distinct == seen.known >= LEAST_IDENTIFIERS
    if field.type == "integer" and is_unique and not named:
        return "another number in each event"
    return None


def _is_person(field: FieldDraft) -> bool:
    """Whether a field says who: `customer`, `user_id`, but not `customer_tier`."""
    words = field.name.split("_")
    if field.type not in ("string", "integer"):
        return False
    return words[-1] in PEOPLE or (words[-1] in ("id", "key") and bool(PEOPLE & {*words[-2:-1]}))
