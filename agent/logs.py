"""Logging of the long-running commands: lines for people, or JSON for machines, on stderr."""

from __future__ import annotations

import json
import logging
import sys
import time

from agent.core.model.printable import printable_lines
from agent.settings import Settings

QUIET = ("aiokafka", "faust", "mode", "asyncio", "aiohttp.access")
"""Libraries that log every step; only their warnings matter here."""

SILENT = {
    # mode logs what a service does under the module of its class.
    "agent.kafka.state_table": logging.WARNING,
    "agent.kafka.state_store": logging.WARNING,
    # Faust says that its buffer is full whenever a round writes more than 100 rows.
    "faust.transport.producer": logging.ERROR,
}


REPEAT_SECONDS = 60.0
HICCUPS_SECONDS = 60.0
"""How long after a start the retries of clients are not logged: topics that were just created have
no leader yet, and a group has no coordinator."""


class _RateLimit(logging.Filter):
    """Passes each kind of library message once a minute: without a broker they repeat several
    times a second, and `/-/ready` reports the reason anyway."""

    def __init__(self) -> None:
        super().__init__()
        self._logged_at: dict[tuple[str, str], float] = {}
        self._began = time.monotonic()

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(QUIET):
            return True
        if _is_retried(record):
            if time.monotonic() - self._began < HICCUPS_SECONDS:
                return False
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        key, now = (record.name, str(record.msg)), time.monotonic()
        if now - self._logged_at.get(key, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return False
        self._logged_at[key] = now
        return True


def _is_retried(record: logging.LogRecord) -> bool:
    """Whether a Kafka client logs an error that it retries."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    return record.name.startswith("aiokafka") and any(
        getattr(argument, "retriable", False) is True for argument in arguments
    )


class _Lines(logging.Formatter):
    """Lines for people; control characters in values and messages are visible."""

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))


class _Json(logging.Formatter):
    """One JSON object a line: `at` (ISO 8601, UTC), `level`, `logger`, `message`, `error`."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "at": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(settings: Settings) -> None:
    """Send the log to stderr, as the settings say."""
    handler = logging.StreamHandler(sys.stderr)
    if settings.log_format == "json":
        handler.setFormatter(_Json())
    else:
        handler.setFormatter(_Lines("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    if settings.log_level != "debug":
        handler.addFilter(_RateLimit())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    # Their debug messages show whole records, and with them people.
    level = logging.INFO if settings.log_level == "debug" else logging.WARNING
    for name in QUIET:
        logging.getLogger(name).setLevel(level)
    if settings.log_level != "debug":
        for name, level in SILENT.items():
            logging.getLogger(name).setLevel(level)
