"""Workers, brokers and networks fail; every figure stays exact and is soon current again.

Without `--full` one short run has the faults of workers and network. The seed is in the name of
every failure: `--chaos-seed N` draws the same traffic and the same faults, as far as time allows.
"""

from __future__ import annotations

import math
import time

import pytest

from tests.chaos.faults import conclude, kill_and_restart, zombie
from tests.chaos.steps import STEPS, kill_at
from tests.chaos.traffic import RULES
from tests.chaos.world import World
from tests.integration.waiting import until

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(900)]

ROUNDS = 4


def test_short(world: World) -> None:
    """Kills, a zombie and a cut of the network in a minute or two."""
    world.start(2)
    kill_and_restart(world, 1)
    zombie(world)
    world.fault("network cut", measured=False)
    world.cluster.cut()
    time.sleep(8)
    world.cluster.mend()
    world.fault("network is back after 8 s")
    world.recover()
    kill_and_restart(world, 2)
    for step in ("frames are sent", "rows are written", "windows are published"):
        kill_at(world, step, answered=True)
    world.start_dead()
    # Recovery is published, not evaluated: landings share a busy machine.
    conclude(world, world.finish(), limit_seconds=math.inf)


@pytest.mark.full
@pytest.mark.parametrize("count", [1, 2, 3])
def test_workers_are_killed_again_and_again(world: World, count: int) -> None:
    world.start(3)
    for _ in range(ROUNDS):
        kill_and_restart(world, count)
        world.let_time_pass(0, 6)
    conclude(world, world.finish())


@pytest.mark.full
def test_workers_are_killed_before_they_recover(world: World) -> None:
    """No time to get current in between."""
    world.start(3)
    for _ in range(2 * ROUNDS):
        victim = world.rng.choice(world.workers)
        if victim.running:
            victim.kill()
        world.let_time_pass(0, 5)
        if not victim.running:
            victim.start()
        world.let_time_pass(0, 5)
    world.start_dead()
    world.fault("killed before they recover")
    conclude(world, world.finish())


@pytest.mark.full
@pytest.mark.parametrize("answered", [False, True], ids=["before it", "after it"])
def test_workers_are_killed_at_each_step_of_their_work(world: World, answered: bool) -> None:
    """Before the broker learns of the step; when it has answered, and the worker has not
    received."""
    world.start(3)
    world.end(world.rng.choice(world.running()))  # somebody joins, whichever step is first
    steps = list(STEPS)
    world.rng.shuffle(steps)
    for step in steps:
        kill_at(world, step, answered)
    world.start_dead()
    world.fault("all started again after kill -9 at each step")
    conclude(world, world.finish())


@pytest.mark.full
def test_zombies_wake_up(world: World) -> None:
    world.start(3)
    for _ in range(ROUNDS):
        zombie(world)
    conclude(world, world.finish())


@pytest.mark.full
def test_a_worker_joins(world: World) -> None:
    """Nobody dies, so no record is without an outcome."""
    world.start(1)
    for worker in world.workers[1:]:
        world.fault("+1 worker")
        worker.start()
        world.recover()
    verdict = world.finish()
    assert verdict.counted >= verdict.records  # more where a busy machine lost a member
    conclude(world, verdict)


@pytest.mark.full
def test_workers_join_and_leave(world: World) -> None:
    """1 → 3 → 2 → 1 → 3."""
    world.start(1)
    for change in (+2, -1, -1, +2):
        world.fault(f"{change:+d} workers")
        if change > 0:
            for worker in [w for w in world.workers if not w.running][:change]:
                worker.start()
        else:
            leaver = world.rng.choice(world.running())
            assert leaver.terminate() == 0, leaver.last_words()
        world.recover()
    conclude(world, world.finish())


@pytest.mark.full
def test_the_broker_is_restarted(world: World) -> None:
    world.start(2)
    node = world.cluster.nodes[0]
    for stop in (node.terminate, node.kill):
        world.fault("broker stopped", measured=False)
        stop()
        world.let_time_pass(2, 6)
        node.start()
        until(world.cluster.answers, 90, node.last_words)
        world.fault("broker is back")
        world.recover()
    conclude(world, world.finish())


@pytest.mark.full
def test_the_network_is_cut_for_a_minute(world: World) -> None:
    world.start(2)
    world.cluster.cut()
    time.sleep(60)
    world.cluster.mend()
    world.fault("network is back after 60 s")
    conclude(world, world.finish())


@pytest.mark.full
def test_a_disk_is_lost(world: World) -> None:
    world.start(2)
    for _ in range(3):
        victim = world.workers[0]
        world.kill([victim])
        victim.lose_disk()
        victim.start()
        world.recover()
    conclude(world, world.finish())


@pytest.mark.full
def test_leaders_of_the_agents_topics_are_killed(wide_world: World) -> None:
    world = wide_world
    world.start(2)
    for topic in ("frames", "series", "frames"):
        node = world.cluster.leader(f"{world.prefix}agent-{topic}", world.rng.randrange(3))
        node.kill()
        # How long brokers take to elect leaders is not ours.
        world.fault(f"leader of {topic} killed", measured=False)
        time.sleep(15)
        node.start()
        until(world.cluster.answers, 90, node.last_words)
        world.fault("broker is back")
        world.recover()
    conclude(world, world.finish())


@pytest.mark.full
def test_rules_change_while_workers_roll(world: World) -> None:
    """Another threshold and one more KPI, old and new workers side by side."""
    world.start(3)
    more = "  dearest: {from: order, value: max(amount), by: [region], window: 5s}\nrules:\n"
    world.write_rules(RULES.replace("rules:\n", more).replace("value > 400", "value > 350"))
    for worker in list(world.workers):
        world.fault("one worker rolled")
        assert worker.terminate() == 0, worker.last_words()
        worker.start()
        world.recover()
    conclude(world, world.finish(frozenset({"dearest", "rich"})))
