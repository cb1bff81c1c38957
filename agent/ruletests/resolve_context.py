"""The context in which the parts of a test are resolved, and their problems collected."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.core.model.kpis import Dimensions, Kpi
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase
from agent.language.declared import Entry
from agent.language.problems import Problem
from agent.language.recovery import UNKNOWN_NAME
from agent.language.source import On, Place
from agent.ruletests.cases import Alert
from agent.ruletests.models import TestSpec
from agent.ruletests.names import alert_of, series_of
from agent.ruletests.notation import NotationError, Value, read_values
from agent.ruletests.times import Clock, TimeError


@dataclass(slots=True)
class ResolveContext:
    """The context of one test. Its methods note problems, and return nothing then."""

    plan: Plan
    entry: Entry[TestSpec]
    clock: Clock
    rules: frozenset[str]
    problems: list[Problem] = field(default_factory=list)

    def wrong(
        self,
        at: Place,
        message: str,
        hint: str | None = None,
        *,
        on: On = "value",
        chars: tuple[int, int] | None = None,
    ) -> None:
        """Note a problem; `at` is the path below the test."""
        problem = self.entry.problem(at, message, hint, on=on, chars=chars)
        if problem is not None:
            self.problems.append(problem)

    def time(self, at: Place, text: str | None, *, on: On = "value") -> int | None:
        """The instant of a time; None if it is not given or wrong."""
        if text is None:
            return None
        try:
            return self.clock.read(text)
        except TimeError as error:
            self.wrong(at, error.message, error.hint, on=on)
            return None

    def series(self, at: Place, text: str) -> tuple[Kpi, Dimensions] | None:
        """The series that a key names."""
        try:
            return series_of(self.plan, text)
        except NotationError as error:
            self.wrong(at, error.message, error.hint, on="key", chars=error.chars)
            return None

    def values(self, at: Place, text: str | float) -> list[Value]:
        """Values of consecutive windows."""
        if not isinstance(text, str):
            return [Value(float(text), None, (0, 1))]
        values, wrong = read_values(text)
        for error in wrong:
            self.wrong(at, error.message, error.hint, chars=error.chars)
        return values

    def alert(self, at: Place, text: str, *, on: On) -> tuple[Alert, AlertPhase | None] | None:
        """The alert that a text names, and its phase if the text has one."""
        if text == UNKNOWN_NAME:
            return None
        try:
            return alert_of(self.plan, text)
        except NotationError as error:
            self.wrong(at, error.message, error.hint, on=on, chars=error.chars)
            return None
