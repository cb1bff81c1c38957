"""What a judge makes of alerts whose rule is no more, or is another."""

from __future__ import annotations

import msgspec
import pytest

from agent.core.evaluate import Judge
from agent.core.plan import AbsenceRule, Severity
from agent.core.rules import AbsenceState
from agent.core.series import Series, born
from tests.core.small_plans import MINUTE_MS, kpi, plan


def silent(severity: Severity) -> AbsenceRule:
    """A rule that fires after ten minutes without an event."""
    return AbsenceRule(
        "silent", "response_time", severity, 10 * MINUTE_MS, "series", 0, "", "", None, None, None
    )


def judge(*rules: AbsenceRule) -> Judge:
    return Judge(plan(kpi(), *rules), kpi())


def fired(rule: AbsenceRule) -> Series:
    """A series whose last event lies an hour back."""
    series = born("response_time", "", ("emea",), 0)
    [step] = judge(rule).silence([rule], series, 0, 60 * MINUTE_MS)
    assert (step.severity, step.state) == (rule.severity, "firing")
    return series


@pytest.mark.parametrize("severity", ["critical", "warning", "info"])
def test_the_end_of_an_absence_whose_rule_is_gone_has_its_severity(severity: Severity) -> None:
    series = fired(silent(severity))
    [end] = judge().drop_undeclared(series)
    assert (end.rule, end.severity, end.state, end.reason) == (
        "silent",
        severity,
        "resolved",
        "removed",
    )
    assert series.absences == {}


def test_an_absence_whose_severity_changed_ends_and_begins_with_the_new_one() -> None:
    series, rule = fired(silent("warning")), silent("critical")
    [end] = judge(rule).drop_undeclared(series)
    [begin] = judge(rule).silence([rule], series, 0, 61 * MINUTE_MS)
    assert (end.severity, end.state) == ("warning", "resolved")
    assert (begin.severity, begin.state, begin.at_ms) == ("critical", "firing", 10 * MINUTE_MS)


def test_a_state_of_before_that_has_no_severity_is_carried_on() -> None:
    series, rule = fired(silent("critical")), silent("critical")
    known = series.absences["silent"]
    old = msgspec.msgpack.encode([[*msgspec.to_builtins(known.alert)], known.last_event_ms])
    series.absences["silent"] = msgspec.msgpack.decode(old, type=AbsenceState)
    assert judge(rule).drop_undeclared(series) == []
    assert judge(rule).silence([rule], series, 0, 61 * MINUTE_MS) == []
