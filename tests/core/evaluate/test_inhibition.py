"""The table of `inhibition`: what happens, and what is reported."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl
import pytest

from agent.core.evaluate.inhibition import OWN, Inhibitor
from agent.core.evaluate.subscription import Subscription
from agent.core.model.kpis import Dimensions
from agent.core.model.rules import Level, RuleRef, ThresholdRule
from agent.core.model.windows import FixedWindow, Window
from agent.core.state.series import Series
from tests.core.evaluate.alerts import change, transition

SLOW = ThresholdRule(
    name="slow",
    kpi="response_time",
    levels=(Level("warning", pl.col("value") > 1, None, "value > 1", None),),
)
OWN_REF = RuleRef("slow", "response_time", "slow", None, False, (0,), (0,))
OUTAGE = RuleRef("outage", "uptime", "outage", None, False, (0,), (0,))
MINUTES = FixedWindow(60, 60)
"""Windows of 60 ms: a hold ends at the first multiple of 60 that is a whole window later."""


@dataclass
class Alerts:
    """One inhibitor of a rule by region, and what it reported."""

    window: Window | None = MINUTES
    series: dict[Dimensions, Series] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.subscription = Subscription("inhibitor/slow", (OWN_REF, OUTAGE))
        self.inhibitor = Inhibitor(
            SLOW, ("region",), self.subscription, self.window, self.series.get
        )

    def own(self, at_ms: int, firing: bool, region: str = "emea") -> None:
        self.series.setdefault((region,), Series.new("response_time", "", (region,), 0))
        self.subscription.add(OWN, (region,), change(at_ms, firing, own=True))

    def outage(self, at_ms: int, firing: bool, region: str = "emea") -> None:
        self.subscription.add(1, (region,), change(at_ms, firing))

    def advance(self, settled_ms: int) -> list[tuple[int, str, str]]:
        return [(t.at_ms, t.state.value, t.reason) for t in self.inhibitor.advance(settled_ms)]


FIRES, STOPS = True, False
TABLE = {
    "an alert without an outage is reported as it is": (
        [("own", 60, FIRES), ("own", 120, STOPS)],
        [(60, "firing", "when"), (120, "resolved", "clear")],
    ),
    "an alert that begins in an outage is inhibited, and fires after the hold": (
        [("outage", 30, FIRES), ("own", 60, FIRES), ("outage", 70, STOPS)],
        [(60, "inhibited", "depends_on"), (180, "firing", "depends_on")],
    ),
    "a firing alert is inhibited when an outage begins": (
        [("own", 60, FIRES), ("outage", 90, FIRES)],
        [(60, "firing", "when"), (90, "inhibited", "depends_on")],
    ),
    "an alert may resolve while it is inhibited": (
        [("outage", 30, FIRES), ("own", 60, FIRES), ("own", 120, STOPS), ("outage", 150, STOPS)],
        [(60, "inhibited", "depends_on"), (120, "resolved", "clear")],
    ),
    "an alert that resolves within the hold never fires": (
        [("outage", 30, FIRES), ("own", 60, FIRES), ("outage", 70, STOPS), ("own", 120, STOPS)],
        [(60, "inhibited", "depends_on"), (120, "resolved", "clear")],
    ),
    "an outage and an alert of one instant: the alert is inhibited": (
        [("own", 60, FIRES), ("outage", 60, FIRES)],
        [(60, "inhibited", "depends_on")],
    ),
    "an outage that comes back within the hold inhibits on": (
        [
            *(("outage", 30, FIRES), ("own", 60, FIRES), ("outage", 70, STOPS)),
            *(("outage", 100, FIRES), ("outage", 130, STOPS)),
        ],
        [(60, "inhibited", "depends_on"), (240, "firing", "depends_on")],
    ),
    "an outage without an alert reports nothing": ([("outage", 30, FIRES)], []),
}


@pytest.mark.parametrize("case", TABLE)
@pytest.mark.parametrize("backwards", [False, True], ids=["in order", "backwards"])
@pytest.mark.parametrize("step_ms", [1, 10_000], ids=["by and by", "at once"])
def test_what_is_reported(case: str, backwards: bool, step_ms: int) -> None:
    events, expected = TABLE[case]
    alerts = Alerts()
    for what, at_ms, firing in reversed(events) if backwards else events:
        getattr(alerts, what)(at_ms, firing)
    transitions = [t for known in range(0, 400 + step_ms, step_ms) for t in alerts.advance(known)]
    assert transitions == expected


def test_a_rule_that_evaluates_no_windows_has_no_hold() -> None:
    alerts = Alerts(window=None)
    alerts.outage(30, FIRES)
    alerts.own(60, FIRES)
    alerts.outage(70, STOPS)
    assert alerts.advance(400) == [(60, "inhibited", "depends_on"), (70, "firing", "depends_on")]


def test_an_outage_of_another_region_inhibits_nothing() -> None:
    alerts = Alerts()
    alerts.outage(30, FIRES, "apac")
    alerts.own(60, FIRES)
    assert alerts.advance(400) == [(60, "firing", "when")]
    assert alerts.inhibitor.inhibiting(("emea",)) == []
    assert alerts.inhibitor.inhibiting(("apac",)) == ["outage"]


def test_changes_of_a_hold_are_needed_after_a_restart() -> None:
    alerts = Alerts()
    alerts.outage(30, FIRES)
    alerts.outage(70, STOPS)
    alerts.advance(100)
    assert alerts.subscription.consumed_ms == 69
    alerts.advance(200)
    assert alerts.subscription.consumed_ms == 200


def test_what_was_reported_before_a_restart_is_not_reported_again() -> None:
    alerts = Alerts()
    alerts.outage(30, FIRES)
    alerts.own(60, FIRES)
    alerts.advance(100)
    reported = alerts.series[("emea",)].reported["slow"]["warning"]

    again = Alerts(series=alerts.series)
    again.inhibitor.restore((("emea",), "warning"), False, reported)
    again.outage(30, FIRES)
    again.own(60, FIRES)
    assert again.advance(100) == []
    again.outage(110, STOPS)
    assert again.advance(400) == [(180, "firing", "depends_on")]


def test_a_report_is_kept_in_the_series_and_names_what_inhibits() -> None:
    alerts = Alerts()
    alerts.outage(30, FIRES)
    alerts.own(60, FIRES)
    [report] = alerts.inhibitor.advance(100)
    assert report.bound == "outage"
    assert alerts.series[("emea",)].reported == {"slow": {"warning": report}}
    assert transition("slow", 60, True).bound == "value > 0"
