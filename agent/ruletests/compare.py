"""Compares the expectations of a test with its result."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.core.evaluate.objectives import Score, scores
from agent.core.model.kpis import Dimensions
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase, Outcome, Transition, WindowValue
from agent.core.output.messages import transition_json
from agent.core.output.reasons import because
from agent.language.problems import Problem
from agent.language.source import Span
from agent.ruletests.cases import Alert, Case, ExpectedAlert, ExpectedAlerts, ExpectedWindow
from agent.ruletests.names import show_alert, show_series
from agent.ruletests.run import RunResult

NOTHING = "–"
_SHOWN = 6
_ACTIVE = (AlertPhase.PENDING, AlertPhase.FIRING)


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison: when, of what, expected and got; `span` is the place of the expectation.

    `hint` explains a difference.
    """

    at: str
    what: str
    expected: str
    got: str
    matches: bool
    span: Span
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """The rows of one part of `expect`."""

    title: str
    rows: tuple[Row, ...]

    @property
    def matches(self) -> bool:
        """Whether all is as expected."""
        return all(row.matches for row in self.rows)


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a test; `seconds`: its duration."""

    case: Case
    sections: tuple[Section, ...]
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether all is as expected."""
        return all(section.matches for section in self.sections)

    def problems(self) -> list[Problem]:
        """The differences as problems in the test file."""
        return [
            self.case.source.problem(
                ("tests", self.case.name, "expect"),
                f"{_head(section, row)}: expected {row.expected}, got {row.got}",
                row.hint,
                span=row.span,
            )
            for section in self.sections
            for row in section.rows
            if not row.matches
        ]


def _head(section: Section, row: Row) -> str:
    return f"{row.what} at {row.at}" if row.at else row.what


def compare(plan: Plan, case: Case, ran: RunResult) -> Result:
    """Compare the result of a run with the expectations of its test."""
    comparison = _Comparison(plan, case, ran)
    sections = [
        Section("windows", tuple(comparison.windows())),
        Section("targets", tuple(comparison.states())),
        Section("objectives", tuple(comparison.objectives())),
        Section("alerts", tuple(comparison.alerts_at())),
        Section("transitions", tuple(comparison.expected_transitions())),
        Section("nothing else fires", tuple(comparison.others())),
        Section("events", tuple(comparison.outcomes())),
    ]
    return Result(case, tuple(s for s in sections if s.rows))


