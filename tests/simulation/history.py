"""What producers did in a simulated run, and the truth of it in plain Python.

A record is punctual (it arrives well within the lateness of its event time), or late beyond doubt
for every KPI by the rule of its own partition, or it comes after its slice was sealed, in time for
some of its windows, while its partition is lively. Where sources rest, it may come after its slice
was sealed elsewhere, too, if it is beyond doubt which of its windows are open. So no fault, however
long, may make a record late that is not late by the log alone.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from agent.core.model.results import Outcome
from tests.simulation.cases import Case, Event, Meaning

START_MS = 1_760_000_040_000  # a whole minute, as the windows are


def most_delay_ms(case: Case, contract: str) -> int:
    """Half of the lateness: the other half is for a log's end that was seen some seconds ago."""
    return case.lateness_of(contract) // 2


Key = tuple[str, tuple[str | None, ...], int]
"""KPI, dimensions, end of the window (ms)."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a source partition, and when it was appended."""

    appended_ms: int
    value: bytes


@dataclass
class History:
    """The source partitions, and what a faultless reader makes of them."""

    logs: list[list[Record]]
    end_ms: int
    added_ms: int  # when the last partition was added; START_MS: it was always there
    verdicts: list[list[Outcome]] = field(default_factory=list)
    counted: list[tuple[str, Event, int]] = field(default_factory=list)
    """Kind, event, and the frontier just before it: windows that end by then lack it. An id is not
    used again for another event, so a repeat counts nowhere."""

    @property
    def outcomes(self) -> Counter[Outcome]:
        return Counter(v for log in self.verdicts for v in log)


class _Partition:
    """One partition's log as it grows, with each record's verdict by the rules of the contract."""

    def __init__(self, case: Case, history: History, number: int) -> None:
        self.case, self.history, self.number = case, history, number
        feeds = case.feeds or [("", case.contracts)]
        self.kinds = feeds[number % len(feeds)][1]
        self.log: list[Record] = []
        self.verdicts: list[Outcome] = []
        self.reached: int | None = None
        self.ids: dict[str, int] = {}

    def frontier_ms(self, kind: str) -> int:
        """How far the windows of a contract are closed, by this log alone."""
        return 0 if self.reached is None else self.reached - self.case.lateness_of(kind)

    def kpis_of(self, kind: str) -> list[Meaning]:
        """The KPIs of a contract."""
        return [m for m in self.case.meaning.values() if m.contract == kind]

    def is_late(self, kind: str, at_ms: int) -> bool:
        """Whether all windows that it lies in have closed."""
        return all(last_end(m, at_ms) <= self.frontier_ms(kind) for m in self.kpis_of(kind))

    def comes_in_time(self, kind: str, now_ms: int) -> bool:
        """Whether the oldest slices that are not sealed here are open elsewhere, too, beyond
        doubt."""
        at_ms, open_ms = self.frontier_ms(kind), now_ms - most_delay_ms(self.case, kind)
        spans = {self.case.slice_ms(m) for m in self.kpis_of(kind)}
        return all(at_ms - at_ms % span + span > open_ms for span in spans)

    def counts_beyond_doubt(self, kind: str, at_ms: int, now_ms: int) -> bool:
        """Whether each window that it lies in has closed here, or can be closed nowhere yet."""
        ends = {
            end
            for m in self.kpis_of(kind)
            for end in range(at_ms - at_ms % m.hop_ms + m.hop_ms, last_end(m, at_ms) + 1, m.hop_ms)
        }
        return all(end <= self.frontier_ms(kind) or end > now_ms for end in ends)

    def put(self, now_ms: int, value: bytes, verdict: Outcome, at_ms: int | None = None) -> None:
        self.log.append(Record(now_ms, value))
        self.verdicts.append(verdict)
        if at_ms is not None:
            self.reached = at_ms if self.reached is None else max(self.reached, at_ms)

    def event(self, now_ms: int, kind: str, event: Event, name: str | None) -> None:
        body: dict[str, object] = {"type": kind, "at": event.at_ms, "region": event.region}
        if kind == "sale":
            body |= {"amount": event.amount, "customer": event.customer, "id": name}
        verdict = Outcome.FOLDED
        if self.is_late(kind, event.at_ms):
            verdict = Outcome.LATE
        if name is not None:
            known = self.ids.get(name)
            if known is not None and not self.is_late(kind, known):
                verdict = Outcome.DUPLICATE
            self.ids[name] = max(known or 0, event.at_ms, self.frontier_ms(kind))
        if verdict is Outcome.FOLDED:
            self.history.counted.append((kind, event, self.frontier_ms(kind)))
        self.put(now_ms, json.dumps(body).encode(), verdict, event.at_ms)


