"""The strategy board: objectives and their scores, every KPI against its target, what is firing."""

from __future__ import annotations

from collections.abc import Iterator

from agent.core.evaluate.objectives import AT_RISK_FROM, MET_FROM, in_tree_order
from agent.core.model.plan import Objective, Plan
from agent.core.output.privacy import shared
from agent.generate import names, panels
from agent.generate.layout import Board, Cell, Section
from agent.generate.panels import About, Query
from agent.generate.uids import AGENT_UID, STRATEGY_UID, kpi_board_uid

SCORE_STEPS = (
    (None, panels.VERMILLION),
    (AT_RISK_FROM, panels.ORANGE),
    (MET_FROM, panels.BLUE),
)
"""A score has the colour of its objective's state."""
MOST_ROWS = 200
"""Rows of the tables: the worst series of a company, not all of them."""

NO_SERIES = "or vector(0)"


class _Public:
    """The series of the KPIs and rules that everybody may see."""

    def __init__(self, plan: Plan) -> None:
        public = shared(plan)
        self._kpis = sorted(plan.kpis.keys() - public.kpis.keys())
        self._rules = sorted(plan.rules.keys() - public.rules.keys())

    def of(self, metric: str) -> str:
        """A metric of all series, without those that are private."""
        hidden = [("kpi", self._kpis)]
        if metric == names.RULE_STATE:
            hidden.append(("rule", self._rules))
        inside = ",".join(f'{label}!~"{"|".join(found)}"' for label, found in hidden if found)
        return names.one_of_workers(f"{metric}{{{inside}}}" if inside else metric)


def strategy_board(declared: Plan) -> Board:
    """The one board that everybody starts at."""
    plan, public = shared(declared), _Public(declared)
    return Board(
        uid=STRATEGY_UID,
        title="Strategy",
        description="Objectives and their KPIs: where they stand, and who should act.",
        tags=["strategy"],
        sections=[
            Section("Objectives", 5, list(_objectives(plan))),
            Section("At a glance", 4, list(_counts(public))),
            Section("Every KPI against its target", 11, list(_standing(plan, public))),
            Section("Alerts", 9, list(_alerts(plan, public))),
            Section("Over time", 8, list(_courses(public))),
        ],
        links=[("KPI agent", f"/d/{AGENT_UID}")],
    )


