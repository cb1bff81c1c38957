"""Detects workers of a group that run different rules.

Each worker writes its own row to the board topic, which all workers read. In a rolling change there
are two rule sets for a while; if that lasts longer, it is a mistake, and values are mixed: each
record is folded by the rules of the worker that reads it.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable

import msgspec

from agent.core.model.event_counts import RecordCounts

log = logging.getLogger(__name__)

ALIVE_MS = 60_000
"""Workers write their rows every ten seconds; one whose row is older does not run."""
ROLLING_CHANGE_MS = 15 * 60_000
"""How long workers may run different rules. The generated alert waits as long."""
FORGOTTEN_MS = 3_600_000
REPEAT_MS = 3_600_000


class WorkerRow(msgspec.Struct, frozen=True, tag="worker"):
    """A worker as a row of the board topic: the rules that it runs, when (wall clock), and its
    counts of each event's records."""

    worker: str
    config_hash: str
    at_ms: int
    counts: RecordCounts | None = None


def this_worker() -> str:
    """The name of this process for other workers and for people."""
    return f"{socket.gethostname()}:{os.getpid()}"


class RuleSets:
    """Logs when another worker runs other rules, as an error after ROLLING_CHANGE_MS."""

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._since_ms: int | None = None  # since when two rule sets run
        self._logged_ms: int | None = None

    def observe(self, config_hash: str, rows: Iterable[WorkerRow], now_ms: int) -> None:
        """Check the rows of all workers."""
        others = [
            row
            for row in rows
            if row.worker != self._worker
            and row.config_hash != config_hash
            and now_ms - row.at_ms <= ALIVE_MS
        ]
        if not others:
            self._since_ms = self._logged_ms = None
            return
        if self._since_ms is None:
            self._since_ms = now_ms
            log.info("%s: a rolling change?", _others(others, config_hash))
        is_new = self._logged_ms is None or now_ms - self._logged_ms >= REPEAT_MS
        if now_ms - self._since_ms >= ROLLING_CHANGE_MS and is_new:
            self._logged_ms = now_ms
            log.error(
                "%s, for %d minutes: KPIs that differ have mixed values. Give all workers "
                "the same rules, or each installation its own group and topic_prefix",
                _others(others, config_hash), (now_ms - self._since_ms) // 60_000,
            )  # fmt: skip

    @staticmethod
    def forgotten(rows: Iterable[WorkerRow], now_ms: int) -> list[str]:
        """The workers whose rows can be deleted, because they stopped long ago."""
        return [row.worker for row in rows if now_ms - row.at_ms > FORGOTTEN_MS]


def _others(others: Iterable[WorkerRow], config_hash: str) -> str:
    names = ", ".join(sorted(f"{row.worker} ({row.config_hash})" for row in others))
    return f"worker {names} of this group runs other rules than this one ({config_hash})"
