"""Alerts straight to Alertmanager, without a scrape in between: its API v2, `POST /api/v2/alerts`.

What should be known there is worked out anew at every tick, from the alerts of the series held
here; what an Alertmanager has acknowledged is remembered for each. So nothing queues up while one
is away: when it comes back, it is told how things stand. An alert that fires is sent again every
`resend_seconds`, to end by itself soon after its worker is gone; one that is over is sent until it
is acknowledged. A worker says nothing of the series of others, and does not end alerts that it
hands on. Where nothing is to be said, an empty list every `resend_seconds` shows that it could be.

An alert's identity is its labels; they are those of the generated Prometheus rules.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import aiohttp

from agent.core.model.plan import Dimensions, Kpi, Plan, Rule, is_whole
from agent.core.model.results import AlertPhase
from agent.core.model.text import value_text
from agent.core.output.alert_labels import ESCALATION, alert_labels, escalation_text, series_label
from agent.core.output.messages import iso, label
from agent.core.output.privacy import Privacy
from agent.export.agent_state import AgentState, Alert

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
TIMEOUT_SECONDS = 10.0
ENDS_AFTER_RESENDS = 4
"""A firing alert ends by itself after so many resends that did not come, as Prometheus has it
(rules/manager.go, `sendAlerts`), and not before `GAP_MS`."""
GAP_MS = 10 * 60_000
"""For so long an alert goes on though nobody sends it, as while its worker is restarted. The
generated Prometheus rules wait as long (`agent/generate/names.py`)."""
RESOLVED_TOLD_MS = 15 * 60_000
"""For how long an end is told to an Alertmanager that was not told of the beginning by this worker:
another may have, and gone. As long as Prometheus keeps resolved alerts (rules/alerting.go)."""
MOST_A_REQUEST = 256
JOB = "kpi-agent"
"""The label `job` that Prometheus' alerts have: with it, one alert told by both is one."""

SeriesId = tuple[str, Dimensions | None]
Key = tuple[tuple[str, str], ...]
Wire = dict[str, object]


@dataclass(frozen=True, slots=True)
class Told:
    """An alert as Alertmanager should know it; `ended_ms` None: it is firing."""

    series: SeriesId
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    began_ms: int
    ended_ms: int | None

    @property
    def key(self) -> Key:
        """What names it for Alertmanager."""
        return tuple(sorted(self.labels.items()))


def tellable(
    plan: Plan,
    alerts: Sequence[Alert],
    now_ms: int,
    privacy: Privacy | None = None,
    external_labels: Mapping[str, str] | None = None,
) -> dict[Key, Told]:
    """Every alert of these that Alertmanager should know of, with the escalations that are due."""
    privacy = privacy or Privacy()
    found: dict[Key, Told] = {}
    for alert in alerts:
        rule, kpi = plan.rules.get(alert.rule), plan.subject(alert.kpi)
        if rule is None or kpi is None or alert.since_ms is None:
            continue
        shown = privacy.dimensions(plan, alert.kpi, alert.dimensions)
        for told in _tell(plan, rule, kpi, replace(alert, dimensions=shown), now_ms):
            # Whose it is goes by the series as it is, not as it is called outside.
            series = (alert.kpi, None if is_whole(rule) else alert.dimensions)
            labels = {**told.labels, **(external_labels or {})}
            whole = replace(told, series=series, labels=labels)
            found[whole.key] = whole
    return found


def _tell(plan: Plan, rule: Rule, kpi: Kpi, alert: Alert, now_ms: int) -> Iterator[Told]:
    since_ms = min(alert.since_ms or 0, now_ms)
    over = alert.phase is AlertPhase.RESOLVED
    if alert.phase is not AlertPhase.FIRING and not (over and now_ms - since_ms < RESOLVED_TOLD_MS):
        return
    by = () if is_whole(rule) else kpi.by
    pairs = [(name, label(one)) for name, one in zip(by, alert.dimensions, strict=False)]
    labels = {"alertname": rule.name, "job": JOB, **dict(pairs)}
    labels |= alert_labels(plan, rule, kpi, alert.severity)
    if pairs:
        labels["series"] = series_label(pairs)
    series = (alert.kpi, None if is_whole(rule) else alert.dimensions)
    annotations = _annotations(rule, kpi, alert)
    ended_ms = since_ms if over else None
    yield Told(series, labels, annotations, since_ms, ended_ms)
    for step in rule.escalation:
        due_ms = since_ms + step.after_ms
        if over or now_ms >= due_ms:
            called = labels | {ESCALATION: step.to}
            yield Told(series, called, annotations, since_ms if over else due_ms, ended_ms)


def _annotations(rule: Rule, kpi: Kpi, alert: Alert) -> dict[str, str]:
    told = {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": rule.runbook or "",
        "value": "" if alert.value is None else value_text(alert.value, kpi.unit),
        "escalation": escalation_text(rule.escalation),
    }
    return {name: text for name, text in told.items() if text}


