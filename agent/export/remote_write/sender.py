"""Sends samples to a remote write receiver until it has acknowledged or refused each of them.

response of the receiver               what happens
-------------------------------------  ---------------------------------------------------------
2xx                                    acknowledged
400, 409, 413, 422                     it refuses part of the request: halves of it are sent, down
                                       to single samples; refused ones are dropped
429, 5xx, any other, no response       the request is sent again, after a pause that doubles up to
                                       a minute, or after Retry-After

Rules
-----
- Requests go out one after the other, in the order of time: the samples of a series never overtake
  each other.
- Nothing is dropped while a receiver is down, or for a wrong address or wrong credentials: unsent
  values wait in the values topic.
- Prometheus rolls a whole request back for one refused sample (storage/remote/write_handler.go),
  hence the halves.
- Once the receiver refuses a sample as too old, older ones are dropped unsent for a minute: the
  limit is the same for all series.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import random
import ssl
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from agent import __version__, clock
from agent.client_tls import client_context
from agent.core.output.messages import iso
from agent.errors import EnvironmentFault, reason_of
from agent.export.metrics.text_format import labels_text
from agent.export.remote_write.metrics import RemoteWriteMetrics
from agent.export.remote_write.wire import HEADERS, Labels, Sample, encode
from agent.settings import Settings

log = logging.getLogger(__name__)

SAMPLES_PER_REQUEST = 2_000
"""The default of Prometheus (`max_samples_per_send`)."""
TIMEOUT_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
LONGEST_RETRY_AFTER_SECONDS = 600.0
FLOOR_SECONDS = 60.0
REFUSED = frozenset({400, 409, 413, 422})
TOO_OLD = ("out of bounds", "too old", "too-old")
"""In the error messages of Prometheus (storage/interface.go) and Mimir (pkg/util/globalerror)."""


class _RefusedError(Exception):
    """The receiver refuses part of a request."""


class _UnavailableError(Exception):
    """The receiver accepts no request now. `retry_after_seconds`: of its Retry-After header."""

    def __init__(self, reason: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


class Sender:
    """Delivers samples to the receiver of the settings. Use it as a context manager."""

    def __init__(
        self,
        settings: Settings,
        metrics: RemoteWriteMetrics,
        now_ms: Callable[[], int] = clock.now_ms,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        self._settings = settings
        self._url = settings.remote_write_url
        self._metrics = metrics
        self._now_ms = now_ms
        self._first_pause_seconds = first_pause_seconds
        self._session: aiohttp.ClientSession | None = None
        self._is_down = False
        self._floor: tuple[int, float] | None = None  # too old (ms), until (monotonic)
        self._refused = 0  # in this delivery; the first of them, and the response
        self._first_refused: tuple[Sample, str] | None = None

    async def deliver(self, samples: Sequence[Sample]) -> None:
        """Send samples, and return once each is acknowledged or dropped, however long that takes.

        The order of equal times is kept."""
        ordered = sorted(samples, key=lambda sample: sample.at_ms)
        for begin in range(0, len(ordered), SAMPLES_PER_REQUEST):
            await self._deliver(ordered[begin : begin + SAMPLES_PER_REQUEST])
        self._log_refused()

    async def __aenter__(self) -> Sender:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _deliver(self, samples: Sequence[Sample]) -> None:
        samples = self._above_floor(samples)
        if not samples:
            return
        try:
            await self._send(await asyncio.to_thread(encode, samples))
        except _RefusedError as error:
            if len(samples) == 1:
                self._drop(samples[0], str(error))
                return
            middle = len(samples) // 2
            await self._deliver(samples[:middle])
            await self._deliver(samples[middle:])
        else:
            self._metrics.sent.inc(len(samples))

    async def _send(self, body: bytes) -> None:
        """Send a request until it is accepted. Raises _RefusedError."""
        pause_seconds = self._first_pause_seconds
        while True:
            try:
                await self._post(body)
            except (
                _UnavailableError, EnvironmentFault, aiohttp.ClientError, OSError, TimeoutError
            ) as error:  # fmt: skip
                self._failed(error)
                # Secrets and certificates are read again: they may have been replaced.
                await self._close()
                retry_after = getattr(error, "retry_after_seconds", None)
                # Not in step with other workers that failed for the same reason.
                jitter = random.uniform(0.5, 1.5)  # noqa: S311
                await asyncio.sleep(retry_after or pause_seconds * jitter)
                pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
            else:
                if self._is_down:
                    self._is_down = False
                    log.info("remote write reaches %s again", self._url)
                return

    async def _post(self, body: bytes) -> None:
        if self._session is None:
            self._session = new_session(self._settings)
        # A redirect would send the credentials to another host.
        async with self._session.post(self._url, data=body, allow_redirects=False) as response:
            if response.status // 100 == 2:
                return
            text = f"{response.status}: {(await response.text(errors='replace'))[:300].strip()}"
            if response.status in REFUSED:
                raise _RefusedError(text)
            header = response.headers.get("Retry-After", "")
            raise _UnavailableError(text, retry_after_seconds(header, self._now_ms()))

    def _failed(self, error: Exception) -> None:
        self._metrics.failures.inc()
        if not self._is_down:
            reason = reason_of(error)
            log.error("remote write to %s failed, retrying: %s", self._url, reason)
        self._is_down = True

    # --- refused samples

    def _above_floor(self, samples: Sequence[Sample]) -> Sequence[Sample]:
        """Drop samples that are older than one that was refused as too old; returns the others."""
        if self._floor is None:
            return samples
        floor_ms, until = self._floor
        if time.monotonic() > until:
            self._floor = None
            return samples
        kept = [sample for sample in samples if sample.at_ms > floor_ms]
        self._metrics.dropped.labels("too_old").inc(len(samples) - len(kept))
        self._refused += len(samples) - len(kept)
        return kept

    def _drop(self, sample: Sample, text: str) -> None:
        is_too_old = any(words in text for words in TOO_OLD) and sample.at_ms < self._now_ms()
        self._metrics.dropped.labels("too_old" if is_too_old else "rejected").inc()
        if is_too_old:
            self._floor = sample.at_ms, time.monotonic() + FLOOR_SECONDS
        self._refused += 1
        self._first_refused = self._first_refused or (sample, text)

    def _log_refused(self) -> None:
        if self._first_refused is not None:
            sample, text = self._first_refused
            log.error(
                "%s refused %d samples, which are dropped; the first is %s at %s: %s",
                self._url, self._refused, series_text(sample.labels), iso(sample.at_ms), text,
            )  # fmt: skip
        self._refused, self._first_refused = 0, None

    async def _close(self) -> None:
        if self._session is not None:
            await self._session.close()
        self._session = None


def new_session(settings: Settings) -> aiohttp.ClientSession:
    """A session with the credentials and certificates of the settings. Raises EnvironmentFault if
    one of their files can't be read."""
    headers = {**settings.remote_write_header_values, **HEADERS}
    headers["User-Agent"] = f"kpi-agent/{__version__}"
    if settings.remote_write_user:
        credentials = f"{settings.remote_write_user}:{settings.password_of('remote_write') or ''}"
        headers["Authorization"] = f"Basic {base64.b64encode(credentials.encode()).decode()}"
    elif (token := settings.token_of("remote_write")) is not None:
        headers["Authorization"] = f"Bearer {token}"
    return aiohttp.ClientSession(
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
        connector=aiohttp.TCPConnector(ssl=_tls(settings)),
    )


def _tls(settings: Settings) -> ssl.SSLContext:
    return client_context(
        settings.remote_write_cafile,
        settings.remote_write_certfile,
        settings.remote_write_keyfile,
        "the TLS files of remote write can't be used",
        "remote_write_cafile, _certfile and _keyfile must be readable PEM files.",
    )


def retry_after_seconds(header: str, now_ms: int) -> float | None:
    """The pause of a Retry-After header, seconds or a date (RFC 9110, 10.2.3); at most ten
    minutes."""
    try:
        if header.strip().isdigit():
            seconds = float(header)
        else:
            at = parsedate_to_datetime(header)
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
            seconds = (at - datetime.fromtimestamp(now_ms / 1000, UTC)).total_seconds()
    except ValueError:
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS)


def series_text(labels: Labels) -> str:
    """`kpi_revenue_eur{region="emea"}`."""
    named = dict(labels)
    name = named.pop("__name__", "")
    return f"{name}{{{labels_text(named.items())}}}"