def _objectives(plan: Plan) -> Iterator[Cell]:
    found = in_tree_order(plan.objectives)
    width = max(24 // max(len(found), 1), 6)
    for objective in found:
        score = names.selector(names.OBJECTIVE_SCORE, [("objective", objective.name)])
        query = Query(names.one_of_workers(score), objective.title)
        about = About(objective.title, _made_of(plan, objective), "percentunit")
        yield Cell(panels.stat_panel(about, [query], steps=SCORE_STEPS, sparkline=True), width)


def _made_of(plan: Plan, objective: Objective) -> str:
    parts = [
        f"- {weight:.0%} {plan.objectives[name].title}"
        for name, weight in objective.objectives.items()
    ]
    parts += [
        f"- {weight:.0%} [{plan.kpis[name].title}](/d/{kpi_board_uid(name)})"
        for name, weight in objective.kpis.items()
    ]
    owner = f"Owner: {objective.owner}." if objective.owner else ""
    head = " ".join(text for text in (objective.description, owner) if text)
    return f"{head}\n\nThe weighted attainment of:\n" + "\n".join(parts)


def _counts(public: _Public) -> Iterator[Cell]:
    state = public.of(names.TARGET_STATE)
    for number in (3, 2, 1, 0):
        words, color = panels.TARGET_STATES[number]
        query = Query(f"count({state} == {number}) {NO_SERIES}", words)
        about = About(words, f"Series whose last closed window is: {words[2:]}.", "short")
        yield Cell(panels.stat_panel(about, [query], steps=((None, color),)), 5)
    firing = f"count({public.of(names.RULE_STATE)} == {names.FIRING}) {NO_SERIES}"
    about = About("● firing", "Alerts that fire now, of all severities.", "short")
    steps = ((None, panels.BLUE), (1.0, panels.VERMILLION))
    yield Cell(panels.stat_panel(about, [Query(firing, "firing")], steps=steps), 4)


def _dimensions(plan: Plan) -> list[str]:
    """The dimensions of all KPIs, each once, in order of name."""
    return sorted({name for kpi in plan.kpis.values() for name in kpi.by})


def _named(query: str) -> str:
    """Adds the KPI's title and owner."""
    info = f"max by (kpi, title, owner) ({names.INFO})"
    return f"({query}) * on (kpi) group_left (title, owner) {info}"


def _standing(plan: Plan, public: _Public) -> Iterator[Cell]:
    about = About(
        "Targets",
        f"The last closed window of each series, missed ones first ({MOST_ROWS} at most). "
        "Attainment: 100 % is the target.",
        "short",
    )
    worst = f"topk({MOST_ROWS}, {public.of(names.TARGET_STATE)})"
    lowest = f"bottomk({MOST_ROWS}, {public.of(names.ATTAINMENT)})"
    panel = panels.table_panel(
        about,
        [Query(_named(worst)), Query(_named(lowest))],
        columns={
            "title": "KPI",
            **{name: name.replace("_", " ") for name in _dimensions(plan)},
            "Value #A": "State",
            "Value #B": "Attainment",
            "owner": "Owner",
            "kpi": "Name",
        },
        sort_by="State",
    )
    panels.state_column(panel, "State", panels.TARGET_STATES)
    panels.unit_column(panel, "Attainment", "percentunit")
    panels.link_column(panel, "KPI", "Open its board", "/d/kpi-${__data.fields.Name}")
    yield Cell(panel, 15)
    about = About(
        "Attainment, the lowest of each KPI",
        "The series of each KPI that is furthest from its target; 100 % is the target.",
        "percentunit",
    )
    lowest = f"min by (kpi) ({public.of(names.ATTAINMENT)})"
    query = Query(f"sort({_titled(lowest)})", "{{title}}")
    steps = ((None, panels.VERMILLION), (1.0, panels.BLUE))
    yield Cell(panels.bar_panel(about, [query], steps, 1.5), 9)


def _titled(query: str) -> str:
    return f"({query}) * on (kpi) group_left (title) max by (kpi, title) ({names.INFO})"


def _alerts(plan: Plan, public: _Public) -> Iterator[Cell]:
    about = About(
        "Rules, firing first",
        f"Every rule and series; firing ones first ({MOST_ROWS} at most).",
        "short",
    )
    query = f"topk({MOST_ROWS}, {public.of(names.RULE_STATE)})"
    panel = panels.table_panel(
        about,
        [Query(_named(query))],
        columns={
            "rule": "Rule",
            "severity": "Severity",
            "Value": "State",
            "title": "KPI",
            **{name: name.replace("_", " ") for name in _dimensions(plan)},
            "owner": "Owner",
            "kpi": "Name",
        },
        sort_by="State",
    )
    panels.state_column(panel, "State", panels.RULE_STATES)
    panels.link_column(panel, "KPI", "Open its board", "/d/kpi-${__data.fields.Name}")
    yield Cell(panel, 15)
    about = About("Firing alerts", "How many fired, by severity.", "short")
    state = public.of(names.RULE_STATE)
    fired = f"sum by (severity) ({state} == bool {names.FIRING})"
    yield Cell(panels.line_panel(about, [Query(fired, "{{severity}}")], stacked=True), 9)


def _courses(public: _Public) -> Iterator[Cell]:
    about = About("Scores", "Each objective's score; 100 % is every target reached.", "percentunit")
    query = Query(names.one_of_workers(names.OBJECTIVE_SCORE), "{{objective}}")
    yield Cell(panels.line_panel(about, [query], limit=1.0), 8)
    about = About(
        "Trend of the scores",
        "How much higher each score is than a week (of long windows: four windows) before.",
        "percentunit",
    )
    query = Query(names.one_of_workers(names.OBJECTIVE_CHANGE), "{{objective}}")
    yield Cell(panels.line_panel(about, [query]), 8)
    about = About("Series by target state", "How many series stood where.", "short")
    state = public.of(names.TARGET_STATE)
    queries = [
        Query(f"count({state} == {number}) {NO_SERIES}", panels.TARGET_STATES[number][0])
        for number in (3, 2, 1, 0)
    ]
    panel = panels.line_panel(about, queries, stacked=True)
    panels.color_states(panel, panels.TARGET_STATES)
    yield Cell(panel, 8)
