"""What a test expects against what came out, side by side."""

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
from agent.ruletests.cases import Alert, AlertWanted, Case, Moment, WindowWanted
from agent.ruletests.names import show_alert, show_series
from agent.ruletests.run import RunResult

NOTHING = "–"
_SHOWN = 6
_ACTIVE = (AlertPhase.PENDING, AlertPhase.FIRING)


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was looked at: when, of what, expected and got; `span` is where it is wanted.

    `hint` says more of a difference.
    """

    at: str
    what: str
    expected: str
    got: str
    right: bool
    span: Span
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """The rows of one part of `expect`."""

    title: str
    rows: tuple[Row, ...]

    @property
    def right(self) -> bool:
        """Whether all is as expected."""
        return all(row.right for row in self.rows)


@dataclass(frozen=True, slots=True)
class Result:
    """How a test came out; `seconds` is how long it took."""

    case: Case
    sections: tuple[Section, ...]
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether all is as expected."""
        return all(section.right for section in self.sections)

    def problems(self) -> list[Problem]:
        """The differences, each at its place in the test file."""
        return [
            self.case.source.problem(
                row.span,
                ("tests", self.case.name, "expect"),
                f"{_head(section, row)}: expected {row.expected}, got {row.got}",
                row.hint,
            )
            for section in self.sections
            for row in section.rows
            if not row.right
        ]


def _head(section: Section, row: Row) -> str:
    return f"{row.what} at {row.at}" if row.at else row.what


def compare(plan: Plan, case: Case, ran: RunResult) -> Result:
    """Hold what came out against what is expected."""
    looked = _Looked(plan, case, ran)
    sections = [
        Section("windows", tuple(looked.windows())),
        Section("targets", tuple(looked.states())),
        Section("objectives", tuple(looked.standings())),
        Section("alerts", tuple(row for m in case.expected.moments for row in looked.moment(m))),
        Section("transitions", tuple(looked.steps())),
        Section("nothing else fires", tuple(looked.others())),
        Section("events", tuple(looked.outcomes())),
    ]
    return Result(case, tuple(s for s in sections if s.rows))


