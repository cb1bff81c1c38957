"""The steps of the agents' work, as the broker sees them, for faults at just that moment.

Between any two of them stands a promise: frames before the commit that covers them, rows before
what they tell, all that is published before the frames are acknowledged.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.chaos.proxy import (
    FETCH,
    JOIN_GROUP,
    OFFSET_COMMIT,
    OFFSET_FETCH,
    PRODUCE,
    SYNC_GROUP,
    Trap,
)
from tests.chaos.world import World
from tests.integration.waiting import until

CAUGHT_SECONDS = 60


@dataclass(frozen=True)
class Step:
    """A request, and the topic or group that it names, without the world's prefix."""

    api: int
    name: str


STEPS = {
    "frames are sent": Step(PRODUCE, "agent-frames"),
    "a dead letter is sent": Step(PRODUCE, "agent-dead-letters"),
    "a late record is sent": Step(PRODUCE, "agent-late"),
    "source offsets are committed": Step(OFFSET_COMMIT, "agent-ingest"),
    "rows are written": Step(PRODUCE, "agent-series"),
    "windows are published": Step(PRODUCE, "values"),
    "alerts are published": Step(PRODUCE, "alerts"),
    "frames are acknowledged": Step(OFFSET_COMMIT, "agent-merge"),
    "a worker joins stage 1": Step(JOIN_GROUP, "agent-ingest"),
    "a worker joins stage 2": Step(JOIN_GROUP, "agent-merge"),
    "stage 1 is shared out": Step(SYNC_GROUP, "agent-ingest"),
    "stage 2 is shared out": Step(SYNC_GROUP, "agent-merge"),
    "stage 1 asks where to go on": Step(OFFSET_FETCH, "agent-ingest"),
    "stage 2 asks where to go on": Step(OFFSET_FETCH, "agent-merge"),
    "rows are recovered": Step(FETCH, "agent-series"),
}


def kill_at(world: World, step: str, answered: bool) -> None:
    """kill -9 of whichever worker comes to a step first; the dead are started meanwhile, so that
    steps of joining come."""
    trap = set_trap(world, step, answered)
    world.start_dead()
    until(trap.sprung.is_set, CAUGHT_SECONDS, lambda: f"nobody gets to: {step}\n{world.state()}")
    world.fault(f"kill -9 when {step}", measured=False)
    world.let_time_pass(0, 4)


def set_trap(world: World, step: str, answered: bool) -> Trap:
    """A trap for whichever worker comes to the step first."""
    place = STEPS[step]
    trap = Trap(place.api, world.prefix + place.name, answered, world.kill_at_port)
    for node in world.cluster.nodes:
        node.proxy.trap = trap
    return trap


def clear_traps(world: World) -> None:
    """Nobody is caught any more."""
    for node in world.cluster.nodes:
        node.proxy.trap = None
