"""Faults that several scenarios have in common, and what is asked after all of them."""

from __future__ import annotations

import logging
import signal
import time

from tests.chaos.world import RECOVERY_SECONDS, SESSION_SECONDS, Verdict, World

log = logging.getLogger(__name__)


def conclude(world: World, verdict: Verdict, limit_seconds: float = RECOVERY_SECONDS) -> None:
    """Say what was found; recovery is part of the promise."""
    log.warning("%s, seed %d: %s", world.name, world.seed, verdict)
    slow = [(what, s) for what, s in verdict.recoveries if s is None or s > limit_seconds]
    assert not slow, f"seed {world.seed}: not current within {limit_seconds} s: {slow}"


def kill_and_restart(world: World, count: int) -> None:
    """kill -9 of some workers; they are started again at once or after a while."""
    killed = world.rng.sample(world.running(), min(count, len(world.running())))
    world.kill(killed)
    if world.rng.random() < 0.5:
        world.let_time_pass(1, SESSION_SECONDS + 2)
    if not world.running():
        world.recovers_from("all started again after kill -9")
    for worker in killed:
        worker.start()
    world.recover()


def zombie(world: World) -> None:
    """A worker sleeps until the others have its share, and wakes up."""
    sleeper = world.rng.choice(world.running())
    world.fault("SIGSTOP past the session timeout")
    sleeper.signal(signal.SIGSTOP)
    time.sleep(SESSION_SECONDS + world.rng.uniform(3, 8))
    world.fault("SIGCONT")
    sleeper.signal(signal.SIGCONT)
    world.recover()