class _Looked:
    """One test's expectations, looked at one kind after the other."""

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
                _window_wanted(want),
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

    def standings(self) -> Iterator[Row]:
        for want in self.case.expected.standings:
            score = Score(self._scores(want.at_ms)[want.objective])
            if isinstance(want.standing, float):
                expected, got = _number(want.standing), _number(score.value)
                right = score.value is not None and _close(
                    want.standing, score.value, self._tolerance
                )
            else:
                expected, got = want.standing.value, score.state.value
                right = want.standing is score.state
            hint = None if right else f"its score is {_number(score.value)}: {score.state.value}"
            yield Row(self.show(want.at_ms), want.objective, expected, got, right, want.span, hint)

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
        """Which windows there are instead."""
        of_kpi = [w for w in self.ran.windows if w.kpi == kpi]
        ends = sorted(w.end_ms for w in of_kpi if w.dimensions == dimensions)
        if ends:
            return f"those that closed end at {_some(self.show(end) for end in ends)}"
        series = sorted({show_series(self.plan, kpi, w.dimensions) for w in of_kpi})
        return f"series that closed: {_some(series)}" if series else f"no window of {kpi} closed"

    # --- alerts ----------------------------------------------------------------------------

    def moment(self, moment: Moment) -> Iterator[Row]:
        at = self.show(moment.at_ms)
        now = self._active(moment.at_ms)
        for want in moment.alerts:
            step = now.pop(want.alert, None)
            expected, got = _alert_wanted(want), step.state.value if step else NOTHING
            if step is not None:
                got = self._actual_alert(want, step)
            yield Row(
                at, self._name(want.alert), expected, got, expected == got, want.span,
                None if expected == got else self._life(want.alert),
            )  # fmt: skip
        if not moment.alerts and not now:
            yield Row(at, "alerts", "none", "none", True, moment.span)
        for alert, step in sorted(now.items(), key=lambda item: repr(item[0])):
            yield Row(
                at, self._name(alert), NOTHING, step.state.value, False, moment.span,
                self._life(alert),
            )  # fmt: skip

    def steps(self) -> Iterator[Row]:
        wanted = self.case.expected
        if wanted.steps is None or wanted.steps_span is None:
            return
        steps = {(t.at_ms, alert_of(t)): t for t in self.transitions}
        want = {(s.at_ms, s.alert): s for s in wanted.steps}
        if not steps and not want:
            yield Row("", "transitions", "none", "none", True, wanted.steps_span)
        for at_ms, alert in sorted({*steps, *want}, key=lambda key: (key[0], repr(key[1]))):
            step, is_wanted = steps.get((at_ms, alert)), want.get((at_ms, alert))
            got = step.state.value if step else NOTHING
            expected = is_wanted.phase.value if is_wanted else NOTHING
            yield Row(
                self.show(at_ms),
                self._name(alert),
                expected,
                got,
                expected == got,
                is_wanted.span if is_wanted else wanted.steps_span,
                self._why(step) if step and expected != got else None,
            )

    def others(self) -> Iterator[Row]:
        """What fires and is named nowhere."""
        if self.case.expected.steps is not None:
            return
        named = {
            want.alert
            for moment in self.case.expected.moments
            for want in moment.alerts
            if want.phase is AlertPhase.FIRING
        }
        for moment in self.case.expected.moments:  # what fires there unexpectedly is reported there
            active = self._active(moment.at_ms).items()
            named |= {alert for alert, step in active if step.state is AlertPhase.FIRING}
        for step in self.transitions:
            alert = alert_of(step)
            if step.state is AlertPhase.FIRING and alert not in named:
                named.add(alert)
                hint = "name it in `alerts_at`, or the rules that the test looks at in `rules`"
                yield Row(
                    self.show(step.at_ms), self._name(alert), NOTHING, "firing", False,
                    self.case.span, f"{self._why(step)}\n{hint}",
                )  # fmt: skip

    def _active(self, at_ms: int) -> dict[Alert, Transition]:
        last = {alert_of(t): t for t in self.transitions if t.at_ms <= at_ms}
        return {alert: t for alert, t in last.items() if t.state in _ACTIVE}

    def _actual_alert(self, want: AlertWanted, step: Transition) -> str:
        said = transition_json(self.plan, self.plan.rules[step.rule], step)
        parts = [step.state.value]
        if want.value is not None:
            same = step.value is not None and _close(step.value, want.value, self._tolerance)
            parts.append(f"value {_number(want.value if same else step.value)}")
        if want.summary is not None:
            parts.append(f'"{said["summary"]}"')
        if want.description is not None:
            parts.append(f'"{said["description"]}"')
        return ", ".join(parts)

    @property
    def _tolerance(self) -> float | None:
        return self.case.expected.tolerance

    def _life(self, alert: Alert) -> str:
        """The steps that an alert took."""
        steps = [t for t in self.transitions if alert_of(t) == alert]
        if not steps:
            return "it took no step in this test"
        shown = _some(f"{t.state.value} at {self.show(t.at_ms)}" for t in steps)
        return f"its steps: {shown}"

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


def alert_of(step: Transition) -> Alert:
    """The alert that takes a step."""
    return Alert(step.rule, step.severity, step.dimensions)


def _agrees(want: WindowWanted, window: WindowValue) -> bool:
    if want.events is not None and window.events != want.events:
        return False
    if not want.says_value:
        return True
    if want.value is None or window.value is None:
        return want.value is window.value
    return _close(want.value, window.value, want.tolerance)


def _close(a: float, b: float, tolerance: float | None) -> bool:
    if tolerance is None:
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return abs(a - b) <= tolerance


def _window_wanted(want: WindowWanted) -> str:
    off = f" ± {_number(want.tolerance)}" if want.tolerance and want.value is not None else ""
    value = [_number(want.value) + off] if want.says_value else []
    events = [] if want.events is None else [_events(want.events)]
    return " of ".join([*value, *events])


def _actual_window(want: WindowWanted, window: WindowValue | None) -> str:
    if window is None:
        return "no such window"
    value = [_number(window.value)] if want.says_value else []
    events = [] if want.events is None else [_events(window.events)]
    return " of ".join([*value, *events])


def _alert_wanted(want: AlertWanted) -> str:
    parts = [want.phase.value]
    parts += [] if want.value is None else [f"value {_number(want.value)}"]
    parts += [f'"{text}"' for text in (want.summary, want.description) if text is not None]
    return ", ".join(parts)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.10g}"


def _events(number: int) -> str:
    return "1 event" if number == 1 else f"{number} events"


def _some(texts: Iterable[str]) -> str:
    """The first few of many."""
    all_ = list(texts)
    more = f", … ({len(all_)} in all)" if len(all_) > _SHOWN else ""
    return ", ".join(all_[:_SHOWN]) + more
