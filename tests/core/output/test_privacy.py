"""Who is private, and what people are called outside."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.model.kpis import Target
from agent.core.model.plan import Objective, Plan
from agent.core.model.results import (
    AlertPhase,
    Emitted,
    SeriesView,
    TargetState,
    TargetStatus,
    Transition,
    WindowValue,
)
from agent.core.model.rules import RULE_SUBJECT, CompositeLevel, CompositeRule, RuleRef, Term
from agent.core.output.privacy import NoSecret, Privacy, private_subjects, public_plan
from tests.export.invented import kpi, plan, threshold

SECRET = "a secret of sixteen characters or more"
TASKS = replace(
    kpi("tasks", "Tasks", None, by=("desk", "employee"), target=Target(at_least=1)),
    person="employee",
)
OPEN = replace(TASKS, name="open_tasks", named=True)
TICKETS = kpi("tickets", "Tickets", None, by=("desk",))
SLOW, FAST = threshold("slow", "tasks", "warning"), threshold("fast", "tickets", "warning")


def composite(name: str, *subjects: str) -> CompositeRule:
    """A rule over the alerts of these, by desk and employee."""
    dependencies = tuple(
        RuleRef(f"r{n}", subject, "r", None, False, (0, 1), (0, 1))
        for n, subject in enumerate(subjects)
    )
    level = CompositeLevel("warning", Term("is"), None, "r", None)
    return CompositeRule(
        name=name,
        dependencies=dependencies,
        levels=(level,),
        by=("desk", "employee"),
        expire_after_ms=1,
    )


BOTH = composite("both", "tasks", "tickets")
ABOVE = composite("above", RULE_SUBJECT + "both")
COMPANY = plan(
    [TASKS, OPEN, TICKETS],
    [SLOW, FAST, BOTH, ABOVE],  # type: ignore[list-item]
    [Objective("work", "Work", "", None, {"tasks": 0.5, "tickets": 0.5})],
)
PRIVACY = Privacy(SECRET)
NAMED = ("north", "4711")
HIDDEN = ("north", PRIVACY.pseudonym("employee", "4711"))


def window(of: str = "tasks", dimensions: tuple[str, ...] = NAMED) -> WindowValue:
    return WindowValue(of, dimensions, 0, 1000, 3.0, 3)


def test_a_pseudonym_is_the_keyed_hash_of_dimension_and_name() -> None:
    digest = hmac.new(SECRET.encode(), b"9:pseudonym8:employee4:4711", hashlib.sha256).hexdigest()
    assert PRIVACY.pseudonym("employee", "4711") == f"p-{digest[:16]}"


def test_a_person_is_the_same_forevery_worker_and_another_by_another_secret() -> None:
    assert Privacy(SECRET).pseudonym("employee", 4711) == PRIVACY.pseudonym("employee", "4711")
    assert Privacy(SECRET[::-1]).pseudonym("employee", 4711) != PRIVACY.pseudonym("employee", 4711)
    assert PRIVACY.pseudonym("manager", 4711) != PRIVACY.pseudonym("employee", 4711)


def test_after_a_rotation_the_new_secret_is_in_use_and_the_earlier_names_are_known() -> None:
    rotated = Privacy("a new secret of sixteen characters", SECRET)
    new, old = rotated.pseudonyms("employee", "4711")
    assert rotated.pseudonym("employee", "4711") == new
    assert old == PRIVACY.pseudonym("employee", "4711")
    assert new == Privacy("a new secret of sixteen characters").pseudonym("employee", "4711")


def test_pages_have_a_secret_of_their_own_whose_change_renames_nobody() -> None:
    linked = Privacy(SECRET, link_secrets=("links of sixteen characters", SECRET))
    assert linked.pseudonyms("employee", "4711") == PRIVACY.pseudonyms("employee", "4711")
    in_use, earlier = linked.person_tokens("employee", "4711")
    assert earlier == PRIVACY.person_tokens("employee", "4711")[0]
    assert in_use != earlier
    assert linked.owner_tokens("lead")[1:] == PRIVACY.owner_tokens("lead")


@given(st.text(), st.text(), st.text(), st.text())
def test_no_two_share_a_token(a: str, b: str, c: str, d: str) -> None:
    tokens = {
        *PRIVACY.person_tokens(a, b),
        *PRIVACY.person_tokens(c, d),
        *PRIVACY.owner_tokens(a + b),
    }
    assert len(tokens) == (2 if (a, b) == (c, d) else 3)


def test_only_the_person_is_hidden_and_only_where_the_rules_do_not_name_people() -> None:
    assert PRIVACY.dimensions(COMPANY, "tasks", NAMED) == HIDDEN
    assert PRIVACY.dimensions(COMPANY, "open_tasks", NAMED) == NAMED
    assert PRIVACY.dimensions(COMPANY, "tickets", ("north",)) == ("north",)
    assert PRIVACY.dimensions(COMPANY, "tasks", ("north", None)) == ("north", None)
    assert PRIVACY.dimensions(COMPANY, "tasks", ("__other__", "__other__"))[1] == "__other__"
    assert PRIVACY.dimensions(COMPANY, "undeclared", NAMED) == NAMED


def test_rules_over_the_rules_of_private_kpis_are_private_too() -> None:
    assert private_subjects(COMPANY) == {"tasks", "open_tasks", BOTH.kpi, ABOVE.kpi}
    assert PRIVACY.dimensions(COMPANY, ABOVE.kpi, NAMED) == HIDDEN


def test_what_everybody_sees_has_nothing_private() -> None:
    public = public_plan(COMPANY)
    assert list(public.kpis) == ["tickets"]
    assert list(public.rules) == ["fast"]
    assert public.objectives["work"].kpis == {"tickets": 0.5}
    bare = plan([TICKETS], [FAST])
    assert public_plan(bare) is bare


def test_everything_that_is_reported_is_reported_under_the_pseudonym() -> None:
    step = Transition(
        "slow", "warning", "tasks", NAMED, 1000, 0, AlertPhase.FIRING, AlertPhase.PENDING, 3.0,
        "value > 600", 0, 1000, "for",
    )  # fmt: skip
    status = TargetStatus(window(), TargetState.MET, None, 1.0, Target(at_least=1))
    published = PRIVACY.emitted(
        COMPANY, Emitted((window(), window("tickets", ("a",))), (status,), (step,))
    )
    assert [window.dimensions for window in published.windows] == [HIDDEN, ("a",)]
    assert published.targets[0].window.dimensions == HIDDEN
    assert published.transitions[0].dimensions == HIDDEN
    assert "4711" not in repr(published)


def test_views_are_reported_under_the_pseudonym_and_wholes_as_they_are() -> None:
    series = SeriesView("tasks", NAMED, window(), None, None, None)
    whole = SeriesView("tasks", None, None, None, None, None)
    assert [v.dimensions for v in PRIVACY.views(COMPANY, [series, whole])] == [HIDDEN, None]


def test_without_a_secret_nothing_private_can_be_reported_and_all_else_can() -> None:
    bare, nobody = plan([TICKETS], [FAST]), Privacy()
    nobody.check(bare)
    published = Emitted((window("tickets", ("a",)),))
    assert nobody.emitted(bare, published) is published
    for ask in (
        lambda: nobody.check(COMPANY),
        lambda: nobody.dimensions(COMPANY, "tasks", NAMED),
        lambda: nobody.person_tokens("employee", "4711"),
    ):
        with pytest.raises(NoSecret, match="no person_secret"):
            ask()


def test_another_plan_has_other_people() -> None:
    privacy = Privacy(SECRET)
    public = replace(COMPANY, kpis=COMPANY.kpis | {"tasks": replace(TASKS, person=None)})
    assert isinstance(public, Plan)
    assert privacy.dimensions(COMPANY, "tasks", NAMED) == HIDDEN
    assert privacy.dimensions(public, "tasks", NAMED) == NAMED
    assert privacy.dimensions(COMPANY, "tasks", NAMED) == HIDDEN