class _Comparison:
    """The comparison of one test, with a method for each section."""

    def __init__(self, plan: Plan, case: Case, ran: RunResult) -> None:
        self.plan = plan
        self.case = case
        self.ran = ran
        self.show = case.clock.show
        self.transitions = [t for t in ran.transitions if t.rule in case.rules]

    # --- windows and targets ---------------------------------------------------------------

    def windows(self) -> Iterator[Row]:
        closed = {(w.kpi, w.dimensions, w.end_ms): w for w in self.ran.windows}
        for want in self.case.expected.windows:
            window = closed.get((want.kpi, want.dimensions, want.end_ms))
            yield Row(
                self.show(want.end_ms),
                show_series(self.plan, want.kpi, want.dimensions),
                _expected_window(want),
                _actual_window(want, window),
                window is not None and _agrees(want, window),
                want.span,
                None if window else self._closed(want.kpi, want.dimensions),
            )

    def states(self) -> Iterator[Row]:
        statuses = {
            (t.window.kpi, t.window.dimensions, t.window.end_ms): t for t in self.ran.targets
        }
        for want in self.case.expected.states:
            status = statuses.get((want.kpi, want.dimensions, want.end_ms))
            got = "no such window" if status is None else status.state.value
            hint = None
            if status is None:
                hint = self._closed(want.kpi, want.dimensions)
            elif status.state is not want.state:
                hint = f"the value is {_number(status.window.value)}"
            yield Row(
                self.show(want.end_ms),
                show_series(self.plan, want.kpi, want.dimensions),
                want.state.value,
                got,
                status is not None and status.state is want.state,
                want.span,
                hint,
            )

    def objectives(self) -> Iterator[Row]:
        for want in self.case.expected.objectives:
            score = Score(self._scores(want.at_ms)[want.objective])
            if isinstance(want.expected, float):
                expected, got = _number(want.expected), _number(score.value)
                matches = score.value is not None and _close(
                    want.expected, score.value, self._tolerance
                )
            else:
                expected, got = want.expected.value, score.state.value
                matches = want.expected is score.state
            hint = None if matches else f"its score is {_number(score.value)}: {score.state.value}"
            yield Row(
                self.show(want.at_ms), want.objective, expected, got, matches, want.span, hint
            )

    def _scores(self, at_ms: int) -> dict[str, float | None]:
        """The scores from the last window of each series that has closed by an instant."""
        last = {
            (t.window.kpi, t.window.dimensions): t
            for t in self.ran.targets
            if t.window.end_ms <= at_ms
        }
        attainments: dict[str, list[float]] = {}
        for (kpi, _), status in last.items():
            if status.attainment is not None:
                attainments.setdefault(kpi, []).append(status.attainment)
        return scores(self.plan.objectives, attainments)

    def _closed(self, kpi: str, dimensions: Dimensions) -> str:
        """A hint with the windows that there are instead."""
        of_kpi = [w for w in self.ran.windows if w.kpi == kpi]
        ends = sorted(w.end_ms for w in of_kpi if w.dimensions == dimensions)
        if ends:
            return f"those that closed end at {_some(self.show(end) for end in ends)}"
        series = sorted({show_series(self.plan, kpi, w.dimensions) for w in of_kpi})
        return f"series that closed: {_some(series)}" if series else f"no window of {kpi} closed"

    # --- alerts ----------------------------------------------------------------------------

    def alerts_at(self) -> Iterator[Row]:
        for expected in self.case.expected.alerts_at:
            yield from self._alerts_at(expected)

    def _alerts_at(self, wanted: ExpectedAlerts) -> Iterator[Row]:
        at = self.show(wanted.at_ms)
        active = self._active(wanted.at_ms)
        for want in wanted.alerts:
            step = active.pop(want.alert, None)
            expected, got = _expected_alert(want), step.state.value if step else NOTHING
            if step is not None:
                got = self._actual_alert(want, step)
            yield Row(
                at, self._name(want.alert), expected, got, expected == got, want.span,
                None if expected == got else self._transitions_text(want.alert),
            )  # fmt: skip
        if not wanted.alerts and not active:
            yield Row(at, "alerts", "none", "none", True, wanted.span)
        for alert, step in sorted(active.items(), key=lambda item: repr(item[0])):
            yield Row(
                at, self._name(alert), NOTHING, step.state.value, False, wanted.span,
                self._transitions_text(alert),
            )  # fmt: skip

    def expected_transitions(self) -> Iterator[Row]:
        wanted = self.case.expected
        if wanted.transitions is None or wanted.transitions_span is None:
            return
        actual = {(t.at_ms, alert_of(t)): t for t in self.transitions}
        want = {(t.at_ms, t.alert): t for t in wanted.transitions}
        if not actual and not want:
            yield Row("", "transitions", "none", "none", True, wanted.transitions_span)
        for at_ms, alert in sorted({*actual, *want}, key=lambda key: (key[0], repr(key[1]))):
            step, match = actual.get((at_ms, alert)), want.get((at_ms, alert))
            got = step.state.value if step else NOTHING
            expected = match.phase.value if match else NOTHING
            yield Row(
                self.show(at_ms),
                self._name(alert),
                expected,
                got,
                expected == got,
                match.span if match else wanted.transitions_span,
                self._why(step) if step and expected != got else None,
            )

    def others(self) -> Iterator[Row]:
        """The alerts that fire though no expectation names them."""
        if self.case.expected.transitions is not None:
            return
        named = {
            want.alert
            for expected in self.case.expected.alerts_at
            for want in expected.alerts
            if want.phase is AlertPhase.FIRING
        }
        for expected in self.case.expected.alerts_at:  # other alerts then are reported there
            active = self._active(expected.at_ms).items()
            named |= {alert for alert, step in active if step.state is AlertPhase.FIRING}
        for step in self.transitions:
            alert = alert_of(step)
            if step.state is AlertPhase.FIRING and alert not in named:
                named.add(alert)
                hint = "name it in `alerts_at`, or limit the test to other rules with `rules`"
                yield Row(
                    self.show(step.at_ms), self._name(alert), NOTHING, "firing", False,
                    self.case.span, f"{self._why(step)}\n{hint}",
                )  # fmt: skip

    def _active(self, at_ms: int) -> dict[Alert, Transition]:
        last = {alert_of(t): t for t in self.transitions if t.at_ms <= at_ms}
        return {alert: t for alert, t in last.items() if t.state in _ACTIVE}

    def _actual_alert(self, want: ExpectedAlert, step: Transition) -> str:
        document = transition_json(self.plan, self.plan.rules[step.rule], step)
        parts = [step.state.value]
        if want.value is not None:
            same = step.value is not None and _close(step.value, want.value, self._tolerance)
            parts.append(f"value {_number(want.value if same else step.value)}")
        if want.summary is not None:
            parts.append(f'"{document["summary"]}"')
        if want.description is not None:
            parts.append(f'"{document["description"]}"')
        return ", ".join(parts)

    @property
    def _tolerance(self) -> float | None:
        return self.case.expected.tolerance

    def _transitions_text(self, alert: Alert) -> str:
        """A hint with the transitions of an alert."""
        own = [t for t in self.transitions if alert_of(t) == alert]
        if not own:
            return "it has no transition in this test"
        shown = _some(f"{t.state.value} at {self.show(t.at_ms)}" for t in own)
        return f"its transitions: {shown}"

    def _why(self, step: Transition) -> str:
        return because(self.plan.subject(step.kpi), step)

    def _name(self, alert: Alert) -> str:
        return show_alert(self.plan, alert)

    # --- events ----------------------------------------------------------------------------

    def outcomes(self) -> Iterator[Row]:
        wanted, got = self.case.expected.outcomes, self.ran.outcomes
        if wanted is not None:
            for outcome in Outcome:
                expected, actual = wanted.get(outcome, 0), got[outcome]
                if expected or actual:
                    span = self.case.expected.outcomes_span or self.case.span
                    yield Row(
                        "", outcome.value, str(expected), str(actual), expected == actual, span
                    )
            return
        for span, why in self.ran.refused:
            yield Row("", "the event", "folded", why, False, span, "or expect it: outcomes")
        if self.case.records is not None and not self.ran.refused:
            for outcome in (Outcome.DUPLICATE, Outcome.EMPTY, Outcome.IGNORED):
                if got[outcome]:
                    shown = f"{got[outcome]} {outcome.value}"
                    hint = "or expect it: outcomes"
                    yield Row("", "events", "all folded", shown, False, self.case.span, hint)


