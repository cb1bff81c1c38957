"""Sends alerts to Alertmanager directly, without a scrape: API v2, `POST /api/v2/alerts`.

At every tick, the alerts that an Alertmanager should have are computed from the series held here,
and compared with those that it has acknowledged. So nothing queues up while an Alertmanager is
down: it then gets the current state.

States and events. For one alert at one Alertmanager, what was sent last, and what it should have:

    sent       wanted                       due
    ---------  ---------------------------  ------------------------------------------------------
    nothing    fires                        the alert
    nothing    has ended, lately            the end: another worker may have sent the beginning
    fires      fires, as it was sent        the alert again, once `resend_seconds` have passed
    fires      fires, with another text     the alert
    fires      has ended                    the end, with the beginning that was sent
    fires      nothing, series held here    the end, now: its rule is gone, inhibited or renamed
    fires      nothing, series of another   nothing, and it is forgotten: its owner sends it
    the end    has ended                    nothing
    the end    fires                        the alert: another episode
    the end    nothing                      nothing, and it is forgotten

Rules
-----
- An alert counts as sent once it is acknowledged; otherwise it is due again after a pause, which
  doubles up to a minute.
- While the alerts are not known (at a start, in a rebalance), nothing is due.
- A firing alert is sent with an end at least `GAP_MS` ahead: it survives a restart of the worker,
  and resolves by itself if the worker is gone for good.
- If nothing was due for `resend_seconds`, an empty list is sent to test the connection.

Exceptions
----------
- An alert that an Alertmanager rejects (400) counts as sent: it has accepted the others of the
  list.
- Alertmanagers of a cluster share alerts: `kpi_agent_alert_delivery_up` needs only one that was
  reached.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import aiohttp
from prometheus_client import CollectorRegistry, Counter, Gauge

from agent.core.model import metrics
from agent.core.model.kpis import SeriesRef
from agent.core.output.messages import iso
from agent.errors import reason_of
from agent.export.agent_state import AgentState
from agent.export.outgoing_alerts import Key, OutgoingAlert, alerts_to_send

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
TIMEOUT_SECONDS = 10.0
ENDS_AFTER_RESENDS = 4
"""A firing alert ends by itself after this number of missing resends, as in Prometheus
(rules/manager.go, `sendAlerts`), and not before `GAP_MS`."""
GAP_MS = 10 * 60_000
"""How long an alert stays active without being sent, as while its worker restarts. The generated
Prometheus rules wait as long (`agent/generate/names.py`)."""
MAX_ALERTS_PER_REQUEST = 256

Wire = dict[str, object]


class Delivery:
    """Sends the alerts of the series held here to the Alertmanagers at `urls` (base addresses).
    `run` never raises for errors of an Alertmanager."""

    def __init__(
        self,
        state: AgentState,
        urls: Sequence[str],
        now_ms: Callable[[], int],
        resend_seconds: float = 60.0,
    ) -> None:
        self._state = state
        self._now_ms = now_ms
        self._resend_ms = int(resend_seconds * 1000)
        self._receivers = [Receiver(url.rstrip("/")) for url in urls]
        self._reached: dict[str, bool] = {}
        self._metrics = DeliveryMetrics(
            state.metrics.registry, [receiver.url for receiver in self._receivers]
        )

    async def run(self) -> None:
        """Deliver, forever."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            await asyncio.gather(
                *(self._keep_sending(session, receiver) for receiver in self._receivers)
            )

    async def _keep_sending(self, session: aiohttp.ClientSession, receiver: Receiver) -> None:
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._send(session, receiver)
            except Exception as error:
                self._failed(receiver, error)
                # Not in step with other workers that failed for the same reason.
                await asyncio.sleep(pause_seconds * random.uniform(0.5, 1.5))  # noqa: S311
                pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
            else:
                pause_seconds = FIRST_PAUSE_SECONDS
                await asyncio.sleep(TICK_SECONDS)

    async def _send(self, session: aiohttp.ClientSession, receiver: Receiver) -> None:
        """Send the alerts that are due. Raises the error of the request."""
        alerts = self._state.fleet.own_alerts()
        if alerts is None:
            return
        now_ms = self._now_ms()
        wanted = alerts_to_send(
            self._state.plan,
            alerts,
            now_ms,
            self._state.privacy,
            self._state.external_labels,
            self._state.links,
        )
        due = receiver.due(wanted, self._state.fleet.is_ours, now_ms, self._resend_ms)
        ends_ms = now_ms + max(GAP_MS, ENDS_AFTER_RESENDS * self._resend_ms)
        parts = [
            due[n : n + MAX_ALERTS_PER_REQUEST] for n in range(0, len(due), MAX_ALERTS_PER_REQUEST)
        ]
        if not parts and now_ms - receiver.reached_ms >= self._resend_ms:
            parts = [[]]
        for part in parts:
            body = [_wire(alert, ends_ms) for alert in part]
            async with session.post(f"{receiver.url}/api/v2/alerts", json=body) as response:
                if response.status == 400:
                    # It has accepted the others; an invalid one must not block them.
                    self._metrics.failures.labels(receiver.url).inc()
                    log.error("%s refused an alert: %s", receiver.url, await _body(response))
                elif response.status >= 300:
                    raise aiohttp.ClientError(f"{response.status}: {await _body(response)}")
            receiver.acknowledged(part, now_ms)
            self._metrics.delivered.labels(receiver.url).inc(len(part))
            self._set_reached(receiver.url, True)

    def _failed(self, receiver: Receiver, error: Exception) -> None:
        self._metrics.failures.labels(receiver.url).inc()
        if self._reached.get(receiver.url, True):
            is_ours = not isinstance(error, (aiohttp.ClientError, OSError, TimeoutError))
            log.error(
                "alerts not delivered to %s, retrying: %s", receiver.url, reason_of(error),
                exc_info=error if is_ours else None,
            )  # fmt: skip
        self._set_reached(receiver.url, False)

    def _set_reached(self, url: str, reached: bool) -> None:
        if reached and self._reached.get(url) is False:
            log.info("alerts delivered to %s again", url)
        self._reached[url] = reached
        # Alertmanagers of a cluster share alerts: one that was reached is enough.
        self._metrics.up.set(any(self._reached.values()))


