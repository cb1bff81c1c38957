"""Workers are killed at moments that are no step of their daily work: while topics are created, in
a shutdown, in a reload, while a past is read; and so is a command that corrects what was published.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime

import pytest

from tests.chaos.faults import conclude
from tests.chaos.traffic import RULES, SHOP, now_ms
from tests.chaos.truth import read_all
from tests.chaos.world import Verdict, Worker, World, ms

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(900), pytest.mark.full]

ROUNDS = 4
WINDOW_MS = 5_000
PAST = """\
  past{}: {{from: order, value: sum(amount), by: [region], window: 5s, backfill: 1d}}
rules:
"""
Windows = dict[tuple[str | None, int], tuple[float | None, int]]


def kill_within(world: World, worker: Worker, seconds: float) -> None:
    """kill -9 after a part of some seconds, unless it has ended by itself."""
    world.let_time_pass(0, seconds)
    worker.clean_up()


def windows(world: World, kpi: str) -> Windows:
    """The windows of a KPI as a consumer sees them that keeps the newest of each key."""
    newest: Windows = {}
    for message in read_all(world.cluster.address, world.values_topic):
        line = json.loads(message.value())
        if line["kind"] == "window" and line["kpi"] == kpi:
            key = line["dimensions"]["region"], ms(line["end"])
            newest[key] = line["value"], line["events"]
    return newest


def reload(world: World) -> None:
    """Let all read their rules again; it ends one that has only just started."""
    for worker in world.running():
        worker.signal(signal.SIGHUP)


def start_dead(world: World) -> None:
    """Start those that were killed, and those that have ended."""
    for worker in world.workers:
        if not worker.running:
            worker.clean_up()
    world.start_dead()


def readings(world: World) -> dict[str, int]:
    """By worker, how many pasts it has begun to read."""
    logs = {w.name: w.log.read_text() for w in world.workers if w.was_started}
    return {name: text.count(": reading topic") for name, text in logs.items()}


def next_reader(world: World, known: dict[str, int], seconds: float = 30) -> Worker | None:
    """The worker that begins to read a past next, which is noted as known; None: nobody does."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for worker in world.running():
            count = readings(world)[worker.name]
            if count > known[worker.name]:
                known[worker.name] = count
                return worker
        time.sleep(0.02)
    return None


def conclude_exactly(world: World, changed: frozenset[str] = frozenset()) -> Verdict:
    start_dead(world)
    world.fault("all started again", measured=False)
    verdict = world.finish(changed)
    conclude(world, verdict)
    return verdict


def test_workers_are_killed_while_they_create_the_topics(world: World) -> None:
    for _ in range(2 * ROUNDS):
        for worker in world.workers[:2]:
            worker.start()
        for worker in world.workers[:2]:
            kill_within(world, worker, 2.5)
    world.start(2)
    conclude_exactly(world)


def test_workers_are_killed_while_they_shut_down(world: World) -> None:
    world.start(2)
    for _ in range(2 * ROUNDS):
        worker = world.rng.choice(world.running())
        world.fault("SIGTERM, then kill -9", measured=False)
        worker.signal(signal.SIGTERM)
        kill_within(world, worker, 1.5)
        world.let_time_pass(0, 4)
        start_dead(world)
        world.let_time_pass(0, 6)
    conclude_exactly(world)


def test_workers_are_killed_while_they_reload(world: World) -> None:
    world.start(2)
    for number in range(2 * ROUNDS):
        more = f"rules:\n  more{number}: {{kpi: basket, when: value > 3}}\n"
        world.write_rules(RULES.replace("rules:\n", more))
        victim = world.rng.choice(world.running())
        reload(world)
        kill_within(world, victim, 2.5)
        world.let_time_pass(0, 4)
        start_dead(world)
        world.let_time_pass(0, 6)
    changed = frozenset(f"more{number}" for number in range(2 * ROUNDS))
    conclude_exactly(world, changed)


def test_workers_are_killed_while_a_past_is_read(world: World) -> None:
    """The past of a KPI with `backfill` is that of one that was always there."""
    world.start(2)
    added, kills = [f"past{number}" for number in range(ROUNDS)], 0
    rules = RULES
    for number in range(ROUNDS):
        rules = rules.replace("rules:\n", PAST.format(number))
        world.write_rules(rules)
        known = readings(world)
        reload(world)
        for _ in range(3):
            reader = next_reader(world, known)
            if reader is None:
                break  # it has its past
            kill_within(world, reader, 0.6)
            kills += 1
            start_dead(world)
    assert kills > ROUNDS, "nobody was killed twice over the same past"
    time.sleep(15)
    conclude_exactly(world, frozenset(added))
    right = windows(world, "revenue")
    last = max(end for _, end in right)
    for name in added:
        past = windows(world, name)
        unlike = {k for k in right.keys() | past.keys() if right.get(k) != past.get(k)}
        unlike = {k for k in unlike if k[1] < last - WINDOW_MS}
        assert not unlike, f"{name}: {sorted((k, right.get(k), past.get(k)) for k in unlike)[:5]}"


def test_a_restatement_is_killed_while_it_corrects(world: World) -> None:
    """Late events count then, each once; the workers go on, and die as well."""
    world.start(2)
    began_ms = now_ms()
    time.sleep(60)
    conclude_exactly(world)
    before = windows(world, "revenue")
    since_ms, until_ms = began_ms + 10_000, began_ms + 50_000
    for _ in range(ROUNDS):
        running = restatement(world, since_ms, until_ms)
        world.let_time_pass(0.5, 4)
        running.kill()
        running.wait()
        kill_within(world, world.rng.choice(world.running()), 1)
        start_dead(world)
    done = restatement(world, since_ms, until_ms)
    words, _ = done.communicate(timeout=120)
    assert done.returncode == 0, words
    right = sums(world)
    published = windows(world, "revenue")
    restated = {
        key: value
        for key, value in published.items()
        if key[1] > since_ms and key[1] - WINDOW_MS < until_ms
    }
    wrong = [
        (key, value, right.get(key))
        for key, value in restated.items()
        if value[1] and value != right.get(key)
    ]
    assert not wrong, wrong[:5]
    others = before.keys() - restated.keys()
    assert {k: published[k] for k in others} == {k: before[k] for k in others}
    assert any(before.get(key) != value for key, value in restated.items()), "nothing was late"


def restatement(world: World, since_ms: int, until_ms: int) -> subprocess.Popen[str]:
    """`kpi-agent restate revenue --apply`, under way."""
    since, until = (
        datetime.fromtimestamp(at / 1000, UTC).isoformat() for at in (since_ms, until_ms)
    )
    command = ["restate", "revenue", "--since", since, "--until", until, "--apply"]
    return subprocess.Popen(
        [sys.executable, "-m", "agent", *command, "--rules", str(world.rules)],
        env={**os.environ, **world.workers[0].environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def sums(world: World) -> Windows:
    """Revenue by region and window, with late orders, each order once."""
    orders: dict[str, tuple[str | None, int, float]] = {}
    for message in read_all(world.cluster.address, world.prefix + SHOP):
        try:
            body = json.loads(message.value())
        except ValueError:
            continue
        if body["amount"] >= 0:
            orders[body["order_id"]] = (body["region"], body["at"], body["amount"])
    made: Windows = defaultdict(lambda: (0.0, 0))
    for region, at, amount in orders.values():
        key = region, at - at % WINDOW_MS + WINDOW_MS
        value, events = made[key]
        made[key] = (value or 0.0) + amount, events + 1
    return made
