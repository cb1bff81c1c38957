"""A draft that passes the check: what a sample suggests and the rules refuse is left out.

`sound_drafts` comes before thresholds are proposed, `sound_rules` after: it writes the document.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from agent.core.model.plan import Plan
from agent.errors import InternalError, RulesError
from agent.init.drafted import EventDraft
from agent.init.proposal import Bound, Proposal
from agent.init.write import document
from agent.language.load import check
from agent.language.problems import Problem

MOST_ROUNDS = 100
"""Each round leaves out everything that is refused, after which other parts may be refused."""


def sound_drafts(drafts: Sequence[EventDraft], owner: str) -> tuple[list[EventDraft], Plan]:
    """The drafts without the fields and KPIs that the check refuses, and their plan. Raises
    RulesError if an answer is refused: a window, a zone, a path."""
    kept = list(drafts)
    for _ in range(MOST_ROUNDS):
        plan, errors = _checked(document(kept, {}, {}, owner))
        if plan is not None:
            return kept, plan
        events = [draft.event for draft in kept]
        kept = [_without(draft, _errors_about(errors, draft.event, events)) for draft in kept]
        kept = [draft for draft in kept if draft.kpis]
        if not kept:
            break
    raise RulesError(errors[0].message, errors[0].hint)


def sound_rules(
    drafts: Sequence[EventDraft],
    proposals: Mapping[str, Proposal],
    silences: Mapping[str, Bound],
    owner: str,
    schema: str,
) -> tuple[str, Plan]:
    """The document without the rules and targets that the check refuses, and its plan."""
    proposed, quiet = dict(proposals), dict(silences)
    for _ in range(MOST_ROUNDS):
        text = document(drafts, proposed, quiet, owner, schema)
        plan, errors = _checked(text)
        if plan is not None:
            return text, plan
        for draft in drafts:
            for kpi in draft.kpis:
                if any(
                    re.match(rf"(kpis|rules)\.{kpi.name}(_low|_high)?\b", e.where) for e in errors
                ):
                    proposed.pop(kpi.name, None)
                if kpi.counts and any(
                    e.where.startswith(f"rules.{kpi.name}_silent") for e in errors
                ):
                    quiet.pop(draft.event, None)
    raise InternalError(f"the draft does not pass the check: {errors[0].message}")


def _checked(text: str) -> tuple[Plan | None, list[Problem]]:
    """The plan of a document, and its errors."""
    with tempfile.TemporaryDirectory(prefix="kpi-agent-") as folder:
        place = Path(folder) / "draft.yaml"
        place.write_text(text, encoding="utf-8")
        plan, problems = check(place)
    return plan, [problem for problem in problems if problem.severity == "error"]


def _errors_about(errors: Sequence[Problem], event: str, events: Sequence[str]) -> list[Problem]:
    """The errors without those of other events. Names of events may have dots."""

    def of(error: Problem) -> str:
        named = [name for name in events if error.where.startswith(f"events.{name}.")]
        return max(named, key=len, default=event)

    return [error for error in errors if of(error) == event]


def _without(draft: EventDraft, errors: Sequence[Problem]) -> EventDraft:
    """A draft without the fields and KPIs that have errors, and the KPIs of those fields. Raises
    RulesError for an error of an answer."""
    fields = {
        f.name for f in draft.fields if _about(errors, f"events.{draft.event}.fields.{f.name}")
    }
    kpis = {
        kpi.name
        for kpi in draft.kpis
        if _about(errors, f"kpis.{kpi.name}", f"kpis.{kpi.name}.value", f"kpis.{kpi.name}.unit")
        or any(re.search(rf"\b{field}\b", kpi.value) for field in fields)
    }
    for error in errors:
        of_event = error.where.startswith(f"events.{draft.event}.") and not any(
            error.where.startswith(f"events.{draft.event}.fields.{name}") for name in fields
        )
        of_kpi = any(
            re.match(rf"kpis\.{kpi.name}\.(window|by|timezone)", error.where) for kpi in draft.kpis
        )
        if of_event or of_kpi or error.where.startswith("defaults"):
            raise RulesError(error.message, error.hint)
    return replace(
        draft,
        fields=[f for f in draft.fields if f.name not in fields],
        kpis=[kpi for kpi in draft.kpis if kpi.name not in kpis],
        by=[name for name in draft.by if name not in fields],
    )


def _about(errors: Sequence[Problem], *paths: str) -> bool:
    """Whether an error is at one of the paths, or below a field's."""
    return any(
        error.where == path or (".fields." in path and error.where.startswith(f"{path}."))
        for error in errors
        for path in paths
    )
