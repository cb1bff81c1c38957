"""Rule sets and events drawn from a seed, with what each record is known to be.

Numbers are multiples of 1/64 and not large, so that sums are exact in whichever order they are
made. Every expression is drawn twice: as our rules have it, and as DuckDB is asked.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

ZONES = (
    "UTC",
    "Europe/London",
    "America/New_York",
    "America/Santiago",
    "Australia/Lord_Howe",
    "Australia/Adelaide",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Pacific/Chatham",
    "Africa/Cairo",
    "America/Havana",
    "America/St_Johns",
)
STARTS = ("2024-03-08", "2024-03-29", "2024-04-05", "2024-09-06", "2024-10-25", "2024-11-01")
"""A few days before the clocks change somewhere."""

SCALES: dict[str, tuple[int, tuple[str, ...]]] = {
    "minutes": (40 * 60, ("10s", "1m", "5m", "7m", "1m every 10s", "5m every 1m", "1h")),
    "days": (4 * 86_400, ("1h", "6h every 1h", "90m every 30m", "day", "1d", "week")),
    "months": (200 * 86_400, ("day", "week", "month", "quarter", "year", "1d", "7d every 1d")),
}
TEXTS = ("eu", "us", "ü/ß", "it's", 'say "hi"', "two\nlines", "🙂", "", "a\\b", "NULL", "__x__")
FIELDS = {
    "place": "string",
    "shop_id": "integer",
    "paid": "boolean",
    "amount": "float",
    "delay": "float",
    "user": "string",
}
PATHS = {"user": "user.id", "delay": "timing.total.delay"}
OTHER_KINDS = {
    "sum": ("sum distinct",),
    "avg": ("avg distinct",),
    "stddev": ("variance", "var_pop", "stddev_pop"),
    "first": ("arg_min",),
    "last": ("arg_max",),
}
"""Aggregates that take the place of others."""
LEAST_AMOUNT, MOST_AMOUNT = -1000, 1000


@dataclass(frozen=True, slots=True)
class Sql:
    """An expression as our rules have it, and as DuckDB is asked for the same."""

    ours: str
    theirs: str


@dataclass(slots=True)
class Record:
    """One line of a file. `outcome` is set where the line alone decides it (else None: an event);
    `at_ms` is its event time, `values` has the fields of its contract."""

    line: bytes
    outcome: str | None = None
    contract: str | None = None
    at_ms: int = 0
    id: str | None = None
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Drawn:
    """A case: the rules as they are written to YAML, the KPIs' SQL for DuckDB, the files."""

    rules: dict[str, Any]
    theirs: dict[str, dict[str, str]]
    files: list[tuple[str, list[Record]]]
    now_ms: int
    compressed: bool
    crlf: bool

    def content(self, records: list[Record]) -> bytes:
        """A file's bytes."""
        end = b"\r\n" if self.crlf else b"\n"
        data = b"".join(record.line + end for record in records)
        return gzip.compress(data) if self.compressed else data


