"""A scenario's world: a cluster, workers on it, live traffic, a watcher, and the verdict."""

from __future__ import annotations

import contextlib
import json
import math
import random
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Message

from tests.chaos.cluster import Cluster
from tests.chaos.traffic import EVEN, PARTITIONS, RULES, SHOP, VISITS, Shares, Traffic, now_ms
from tests.chaos.truth import (
    LATENESS_MS,
    Key,
    Truth,
    faultless_transitions,
    load_plan,
    read_all,
    settled_ms,
    target_state,
    truth_of,
)
from tests.integration.agents import Agent
from tests.integration.waiting import until

Json = dict[str, Any]

SESSION_SECONDS = 6
CURRENT_MS = LATENESS_MS + 5_000 + 3_000
"""Figures are current while the newest window ended at most this long ago: the lateness, the next
window's length, a flush and a round."""
RECOVERY_SECONDS = SESSION_SECONDS + 15
SETTLE_SECONDS = 120


class Worker(Agent):
    """One agent process that can be killed, stopped and woken."""

    def __init__(self, name: str, folder: Path, settings: dict[str, Any]) -> None:
        super().__init__(name, folder, settings)
        self.data_dir = settings.get("data_dir")

    def start(self, behind_seconds: int = 0) -> None:
        """Start it, its clock behind by so much."""
        if behind_seconds:
            module = ("tests.chaos.earlier", str(behind_seconds))
            self.launch([sys.executable, "-m", *module, "run"], self._env)
        else:
            super().start()

    @property
    def environment(self) -> dict[str, str]:
        """Its settings, as a command beside it needs them."""
        return self._env

    @property
    def was_started(self) -> bool:
        """Whether it belongs to the world by now, dead or alive."""
        return self.log.exists()

    def resident_mb(self) -> float:
        """Its resident memory now."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def has_port(self, port: int) -> bool:
        """Whether a local port is one end of its connections."""
        inode = _inode_of(port)
        if inode is None or self._process is None:
            return False
        for link in Path(f"/proc/{self._process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                if link.readlink().name == f"socket:[{inode}]":
                    return True
        return False

    def lose_disk(self) -> None:
        """Delete its data folder."""
        if self.data_dir is not None:
            shutil.rmtree(self.data_dir, ignore_errors=True)


def _inode_of(port: int) -> str | None:
    """The inode of the socket of 127.0.0.1 with a local port (Linux)."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == f"0100007F:{port:04X}":
            return fields[9]
    return None


class Watcher:
    """Reads the values topic as it grows, to know how current each KPI is."""

    def __init__(self, address: str, topic: str, behind_ms: int) -> None:
        self.behind_ms = behind_ms
        self.newest: dict[tuple[str, str | None], int] = {}
        self.ages_ms: list[tuple[float, int]] = []
        self._consumer = Consumer(
            {
                "bootstrap.servers": address,
                "group.id": f"watcher-{topic}",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "topic.metadata.refresh.interval.ms": 500,
                "allow.auto.create.topics": False,
                "log_level": 0,
            }
        )
        self._consumer.subscribe([topic])
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(10)
        self._consumer.close()

    @property
    def current(self) -> bool:
        """Whether every KPI of the busiest regions has published its last window in time."""
        return bool(self.ages_ms) and self.ages_ms[-1][1] <= CURRENT_MS

    def recovery_seconds(self, since: float, until_: float) -> float | None:
        """From an instant (monotonic): until all was current again for good, before the next
        fault; 0 if it always was, None if it never was."""
        behind = [at for at, age in self.ages_ms if since <= at <= until_ and age > CURRENT_MS]
        if not behind:
            return 0.0
        later = [at for at, age in self.ages_ms if behind[-1] < at <= until_ and age <= CURRENT_MS]
        return later[0] - since if later else None

    def _run(self) -> None:
        while not self._stopping.is_set():
            for message in self._consumer.consume(500, timeout=0.2):
                if message.error() is None:
                    self._take(json.loads(message.value()))
            watched = [
                self.newest.get((kpi, region), 0)
                for kpi in ("revenue", "basket", "orders", "visits", "conversion")
                for region in ("eu", "us")
            ]
            age_ms = now_ms() - self.behind_ms - min(watched)
            self.ages_ms.append((time.monotonic(), age_ms))

    def _take(self, published: dict[str, Any]) -> None:
        if published["kind"] == "window":
            place = (published["kpi"], published["dimensions"].get("region"))
            self.newest[place] = max(self.newest.get(place, 0), ms(published["end"]))