def history_of(rng: random.Random, case: Case, wild: random.Random | None = None) -> History:
    """A run of some minutes over two or three partitions with bursts, quiet spells and rubbish.
    `wild` draws events of clocks that are years ahead or behind."""
    minutes = rng.choice([4, 5, 7])
    end_ms = START_MS + minutes * 60_000 + 7_000
    partitions = max(rng.choice([1, 2, 2, 3]), len(case.feeds))
    added_ms = START_MS
    if partitions > 1 and rng.random() < 0.2:
        added_ms = START_MS + rng.randint(20, 120) * 1_000
    history = History([], end_ms, added_ms)
    used: set[int] = set()
    for number in range(partitions):
        part = _Partition(case, history, number)
        first_ms = added_ms if number == partitions - 1 else START_MS
        _fill(rng, case, part, first_ms, end_ms, used)
        if wild is not None:
            _stray(wild, part)
        history.logs.append(part.log)
        history.verdicts.append(part.verdicts)
    return history


def _fill(
    rng: random.Random, case: Case, part: _Partition, now_ms: int, end_ms: int, used: set[int]
) -> None:
    lively = rng.choice([0.0, 0.5, 1.0, 1.0])
    recent: list[tuple[str, Event, str]] = []
    rest_ms, delays_ms = 45_000, [0, 0, 900, 2_500, 5_000, 40_000, 130_000]
    if case.feeds:
        delays_ms = [0, 900, 5_000, 12_000, 15_000, 40_000, 130_000]
    if case.rests:
        rest_ms, delays_ms = 60_000, [0, 2_500, 15_000, 25_000, 35_000, 50_000, 65_000]
    while lively:
        # Bursts with quiet spells between them, some longer than `idle_after`.
        now_ms += rng.choice([0, 100, 400, 2_000, 7_000, round(20_000 / lively), rest_ms])
        if now_ms >= end_ms:
            break
        dice = rng.random()
        if dice < 0.06:
            value, verdict = rng.choice(
                [(b"{", Outcome.REJECTED), (b"", Outcome.EMPTY), (b'{"type":"x"}', Outcome.IGNORED)]
            )
            part.put(now_ms, value, verdict)
        elif dice < 0.14 and recent:
            kind, event, name = rng.choice(recent[-5:])
            # If a repeat that is late, too, is called the one or the other, the KPIs say.
            if case.before is None or now_ms - event.at_ms <= most_delay_ms(case, kind):
                part.event(now_ms, kind, event, name)
        else:
            delay_ms = rng.choice(delays_ms)
            at_ms = _unused(now_ms - delay_ms, used)
            kind = rng.choice(["sale", "sale", "visit"]) if "visit" in case.contracts else "sale"
            kind = kind if kind in part.kinds else part.kinds[0]
            # The KPIs that are added on the way are not to decide what is late.
            allowed = case.before is None and part.comes_in_time(kind, now_ms)
            if case.rests:
                allowed = part.counts_beyond_doubt(kind, at_ms, now_ms)
            delayed = now_ms - at_ms > most_delay_ms(case, kind)
            if delayed and not allowed and not part.is_late(kind, at_ms):
                at_ms = _unused(now_ms, used)
            region = rng.choice(["eu", "us", None])
            amount = rng.choice([0.25, 7.5, 33.0, -4.0])
            event = Event(at_ms, region, amount, f"c{rng.randint(0, 6)}")
            name = f"{part.number}.{len(part.log)}"
            part.event(now_ms, kind, event, name if kind == "sale" else None)
            if kind == "sale":
                recent.append((kind, event, name))
    # The last word of every partition, so that all that was open by then closes.
    for kind in part.kinds:
        event = Event(end_ms, "end", 1.0, "c")
        part.event(end_ms, kind, event, f"{part.number}.end" if kind == "sale" else None)


