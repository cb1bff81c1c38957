"""Alerts sent straight to Alertmanager: what is sent when, and what a real one makes of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import yaml
from aiohttp import web

from agent.core.model import metrics
from agent.core.model.kpis import SeriesRef
from agent.core.model.results import AlertPhase
from agent.core.model.rules import Escalation
from agent.export import alertmanager as delivery
from agent.export.agent_state import Alert, Links
from agent.export.alertmanager import Delivery, Receiver
from agent.export.outgoing_alerts import OutgoingAlert, alerts_to_send
from agent.generate.names import JOB
from agent.generate.prometheus import alert_rules
from tests.export.invented import COMPANY, NOW_MS, RESPONSE, absence, plan, threshold
from tests.export.running_agent import FilledFleet, running_agent
from tests.generate import plans
from tests.integration.monitoring import Alertmanager
from tests.kafka.support import until

MINUTE_MS = 60_000
SLOW = threshold(
    "slow_support", "response_time", "critical", "warning", owner="support-ops",
    runbook="https://example.org/runbooks/slow",
    escalation=(Escalation(30 * MINUTE_MS, "director"), Escalation(120 * MINUTE_MS, "board")),
)  # fmt: skip
QUIET = absence("quiet", "response_time", "kpi")
PLAN = plan((RESPONSE,), (SLOW, QUIET))


def firing(region: str, ago_ms: int = MINUTE_MS, now_ms: int = NOW_MS) -> Alert:
    return Alert(
        "slow_support", "critical", "response_time", (region,), AlertPhase.FIRING, now_ms - ago_ms,
        428.0, f"{region} waits", "Move people over.",
    )  # fmt: skip


def resolved(region: str, ago_ms: int = 0, now_ms: int = NOW_MS) -> Alert:
    return Alert(
        "slow_support", "critical", "response_time", (region,), AlertPhase.RESOLVED,
        now_ms - ago_ms, 120.0, f"{region} waited",
    )  # fmt: skip


def published(*alerts: Alert, now_ms: int = NOW_MS) -> list[OutgoingAlert]:
    return list(alerts_to_send(PLAN, alerts, now_ms).values())


def test_an_alert_says_who_what_and_where() -> None:
    (alert,) = published(firing("emea"))
    assert alert.labels == {
        "alertname": "slow_support",
        "job": "kpi-agent",
        "region": "emea",
        "severity": "critical",
        "rule": "slow_support",
        "kpi": "response_time",
        "owner": "support-ops",
        "team": "operations",
        "series": "region=emea",
    }
    assert alert.annotations == {
        "summary": "emea waits",
        "description": "Move people over.",
        "runbook_url": "https://example.org/runbooks/slow",
        "value": "7 min 8 s",
        "escalation": "director after 30m, board after 2h",
    }


def test_the_labels_are_those_of_the_generated_prometheus_rules() -> None:
    company = plans.company()
    entries = [r for g in yaml.safe_load(alert_rules(company))["groups"] for r in g["rules"]]
    (entry,) = (
        e
        for e in entries
        if e.get("alert") == "slow_support" and e["labels"]["severity"] == "critical"
    )
    (alert,) = alerts_to_send(company, [firing("emea")], NOW_MS).values()
    # Prometheus adds the alert's name, and what the series has: its dimensions and its job.
    added = {"alertname": "slow_support", "job": JOB, "region": "emea", "series": "region=emea"}
    assert alert.labels == entry["labels"] | added


def test_an_alert_says_of_which_environment_it_is() -> None:
    external = {"environment": "prod"}
    ((key, alert),) = alerts_to_send(PLAN, [firing("emea")], NOW_MS, None, external).items()
    assert alert.labels["environment"] == "prod"
    assert ("environment", "prod") in key


def test_a_null_dimension_and_an_empty_one_have_labels_of_their_own() -> None:
    (null,) = published(Alert(**{**_fields(firing("x")), "dimensions": (None,)}))
    (empty,) = published(firing(""))
    assert (null.labels["region"], null.labels["series"]) == ("__none__", "region=__none__")
    assert (empty.labels["region"], empty.labels["series"]) == ("__empty__", "region=__empty__")


def _fields(alert: Alert) -> dict[str, Any]:
    return {name: getattr(alert, name) for name in Alert.__dataclass_fields__}


def test_the_alert_of_a_whole_kpi_has_no_series() -> None:
    whole = Alert("quiet", "warning", "response_time", (), AlertPhase.FIRING, NOW_MS)
    (alert,) = published(whole)
    assert "series" not in alert.labels
    assert alert.series == ("response_time", None)


def test_an_alert_that_goes_on_calls_the_next_one_up() -> None:
    before = published(firing("emea", 30 * MINUTE_MS - 1))
    first, second = published(firing("emea", 30 * MINUTE_MS))
    assert len(before) == 1
    assert "escalation" not in first.labels
    assert second.labels == {**first.labels, "escalation": "director"}
    assert second.began_ms == NOW_MS
    *others, third = published(firing("emea", 121 * MINUTE_MS))
    assert [alert.labels.get("escalation") for alert in others] == [None, "director"]
    assert third.labels == {**first.labels, "escalation": "board"}
    assert third.began_ms == NOW_MS - MINUTE_MS


def test_pending_alerts_and_ends_long_past_are_not_reported() -> None:
    pending = Alert(
        "slow_support", "critical", "response_time", ("emea",), AlertPhase.PENDING, NOW_MS
    )
    assert published(pending, resolved("apac", 15 * MINUTE_MS)) == []
    # A recent end is published, with that of the escalation, anybody who published the beginning.
    assert {alert.ended_ms for alert in published(resolved("apac", MINUTE_MS))} == {
        NOW_MS - MINUTE_MS
    }


ALERT = published(firing("emea"))[0]
ENDED = replace(ALERT, ended_ms=NOW_MS - 1_000)
OTHER_TEXT = replace(ALERT, annotations={"summary": "still"})
RESEND_MS = MINUTE_MS


@pytest.mark.parametrize(
    ("sent", "wanted", "ours", "due"),
    [
        (None, None, True, None),
        (None, ALERT, True, ALERT),
        (None, ENDED, True, ENDED),
        (ALERT, ALERT, True, None),
        (ALERT, OTHER_TEXT, True, OTHER_TEXT),
        (ALERT, ENDED, True, ENDED),
        (ALERT, None, True, replace(ALERT, ended_ms=NOW_MS)),
        (ALERT, None, False, None),
        (ENDED, ENDED, True, None),
        (ENDED, ALERT, True, ALERT),
        (ENDED, None, True, None),
    ],
)
def test_what_is_due_follows_from_what_was_sent_and_what_is_wanted(
    sent: OutgoingAlert | None, wanted: OutgoingAlert | None, ours: bool, due: OutgoingAlert | None
) -> None:
    receiver = Receiver("http://am")
    if sent is not None:
        receiver.acknowledged([sent], NOW_MS - RESEND_MS + 1)
    asked: list[SeriesRef] = []

    def is_ours(series: SeriesRef) -> bool:
        asked.append(series)
        return ours

    now_wanted = {} if wanted is None else {wanted.key: wanted}
    assert receiver.due(now_wanted, is_ours, NOW_MS, RESEND_MS) == ([] if due is None else [due])


def test_an_alert_that_fires_is_due_again_after_a_while() -> None:
    receiver = Receiver("http://am")
    receiver.acknowledged([ALERT], NOW_MS - RESEND_MS)
    assert receiver.due({ALERT.key: ALERT}, lambda _: True, NOW_MS, RESEND_MS) == [ALERT]


class Station:
    """An HTTP server in an Alertmanager's place, for what a real one cannot be made to do."""

    def __init__(self) -> None:
        self.posts: list[list[dict[str, Any]]] = []
        self.answers: list[int] = []
        self.url = ""

    async def alerts(self, request: web.Request) -> web.Response:
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            self.posts.append(await request.json())
        return web.Response(status=status, text="not now")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Station]:
        app = web.Application()
        app.router.add_post("/api/v2/alerts", self.alerts)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()


