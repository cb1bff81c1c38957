"""Episodes put together from an alert's steps."""

from __future__ import annotations

from typing import Literal

from agent.core.model.kpis import Dimensions
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase, Emitted, Transition, WindowValue
from agent.core.model.rules import Severity
from agent.core.output.episodes import (
    WEEK_MS,
    AlertHistory,
    AlertRecorder,
    Episode,
    alert_history,
    compare_episodes,
)
from tests.export.invented import COMPANY

HOUR_MS = 3_600_000
P = AlertPhase


def step(
    at: int,
    to: AlertPhase,
    episode: int,
    *,
    value: float | None = None,
    series: Dimensions = ("emea",),
    severity: Severity = "warning",
    reason: Literal["when", "clear"] = "when",
) -> Transition:
    """A step of an alert, at hours."""
    return Transition(
        "slow", severity, "response_time", series, at * HOUR_MS, episode * HOUR_MS, to,
        P.INACTIVE, value, "value > 1", 0, at * HOUR_MS, reason,
    )  # fmt: skip


def window(end: int, value: float | None, series: Dimensions = ("emea",)) -> WindowValue:
    return WindowValue("response_time", series, (end - 1) * HOUR_MS, end * HOUR_MS, value, 9)


def of(
    *published: Transition | WindowValue, since: int | None = None, until: int | None = None
) -> AlertHistory:
    plan = Plan({}, COMPANY.kpis, COMPANY.rules, {}, "")
    record = AlertRecorder(plan)
    windows = tuple(t for t in published if isinstance(t, WindowValue))
    record.add(Emitted(windows, (), tuple(t for t in published if isinstance(t, Transition))))
    return alert_history(
        record,
        None if since is None else since * HOUR_MS,
        None if until is None else until * HOUR_MS,
    )


def hours(episode: Episode) -> tuple[float, float, float | None]:
    ended = episode.resolved_ms
    return (
        episode.began_ms / HOUR_MS,
        episode.fired_ms / HOUR_MS,
        None if ended is None else ended / HOUR_MS,
    )


def test_an_episode_goes_from_pending_over_firing_to_resolved() -> None:
    published = of(
        step(2, P.PENDING, 2), step(4, P.FIRING, 2), step(7, P.RESOLVED, 2),
        step(9, P.FIRING, 9), until=20,
    )  # fmt: skip
    assert [hours(e) for e in published.episodes] == [(2, 4, 7), (9, 9, None)]


def test_what_never_fires_is_held_back() -> None:
    published = of(step(2, P.PENDING, 2), step(3, P.INACTIVE, 2), step(5, P.PENDING, 5), until=9)
    assert published.episodes == ()
    assert published.held_back == {"slow": 1}


def test_only_what_fires_in_the_stretch_counts_and_nothing_after_it_is_known() -> None:
    steps = [
        step(1, P.FIRING, 1), step(3, P.RESOLVED, 1),
        step(5, P.PENDING, 5), step(6, P.FIRING, 5), step(12, P.RESOLVED, 5),
        step(14, P.FIRING, 14),
    ]  # fmt: skip
    assert [hours(e) for e in of(*steps, since=2, until=10).episodes] == [(5, 6, None)]
    assert [hours(e) for e in of(*steps, since=2, until=12).episodes] == [(5, 6, 12)]


def test_the_peak_is_the_value_farthest_from_the_usual_one_while_it_lasted() -> None:
    low = [window(end, value) for end, value in enumerate([10, 10, 9, 2, 4, 10, 1, 10], 1)]
    published = of(*low, step(4, P.FIRING, 4, value=2.0), step(6, P.RESOLVED, 4, value=10.0))
    [episode] = published.episodes
    assert episode.peak == 2.0
    high = [window(end, value) for end, value in enumerate([10, 10, 99, None, 10, 10], 1)]
    published = of(*high, step(3, P.FIRING, 3, value=99.0), step(5, P.RESOLVED, 3, value=10.0))
    assert published.episodes[0].peak == 99.0


def test_a_silence_has_no_peak() -> None:
    published = of(step(3, P.FIRING, 3), step(5, P.RESOLVED, 3), until=9)
    assert published.episodes[0].peak is None


def test_without_bounds_the_stretch_is_that_of_the_closed_windows() -> None:
    published = of(window(3, 1.0), window(7 * 24 + 2, 1.0))
    assert (published.since_ms, published.until_ms) == (2 * HOUR_MS, WEEK_MS + 2 * HOUR_MS)
    assert published.weeks == 1.0


def test_alerts_of_a_series_and_severity_are_reported_apart() -> None:
    published = of(
        step(1, P.FIRING, 1), step(2, P.FIRING, 2, series=("apac",)),
        step(3, P.FIRING, 3, severity="critical"), step(4, P.RESOLVED, 1), until=9,
    )  # fmt: skip
    assert [(e.severity, e.dimensions, e.resolved_ms is None) for e in published.episodes] == [
        ("warning", ("emea",), False),
        ("warning", ("apac",), True),
        ("critical", ("emea",), True),
    ]


def test_episodes_about_the_same_time_are_the_same() -> None:
    before = of(
        step(1, P.FIRING, 1), step(3, P.RESOLVED, 1), step(10, P.FIRING, 10),
        step(12, P.RESOLVED, 10), until=40,
    )  # fmt: skip
    after = of(
        step(2, P.FIRING, 2), step(4, P.RESOLVED, 2), step(20, P.FIRING, 20),
        step(22, P.RESOLVED, 20), step(11, P.FIRING, 11, series=("apac",)), until=40,
    )  # fmt: skip
    change = compare_episodes(before, after)
    assert [hours(e) for e in change.lost] == [(10, 10, 12)]
    assert [(hours(e), e.dimensions) for e in change.gained] == [
        ((11, 11, None), ("apac",)),
        ((20, 20, 22), ("emea",)),
    ]
    assert [(hours(a), hours(b)) for a, b in change.kept] == [((1, 1, 3), (2, 2, 4))]


def test_one_episode_that_became_two_is_matched_once() -> None:
    before = of(step(1, P.FIRING, 1), step(9, P.RESOLVED, 1), until=20)
    after = of(
        step(1, P.FIRING, 1), step(3, P.RESOLVED, 1), step(5, P.FIRING, 5),
        step(9, P.RESOLVED, 5), until=20,
    )  # fmt: skip
    change = compare_episodes(before, after)
    assert (len(change.kept), len(change.gained), len(change.lost)) == (1, 1, 0)