class Drawing:
    """All that is drawn of one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.others = random.Random(
            f"aggregates {seed}"
        )  # which aggregate: the rest of the case stays as it is
        self.scale = self.rng.choice(list(SCALES))
        self.zone = self.rng.choice(ZONES)
        start = datetime.fromisoformat(self.rng.choice(STARTS)).replace(tzinfo=UTC)
        self.start_ms = int(start.timestamp() * 1000)
        self.span_ms = SCALES[self.scale][0] * 1000
        self.formats: dict[str, str] = {}

    def draw(self) -> Drawn:
        """The whole case."""
        rng = self.rng
        events = self._contracts()
        kpis: dict[str, Any] = {}
        theirs: dict[str, dict[str, str]] = {}
        for name in events:
            for i in range(rng.randint(1, 3)):
                self._kpi(f"{name}_{i}", name, events[name], kpis, theirs)
        self._derived(kpis, theirs)
        rules = {"version": 1, "defaults": {"timezone": self.zone}, "events": events, "kpis": kpis}
        files = []
        for topic in sorted({e["topic"] for e in events.values()}):
            for _ in range(rng.choice((1, 1, 1, 2))):
                files.append((topic, self._records(topic, events)))
        rng.shuffle(files)
        now_ms = self.start_ms + 2 * self.span_ms
        return Drawn(rules, theirs, files, now_ms, rng.random() < 0.2, rng.random() < 0.2)

    # --- contracts -------------------------------------------------------------------------

    def _contracts(self) -> dict[str, Any]:
        rng = self.rng
        events: dict[str, Any] = {}
        for topic in ("alpha", "beta")[: rng.choice((1, 1, 2))]:
            type_field = rng.choice(("type", "type", "kind", "meta.kind", "none"))
            for i in range(1 if type_field == "none" else rng.randint(1, 3)):
                events[f"{topic}{i}"] = self._contract(topic, type_field)
                self.formats[f"{topic}{i}"] = rng.choice(
                    ("offset", "zulu", "naive", "s", "text s", "decimal s", "ms", "us")
                )
        return events

    def _contract(self, topic: str, type_field: str) -> dict[str, Any]:
        rng = self.rng
        names = [n for n in FIELDS if rng.random() < 0.85] or ["amount"]
        fields: dict[str, Any] = {}
        for name in names:
            spec: dict[str, Any] = {"type": FIELDS[name]}
            if name in PATHS:
                spec["path"] = PATHS[name]
            if name == "amount":
                spec |= {"minimum": LEAST_AMOUNT, "maximum": MOST_AMOUNT}
            if rng.random() < 0.2:
                spec["required"] = True
            fields[name] = spec
        made: dict[str, Any] = {
            "topic": topic,
            "time": rng.choice(("at", "meta.at")),
            "lateness": rng.choice(("0s", "5s", "90s", "20m")),
            "max_bytes": 2000,
            "fields": fields,
        }
        if type_field != "type":
            made["type_field"] = type_field
        if rng.random() < 0.6:
            made["id"] = rng.choice(("id", "meta.id"))
        if rng.random() < 0.4:
            made["timezone"] = rng.choice(ZONES)
        return made

    # --- KPIs ------------------------------------------------------------------------------

    def _kpi(
        self,
        name: str,
        event: str,
        contract: dict[str, Any],
        kpis: dict[str, Any],
        theirs: dict[str, dict[str, str]],
    ) -> None:
        rng, fields = self.rng, list(contract["fields"])
        window = rng.choice(SCALES[self.scale][1])
        by = [f for f in ("place", "shop_id", "paid") if f in fields and rng.random() < 0.4]
        rng.shuffle(by)
        kpi: dict[str, Any] = {"from": event, "by": by, "window": window}
        if rng.random() < 0.3:
            kpi["timezone"] = rng.choice(ZONES)
        if "user" in fields and rng.random() < 0.1:
            value = Sql("retention(user)", "retention(user)")
        else:
            value = self._quantile(fields) or self._value(fields, 2)
            if rng.random() < 0.3:
                size = window.partition(" every ")[0]
                longest = {"day": "25h", "week": "169h", "month": "31d1h", "quarter": "92d1h"}
                kpi["expire_after"] = longest.get(size, "367d" if size == "year" else size)
        kpi["value"] = value.ours
        theirs[name] = {"value": value.theirs, "where": "true"}
        if rng.random() < 0.4:
            where = self._condition(fields, 2)
            kpi["where"], theirs[name]["where"] = where.ours, where.theirs
        if rng.random() < 0.4:
            kpi["target"] = rng.choice(
                (
                    {"at_least": 10, "warn": 20.5},
                    {"at_most": 50},
                    {"at_most": 5, "warn": 0},
                    {"between": [0, 100], "warn": [10, 20]},
                )
            )
        kpis[name] = kpi

    def _derived(self, kpis: dict[str, Any], theirs: dict[str, dict[str, str]]) -> None:
        """KPIs over KPIs: partners that agree are made where there are none."""
        rng = self.rng
        exact = [name for name in kpis if "quantile" not in kpis[name]["value"]]
        for base in rng.sample(exact, min(2, len(exact))):
            partner = f"{base}_partner"
            kpis[partner] = {**kpis[base], "value": "count(*)"}
            kpis[partner].pop("where", None)
            rng.shuffle(kpis[partner]["by"])
            theirs[partner] = {"value": "count(*)", "where": "true"}
            text = rng.choice(
                ("{a} / {b}", "{a} - coalesce({b}, 0)", "{b} / nullif({a}, 0)", "{b} / ({b} - 1)")
            )
            kpis[f"{base}_over"] = {
                "from": [base, partner],
                "value": text.format(a=base, b=partner),
            }

    def _value(self, fields: list[str], depth: int) -> Sql:
        rng = self.rng
        if depth == 0 or rng.random() < 0.5:
            return self._aggregate(fields)
        a, b = self._value(fields, depth - 1), self._value(fields, depth - 1)
        shape = rng.choice(
            (
                "({0} + {1})",
                "({0} - {1})",
                "{0} / {1}",
                "{0} / nullif({1}, 0)",
                "coalesce({0}, {1}, 7)",
                "case when {0} > {1} then {0} else 1 end",
                "case when {1} is null then 0 when {0} >= 2 then {1} end",
                "greatest({0}, {1})",
                "abs({0}) * 2",
            )
        )
        return Sql(shape.format(a.ours, b.ours), shape.format(a.theirs, b.theirs))

    def _aggregate(self, fields: list[str]) -> Sql:
        rng = self.rng
        numbers = [f for f in fields if FIELDS[f] in ("integer", "float")]
        kinds = ["count(*)", "count({x})", "count(distinct {x})", "count_if({c})"]
        if numbers:
            kinds += ["sum", "avg", "min", "max", "stddev", "first", "last"]
        kind = rng.choice(kinds)
        if kind in ("sum", "avg", "stddev", "first", "last"):
            kind = self.others.choice((kind, *OTHER_KINDS[kind]))
        guard = self._condition(fields, 1) if rng.random() < 0.35 else None
        ours, theirs = "", ""
        if kind == "count_if({c})":
            holds = self._condition(fields, 1)
            ours = f"count_if({holds.ours})"
            if guard is None:
                return Sql(ours, f"count(*) filter (where {holds.theirs})")
            both = f"({holds.theirs}) and ({guard.theirs})"  # DuckDB's own says null of no rows
            return Sql(f"{ours} filter (where {guard.ours})", f"count(*) filter (where {both})")
        elif "(" in kind:
            any_field = rng.choice(fields)
            ours = theirs = kind.format(x=any_field)
        elif kind.startswith("arg_"):
            x, y = self._number(numbers, 1), Sql(*[self.others.choice(numbers)] * 2)
            ours = f"{kind}({x.ours}, {y.ours})"
            # DuckDB's own looks at the whole row for nulls, of which y is a part here.
            both = f"({x.theirs}) is not null and ({y.theirs}) is not null"
            theirs = f"{kind}({x.theirs}, ({y.theirs}, at_ms, number, {x.theirs}))"
            theirs += f" filter (where {both}{f' and ({guard.theirs})' if guard else ''})"
            return Sql(ours + (f" filter (where {guard.ours})" if guard else ""), theirs)
        elif kind.endswith(" distinct"):
            x = self._number(numbers, 1)
            name = kind.removesuffix(" distinct")
            ours, theirs = f"{name}(distinct {x.ours})", f"{name}(distinct {x.theirs})"
        else:
            x = self._number(numbers, 1)
            ours, theirs = f"{kind}({x.ours})", f"{kind}({x.theirs})"
            if kind in ("first", "last"):
                choose = "arg_min" if kind == "first" else "arg_max"
                theirs = f"{choose}({x.theirs}, (at_ms, number, {x.theirs}))"
                also = f" and ({guard.theirs})" if guard else ""
                theirs += f" filter (where ({x.theirs}) is not null{also})"
                return Sql(ours + (f" filter (where {guard.ours})" if guard else ""), theirs)
        if guard is not None:
            ours += f" filter (where {guard.ours})"
            theirs += f" filter (where {guard.theirs})"
        return Sql(ours, theirs)

    def _quantile(self, fields: list[str]) -> Sql | None:
        """A quantile by itself: arithmetic would make more of its error."""
        numbers = [f for f in fields if FIELDS[f] in ("integer", "float")]
        if not numbers or self.rng.random() > 0.15:
            return None
        x, q = self._number(numbers, 1), self.rng.choice(("0.5", "0.95", "0", "1", "0.07"))
        if self.others.random() < 0.5:
            return Sql(f"quantile_cont({x.ours}, {q})", f"quantile_cont({x.theirs}, {q})")
        return Sql(f"quantile({x.ours}, {q})", f"quantile_disc({x.theirs}, {q})")

    def _number(self, numbers: list[str], depth: int) -> Sql:
        rng = self.rng
        if depth == 0 or rng.random() < 0.6:
            name = rng.choice(numbers)
            return Sql(name, name)
        a, b = self._number(numbers, depth - 1), self._number(numbers, depth - 1)
        shape = rng.choice(
            (
                "({0} + {1})",
                "({0} - {1})",
                "{0} * 2",
                "-{0}",
                "abs({0})",
                "coalesce({0}, 3)",
                "nullif({0}, 1)",
                "case when {0} > 0 then {1} else 0 end",
                "least({0}, {1})",
                "{0} / nullif({1}, {1})",
            )
        )
        return Sql(shape.format(a.ours, b.ours), shape.format(a.theirs, b.theirs))

    def _condition(self, fields: list[str], depth: int) -> Sql:
        rng = self.rng
        if depth and rng.random() < 0.4:
            a, b = self._condition(fields, depth - 1), self._condition(fields, depth - 1)
            shape = rng.choice(("({0} and {1})", "({0} or {1})", "not ({0})", "({0}) is not true"))
            return Sql(shape.format(a.ours, b.ours), shape.format(a.theirs, b.theirs))
        name = rng.choice(fields)
        quoted = "'" + rng.choice(TEXTS).replace("'", "''") + "'"
        text = rng.choice(
            {
                "string": (
                    f"{name} = {quoted}",
                    f"{name} <> {quoted}",
                    f"{name} in ('eu', {quoted})",
                    f"{name} not in ('us', {quoted})",
                    f"{name} like '%u%'",
                    f"{name} is null",
                    f"length({name}) > 2",
                    f"upper({name}) = 'EU'",
                    f"{name} || 'x' = 'eux'",
                ),
                "integer": (f"{name} > 2", f"{name} between 1 and 3", f"{name} % 2 = 0"),
                "float": (f"{name} > 10", f"{name} <= 0", f"{name} is not null"),
                "boolean": (name, f"not {name}", f"{name} is true", f"{name} is null"),
            }[FIELDS[name]]
        )
        return Sql(text, text)

    # --- records ---------------------------------------------------------------------------

    def _records(self, topic: str, events: dict[str, Any]) -> list[Record]:
        rng = self.rng
        names = [n for n, e in events.items() if e["topic"] == topic]
        count = rng.choice((0, 1, 40, 150, 300))
        lateness = max(_seconds(events[n]["lateness"]) for n in names) * 1000
        times = sorted(
            (self.start_ms + int(rng.random() ** rng.choice((1, 3)) * self.span_ms), rng.random())
            for _ in range(count)
        )
        boundary = rng.random() < 0.3
        order = []
        for at, _ in times:
            moment = at - at % 60_000 if boundary else at
            jitter = rng.choice((0, 0, lateness // 2, lateness, 3 * lateness + 60_000))
            order.append((moment + rng.randint(0, jitter), moment))
        order.sort()
        records: list[Record] = []
        for number, (_, at) in enumerate(order):
            records.append(self._record(rng.choice(names), events, at, number))
            if rng.random() < 0.08:
                records.insert(
                    rng.randint(max(0, len(records) - 30), len(records)), self._bad(names, events)
                )
            if rng.random() < 0.06:
                records.append(rng.choice(records[-20:]))
        return records

    def _record(self, name: str, events: dict[str, Any], at: int, number: int) -> Record:
        rng, contract = self.rng, events[name]
        event: dict[str, Any] = {"more": rng.choice((1, None, [1, {"type": "x"}], "…"))}
        values: dict[str, Any] = {}
        for field_name, spec in contract["fields"].items():
            missing = not spec.get("required") and rng.random() < 0.15
            value = None if missing else self._field(field_name)
            values[field_name] = value
            if value is not None or rng.random() < 0.5:
                _place(event, spec.get("path", field_name), value)
        written, at_ms = self._time(self.formats[name], contract, at)
        _place(event, contract["time"], written)
        if contract.get("type_field") != "none":
            _place(event, contract.get("type_field", "type"), name)
        identity = None
        if "id" in contract and rng.random() < 0.95:
            identity = rng.choice((number, f"n{number}", f"é{number}"))
            _place(event, contract["id"], identity)
        line = json.dumps(event, ensure_ascii=rng.random() < 0.5).encode()
        shown = None if identity is None else str(identity)
        return Record(line, None, name, at_ms, shown, values)

    def _field(self, name: str) -> Any:
        rng = self.rng
        choices: dict[str, Callable[[], Any]] = {
            "string": lambda: rng.choice(TEXTS) if name == "place" else f"u{rng.randint(0, 30)}",
            "integer": lambda: rng.choice((0, 1, 2, 3, -1)),
            "boolean": lambda: rng.random() < 0.5,
            "float": lambda: rng.choice((0.0, 1.0, 5, rng.randint(-6400, 6400) / 64)),
        }
        return choices[FIELDS[name]]()

    def _time(self, form: str, contract: dict[str, Any], at: int) -> tuple[Any, int]:
        """A time as it is written, and what that means."""
        moment = datetime.fromtimestamp(at / 1000, UTC)
        if form == "zulu":
            return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"), at
        if form == "offset":
            zone = ZoneInfo(self.rng.choice(ZONES))
            return moment.astimezone(zone).isoformat(timespec="milliseconds"), at
        if form == "naive":
            zone = ZoneInfo(contract.get("timezone", self.zone))
            local = moment.astimezone(zone).replace(tzinfo=None)
            # Of a local time that comes twice, the first counts.
            meant = local.replace(tzinfo=zone, fold=0).timestamp()
            return local.isoformat(" ", timespec="milliseconds"), round(meant * 1000)
        written = {
            "s": at // 1000,
            "text s": str(at // 1000),
            "decimal s": at / 1000,
            "ms": at,
            "us": at * 1000 + 999,
        }[form]
        return written, at if form in ("decimal s", "ms", "us") else at // 1000 * 1000

    def _bad(self, names: list[str], events: dict[str, Any]) -> Record:
        """A line that is no event, for one reason; or one with a null for an optional field."""
        rng = self.rng
        name = rng.choice(names)
        contract = events[name]
        made = self._record(name, events, self.start_ms, 0)
        event = json.loads(made.line)
        kind = rng.choice(
            (
                *("blank", "spaces", "json", "utf8", "array", "large", "stranger"),
                *("no time", "bad time", "future", "type", "bounds", "required"),
            )
        )
        rejected = {
            "json": (made.line[:-3], "not_json"),
            "utf8": (made.line[:-1] + b',"\xff":1}', "not_utf8"),
            "array": (b"[1, 2]", "not_an_object"),
        }
        if kind in ("blank", "spaces"):
            return Record(b"" if kind == "blank" else b"  \t", "empty")
        if kind in rejected:
            return Record(rejected[kind][0], rejected[kind][1])
        if kind == "stranger":
            if contract.get("type_field") == "none":
                return Record(b"", "empty")
            _place(event, contract.get("type_field", "type"), rng.choice(("other", 5, None)))
            return Record(json.dumps(event).encode(), "ignored")
        reason = self._spoil(kind, event, contract)
        line = b"{" if reason is None else json.dumps(event).encode()
        reason = reason or "not_json"
        if reason == "wrong_type" and not contract["fields"]["shop_id"].get("required"):
            return replace(made, line=line, values={**made.values, "shop_id": None})
        return Record(line, reason)

    def _spoil(self, kind: str, event: dict[str, Any], contract: dict[str, Any]) -> str | None:
        """Make one thing of an event wrong; the reason by which it has to be rejected."""
        fields = contract["fields"]
        required = [f for f, spec in fields.items() if spec.get("required")]
        bad_time = self.rng.choice(("soon", "2024-02-30", -5, True))
        future = self.start_ms + 2 * self.span_ms + 3_600_001
        bad_id: Any = self.rng.choice(("1", 1.5, True, {}))
        ways: dict[str, tuple[str, Any, str]] = {
            "large": ("padding", "x" * 2000, "too_large"),
            "no time": (contract["time"], None, "no_time"),
            "bad time": (contract["time"], bad_time, "bad_time"),
            "future": (contract["time"], future, "future_time"),
        }
        if "amount" in fields:
            ways["bounds"] = ("amount", MOST_AMOUNT + 0.5, "out_of_bounds")
        if "shop_id" in fields:
            ways["type"] = ("shop_id", bad_id, "wrong_type")
        if required:
            path = fields[required[0]].get("path", required[0])
            ways["required"] = (path, None, "missing_field")
        if kind not in ways:
            return None
        path, value, reason = ways[kind]
        _place(event, path, value)
        return reason


def _place(event: dict[str, Any], path: str, value: Any) -> None:
    *way, last = path.split(".")
    for key in way:
        if not isinstance(event.get(key), dict):
            event[key] = {}
        event = event[key]
    event[last] = value


def _seconds(written: str) -> int:
    return int(written[:-1]) * {"s": 1, "m": 60, "h": 3600}[written[-1]]