class DeliveryMetrics:
    """The metrics of the delivery. Only agents that send alerts have them, which the generated
    Prometheus rules rely on."""

    def __init__(self, registry: CollectorRegistry, urls: Sequence[str]) -> None:
        self.delivered = Counter(
            metrics.ALERTS_DELIVERED, "Alerts that an Alertmanager has acknowledged.",
            labelnames=["alertmanager"], registry=registry,
        )  # fmt: skip
        self.failures = Counter(
            metrics.ALERT_FAILURES, "Failed requests; they are retried.",
            labelnames=["alertmanager"], registry=registry,
        )  # fmt: skip
        self.up = Gauge(
            metrics.ALERT_DELIVERY_UP, "1 if an Alertmanager accepted this worker's last alerts.",
            registry=registry,
        )  # fmt: skip
        for url in urls:
            self.delivered.labels(url)
            self.failures.labels(url)


async def _body(response: aiohttp.ClientResponse) -> str:
    return (await response.text(errors="replace"))[:300]


class Receiver:
    """One Alertmanager, and what it has acknowledged."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.reached_ms = 0
        self._sent: dict[Key, tuple[OutgoingAlert, int]] = {}

    def due(
        self,
        wanted: Mapping[Key, OutgoingAlert],
        is_ours: Callable[[SeriesRef], bool],
        now_ms: int,
        resend_ms: int,
    ) -> list[OutgoingAlert]:
        """The alerts to be sent now, by the table in the docstring of this module."""
        due: list[OutgoingAlert] = []
        for key, (sent, _) in list(self._sent.items()):
            if key in wanted:
                continue
            if sent.ended_ms is None and is_ours(sent.series):
                due.append(replace(sent, ended_ms=now_ms))
            else:
                del self._sent[key]
        for key, alert in wanted.items():
            if key not in self._sent:
                due.append(alert)
                continue
            sent, sent_ms = self._sent[key]
            if alert.ended_ms is None:
                if alert != sent or now_ms - sent_ms >= resend_ms:
                    due.append(alert)
            elif sent.ended_ms is None:
                due.append(replace(alert, began_ms=min(sent.began_ms, alert.ended_ms)))
        return due

    def acknowledged(self, alerts: Sequence[OutgoingAlert], now_ms: int) -> None:
        """Note alerts that this Alertmanager has acknowledged."""
        self.reached_ms = now_ms
        for alert in alerts:
            self._sent[alert.key] = (alert, now_ms)


def _wire(alert: OutgoingAlert, ends_ms: int) -> Wire:
    return {
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "startsAt": iso(alert.began_ms),
        "endsAt": iso(ends_ms if alert.ended_ms is None else alert.ended_ms),
    }
