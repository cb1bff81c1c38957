"""Scenario files: read, run through the core, published in the words that the files use."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from agent.core.decode.batch import Batch
from agent.core.model.events import Scalar
from agent.core.model.kpis import Dimensions
from agent.core.model.plan import Plan
from agent.core.model.results import Emitted, Outcome, TargetStatus, Transition, WindowValue
from agent.core.output.messages import iso
from agent.core.pipeline import Pipeline
from agent.language.load import load

BROKER_MS = 4_102_444_800_000  # 2100: no event of a scenario comes from the future

_CLOCK = re.compile(r"\d\d:\d\d(:\d\d(\.\d+)?)?$")
_SOURCE = re.compile(r"@(\d+)$")


@dataclass(frozen=True)
class Record:
    """One event on its way: `value` is what the producer sent."""

    topic: str
    partition: int
    value: bytes


@dataclass(frozen=True)
class Scenario:
    """A scenario file; `expect` has its sections as written, lines sorted."""

    title: str
    plan: Plan
    day: str
    records: tuple[Record, ...]
    expect: dict[str, Any]


@dataclass
class Published:
    """Everything that one run has said."""

    emitted: list[Emitted] = field(default_factory=list)
    open_windows: list[WindowValue] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def transitions(self) -> list[Transition]:
        return [t for c in self.emitted for t in c.transitions]

    @property
    def windows(self) -> list[WindowValue]:
        return [w for c in self.emitted for w in c.windows]

    @property
    def targets(self) -> list[TargetStatus]:
        return [t for c in self.emitted for t in c.targets]


def read(path: Path, folder: Path) -> Scenario:
    """Read a scenario; its rules are written to `folder`, because rules are loaded from files."""
    written = yaml.load(path.read_text(), Loader=yaml.BaseLoader)
    rules = folder / "rules.yaml"
    rules.write_text(_rules_text(path.read_text()))
    plan = load(folder)
    day = written.get("day", "")
    records = tuple(_record(plan, day, line) for line in written["events"])
    return Scenario(written["title"], plan, day, records, written["expect"])


def _rules_text(text: str) -> str:
    """The rules as written: other readers of YAML would make a boolean of the key `on`."""
    lines = text.split("\nrules:\n", 1)[1].splitlines()
    inside = itertools.takewhile(lambda line: not line or line[0].isspace(), lines)
    return textwrap.dedent("\n".join(inside)) + "\n"


def _record(plan: Plan, day: str, line: str) -> Record:
    time, kind, *rest = shlex.split(line, posix=False)
    contract = plan.contracts[kind]
    partition = 0
    event: dict[str, Any] = {}
    for word in rest:
        if source := _SOURCE.match(word):
            partition = int(source[1])
            continue
        name, _, value = word.partition("=")
        _put(event, tuple(name.split(".")), _value(value))
    if contract.type_path is not None:
        _put(event, contract.type_path, contract.type_value)
    _put(event, contract.times[0].path, f"{day}T{time}Z" if _CLOCK.match(time) else time)
    return Record(contract.topics.default, partition, json.dumps(event).encode())


def _put(event: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for name in path[:-1]:
        event = event.setdefault(name, {})
    event[path[-1]] = value


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def run(scenario: Scenario, one_by_one: bool, state_partitions: int) -> Published:
    """Send the events through the core, to their end."""
    sources = dict.fromkeys(scenario.plan.topics, 1)
    for record in scenario.records:
        sources[record.topic] = max(sources[record.topic], record.partition + 1)
    pipeline = Pipeline(scenario.plan, sources, state_partitions)
    published = Published()
    offsets: dict[tuple[str, int], int] = {}
    for records in _batches(scenario.records, one_by_one):
        for topic in dict.fromkeys(r.topic for r in records):
            pipeline.add(_batch(topic, [r for r in records if r.topic == topic], offsets))
        published.emitted.append(pipeline.flush())
    published.emitted.append(pipeline.finish())
    published.open_windows = pipeline.open_windows()
    for (outcome, _, reason), number in pipeline.counts.items():
        published.outcomes[outcome.value] = published.outcomes.get(outcome.value, 0) + number
        if outcome is Outcome.REJECTED and reason is not None:
            published.reasons[reason.value] = published.reasons.get(reason.value, 0) + number
    return published


def _batches(records: tuple[Record, ...], one_by_one: bool) -> Iterator[list[Record]]:
    if one_by_one:
        yield from ([record] for record in records)
    elif records:
        yield list(records)


def _batch(topic: str, records: list[Record], offsets: dict[tuple[str, int], int]) -> Batch:
    records = sorted(records, key=lambda r: r.partition)
    at = []
    for record in records:
        place = topic, record.partition
        at.append(offsets.get(place, 0))
        offsets[place] = at[-1] + 1
    return Batch(
        topic,
        [record.value for record in records],
        np.array([record.partition for record in records], np.int32),
        np.array(at, np.int64),
        np.full(len(records), BROKER_MS, np.int64),
        timestamped=False,
    )


def in_words(scenario: Scenario, published: Published) -> dict[str, Any]:
    """What was said, in the sections of `expect`."""
    return {
        "windows": [_window(scenario, w) for w in [*published.windows, *published.open_windows]],
        "targets": [_target(scenario, t) for t in published.targets],
        "transitions": [_transition(scenario, t) for t in published.transitions],
        "outcomes": {name: str(n) for name, n in published.outcomes.items() if n},
        "reasons": {name: str(n) for name, n in published.reasons.items() if n},
    }


def _window(scenario: Scenario, window: WindowValue) -> str:
    events = "1 event" if window.events == 1 else f"{window.events} events"
    opened = " open" if window.open else ""
    maintenance = f" in {window.maintenance}" if window.maintenance else ""
    hidden = " hidden" if window.hidden else ""
    number = _number(window.value)
    return f"{_place(scenario, window)} = {number} ({events}){opened}{maintenance}{hidden}"


def _target(scenario: Scenario, status: TargetStatus) -> str:
    parts = [f"{_place(scenario, status.window)} = {status.state.value}"]
    if status.attainment is not None:
        parts.append(f"attainment {_number(status.attainment)}")
    if status.previous is not None:
        parts.append(f"before {status.previous.value}")
    return ", ".join(parts)


def _transition(scenario: Scenario, t: Transition) -> str:
    series = _series(scenario, t.kpi, t.dimensions)
    way = f"{t.previous.value} -> {t.state.value} ({t.reason})"
    return f"{_time(scenario, t.at_ms)} {t.rule} {t.severity} {series} {way}"


def _place(scenario: Scenario, window: WindowValue) -> str:
    start, end = _time(scenario, window.start_ms), _time(scenario, window.end_ms)
    return f"{_series(scenario, window.kpi, window.dimensions)} {start} to {end}"


def _series(scenario: Scenario, kpi: str, dimensions: Dimensions) -> str:
    pairs: Iterable[tuple[str, Scalar]] = zip(
        scenario.plan.by_of(kpi) or (), dimensions, strict=False
    )
    inside = ",".join(f"{name}={_dimension(value)}" for name, value in pairs)
    return f"{kpi}{{{inside}}}" if inside else kpi


def _dimension(value: Scalar) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _time(scenario: Scenario, at_ms: int) -> str:
    day, clock = iso(at_ms).removesuffix("Z").split("T")
    clock = clock.removesuffix(":00") if clock.count(":") == 2 else clock
    return clock if day == scenario.day else f"{day}T{clock}"


def _number(value: float | int | None) -> str:
    if isinstance(value, int):
        return str(value)
    return "none" if value is None else f"{value:.10g}"