class Delivery:
    """Tells the Alertmanagers at `urls` (base addresses) of the alerts that `alerts` gives.

    `alerts()` gives those of the series held here, None while that is not known; `is_ours` says of
    one series whether it is held here. `run` never raises for what an Alertmanager does.
    """

    def __init__(
        self,
        state: AgentState,
        urls: Sequence[str],
        alerts: Callable[[], Sequence[Alert] | None],
        is_ours: Callable[[SeriesId], bool],
        now_ms: Callable[[], int],
        resend_seconds: float = 60.0,
    ) -> None:
        self._state = state
        self._alerts = alerts
        self._is_ours = is_ours
        self._now_ms = now_ms
        self._resend_ms = int(resend_seconds * 1000)
        self._receivers = [_Receiver(url.rstrip("/")) for url in urls]
        self._reached: dict[str, bool] = {}
        # There from the first scrape: they tell Prometheus who sends the alerts.
        state.stats.alerts_reach = False
        for receiver in self._receivers:
            state.stats.alerts_delivered[receiver.url] += 0
            state.stats.alert_failures[receiver.url] += 0

    async def run(self) -> None:
        """Deliver, for ever."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            await asyncio.gather(*(self._keep_telling(session, one) for one in self._receivers))

    async def _keep_telling(self, session: aiohttp.ClientSession, receiver: _Receiver) -> None:
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._tell(session, receiver)
            except Exception as error:
                self._failed(receiver, error)
                # Not in step with other workers that failed for the same reason.
                await asyncio.sleep(pause_seconds * random.uniform(0.5, 1.5))  # noqa: S311
                pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
            else:
                pause_seconds = FIRST_PAUSE_SECONDS
                await asyncio.sleep(TICK_SECONDS)

    async def _tell(self, session: aiohttp.ClientSession, receiver: _Receiver) -> None:
        """Send what is due. Raises what stands in the way."""
        alerts = self._alerts()
        if alerts is None:
            return
        now_ms = self._now_ms()
        wanted = tellable(
            self._state.plan, alerts, now_ms, self._state.privacy, self._state.external_labels
        )
        due = receiver.due(wanted, self._is_ours, now_ms, self._resend_ms)
        ends_ms = now_ms + max(GAP_MS, ENDS_AFTER_RESENDS * self._resend_ms)
        parts = [due[n : n + MOST_A_REQUEST] for n in range(0, len(due), MOST_A_REQUEST)]
        if not parts and now_ms - receiver.asked_ms >= self._resend_ms:
            parts = [[]]
        for part in parts:
            body = [_wire(told, ends_ms) for told in part]
            async with session.post(f"{receiver.url}/api/v2/alerts", json=body) as answer:
                if answer.status == 400:
                    # It has taken the others of them; one that it can't take must not stop them.
                    self._state.stats.alert_failures[receiver.url] += 1
                    log.error("%s refused an alert: %s", receiver.url, await _words(answer))
                elif answer.status >= 300:
                    raise aiohttp.ClientError(f"{answer.status}: {await _words(answer)}")
            receiver.acknowledged(part, now_ms)
            self._state.stats.alerts_delivered[receiver.url] += len(part)
            self._reach(receiver.url, True)

    def _failed(self, receiver: _Receiver, error: Exception) -> None:
        self._state.stats.alert_failures[receiver.url] += 1
        if self._reached.get(receiver.url, True):
            mine = not isinstance(error, (aiohttp.ClientError, OSError, TimeoutError))
            told = error if str(error) else type(error).__name__
            log.error(
                "alerts do not reach %s, and will be sent again: %s", receiver.url, told,
                exc_info=error if mine else None,
            )  # fmt: skip
        self._reach(receiver.url, False)

    def _reach(self, url: str, reached: bool) -> None:
        if reached and self._reached.get(url) is False:
            log.info("alerts reach %s again", url)
        self._reached[url] = reached
        # Alertmanagers tell each other: one that was reached is enough.
        self._state.stats.alerts_reach = any(self._reached.values())


async def _words(answer: aiohttp.ClientResponse) -> str:
    return (await answer.text(errors="replace"))[:300]


class _Receiver:
    """One Alertmanager, and what it has acknowledged."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked_ms = 0
        self._sent: dict[Key, tuple[Told, int]] = {}

    def due(
        self,
        wanted: Mapping[Key, Told],
        is_ours: Callable[[SeriesId], bool],
        now_ms: int,
        resend_ms: int,
    ) -> list[Told]:
        """What has to be sent now: what it does not know, and what it would forget."""
        due: list[Told] = []
        for key, (told, _) in list(self._sent.items()):
            if key in wanted:
                continue
            if told.ended_ms is None and is_ours(told.series):
                # Its rule or its series is no more, or it is called otherwise now.
                due.append(Told(told.series, told.labels, told.annotations, told.began_ms, now_ms))
            else:
                del self._sent[key]
        for key, told in wanted.items():
            known = self._sent.get(key)
            if known is None:
                due.append(told)
                continue
            before, sent_ms = known
            if told.ended_ms is not None:
                if before.ended_ms is None:
                    began_ms = min(before.began_ms, told.ended_ms)
                    due.append(
                        Told(told.series, told.labels, told.annotations, began_ms, told.ended_ms)
                    )
            elif told != before or now_ms - sent_ms >= resend_ms:
                due.append(told)
        return due

    def acknowledged(self, told: Sequence[Told], now_ms: int) -> None:
        """Remember what it knows now."""
        self.asked_ms = now_ms
        for one in told:
            self._sent[one.key] = (one, now_ms)


def _wire(told: Told, ends_ms: int) -> Wire:
    return {
        "labels": dict(told.labels),
        "annotations": dict(told.annotations),
        "startsAt": iso(told.began_ms),
        "endsAt": iso(ends_ms if told.ended_ms is None else told.ended_ms),
    }
