"""Numbers of single people: what everybody sees, what they see themselves, and what leaves."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from agent.core.changes.inventory import from_bytes
from agent.core.changes.outline import HIDDEN, public_outline
from agent.core.evaluate.objectives import Score
from agent.core.evaluate.targets import assess
from agent.core.model.kpis import Dimensions, Target
from agent.core.model.plan import Objective
from agent.core.model.results import AlertPhase, SeriesView, TargetStatus, WindowValue
from agent.core.output.privacy import Privacy
from agent.export.agent_state import AgentState, Alert
from agent.export.outgoing_alerts import alerts_to_send
from agent.export.web.private import INDEX_SECONDS, PrivatePages
from tests.export.invented import NOW_MS, kpi, plan, threshold
from tests.export.running_agent import FilledFleet, running_agent
from tests.export.web.test_alerts import STEPS
from tests.export.web.test_server import _client

PRIVACY = Privacy("a secret of sixteen characters or more")
TARGET = Target(at_least=10)
TASKS = replace(
    kpi("tasks", "Tasks <done>", None, by=("desk", "employee"), target=TARGET, owner="people-lead"),
    person="employee",
)
CALLS = replace(
    kpi("calls", "Calls", None, by=("employee",), owner="phone-lead"), person="employee"
)
NOTES = replace(kpi("notes", "Notes", None, by=("author",), owner="people-lead"), person="author")
ORDERS = kpi("orders", "Orders", None, by=("desk",), target=TARGET, owner="people-lead")
SLOW = threshold("slow", "tasks", "warning", summary="{{ employee }} is slow")
FEW = threshold("few", "orders", "warning")
COMPANY = plan(
    [TASKS, CALLS, NOTES, ORDERS],
    [SLOW, FEW],
    [Objective("work", "Work", "", "boss", {"tasks": 0.5, "orders": 0.5})],
)


PAST: dict[Dimensions, tuple[tuple[int, float | None], ...]] = {
    ("north", "anna"): ((NOW_MS - 120_000, 12.0), (NOW_MS - 60_000, None), (NOW_MS, 4.0)),
    ("south", "anna"): ((NOW_MS, 12.0),),
    ("anna",): ((NOW_MS - 60_000, 30.0), (NOW_MS, 33.0)),
}


def series(of: str, dimensions: Dimensions, value: float, firing: str = "") -> SeriesView:
    window = WindowValue(of, dimensions, NOW_MS - 60_000, NOW_MS, value, 3)
    state, attainment = assess(TARGET, value)
    return SeriesView(
        of, dimensions, window, None, TARGET,
        TargetStatus(window, state, None, attainment, TARGET), PAST.get(dimensions, ()),
        {(firing, "warning"): AlertPhase.FIRING} if firing else {},
    )  # fmt: skip


SERIES: Sequence[SeriesView] = (
    series("tasks", ("north", "anna"), 4.0, "slow"),
    series("tasks", ("south", "anna"), 12.0),
    series("tasks", ("north", "berta"), 15.0),
    series("tasks", ("north", None), 1.0),
    series("tasks", ("__other__", "__other__"), 1.0),
    series("calls", ("anna",), 33.0),
    series("notes", ("anna",), 2.0),
    series("orders", ("north",), 99.0),
)
ALERTS = [
    Alert(
        "slow", "warning", "tasks", ("north", "anna"), AlertPhase.FIRING, NOW_MS - 60_000, 4.0,
        f"{PRIVACY.pseudonym('employee', 'anna')} is slow",
    )
]  # fmt: skip


def state() -> AgentState:
    history = [{**STEPS[0], "kpi": "tasks", "dimensions": {"employee": "anna"}}]
    fleet = FilledFleet(SERIES, ALERTS, history, {"work": Score(0.7)}, leads=True)
    return running_agent(
        COMPANY, fleet=fleet, ready={"merge": None}, privacy=PRIVACY, name="Company"
    )


PEOPLE = ("anna", "berta")


@pytest.mark.parametrize(
    "path", ["/api/v1/board", "/api/v1/alerts", "/api/v1/kpis/orders", "/", "/api/v1/stream"]
)
async def test_nothing_that_everybody_sees_names_a_person_or_a_private_kpi(path: str) -> None:
    async with _client(state()) as client:
        answer = await client.get(path)
        text = (await answer.content.readuntil(b"}\n\n" if "stream" in path else b"}")).decode()
        if "stream" not in path:
            text += await answer.text()
    for hidden in (*PEOPLE, "Tasks", "tasks", "slow", PRIVACY.pseudonym("employee", "anna")):
        assert hidden not in text


def declared() -> AgentState:
    """The company with KPIs that need no contract, of which it has none."""
    kpis = {
        name: replace(kpi, contract=None, inputs=("events",)) for name, kpi in COMPANY.kpis.items()
    }
    made = state()
    made.rules.plan = replace(COMPANY, kpis=kpis)
    return made


async def test_the_rules_in_use_name_nobody_and_count_what_everybody_may_see() -> None:
    here = declared()
    async with _client(here) as client:
        published = from_bytes(await (await client.get("/api/v1/rules")).read())
    assert published.held is not None
    assert published.held.series == {"orders": 1}
    assert published.held.alerts == ()
    assert published.rules == public_outline(here.plan)
    assert set(published.rules.sections["kpis"]["tasks"]) == {HIDDEN}


async def test_an_agent_that_is_not_ready_counts_nothing() -> None:
    waiting = declared()
    waiting.ready["board"] = "reading the board topic"
    async with _client(waiting) as client:
        published = from_bytes(await (await client.get("/api/v1/rules")).read())
    assert published.held is None


async def test_the_shared_board_has_the_score_and_the_other_kpis() -> None:
    async with _client(state()) as client:
        board = await (await client.get("/api/v1/board")).json()
        assert [kpi["name"] for kpi in board["kpis"]] == ["orders"]
        assert board["kpi_order"] == ["orders"]
        assert (board["alerts"], board["alert_counts"]["firing"], board["transitions"]) == (
            [],
            0,
            [],
        )
        (work,) = board["objectives"]
        assert (work["text"], [k["name"] for k in work["kpis"]]) == ("70 %", ["orders"])
        assert (await client.get("/api/v1/kpis/tasks")).status == 404


async def test_metrics_have_people_by_their_pseudonym() -> None:
    anna = PRIVACY.pseudonym("employee", "anna")
    async with _client(state()) as client:
        text = await (await client.get("/metrics")).text()
    assert f'kpi_tasks{{desk="north",employee="{anna}"}} 4.0' in text
    assert f'kpi_calls{{employee="{anna}"}} 33.0' in text
    assert 'kpi_orders{desk="north"} 99.0' in text
    assert 'employee="__none__"' in text
    rule = 'kpi_rule_state{rule="slow",severity="warning",kpi="tasks"'
    assert f'{rule},desk="north",employee="{anna}"}} 2' in text
    assert not any(person in text for person in PEOPLE)


async def test_people_that_the_rules_name_are_named_in_metrics_and_nowhere_else() -> None:
    made = state()
    made.rules.plan = replace(COMPANY, kpis=COMPANY.kpis | {"calls": replace(CALLS, named=True)})
    async with _client(made) as client:
        assert 'kpi_calls{employee="anna"} 33.0' in await (await client.get("/metrics")).text()
        assert "anna" not in await (await client.get("/api/v1/board")).text()


def test_alerts_that_are_delivered_have_the_pseudonym_and_their_own_series() -> None:
    (published,) = alerts_to_send(COMPANY, ALERTS, NOW_MS, PRIVACY).values()
    anna = PRIVACY.pseudonym("employee", "anna")
    assert published.labels["employee"] == anna
    assert published.labels["series"] == f"desk=north,employee={anna}"
    assert published.series == ("tasks", ("north", "anna"))
    assert "anna" not in json.dumps([dict(published.labels), dict(published.annotations)])


async def opened(token: str) -> tuple[int, Any, str]:
    """Status and data of what a token opens, and its page."""
    async with _client(state()) as client:
        data = await client.get(f"/api/v1/private/{token}")
        page = await client.get(f"/private/{token}")
        assert page.status == data.status
        assert (page.headers["Cache-Control"], page.headers["X-Robots-Tag"]) == (
            "no-store",
            "noindex",
        )
        return data.status, await data.json(), await page.text()


async def test_a_person_sees_all_of_their_own_series_and_nobody_elses() -> None:
    status, data, page = await opened(PRIVACY.person_tokens("employee", "anna")[0])
    assert status == 200
    assert data["who"] == {"person": "employee", "name": "anna"}
    shown = {k["name"]: [row["series"] for row in k["rows"]] for k in data["kpis"]}
    # `notes` names its people by another dimension: that anna may be somebody else.
    assert shown == {"tasks": ["north · anna", "south · anna"], "calls": ["anna"]}
    assert [(a["rule"], a["series"]) for a in data["alerts"]] == [("slow", "north · anna")]
    assert "Tasks &lt;done&gt;" in page
    assert "berta" not in page
    assert "✕ missed" in page
    assert "firing for 1m" in page
    assert '<title>The last 3 windows, between 4 and 12</title><path class="line"' in page
    assert page.count("<path") == page.count("<svg") + 1  # a window without a value is a gap


async def test_an_owner_sees_everybody_in_the_private_kpis_that_are_theirs() -> None:
    status, data, page = await opened(PRIVACY.owner_tokens("people-lead")[0])
    assert status == 200
    shown = {k["name"]: k["total"] for k in data["kpis"]}
    assert shown == {"tasks": 5, "notes": 1}  # not `calls`, and not `orders`, which is no secret
    assert "anna" in page
    assert "berta" in page


@pytest.mark.parametrize(
    "token",
    [
        "",
        "0" * 32,
        PRIVACY.person_tokens("employee", "carla")[0],  # of whom nothing is known
        PRIVACY.person_tokens("desk", "north")[0],
        PRIVACY.person_tokens("employee", "__none__")[0],
        PRIVACY.person_tokens("employee", "__other__")[0],
        PRIVACY.owner_tokens("boss")[0],
        PRIVACY.pseudonym("employee", "anna"),
        Privacy("another secret of the same length").person_tokens("employee", "anna")[0],
    ],
)
async def test_nothing_else_opens_a_page(token: str) -> None:
    async with _client(state()) as client:
        for path in (f"/private/{token}", f"/api/v1/private/{token}"):
            answer = await client.get(path)
            assert answer.status == 404
            text = await answer.text()
            assert not any(person in text for person in PEOPLE)


async def test_a_page_that_breaks_is_logged_without_its_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    token = PRIVACY.person_tokens("employee", "anna")[0]

    class Broken(FilledFleet):
        def all_series(self) -> Sequence[SeriesView]:
            raise RuntimeError("broken")

    async with _client(replace(state(), fleet=Broken())) as client:
        assert (await client.get(f"/private/{token}")).status == 500
    assert "GET /private/{token} failed" in caplog.text
    assert token not in caplog.text


async def test_the_page_loads_nothing_but_the_boards_files_and_is_whole_without_them() -> None:
    *_, page = await opened(PRIVACY.owner_tokens("people-lead")[0])
    assert re.findall(r'(?:href|src)="([^"]*)"', page) == [
        "../static/icon.svg", "../static/board.css", "../static/refresh.js",
    ]  # fmt: skip
    assert page.count("<script") == 1


async def test_wrong_tokens_cost_a_look_up_each_and_somebody_new_is_found_after_a_while() -> None:
    clock = [100.0]
    made: list[tuple[str, str]] = []
    token = PRIVACY.person_tokens("employee", "zoe")[0]

    class Counting(Privacy):
        def person_tokens(self, dimension: str, name: str) -> tuple[str, ...]:
            made.append((dimension, name))
            return super().person_tokens(dimension, name)

    here = replace(state(), privacy=Counting("a secret of sixteen characters or more"))
    pages = PrivatePages(here, lambda: clock[0])
    for number in range(1_000):
        assert await pages.data(f"{number:032}", NOW_MS) is None
    assert len(made) == len(set(made))  # once for each person, whatever is asked for
    known = len(made)

    here.fleet.series = [*here.fleet.series, series("calls", ("zoe",), 5.0)]
    assert await pages.data(token, NOW_MS) is None
    assert len(made) == known
    clock[0] += INDEX_SECONDS
    page = await pages.data(token, NOW_MS)
    assert page is not None
    assert page["who"] == {"person": "employee", "name": "zoe"}
    assert len(made) == known + 1