class World:
    """What the agent knows, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS
        self.fleet = FilledFleet()
        self.state = running_agent(PLAN, fleet=self.fleet)

    def count(self, name: str, url: str) -> float | None:
        """A counter of the deliveries to an address."""
        return self.state.metrics.registry.get_sample_value(name, {"alertmanager": url})

    @property
    def is_up(self) -> bool:
        """Whether an Alertmanager was reached."""
        return bool(self.state.metrics.registry.get_sample_value(metrics.ALERT_DELIVERY_UP))

    @asynccontextmanager
    async def delivering(self, *urls: str) -> AsyncIterator[None]:
        sender = Delivery(self.state, urls, lambda: self.now_ms)
        task = asyncio.create_task(sender.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(delivery, "FIRST_PAUSE_SECONDS", 0.01)


async def some_ticks() -> None:
    await asyncio.sleep(0.1)


async def test_an_alert_is_sent_once_and_again_when_it_would_be_forgotten() -> None:
    world, station = World(), Station()
    world.fleet.active = [firing("emea")]
    async with station.serving(), world.delivering(station.url):
        await until(lambda: station.posts)
        await some_ticks()
        assert len(station.posts) == 1
        (sent,) = station.posts[0]
        assert sent["startsAt"] == delivery.iso(NOW_MS - MINUTE_MS)
        assert sent["endsAt"] == delivery.iso(NOW_MS + delivery.GAP_MS)
        world.now_ms += MINUTE_MS
        await until(lambda: len(station.posts) == 2)
    assert world.count(metrics.ALERTS_DELIVERED, station.url) == 2


async def test_an_end_is_sent_at_once_and_only_once() -> None:
    world, station = World(), Station()
    world.fleet.active = [firing("emea", 2 * MINUTE_MS)]
    async with station.serving(), world.delivering(station.url):
        await until(lambda: station.posts)
        world.fleet.active = [resolved("emea", 1_000)]
        await until(lambda: len(station.posts) == 2)
        await some_ticks()
    assert len(station.posts) == 2
    ended = next(alert for alert in station.posts[1] if "escalation" not in alert["labels"])
    assert ended["startsAt"] == delivery.iso(NOW_MS - 2 * MINUTE_MS)
    assert ended["endsAt"] == delivery.iso(NOW_MS - 1_000)


async def test_an_alert_whose_rule_is_gone_ends_and_one_handed_on_does_not() -> None:
    world, station = World(), Station()
    world.fleet.active = [firing("emea"), firing("apac")]
    async with station.serving(), world.delivering(station.url):
        await until(lambda: station.posts)
        world.fleet.holds = lambda series: series == ("response_time", ("emea",))
        world.fleet.active = []
        await until(lambda: len(station.posts) == 2)
        await some_ticks()
    assert len(station.posts) == 2
    (ended,) = station.posts[1]
    assert (ended["labels"]["region"], ended["endsAt"]) == ("emea", delivery.iso(NOW_MS))


async def test_what_is_not_known_yet_ends_nothing() -> None:
    world, station = World(), Station()
    world.fleet.active = [firing("emea")]
    async with station.serving(), world.delivering(station.url):
        await until(lambda: station.posts)
        world.fleet.active = None  # a rebalance
        world.now_ms += MINUTE_MS
        await some_ticks()
        assert len(station.posts) == 1
        world.fleet.active = [firing("emea", 2 * MINUTE_MS, world.now_ms)]
        await until(lambda: len(station.posts) == 2)


async def test_failures_are_counted_and_what_failed_is_sent_again() -> None:
    world, station = World(), Station()
    station.answers = [503, 500]
    world.fleet.active = [firing("emea")]
    async with station.serving(), world.delivering(station.url):
        await until(lambda: world.count(metrics.ALERT_FAILURES, station.url))
        assert not world.is_up
        await until(lambda: station.posts)
        assert world.is_up
    assert world.count(metrics.ALERT_FAILURES, station.url) == 2
    assert station.posts[0][0]["labels"]["region"] == "emea"


async def test_an_alert_that_is_refused_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "MAX_ALERTS_PER_REQUEST", 1)
    world, station = World(), Station()
    station.answers = [400]
    world.fleet.active = [firing("emea"), firing("apac")]
    async with station.serving(), world.delivering(station.url):
        await until(lambda: station.posts)
    assert station.posts[0][0]["labels"]["region"] == "apac"
    assert world.count(metrics.ALERT_FAILURES, station.url) == 1


async def test_one_that_is_away_holds_up_neither_the_other_nor_the_agent() -> None:
    world, station = World(), Station()
    away = "http://127.0.0.1:9"
    world.fleet.active = [firing("emea")]
    async with station.serving(), world.delivering(away, station.url):
        await until(lambda: world.count(metrics.ALERT_FAILURES, away) >= 2)
        await until(lambda: world.is_up)  # they tell each other
    assert station.posts[0][0]["labels"]["region"] == "emea"


async def test_where_nothing_fires_an_empty_list_shows_that_the_way_is_open() -> None:
    world, station = World(), Station()
    async with station.serving(), world.delivering(station.url):
        await until(lambda: station.posts)
        await some_ticks()
    assert station.posts == [[]]
    assert world.is_up


@pytest.mark.needs_prometheus
async def test_a_real_alertmanager_takes_holds_and_ends_an_alert(
    alertmanager: Alertmanager,
) -> None:
    world = World()
    now_ms = world.now_ms = delivery_clock()
    world.fleet.active = [firing("emea", now_ms=now_ms), firing("apac", 31 * MINUTE_MS, now_ms)]

    async def active() -> dict[tuple[str, str], dict[str, Any]]:
        alerts = await asyncio.to_thread(alertmanager.alerts, "slow_support")
        return {(a["labels"]["region"], a["labels"].get("escalation", "")): a for a in alerts}

    async def wait_for(*keys: tuple[str, str]) -> dict[tuple[str, str], dict[str, Any]]:
        async with asyncio.timeout(60):
            while set(alerts := await active()) != set(keys):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        return alerts

    async with world.delivering(f"http://{alertmanager.address}"):
        alerts = await wait_for(("emea", ""), ("apac", ""), ("apac", "director"))
        emea = alerts["emea", ""]
        assert emea["annotations"]["summary"] == "emea waits"
        assert [r["name"] for r in emea["receivers"]] == ["on-call", "operations"]
        world.now_ms = delivery_clock()
        world.fleet.active = [resolved("apac", now_ms=world.now_ms), *world.fleet.active[:1]]
        await wait_for(("emea", ""))
        world.fleet.active = []
        await wait_for()
    assert world.count(metrics.ALERT_FAILURES, f"http://{alertmanager.address}") == 0


def delivery_clock() -> int:
    return time.time_ns() // 1_000_000


def test_the_company_of_the_other_tests_can_be_reported() -> None:
    quiet = Alert("quiet_region", "info", "response_time", ("emea",), AlertPhase.FIRING, NOW_MS)
    (alert,) = alerts_to_send(COMPANY, [quiet], NOW_MS).values()
    assert alert.labels["objective"] == "customer_satisfaction"


def test_an_alert_leads_to_its_page_its_board_and_a_runbook_where_they_are_known() -> None:
    links = Links("https://kpis.example.org", "https://grafana.example.org", "https://run.example")
    (alert,) = alerts_to_send(PLAN, [firing("a b,c")], NOW_MS, links=links).values()
    assert alert.annotations["kpi_url"] == (
        "https://kpis.example.org/kpis/response_time?series=region%3D%22a%20b%2Cc%22"
    )
    assert alert.annotations["dashboard_url"] == (
        "https://grafana.example.org/d/kpi-response_time?var-region=a%20b%2Cc"
    )
    assert alert.annotations["runbook_url"] == "https://example.org/runbooks/slow"
    (plain,) = alerts_to_send(PLAN, [firing("emea")], NOW_MS).values()
    assert not {"kpi_url", "dashboard_url"} & set(plain.annotations)
