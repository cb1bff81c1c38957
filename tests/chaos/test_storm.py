"""Faults drawn at random, several at a time, for minutes: the moments that nobody thought of."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.chaos.cluster import Node
from tests.chaos.faults import conclude
from tests.chaos.steps import STEPS, clear_traps, set_trap
from tests.chaos.traffic import RULES
from tests.chaos.world import Worker, World
from tests.integration.waiting import until

pytestmark = [
    pytest.mark.needs_kafka,
    pytest.mark.timeout(1_800),
    pytest.mark.full,
]


@dataclass
class Storm:
    """What is broken just now. One broker at most is down, or records could not be written."""

    world: World
    asleep: set[str] = field(default_factory=set)
    cut: bool = False
    down: Node | None = None
    reloads: int = 0

    def strike(self) -> None:
        """One fault, or the end of one, of those that are possible now."""
        possible = self.possible()
        weights = [weight for weight, _ in possible.values()]
        what = self.world.rng.choices(list(possible), weights)[0]
        self.world.fault(what, measured=False)
        possible[what][1]()

    def possible(self) -> dict[str, tuple[int, Callable[[], None]]]:
        """By name: how often it is drawn, and what it does."""
        living = self.world.running()
        awake = [w for w in living if w.name not in self.asleep]
        blows: dict[str, tuple[int, Callable[[], None]]] = {}
        if living:
            blows["kill -9 of one"] = (3, lambda: self.kill(1))
            blows["kill -9 of all"] = (1, lambda: self.kill(len(living)))
            blows["kill -9 at some step"] = (4, self.kill_at_step)
        if awake:
            blows["SIGSTOP"] = (3, lambda: self.stop(awake))
            blows["rules reloaded"] = (2, lambda: self.reload(awake))
            blows["rules reloaded, then kill -9"] = (1, lambda: self.kill_reloading(awake))
        if self.asleep:
            blows["SIGCONT"] = (5, self.wake)
        if len(living) < len(self.world.workers):
            blows["started"] = (6, lambda: self.start(die=False))
            blows["started, and killed while it starts"] = (3, lambda: self.start(die=True))
        if not self.cut and self.down is None:
            blows["network cut"] = (1, self.cut_off)
            blows["broker stopped"] = (2, self.stop_broker)
            if awake:
                blows["left in good order"] = (1, lambda: self.leave(awake))
        if self.cut:
            blows["network back"] = (6, self.mend)
        if self.down is not None:
            blows["broker back"] = (6, self.start_broker)
        return blows

    def kill(self, count: int) -> None:
        for worker in self.world.rng.sample(self.world.running(), count):
            self._kill(worker)

    def _kill(self, worker: Worker) -> None:
        self.world.end(worker)
        self.asleep.discard(worker.name)
        if self.world.rng.random() < 0.2:
            worker.lose_disk()

    def kill_at_step(self) -> None:
        """Sprung while other faults go on, if at all."""
        step = self.world.rng.choice(list(STEPS))
        set_trap(self.world, step, answered=self.world.rng.random() < 0.5)

    def stop(self, awake: list[Worker]) -> None:
        worker = self.world.rng.choice(awake)
        if worker.running:  # no trap was quicker
            worker.signal(signal.SIGSTOP)
            self.asleep.add(worker.name)

    def wake(self) -> None:
        name = self.world.rng.choice(sorted(self.asleep))
        self.asleep.discard(name)
        worker = next(w for w in self.world.workers if w.name == name)
        if worker.running:
            worker.signal(signal.SIGCONT)

    def reload(self, awake: list[Worker]) -> None:
        """Other words, of a KPI that no alert speaks of; the same figures."""
        self.reloads += 1
        titled = RULES.replace("  visits: {", f"  visits: {{title: Visits {self.reloads}, ")
        assert titled != RULES
        self.world.write_rules(titled)
        for worker in awake:
            if worker.running:
                worker.signal(signal.SIGHUP)

    def kill_reloading(self, awake: list[Worker]) -> None:
        self.reload(awake)
        self.world.let_time_pass(0, 3)
        self._kill(self.world.rng.choice(awake))

    def start(self, die: bool) -> None:
        worker = self.world.rng.choice([w for w in self.world.workers if not w.running])
        self.world.begin(worker)
        if die:
            self.world.let_time_pass(0.5, 6)
            self._kill(worker)

    def leave(self, awake: list[Worker]) -> None:
        worker = self.world.rng.choice(awake)
        if worker.running:
            worker.terminate()

    def cut_off(self) -> None:
        self.cut = True
        self.world.cluster.cut()

    def mend(self) -> None:
        self.cut = False
        self.world.cluster.mend()

    def stop_broker(self) -> None:
        """One that leads a partition of the agents' own topics."""
        rng = self.world.rng
        topic = rng.choice(["frames", "series", "values"])
        name = self.world.values_topic if topic == "values" else f"{self.world.prefix}agent-{topic}"
        self.down = self.world.cluster.leader(name, rng.randrange(3))
        rng.choice([self.down.terminate, self.down.kill])()

    def start_broker(self) -> None:
        assert self.down is not None
        self.down.start()
        until(self.world.cluster.answers, 90, self.down.last_words)
        self.down = None

    def end(self) -> None:
        """All is mended at once."""
        clear_traps(self.world)
        if self.cut:
            self.mend()
        while self.asleep:
            self.wake()
        if self.down is not None:
            self.start_broker()
        self.world.start_dead()


def test_storm(wide_world: World, request: pytest.FixtureRequest) -> None:
    """Three workers, three brokers."""
    world = wide_world
    world.start(3)
    storm = Storm(world)
    over = time.monotonic() + 60 * request.config.getoption("--storm-minutes")
    while time.monotonic() < over:
        storm.strike()
        # Two at once, or while the last one is still felt; seldom after it.
        world.let_time_pass(*world.rng.choice([(0, 0.3), (0.5, 4), (0.5, 4), (4, 12)]))
    storm.end()
    world.fault("the storm is over")
    conclude(world, world.finish())