def alert_of(transition: Transition) -> Alert:
    """The alert of a transition."""
    return Alert(transition.rule, transition.severity, transition.dimensions)


def _agrees(want: ExpectedWindow, window: WindowValue) -> bool:
    if want.events is not None and window.events != want.events:
        return False
    if not want.checks_value:
        return True
    if want.value is None or window.value is None:
        return want.value is window.value
    return _close(want.value, window.value, want.tolerance)


def _close(a: float, b: float, tolerance: float | None) -> bool:
    if tolerance is None:
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return abs(a - b) <= tolerance


def _expected_window(want: ExpectedWindow) -> str:
    off = f" ± {_number(want.tolerance)}" if want.tolerance and want.value is not None else ""
    value = [_number(want.value) + off] if want.checks_value else []
    events = [] if want.events is None else [_events(want.events)]
    return " of ".join([*value, *events])


def _actual_window(want: ExpectedWindow, window: WindowValue | None) -> str:
    if window is None:
        return "no such window"
    value = [_number(window.value)] if want.checks_value else []
    events = [] if want.events is None else [_events(window.events)]
    return " of ".join([*value, *events])


def _expected_alert(want: ExpectedAlert) -> str:
    parts = [want.phase.value]
    parts += [] if want.value is None else [f"value {_number(want.value)}"]
    parts += [f'"{text}"' for text in (want.summary, want.description) if text is not None]
    return ", ".join(parts)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.10g}"


def _events(number: int) -> str:
    return "1 event" if number == 1 else f"{number} events"


def _some(texts: Iterable[str]) -> str:
    """A list of the first few texts."""
    all_ = list(texts)
    more = f", … ({len(all_)} in all)" if len(all_) > _SHOWN else ""
    return ", ".join(all_[:_SHOWN]) + more
