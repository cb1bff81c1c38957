"""Rules and events drawn from a seed, each condition as SQL and as a function of closed windows."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from .alert_truth import UNIT_MS, Condition, Rule, Span

WINDOWS = {
    "10m": 120, "1h": 150, "1h every 15m": 200, "6h every 1h": 160,
    "1d": 90, "day": 90, "week": 50, "month": 24,
}  # fmt: skip
"""How many are drawn of each."""
ZONES = (
    "UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu",
    "Pacific/Chatham", "Africa/Cairo", "America/Santiago",
)  # fmt: skip
STARTS = ("2024-03-20", "2024-03-29", "2024-10-20", "2024-09-20", "2010-09-20", "2011-03-25")
VALUES = {
    "average": "avg(x)",
    "total": "sum(x)",
    "count": "count(*)",
    "good": "count_if(ok) / count(*)",
    "bad": "count_if(not ok) / count(*)",
}
SPANS: dict[str, tuple[tuple[Span, ...], tuple[Span, ...]]] = {
    "10m": (((30, "m"), (2, "h"), (1, "d")), ((2, "h"), (5, "h"))),
    "1h": (((36, "h"), (1, "d"), (1, "w")), ((12, "h"), (2, "d"))),
    "6h": (((36, "h"), (1, "d"), (1, "w")), ((4, "d"), (1, "w"))),
    "day": (((7, "d"), (2, "w"), (1, "month")), ((2, "w"), (9, "d"), (1, "month"))),
    "week": (((2, "w"), (1, "month")), ((8, "w"), (100, "d"))),
    "month": (((1, "month"), (3, "month")), ((200, "d"), (300, "d"))),
}
"""Of each window: how far back changes look, and trends."""


def text_of(span: Span) -> str:
    count, unit = span
    return f"{count} {unit}" if len(unit) > 1 else f"{count}{unit}"


@dataclass(slots=True)
class Case:
    """Rules as they are written to YAML, what they mean, and events in their order."""

    document: dict[str, Any]
    rules: dict[str, Rule]
    events: list[dict[str, Any]]
    value: str
    window: str
    zone: ZoneInfo
    size: int
    hop: int
    targets: list[tuple[int, float]]
    maintenance: list[tuple[int, int, str | None]] = field(default_factory=list)

    def lines(self) -> str:
        """The events as a file."""
        return "".join(json.dumps(event) + "\n" for event in self.events)

    def value_of(self, events: list[dict[str, Any]]) -> float | None:
        """The value of a window with these events."""
        if self.value == "count":
            return float(len(events))
        if self.value in ("good", "bad"):
            share = [event["ok"] == (self.value == "good") for event in events]
            return sum(share) / len(share) if share else None
        numbers = [event["x"] for event in events if event["x"] is not None]
        if not numbers:
            return None
        return sum(numbers) / (len(numbers) if self.value == "average" else 1)


class Drawing:
    """All that is drawn of one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        rng = self.rng
        self.window = rng.choice(list(WINDOWS))
        size, _, hop = self.window.partition(" every ")
        days = {"day": 1, "1d": 1, "week": 7, "month": 30}
        self.size = days[size] * UNIT_MS["d"] if size in days else _ms(size)
        self.hop = _ms(hop) if hop else self.size
        self.spans = SPANS["day" if size == "1d" else size]
        self.value = rng.choice(list(VALUES))
        self.level, self.noise = rng.choice((0, 0, 10, -10, 100)), rng.choice((1, 5, 30))
        start = datetime.fromisoformat(rng.choice(STARTS)).replace(tzinfo=UTC)
        self.start = int(start.timestamp()) * 1000
        self.end = self.start + WINDOWS[self.window] * self.hop
        self.zone = rng.choice(ZONES)

    def draw(self) -> Case:
        """The whole case."""
        fields = {"g": "string", "s": "string", "x": "float", "ok": "boolean"}
        better = "lower" if self.value == "bad" else "higher"
        kind = "at_most" if better == "lower" else "at_least"
        first, second = self._bound(), self._bound()
        month = datetime.fromtimestamp((self.start + self.end) / 2000, UTC).strftime("%Y-%m")
        begins = datetime.fromisoformat(f"{month}-01").replace(tzinfo=ZoneInfo(self.zone))
        kpi = {
            "from": "e", "value": VALUES[self.value], "by": ["g", "s"], "window": self.window,
            "timezone": self.zone, "better": better, "expire_after": "9000d",
            "target": [{kind: first}, {"from": month, kind: second}],
        }  # fmt: skip
        drawn = {f"r{number}": self._rule() for number in range(6)}
        document = {
            "version": 1,
            "events": {"e": {"topic": "t", "time": "at", "lateness": "0s", "fields": fields}},
            "kpis": {"k": kpi},
            "rules": {name: written for name, (written, _) in drawn.items()},
        }
        case = Case(
            document, {name: rule for name, (_, rule) in drawn.items()}, self._events(),
            self.value, self.window, ZoneInfo(self.zone), self.size, self.hop,
            [(0, first), (int(begins.timestamp()) * 1000, second)],
        )  # fmt: skip
        self._maintenance(case)
        return case

    def _events(self) -> list[dict[str, Any]]:
        """Series that come and go, have gaps, drift and incidents; some values are null."""
        rng, events = self.rng, []
        groups = ("a", "b")[: rng.choice((1, 2))]
        dense, members = rng.choice((0.5, 0.9, 1)), rng.choice((1, 2, 5))
        for series in ((g, f"s{i}") for g in groups for i in range(members)):
            count = WINDOWS[self.window]
            slope = rng.choice((0, 0, 0.02, -0.02)) * self.noise
            bad = gap = 0
            for i in range(rng.choice((0, 0, count // 3)), rng.choice((count, count * 2 // 3))):
                gap = gap - 1 if gap else rng.choice((1, 2, 5, 12)) * (rng.random() < 0.03)
                bad = bad - 1 if bad else rng.choice((1, 2, 4, 8)) * (rng.random() < 0.06)
                if gap or rng.random() > dense:
                    continue
                middle = self.level + slope * i + (4 * self.noise if bad else 0)
                for _ in range(rng.choice((1, 2, 3, 6))):
                    x = round(rng.gauss(middle, self.noise) * 4) / 4  # sums are exact
                    events.append({
                        "type": "e", "at": self.start + i * self.hop + rng.randrange(self.hop),
                        "g": series[0], "s": series[1], "x": None if rng.random() < 0.05 else x,
                        "ok": rng.random() > (0.6 if bad else 0.1),
                    })  # fmt: skip
        return sorted(events, key=lambda event: event["at"])

    def _maintenance(self, case: Case) -> None:
        for number in range(self.rng.choice((0, 1, 2))):
            start = self.rng.randrange(self.start, self.end) // 60_000 * 60_000
            end = start + int(self.hop * self.rng.choice((0.2, 1, 3.3))) // 60_000 * 60_000
            only = self.rng.choice((None, "s0"))
            written: dict[str, Any] = {"from": _utc(start), "until": _utc(end), "timezone": "UTC"}
            if only is not None:
                written["match"] = {"s": only}
            case.document.setdefault("maintenance", {})[f"m{number}"] = written
            case.maintenance.append((start, end, only))

    # --- rules -----------------------------------------------------------------------------

    def _rule(self) -> tuple[dict[str, Any], Rule]:
        rng = self.rng
        objective = rng.choice((0.5, 0.8, 0.9))
        when, fires = self._condition(objective)
        clear, clears = self._condition(objective) if rng.random() < 0.3 else (None, None)
        rule = Rule(
            fires, clears, self._time(0.5), self._time(0.5), rng.choice((0, 0, 0, 2, 4)),
            self._time(0.8), rng.choice(("keep",) * 4 + ("resolve", "alert")),
            (rng.choice((2, 3)), 40 * self.hop) if rng.random() < 0.2 else None,
        )  # fmt: skip
        written = {
            "kpi": "k", "when": when, "clear": clear, "for": _written(rule.hold),
            "keep_firing_for": _written(rule.keep), "min_events": rule.min_events,
            "min_history": _written(rule.min_history), "on_no_data": rule.on_no_data,
        }  # fmt: skip
        if rule.flapping is not None:
            written["flapping"] = f"{rule.flapping[0]} in {_written(rule.flapping[1])}"
        if "burn_rate" in f"{when} {clear}":
            written["objective"] = f"{objective:.0%} over 400d"
        return {name: value for name, value in written.items() if value is not None}, rule

    def _time(self, none: float) -> int:
        some = int(self.hop * self.rng.choice((1, 2, 2.5, 3, 6)))
        return 0 if self.rng.random() < none else some

    def _bound(self) -> float:
        if self.value in ("good", "bad"):
            return self.rng.choice((0.25, 0.5, 0.9))
        if self.value == "count":
            return self.rng.choice((1, 2, 3, 5))
        return self.level + self.rng.choice((-1, 0, 0.5, 1, 2)) * self.noise

    def _condition(self, objective: float) -> tuple[str, Condition]:
        sql, holds = self._term(objective)
        draw = self.rng.random()
        if draw > 0.3:
            return sql, holds
        if draw < 0.1:
            return f"not ({sql})", lambda s, i: inverse(holds(s, i))
        other, also = self._term(objective)
        if draw < 0.2:
            return f"({sql}) and ({other})", lambda s, i: both(holds(s, i), also(s, i))
        return f"({sql}) or ({other})", lambda s, i: either(holds(s, i), also(s, i))

    def _term(self, objective: float) -> tuple[str, Condition]:
        kinds: list[Callable[[], tuple[str, Condition]]] = [
            self._value, self._value, self._events_count, self._target, self._change,
            self._change, self._trend, self._run, self._breach, self._peers,
        ]  # fmt: skip
        if self.value in ("good", "bad"):
            kinds += [lambda: self._burn(objective)] * 4
        return self.rng.choice(kinds)()

    def _compared(
        self, sql: str, number: Callable[[Any, int], float | None], bound: float, unit: str = ""
    ) -> tuple[str, Condition]:
        """A comparison; in percent, the bound is a share."""
        more, least = self.rng.random() < 0.5, bound / 100 if unit.startswith("%") else bound

        def holds(series: Any, i: int) -> bool | None:
            left = number(series, i)
            return None if left is None else (left > least if more else left < least)

        return f"{sql} {'>' if more else '<'} {bound}{unit}", holds

    def _value(self) -> tuple[str, Condition]:
        return self._compared("value", lambda s, i: s.windows[i].known, self._bound())

    def _events_count(self) -> tuple[str, Condition]:
        return self._compared("events", lambda s, i: s.windows[i].events, self.rng.choice((1, 2)))

    def _target(self) -> tuple[str, Condition]:
        def over(series: Any, i: int) -> float | None:
            window = series.windows[i]
            return None if window.known is None else window.known - window.bound

        return self._compared("value - target", over, self.rng.choice((0, 0.25, -0.25)))

    def _change(self) -> tuple[str, Condition]:
        windows: tuple[Span | None, ...] = (None, (2, "windows"), (3, "windows"), (7, "windows"))
        span, relative = self.rng.choice(windows + self.spans[0]), self.rng.random() < 0.5
        text = "previous" if span is None else text_of(span)
        bound = self.rng.choice((-21.3, 13.7, 51.1) if relative else (0, 0.13, -1.7))
        unit = "%" if relative else ""
        sql = f"change('{text}')"
        return self._compared(sql, lambda s, i: s.change(i, span, relative), bound, unit)

    def _trend(self) -> tuple[str, Condition]:
        span, relative = self.rng.choice(self.spans[1]), self.rng.random() < 0.5
        bound, unit = (self.rng.choice((-1.3, 2.1)), "% per day") if relative else (0, "")
        sql = f"trend('{text_of(span)}')"
        return self._compared(sql, lambda s, i: s.trend(i, span, relative), bound, unit)

    def _run(self) -> tuple[str, Condition]:
        count, direction = self.rng.choice((1, 2, 3)), self.rng.choice((1, -1))
        name = "rising" if direction == 1 else "declining"
        return f"{name}({count})", lambda s, i: s.run(i, count, direction)

    def _breach(self) -> tuple[str, Condition]:
        over, bound, sign = self.rng.choice(self.spans[1]), self._bound(), self.rng.choice((1, -1))
        ahead = self.rng.choice(((6, "h"), (1, "d"), (2, "w")))
        kind = "at_most" if sign == 1 else "at_least"
        sql = f"breach_in('{text_of(ahead)}', over='{text_of(over)}', {kind}={bound})"
        return sql, lambda s, i: s.breach(i, ahead, over, sign, bound)

    def _peers(self) -> tuple[str, Condition]:
        shared = self.rng.choice((0, 1))
        sql = "deviation_from_group" + ("(by='g')" if shared else "")
        bound = self.rng.choice((1.1, 2.3, 3.7))
        return self._compared(sql, lambda s, i: s.deviation(i, shared), bound)

    def _burn(self, objective: float) -> tuple[str, Condition]:
        span, good = self.rng.choice(self.spans[1]), self.value == "good"
        bound = self.rng.choice((0.37, 1.2, 2.03))
        sql = f"burn_rate('{text_of(span)}')"
        budget = 1 - objective
        return self._compared(sql, lambda s, i: s.burn_rate(i, span, budget, good), bound)


def both(a: bool | None, b: bool | None) -> bool | None:
    """SQL's `and`."""
    return False if a is False or b is False else None if None in (a, b) else True


def either(a: bool | None, b: bool | None) -> bool | None:
    """SQL's `or`."""
    return inverse(both(inverse(a), inverse(b)))


def inverse(a: bool | None) -> bool | None:
    """SQL's `not`."""
    return None if a is None else not a


def _ms(text: str) -> int:
    return int(text[:-1]) * UNIT_MS[text[-1]]


def _written(ms: int) -> str | None:
    return f"{ms}ms" if ms else None


def _utc(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC).replace(tzinfo=None)