@dataclass
class Verdict:
    """What a scenario found."""

    windows: int
    transitions: int
    repeats: int
    records: int
    counted: int
    recoveries: list[tuple[str, float | None]] = field(default_factory=list)


class World:
    """One scenario on a cluster; `name` keeps its topics apart from others'."""

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        folder: Path,
        seed: int,
        shares: Shares = EVEN,
        behind_seconds: int = 0,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.cluster, self.name, self.folder, self.seed = cluster, name, folder, seed
        self.rng = random.Random(seed)
        self.prefix = f"{name}-"
        self.rules = folder / "rules"
        self.rules.mkdir()
        self.write_rules(RULES)
        self.workers = [self._worker(n) for n in range(3)]
        self.faults: list[tuple[float, str, bool]] = []
        self._lock = threading.Lock()  # traps kill from the proxies' threads
        for topic, partitions in PARTITIONS.items():
            cluster.create_topic(self.prefix + topic, partitions)
        self._behind_seconds = behind_seconds
        behind_ms = behind_seconds * 1000
        self.traffic = Traffic(cluster.address, self.prefix, seed, shares, behind_ms)
        self.watcher = Watcher(cluster.address, self.values_topic, behind_ms)

    @property
    def values_topic(self) -> str:
        return f"{self.prefix}values"

    def write_rules(self, text: str) -> None:
        """The rules that workers read when they start."""
        text = text.replace("SHOP", self.prefix + SHOP).replace("VISITS", self.prefix + VISITS)
        whole = self.folder / "rules.new"
        whole.write_text(text)
        whole.replace(self.rules / "rules.yaml")  # workers may start at any time

    def _worker(self, number: int) -> Worker:
        settings: dict[str, Any] = {
            "brokers": self.cluster.agents_address,
            "group": f"{self.prefix}agent",
            "topic_prefix": f"{self.prefix}agent",
            "values_topic": self.values_topic,
            "alerts_topic": f"{self.prefix}alerts",
            "rules": self.rules,
            "session_timeout": SESSION_SECONDS,
            "state_partitions": 3,
        }
        if number != 1:  # one keeps its state in memory
            settings["data_dir"] = self.folder / f"data-{number}"
        return Worker(f"{self.name}-{number}", self.folder, settings)

    def start(self, workers: int) -> None:
        """Start workers and traffic, and wait until the figures are current."""
        for worker in self.workers[:workers]:
            worker.start(self._behind_seconds)
        self.traffic.start()
        self.wait_current(120)

    def leap(self, events_per_second: float) -> int:
        """All workers die where their clocks are behind; what happens until now is sent. The
        number of records that wait for anybody who goes on."""
        for worker in self.running():
            worker.kill()
        before = self.traffic.sent
        self.traffic.leap(events_per_second)
        self.watcher.behind_ms = 0
        return self.traffic.sent - before

    def wait_current(self, seconds: float = SETTLE_SECONDS) -> None:
        """Wait until every KPI is current."""
        until(lambda: self.traffic.check() or self.watcher.current, seconds, self.state)

    def recover(self) -> None:
        """Let the last fault show, and wait until every KPI is current again."""
        time.sleep(SESSION_SECONDS + 2)
        self.wait_current()

    def fault(self, what: str, measured: bool = True) -> None:
        """Note a fault, or its end, at this instant; `measured`: recovery is counted from here."""
        self.faults.append((time.monotonic(), what, measured))

    def recovers_from(self, what: str) -> None:
        """Recovery from the last fault is counted from this instant: nobody was there before."""
        self.faults[-1] = (*self.faults[-1][:2], False)
        self.fault(what)

    def let_time_pass(self, low: float, high: float) -> None:
        """Let a random time pass."""
        time.sleep(self.rng.uniform(low, high))

    def running(self) -> list[Worker]:
        return [w for w in self.workers if w.running]

    def kill(self, workers: Iterable[Worker]) -> None:
        """kill -9."""
        killed = list(workers)
        self.fault(f"kill -9 of {len(killed)}")
        for worker in killed:
            worker.kill()

    def kill_at_port(self, port: int) -> None:
        """kill -9 of whichever worker has a connection from a port."""
        with self._lock:
            for worker in self.running():
                if worker.has_port(port):
                    worker.kill()

    def end(self, worker: Worker) -> None:
        """kill -9 of one, unless a trap has been quicker."""
        with self._lock:
            if worker.running:
                worker.kill()

    def begin(self, worker: Worker) -> None:
        """Start one that is dead."""
        with self._lock:
            worker.start()

    def start_dead(self) -> None:
        """Start every worker that was there once and is dead."""
        with self._lock:
            for worker in self.workers:
                if worker.was_started and not worker.running:
                    worker.start()

    def finish(self, changed: frozenset[str] = frozenset()) -> Verdict:
        """End the traffic, wait for the last windows, and hold everything to the truth."""
        self.recover()
        now = time.monotonic()
        end_ms = self.traffic.stop()
        logs = {topic: read_all(self.cluster.address, self.prefix + topic) for topic in PARTITIONS}
        truth = truth_of(logs, end_ms)
        last = truth.frontier_ms - truth.frontier_ms % 5_000
        wanted = [key for key in truth.windows if key[2] == last]
        until(
            lambda: all(self.watcher.newest.get(k[:2], 0) >= last for k in wanted),
            SETTLE_SECONDS,
            self.state,
        )
        time.sleep(3)  # transitions of the same round
        verdict = self._judge(truth, logs, changed)
        ends = [at for at, _, _ in self.faults[1:]] + [now]
        for (at, what, measured), end in zip(self.faults, ends, strict=True):
            seconds = self.watcher.recovery_seconds(at, end)
            # One that the next fault came too soon for says nothing.
            if measured and (seconds is not None or end - at > RECOVERY_SECONDS):
                verdict.recoveries.append((what, seconds))
        return verdict

    def clean_up(self) -> None:
        """End everything of this scenario."""
        for worker in self.workers:
            worker.clean_up()
        self.traffic.end()
        self.watcher.stop()

    # ---- the verdict

    def _judge(
        self, truth: Truth, logs: dict[str, list[Message]], changed: frozenset[str]
    ) -> Verdict:
        published, repeats = self._windows(truth.frontier_ms)
        missing = truth.windows.keys() - published.keys()
        assert not missing, f"{len(missing)} windows missing: {sorted(missing, key=repr)[:5]}"
        extra = {k for k in published.keys() - truth.windows.keys() if k[0] not in changed}
        assert not extra, f"{len(extra)} windows that are none: {sorted(extra, key=repr)[:5]}"
        wrong = [
            (key, published[key], right)
            for key, right in truth.windows.items()
            if not _same(published[key], right)
        ]
        assert not wrong, f"{len(wrong)} windows wrong (key, published, right): {wrong[:5]}"
        transitions = self._transitions(truth, logs, changed)
        self._check_refused(truth)
        counted = sum((w.outcomes() for w in self.running()), Counter())
        return Verdict(len(published), transitions, repeats, truth.records, sum(counted.values()))

    def _published(self, topic: str, frontier_ms: int) -> tuple[list[tuple[bytes, Json]], int]:
        """What a topic says by the frontier, once repeated keys are dropped, and the number of
        repeats. A repeat must say the same."""
        first: dict[bytes, Json] = {}
        repeats = 0
        for message in read_all(self.cluster.address, topic):
            published = json.loads(message.value())
            if ms(published["end"]) > frontier_ms:
                continue
            # When a step was published, and by which version of the rules, may differ.
            published = {
                k: v for k, v in published.items() if k not in ("processed", "config_hash")
            }
            key = message.key() or b""
            repeats += key in first
            known = first.setdefault(key, published)
            assert _alike(known, published), f"published differently: {known} and {published}"
        return list(first.items()), repeats

    def _windows(self, frontier_ms: int) -> tuple[dict[Key, tuple[float | None, int]], int]:
        """The windows that kpi-values says; each must have its target state, if its KPI has one,
        and that state must be right."""
        windows: dict[Key, tuple[float | None, int]] = {}
        states: dict[Key, str] = {}
        lines, repeats = self._published(self.values_topic, frontier_ms)
        for _, published in lines:
            key = (published["kpi"], published["dimensions"].get("region"), ms(published["end"]))
            if published["kind"] == "window":
                assert key not in windows, f"published under two keys: {published}"
                windows[key] = (published["value"], published["events"])
            else:
                states[key] = published["state"]
        right = {k: target_state(v) for k, (v, _) in windows.items() if k[0] == "revenue"}
        differing = sorted(right.items() ^ states.items(), key=repr)
        assert not differing, f"{len(differing)} target states differ: {differing[:6]}"
        return windows, repeats

    def _transitions(
        self, truth: Truth, logs: dict[str, list[Message]], changed: frozenset[str]
    ) -> int:
        plan = load_plan(self.rules)
        named = {self.prefix + topic: records for topic, records in logs.items()}
        expected = {
            (t.rule, t.severity, t.dimensions[0], t.episode_ms, t.state.value): t.at_ms
            for t in faultless_transitions(plan, named, truth.frontier_ms)
            if t.rule not in changed
        }
        transitions: dict[tuple[object, ...], int] = {}
        lines, _ = self._published(f"{self.prefix}alerts", truth.frontier_ms)
        for name, published in lines:
            if ms(published["at"]) >= settled_ms(truth.frontier_ms) or published["rule"] in changed:
                continue
            episode = ms(json.loads(name)["episode"])
            key = (
                published["rule"], published["severity"], published["dimensions"]["region"],
                episode, published["state"],
            )  # fmt: skip
            assert transitions.setdefault(key, ms(published["at"])) == ms(published["at"]), (
                published
            )
        differing = sorted(transitions.items() ^ expected.items(), key=repr)
        assert not differing, f"{len(differing)} transitions differ: {differing[:6]}"
        return len(transitions)

    def _check_refused(self, truth: Truth) -> None:
        """The late topic holds the late records and no other; so do the dead letters."""
        for topic, right in (("late", truth.late), ("dead-letters", truth.rejected)):
            refused = set()
            for message in read_all(self.cluster.address, f"{self.prefix}agent-{topic}"):
                headers = dict(message.headers() or [])
                place = headers["kpi-agent-partition"], headers["kpi-agent-offset"]
                refused.add((int(place[0]), int(place[1])))
            assert refused == right, f"{topic}: {sorted(refused ^ right)[:5]}"

    def state(self) -> str:
        """What to show where waiting was needlessly."""
        published = [f"newest windows, behind by: {self._behind()}", f"sent: {self.traffic.sent}"]
        published += [f"{w.name} {w.get('/-/ready')}\n{w.last_words()}" for w in self.running()]
        return "\n".join([f"seed {self.seed}, {self.name}", *published])

    def _behind(self) -> dict[tuple[str, str | None], float]:
        return {place: (now_ms() - end) / 1000 for place, end in self.watcher.newest.items()}


def ms(iso: str) -> int:
    """An ISO 8601 instant in ms."""
    return round(datetime.fromisoformat(iso).timestamp() * 1000)


def _alike(a: object, b: object) -> bool:
    """Equal, but for the last bits of floating-point numbers."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(a[k], b[k]) for k in a)
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9)
    return a == b


def _same(a: tuple[float | None, int], b: tuple[float | None, int]) -> bool:
    if a[1] != b[1] or (a[0] is None) != (b[0] is None):
        return False
    return a[0] is None or b[0] is None or abs(a[0] - b[0]) <= 1e-9 * max(1.0, abs(a[0]))
