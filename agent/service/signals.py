"""Handles SIGTERM, SIGINT and SIGHUP even while the event loop is busy.

A thread waits for signals, woken by the interpreter's own handler in C (`signal.set_wakeup_fd`),
and passes them on to the loop. The first request to stop starts a deadline. When it is over the
process exits as if it had crashed, whatever the loop, its clean-up or a client's thread still waits
for: the deadline does not depend on the loop and is never withdrawn.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)

EXIT_SECONDS = 25.0
"""Less than the 30 s after which Kubernetes kills a process."""

STOPPING = (signal.SIGTERM, signal.SIGINT)
EXIT_CODE = 1


@contextlib.contextmanager
def handling(
    stop: Callable[[], None], reload: Callable[[], None], exit_seconds: float = EXIT_SECONDS
) -> Iterator[None]:
    """Call `stop` and `reload` on the running loop when a signal requests it. Only in the main
    thread. The process ends within `exit_seconds` of a request to stop, even after the block."""
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    loop = asyncio.get_running_loop()
    numbers = (*STOPPING, signal.SIGHUP)
    before = {number: signal.signal(number, _ignore) for number in numbers}
    woken_before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(
        target=_pass_on, args=(receiver, loop, stop, reload, exit_seconds), name="signals",
        daemon=True,
    )  # fmt: skip
    thread.start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # held back since the start
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        sender.close()  # ends the thread


def _ignore(_number: int, _frame: object) -> None:
    """The handler in C has woken the thread already."""


def _pass_on(
    receiver: socket.socket,
    loop: asyncio.AbstractEventLoop,
    stop: Callable[[], None],
    reload: Callable[[], None],
    exit_seconds: float,
) -> None:
    deadline_set = False
    with receiver:
        while numbers := receiver.recv(64):
            for number in numbers:
                if number in STOPPING and not deadline_set:
                    deadline_set = True
                    _start_deadline(exit_seconds)
                with contextlib.suppress(RuntimeError):  # the loop has ended already
                    loop.call_soon_threadsafe(stop if number in STOPPING else reload)


def _start_deadline(exit_seconds: float) -> None:
    timer = threading.Timer(exit_seconds, _exit_hard, (exit_seconds,))
    timer.daemon = True
    timer.start()


def _exit_hard(exit_seconds: float) -> None:
    log.error("not stopped after %.0f s: exiting as after a crash; nothing is lost", exit_seconds)
    logging.shutdown()
    os._exit(EXIT_CODE)
