"""What replay has to say of a drawn case, worked out in the plainest way there is.

Which records count is decided one by one, from docs/architecture.md; windows are looked for on the
calendar's and the clock's own terms; values come from DuckDB, one query a KPI.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from .fuzz_cases import FIELDS, Drawn, Record
from .truth import CALENDAR, span_ms

Place = tuple[tuple[Any, ...], int, int]
"""Dimension values in the order of `by`, start and end (ms)."""
Published = tuple[float | None, int, bool]
"""A window's value, its number of events, whether it is open."""


@dataclass(frozen=True)
class Accepted:
    """A record that may count: its number in the file, the newest time before it less the lateness,
    and when its id was last seen."""

    number: int
    record: Record
    before_ms: int
    known_ms: int | None


SLICE_MS = 300_000
DUPLICATE_WINDOW_MS = 900_000
_SQL_TYPES = {"string": "varchar", "integer": "bigint", "boolean": "boolean", "float": "double"}


class FuzzTruth:
    """The answers to one case."""

    def __init__(self, drawn: Drawn) -> None:
        self.kpis: dict[str, Any] = drawn.rules["kpis"]
        self.events: dict[str, Any] = drawn.rules["events"]
        self.zone: str = drawn.rules["defaults"]["timezone"]
        self.theirs = drawn.theirs
        self.outcomes: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.latest_ms: dict[str, int] = {}
        self.accepted: dict[str, list[Accepted]] = {name: [] for name in self.events}
        self._last_ends: dict[tuple[str, str, int], int] = {}
        for topic, records in drawn.files:
            self._accept(topic, records)
        self._empties: dict[str, float | None] = {}
        self._overs: dict[tuple[Any, ...], float | None] = {}
        self._rows: dict[str, list[tuple[tuple[Any, ...], int]]] = {}
        self._users: dict[str, list[tuple[tuple[Any, ...], int, int, str]]] = {}
        self._db = duckdb.connect(config={"threads": 1})
        self._db.execute("set ieee_floating_point_ops = false")
        self._db.execute("set error_on_division_by_zero = false")

    # --- records ---------------------------------------------------------------------------

    def _accept(self, topic: str, records: list[Record]) -> None:
        """One file: each record is evaluated by the newest time before it."""
        newest = -1
        seen: dict[tuple[str, str], int] = {}
        for number, record in enumerate(records):
            if record.outcome is not None:
                plain = record.outcome in ("empty", "ignored")
                self.outcomes[record.outcome if plain else "rejected"] += 1
                self.reasons.update([] if plain else [record.outcome])
                continue
            name = str(record.contract)
            at, before = record.at_ms, newest - span_ms(self.events[name]["lateness"])
            known = None if record.id is None else seen.get((name, record.id))
            accepted = Accepted(number, record, before, known)
            self.accepted[name].append(accepted)
            self.outcomes[self._outcome(name, accepted)] += 1
            if record.id is not None:
                seen[name, record.id] = max(at, before, known or 0)
            newest = max(newest, at)
        if newest >= 0:
            self.latest_ms[topic] = max(newest, self.latest_ms.get(topic, 0))

    def _outcome(self, event: str, accepted: Accepted) -> str:
        over = [k for k in self.kpis.values() if k["from"] == event]
        if not over or any(self._counts(k, accepted) for k in over):
            return "folded"
        return "duplicate" if any(self._repeats(k, accepted) for k in over) else "late"

    def _counts(self, kpi: dict[str, Any], accepted: Accepted) -> bool:
        """Whether a record counts in any window of a KPI."""
        last = self._last_end(kpi, accepted.record.at_ms)
        return last > accepted.before_ms and not self._repeats(kpi, accepted)

    def _repeats(self, kpi: dict[str, Any], accepted: Accepted) -> bool:
        """Whether a window of a KPI that held an event with the id may still be open."""
        known, before = accepted.known_ms, accepted.before_ms
        if known is None or known + DUPLICATE_WINDOW_MS <= before:
            return False
        return self._last_end(kpi, known) > before

    def _last_end(self, kpi: dict[str, Any], at_ms: int) -> int:
        """The end of the last window that holds an instant."""
        key = kpi["window"], kpi.get("timezone", self.zone), at_ms
        if key not in self._last_ends:
            windows = self._all_windows(kpi, at_ms, at_ms + 370 * 86_400_000)
            self._last_ends[key] = max(
                e for s, e in itertools.takewhile(lambda w: w[0] <= at_ms, windows)
            )
        return self._last_ends[key]

    @staticmethod
    def _slice(window: str) -> int:
        if window in CALENDAR:
            return SLICE_MS
        size, _, hop = window.partition(" every ")
        pane = math.gcd(span_ms(size), span_ms(hop or size))
        return max(d for d in range(1000, min(pane, SLICE_MS) + 1, 1000) if pane % d == 0)

    # --- windows ---------------------------------------------------------------------------

    def windows(self, name: str) -> dict[Place, Published]:
        """Every window of a KPI that replay has to tell."""
        if isinstance(self.kpis[name]["from"], list):
            return self._derived(name)
        figures = self._figures(name)
        out: dict[Place, Published] = {}
        for dims in {dims for dims, _, _ in figures}:
            for place in self._told(name, dims):
                value, events = figures.get(place, (None, 0))
                is_open = place[2] > self._settled(name)
                if events == 0 and is_open:
                    continue
                if events == 0:
                    value = self._of_nothing(name, place, figures)
                out[place] = (value, events, is_open)
        return out

    def _settled(self, name: str) -> int:
        """The instant up to which a base KPI's windows are closed; -1 without events."""
        contract = self.events[self.kpis[name]["from"]]
        if contract["topic"] not in self.latest_ms:
            return -1
        # A file that has ended is an idle source: it goes with the time of the others.
        return max(self.latest_ms.values()) - span_ms(contract["lateness"])

    def _told(self, name: str, dims: tuple[Any, ...]) -> Iterator[Place]:
        """The windows of one series: from its first event on, until it is forgotten."""
        kpi = self.kpis[name]
        span = self._slice(kpi["window"])
        starts = sorted({at - at % span for d, at in self._rows[name] if d == dims})
        most, settled = self._expiry(kpi), self._settled(name)
        alive, last = True, starts[0]
        coming = iter(starts)
        following = next(coming, None)
        for start, end in self._all_windows(kpi, starts[0], self._beyond(kpi, starts[-1])):
            if end > settled and start > starts[-1]:
                return
            while following is not None and following + span <= end:
                alive, last, following = True, following + span, next(coming, None)
            if alive or end > settled:
                yield dims, start, end
            if last < end - most:
                alive = False

    def _expiry(self, kpi: dict[str, Any]) -> int:
        if "expire_after" in kpi:
            return span_ms(kpi["expire_after"])
        window = kpi["window"]
        if window in CALENDAR:
            span = (_LONGEST[window] * 24 + 1) * 3_600_000
        else:
            span = span_ms(window.partition(" every ")[0])
        return max(7 * 86_400_000, 10 * span)

    def _beyond(self, kpi: dict[str, Any], last_ms: int) -> int:
        """Past the end of every window that can be published."""
        latest = max(self.latest_ms.values(), default=0)
        return max(last_ms, latest) + self._expiry(kpi)

    def _all_windows(
        self, kpi: dict[str, Any], from_ms: int, until_ms: int
    ) -> Iterator[tuple[int, int]]:
        """The windows that end after `from_ms`, up to `until_ms`."""
        window = kpi["window"]
        if window not in CALENDAR:
            size, _, hop = window.partition(" every ")
            size_ms, hop_ms = span_ms(size), span_ms(hop or size)
            start = (from_ms // hop_ms - size_ms // hop_ms - 1) * hop_ms
            while start + size_ms <= until_ms:
                if start + size_ms > from_ms:
                    yield start, start + size_ms
                start += hop_ms
            return
        zone = ZoneInfo(kpi.get("timezone", self.zone))
        day = datetime.fromtimestamp(from_ms / 1000, zone).date() - timedelta(days=1)
        first = _begin(window, day)
        while True:
            following = _begin(window, first + timedelta(days=_LONGEST[window]))
            start, end = _midnight(zone, first), _midnight(zone, following)
            if start > until_ms:
                return
            if end > from_ms and end > start:
                yield start, end
            first = following

    # --- values ----------------------------------------------------------------------------

    def _figures(self, name: str) -> dict[Place, tuple[float | None, int]]:
        """DuckDB's answers for all windows that hold rows."""
        kpi, asked = self.kpis[name], self.theirs[name]
        fields = list(self.events[kpi["from"]]["fields"])
        columns = "".join(f", {f} {_SQL_TYPES[FIELDS[f]]}" for f in fields)
        self._db.execute(
            f"create or replace table raw (at_ms bigint, before_ms bigint, number bigint{columns})"
        )
        rows = [
            [a.record.at_ms, a.before_ms, a.number, *(a.record.values[f] for f in fields)]
            for a in self.accepted[kpi["from"]]
            if self._counts(kpi, a)
        ]
        if rows:
            marks = ", ".join("?" for _ in rows[0])
            self._db.executemany(f"insert into raw values ({marks})", rows)
        self._db.execute(f"create or replace table rows as from raw where {asked['where']}")
        by = [f'"{b}"' for b in kpi["by"]]
        dims = "".join(f"{b}, " for b in by)
        stored = "greatest(at_ms, before_ms) as stored_ms"
        counted = self._db.execute(f"select {dims} {stored} from rows order by all").fetchall()
        counted.sort(key=lambda row: int(row[-1]))
        self._rows[name] = [(tuple(row[:-1]), row[-1]) for row in counted]
        if not counted:
            return {}
        first = (self._db.execute("select min(at_ms) from rows").fetchone() or (0,))[0]
        places = list(self._all_windows(kpi, first, self._beyond(kpi, counted[-1][-1])))
        starts = [s for s, _ in places if s <= counted[-1][-1]]
        ends = [e for _, e in places][: len(starts)]
        self._db.execute("create or replace table places (from_ms bigint, to_ms bigint)")
        self._db.execute("insert into places select unnest(?), unnest(?)", [starts, ends])
        if asked["value"].startswith("retention("):
            return self._retention(name, dims)
        answers = self._db.execute(
            f"""select {dims} from_ms, to_ms, ({asked["value"]})::double, count(*)
            from rows join places on at_ms >= from_ms and at_ms < to_ms and before_ms < to_ms
            group by all"""
        ).fetchall()
        self._empty(name)
        return {(tuple(a[:-4]), a[-4], a[-3]): (a[-2], a[-1]) for a in answers}

    def _retention(self, name: str, dims: str) -> dict[Place, tuple[float | None, int]]:
        """The share of the distinct users of the window before that are there again."""
        answers = self._db.execute(
            f"""select {dims} from_ms, to_ms, list(distinct "user") filter ("user" is not null),
            count(*) from rows join places
            on at_ms >= from_ms and at_ms < to_ms and before_ms < to_ms group by all"""
        ).fetchall()
        users = self._db.execute(
            f"""select {dims} at_ms, before_ms, "user" from rows where "user" is not null"""
        ).fetchall()
        self._users[name] = [(tuple(u[:-3]), u[-3], u[-2], u[-1]) for u in users]
        return {
            (tuple(a[:-4]), a[-4], a[-3]): (
                self._share(name, (tuple(a[:-4]), a[-4], a[-3]), set(a[-2] or ())),
                a[-1],
            )
            for a in answers
        }

    def _share(self, name: str, place: Place, seen: set[str]) -> float | None:
        kpi = self.kpis[name]
        dims, start, end = place
        window = kpi["window"]
        if window in CALENDAR:
            before = [s for s, e in self._all_windows(kpi, start - 1, start + 1) if e == start]
            earlier = before[0]
        else:
            earlier = start - span_ms(window.partition(" every ")[0])
        # What had come of the window before when this one closed.
        known = {
            user
            for d, at, before, user in self._users[name]
            if d == dims and earlier <= at < start and before < end
        }
        return len(known & seen) / len(known) if known else None

    def _of_nothing(
        self, name: str, place: Place, figures: dict[Place, tuple[float | None, int]]
    ) -> float | None:
        asked = self.theirs[name]
        if asked["value"].startswith("retention("):
            return self._share(name, place, set())
        return self._empty(name)

    def _empty(self, name: str) -> float | None:
        """DuckDB's answer over no rows; its columns are those of the KPI asked for last."""
        if name not in self._empties:
            query = f"select ({self.theirs[name]['value']})::double from raw where false"
            self._empties[name] = (self._db.execute(query).fetchone() or (None,))[0]
        return self._empties[name]

    def _derived(self, name: str) -> dict[Place, Published]:
        """A window is published when an input says it; what an input doesn't tell is of no
        events."""
        kpi = self.kpis[name]
        inputs = kpi["from"]
        order = self.kpis[inputs[0]]["by"]
        settled = min(self._settled(i) for i in inputs)
        published: list[dict[Place, Published]] = []
        empties = []
        for i in inputs:
            places = [self.kpis[i]["by"].index(b) for b in order]
            windows = self.windows(i)
            published.append(
                {(tuple(d[p] for p in places), s, e): t for (d, s, e), t in windows.items()}
            )
            share = self.theirs[i]["value"].startswith("retention(")
            empties.append((None if share else self._empty(i), 0, False))
        out: dict[Place, Published] = {}
        for place in set().union(*published):
            given = [
                figures.get(place, empty) for figures, empty in zip(published, empties, strict=True)
            ]
            events, is_open = sum(g[1] for g in given), place[2] > settled
            if events or not is_open:
                out[place] = (self._over(kpi, [g[0] for g in given]), events, is_open)
        return out

    def _over(self, kpi: dict[str, Any], values: list[float | None]) -> float | None:
        key = kpi["value"], *values
        if key not in self._overs:
            columns = ", ".join(f"?::double as {i}" for i in kpi["from"])
            query = f"select ({kpi['value']})::double from (select {columns})"
            self._overs[key] = (self._db.execute(query, values).fetchone() or (None,))[0]
        return self._overs[key]


_LONGEST = {"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}


def _begin(unit: str, day: date) -> date:
    """The first day of the period that holds a day."""
    if unit == "week":
        return day - timedelta(days=day.weekday())
    if unit == "day":
        return day
    month = {"month": day.month, "quarter": (day.month - 1) // 3 * 3 + 1, "year": 1}[unit]
    return date(day.year, month, 1)


def _midnight(zone: ZoneInfo, day: date) -> int:
    """The first instant (ms) of a local day, by looking at the clock minute by minute."""
    noon = int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp())
    low, high = noon // 60 - 40 * 60, noon // 60 + 40 * 60
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle * 60, zone).date() >= day:
            high = middle
        else:
            low = middle
    return high * 60_000
