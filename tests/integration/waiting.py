"""Waiting for what other processes do: with a deadline, and with words for when it passes."""

from __future__ import annotations

import ctypes
import fcntl
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")

LOG_LINES_SHOWN = 40
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def until(
    look: Callable[[], Found], seconds: float, what: Callable[[], str] | str, every: float = 0.25
) -> Found:
    """What `look` finds, once it finds something true. AssertionError with `what` in the end."""
    deadline = time.monotonic() + seconds
    while True:
        if seen := look():
            return seen
        if time.monotonic() > deadline:
            published = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {seconds:.0f} s: {published}")
        time.sleep(every)


BLOCKS = range(10_000, 32_000, 1_000)
"""Of ports below those that systems give to outgoing connections (from 32768 on)."""


@cache
def _ports() -> Iterator[int]:
    """The ports of blocks that no other process of tests has, for as long as this one lives."""
    locks = []
    for first in BLOCKS:
        try:
            lock = (Path(tempfile.gettempdir()) / f"kpi-agent-ports-{first}").open("w")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another process has it, or another user's had it
            continue
        locks.append(lock)
        yield from range(first, first + 1_000)


def free_port() -> int:
    """A port of this machine that nobody listens on. No call gives the same again, in no process
    of tests: what is free stays free until a server starts on it."""
    for port in _ports():
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("all ports are taken")


def _die_with_parent() -> None:
    """Where the tests themselves are killed, what they started goes with them (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A program in the background, its output in a file that is shown where it fails."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self, command: list[str], env: dict[str, str] | None = None) -> None:
        """Start it; what it says is added to the log."""
        assert self._process is None, f"{self.name} runs already"
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=env,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one call of libc, no lock
            )

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def check_runs(self) -> None:
        """AssertionError with its last words, when it ended by itself."""
        assert self.running, f"{self.name} ended by itself:\n{self.last_words()}"

    def last_words(self) -> str:
        """The end of its log."""
        if not self.log.exists():
            return "(it said nothing)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def terminate(self, seconds: float = 60) -> int:
        """SIGTERM, and the exit code. AssertionError when it does not end in time."""
        return self._end(subprocess.Popen.terminate, seconds)

    def kill(self) -> None:
        """SIGKILL."""
        self._end(subprocess.Popen.kill, 60)

    def clean_up(self) -> None:
        """End it, however it stands."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)
            self._process = None

    def _end(self, how: Callable[[subprocess.Popen[bytes]], None], seconds: float) -> int:
        process = self._process
        assert process is not None, f"{self.name} does not run"
        how(process)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.name} did not end within {seconds:.0f} s:\n{self.last_words()}"
            ) from None
        self._process = None
        return code
