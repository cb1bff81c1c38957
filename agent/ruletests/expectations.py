"""Resolves the expectations of a test: names to series and alerts, times to instants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.core.evaluate.targets import target_of
from agent.core.model.kpis import Dimensions, Kpi
from agent.core.model.results import AlertPhase, Outcome, TargetState
from agent.core.model.rules import ThresholdRule
from agent.core.model.windows import previous_end
from agent.language.problems import suggest
from agent.language.source import On, Place, Span
from agent.ruletests.cases import (
    Alert,
    Expectations,
    ExpectedAlert,
    ExpectedAlerts,
    ExpectedObjective,
    ExpectedTargetState,
    ExpectedTransition,
    ExpectedWindow,
)
from agent.ruletests.models import AlertSpec, WindowSpec
from agent.ruletests.resolve_context import ResolveContext

_SECTIONS = ("windows", "targets", "objectives", "alerts_at", "transitions", "outcomes")


def expectations(context: ResolveContext, *, closed_only: bool) -> Expectations:
    """The expectations of a test. `closed_only`: the input is closed windows only, so that no rule
    on current values is evaluated."""
    spec = context.entry.model.expect
    if not spec.model_fields_set & set(_SECTIONS) and not context.entry.has_hole("expect"):
        hint = f"add at least one of {', '.join(_SECTIONS)}"
        context.wrong(("expect",), "nothing is expected", hint, on="key")
    for section in ("windows", "targets", "objectives"):
        if section in spec.model_fields_set:
            _refuse_empty(context, ("expect", section), getattr(spec, section))
    if spec.outcomes is not None and closed_only:
        message = "`outcomes` counts events, but the test has none"
        context.wrong(("expect", "outcomes"), message, "leave it out", on="key")
    alerts = _Alerts(context, closed_only)
    outcomes = None
    if spec.outcomes is not None:
        outcomes = {Outcome(name): number for name, number in spec.outcomes.items()}
    return Expectations(
        tuple(_windows(context)),
        tuple(_states(context)),
        tuple(_objectives(context)),
        tuple(alerts.alerts_at()),
        None if spec.transitions is None else tuple(alerts.transitions()),
        _span(context, ("expect", "transitions"), "key"),
        outcomes,
        _span(context, ("expect", "outcomes"), "key"),
        spec.tolerance,
    )


def _span(
    context: ResolveContext, at: Place, on: On = "value", chars: tuple[int, int] | None = None
) -> Span:
    place = (*context.entry.place, *at)
    source = context.entry.source
    return source.locate(place, on) if chars is None else source.locate_text(place, *chars)


def _refuse_empty(context: ResolveContext, at: Place, section: Mapping[str, object]) -> None:
    """Note empty expectations as problems: they would always hold."""
    if not section and not context.entry.has_hole(*at):
        context.wrong(
            at, "nothing is expected here", "leave it out, or state what is expected", on="key"
        )
    for name, expected in section.items():
        if isinstance(expected, dict) and not expected and not context.entry.has_hole(*at, name):
            hint = "give a time and what is expected then: `10:05: …`"
            context.wrong((*at, name), f"nothing is expected of '{name}'", hint, on="key")


def _windows(context: ResolveContext) -> Iterator[ExpectedWindow]:
    tolerance = context.entry.model.expect.tolerance
    for text, written in context.entry.model.expect.windows.items():
        at: Place = ("expect", "windows", text)
        series = context.series(at, text)
        if not isinstance(written, dict):
            values = context.values(at, written)
            if series is None:
                continue
            kpi, dimensions = series
            end = context.clock.start_ms
            for value in values:
                end = kpi.window.first_end_after(end)
                chars = value.chars if isinstance(written, str) else None
                span = _span(context, at, chars=chars)
                yield ExpectedWindow(
                    kpi.name, dimensions, end, value.value, True, tolerance, value.events, span
                )
            continue
        for time, expected in written.items():
            ended = _end(context, (*at, time), time, series[0] if series else None)
            if ended is not None and series is not None:
                yield _window(context, (*at, time), *series, ended, expected)


def _window(
    context: ResolveContext,
    at: Place,
    kpi: Kpi,
    dimensions: Dimensions,
    end_ms: int,
    expected: object,
) -> ExpectedWindow:
    spec = expected if isinstance(expected, WindowSpec) else None
    value = spec.value if spec else expected
    if spec is not None and spec.value is None and spec.events is None:
        context.wrong(
            at, "nothing is expected of this window", "give its value or events", on="key"
        )
    tolerance = context.entry.model.expect.tolerance
    if spec is not None and spec.tolerance is not None:
        tolerance = spec.tolerance
    return ExpectedWindow(
        kpi.name,
        dimensions,
        end_ms,
        float(value) if isinstance(value, int | float) else None,
        value is not None,
        tolerance,
        spec.events if spec else None,
        _span(context, at),
    )


def _states(context: ResolveContext) -> Iterator[ExpectedTargetState]:
    for text, states in context.entry.model.expect.targets.items():
        at: Place = ("expect", "targets", text)
        series = context.series(at, text)
        for time, state in states.items():
            ended = _end(context, (*at, time), time, series[0] if series else None)
            if ended is not None and series is not None:
                kpi, dimensions = series
                if target_of(kpi, dimensions, kpi.window.start_of(ended)) is None:
                    hint = "give the KPI a `target`"
                    context.wrong((*at, time), f"'{text}' has no target", hint, on="key")
                span = _span(context, (*at, time))
                yield ExpectedTargetState(kpi.name, dimensions, ended, TargetState(state), span)


def _objectives(context: ResolveContext) -> Iterator[ExpectedObjective]:
    for name, by_time in context.entry.model.expect.objectives.items():
        at: Place = ("expect", "objectives", name)
        known = name in context.plan.objectives
        if not known:
            hint = suggest(name, context.plan.objectives, "objectives")
            context.wrong(at, f"unknown objective '{name}'", hint, on="key")
        for time, expected in by_time.items():
            at_ms = context.time((*at, time), time, on="key")
            if known and at_ms is not None:
                score = TargetState(expected) if isinstance(expected, str) else float(expected)
                yield ExpectedObjective(name, at_ms, score, _span(context, (*at, time)))


def _end(context: ResolveContext, at: Place, text: str, kpi: Kpi | None) -> int | None:
    """The time of a text, if a window of the KPI ends then."""
    end = context.time(at, text, on="key")
    if end is None or kpi is None:
        return end
    after = kpi.window.first_end_after(end - 1)
    if after == end:
        return end
    before = previous_end(kpi.window, after)
    near = f"its windows end at {context.clock.show(before)} and {context.clock.show(after)}"
    context.wrong(at, f"no window of '{kpi.name}' ends at {text}", near, on="key")
    return None


class _Alerts:
    """Resolves the expectations of alerts."""

    def __init__(self, context: ResolveContext, closed_only: bool) -> None:
        self.context = context
        self.closed_only = closed_only

    def alerts_at(self) -> Iterator[ExpectedAlerts]:
        for time, alerts in self.context.entry.model.expect.alerts_at.items():
            at: Place = ("expect", "alerts_at", time)
            at_ms = self.context.time(at, time, on="key")
            wanted = [self._wanted((*at, n), alert) for n, alert in enumerate(alerts)]
            if at_ms is None:
                continue
            named = [alert for alert in wanted if alert is not None]
            seen: set[Alert] = set()
            for number, alert in enumerate(wanted):
                if alert is not None and alert.alert in seen:
                    self.context.wrong((*at, number), "the same alert twice", "keep one")
                seen |= {alert.alert} if alert else set()
            yield ExpectedAlerts(at_ms, tuple(named), _span(self.context, at, "key"))

    def transitions(self) -> Iterator[ExpectedTransition]:
        for text, phases in (self.context.entry.model.expect.transitions or {}).items():
            at: Place = ("expect", "transitions", text)
            alert = self._named(at, text, "key")
            if alert is not None and alert[1] is not None:
                hint = f"{{… {alert[1].value}}} goes after the time"
                self.context.wrong(at, f"a phase in the name of an alert: '{text}'", hint, on="key")
            for time, phase in phases.items():
                at_ms = self.context.time((*at, time), time, on="key")
                if at_ms is not None and alert is not None:
                    span = _span(self.context, (*at, time))
                    yield ExpectedTransition(alert[0], at_ms, AlertPhase(phase), span)

    def _wanted(self, at: Place, written: AlertSpec | str) -> ExpectedAlert | None:
        spec = (
            written
            if isinstance(written, AlertSpec)
            else AlertSpec.model_validate({"alert": written})
        )
        place = (*at, "alert") if isinstance(written, AlertSpec) else at
        alert = self._named(place, spec.alert, "value")
        if alert is None:
            return None
        phase = alert[1] or AlertPhase.FIRING
        if phase not in (AlertPhase.PENDING, AlertPhase.FIRING):
            message = f"'{phase.value}' in a list of the alerts that are pending or firing"
            self.context.wrong(
                place, message, "leave it out: alerts that are not listed are neither"
            )
        span = _span(self.context, place)
        return ExpectedAlert(alert[0], phase, spec.value, spec.summary, spec.description, span)

    def _named(self, at: Place, text: str, on: On) -> tuple[Alert, AlertPhase | None] | None:
        alert = self.context.alert(at, text, on=on)
        if alert is None:
            return None
        rule = self.context.plan.rules[alert[0].rule]
        if rule.name not in self.context.rules:
            message = f"'{rule.name}' is not among this test's `rules`"
            self.context.wrong(at, message, "add it there", on=on)
        if self.closed_only and isinstance(rule, ThresholdRule) and rule.on == "current":
            message = (
                f"'{rule.name}' evaluates current values: `series` are those of closed windows"
            )
            self.context.wrong(at, message, "write `events`", on=on)
        return alert