def _stray(rng: random.Random, part: _Partition) -> None:
    """Put in events that are stamped years ahead or back: each costs itself."""
    for _ in range(rng.randint(1, 6)):
        place = rng.randint(0, len(part.log))
        # None comes after the last word, which closes what is open.
        appended_ms = part.log[min(place, len(part.log) - 1)].appended_ms if part.log else START_MS
        at_ms = rng.choice([0, 86_400_000, appended_ms + 400 * 86_400_000, 253_402_300_799_999])
        kind = part.kinds[0]
        body = {"type": kind, "at": at_ms, "region": "eu", "amount": 9.0, "id": f"wild{place}"}
        part.log.insert(place, Record(appended_ms, json.dumps(body).encode()))
        part.verdicts.insert(place, Outcome.REJECTED)


def _unused(at_ms: int, used: set[int]) -> int:
    """No two events share an instant: `first` and `last` are then one event each."""
    while at_ms in used:
        at_ms -= 1
    used.add(at_ms)
    return at_ms


def truth(case: Case, history: History) -> dict[Key, tuple[float | None, int]]:
    """Every window that must be closed at the end, with its value and number of events."""
    windows: dict[Key, tuple[float | None, int]] = {}
    frontiers_ms = {c: history.end_ms - case.lateness_of(c) for c in case.contracts}
    for kpi, meaning in case.meaning.items():
        frontier_ms = frontiers_ms[meaning.contract]
        for dimensions, events in _series(meaning, history).items():
            for end in _ends(case, meaning, [max(e.at_ms, before) for e, before in events]):
                if end <= frontier_ms:
                    begin = end - meaning.size_ms
                    inside = [e for e, before in events if begin <= e.at_ms < end > before]
                    windows[kpi, dimensions, end] = (meaning.value(inside), len(inside))
    for kpi, (a, b, combine) in case.derived.items():
        empty = {name: case.meaning[name].value(()) for name in (a, b)}
        frontier_ms = min(frontiers_ms[case.meaning[name].contract] for name in (a, b))
        places = {(d, end) for name, d, end in windows if name in (a, b) and end <= frontier_ms}
        for dimensions, end in places:
            first = windows.get((a, dimensions, end), (empty[a], 0))
            second = windows.get((b, dimensions, end), (empty[b], 0))
            windows[kpi, dimensions, end] = (combine(first[0], second[0]), first[1] + second[1])
    for kpi, (name, roll_up) in case.rolled_up.items():
        groups: dict[tuple[str | None, int], list[tuple[float | None, int]]] = defaultdict(list)
        for input_, dimensions, end in [*windows]:
            if input_ == name:
                groups[dimensions[0], end].append(windows[input_, dimensions, end])
        for (region, end), rows in groups.items():
            value = roll_up([value for value, events in rows if events])
            windows[kpi, (region,), end] = (value, sum(events for _, events in rows))
    return windows


def _series(
    meaning: Meaning, history: History
) -> dict[tuple[str | None, ...], list[tuple[Event, int]]]:
    """The events that count in any window, with the frontier before each, by series."""
    by_dimensions: dict[tuple[str | None, ...], list[tuple[Event, int]]] = defaultdict(list)
    for kind, event, before_ms in history.counted:
        wanted = kind == meaning.contract and meaning.where(event)
        if wanted and last_end(meaning, event.at_ms) > before_ms:
            by_dimensions[meaning.dimensions_of(event)].append((event, before_ms))
    return by_dimensions


def last_end(meaning: Meaning, at_ms: int) -> int:
    """The end of the latest window that holds an instant."""
    return at_ms - at_ms % meaning.hop_ms + meaning.size_ms


def _ends(case: Case, meaning: Meaning, times_ms: list[int]) -> Iterator[int]:
    """The ends of a series' windows: from its first slice on, and again after a long silence."""
    span = case.slice_ms(meaning)
    slices = sorted({at - at % span for at in times_ms})
    while slices:
        first = slices[0]
        # Windows end at multiples of the hop, plus the size; the first holds the first slice.
        end = first - (first - meaning.size_ms) % meaning.hop_ms + meaning.hop_ms
        while end < slices[0] + 3_600_000:
            yield end
            last = max(s for s in slices if s < end) + span
            if last < end - meaning.expire_ms:
                break
            end += meaning.hop_ms
        slices = [s for s in slices if s >= end]
