"""The strategy board in Grafana: objectives and their scores, all KPIs with their targets, active
alerts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from agent.core.evaluate.objectives import AT_RISK_FROM, MET_FROM, in_tree_order
from agent.core.model import metrics
from agent.core.model.plan import Objective, Plan
from agent.core.output.addresses import (
    AGENT_UID,
    ALERTS,
    STRATEGY_TITLE,
    STRATEGY_UID,
    kpi_board_uid,
)
from agent.core.output.privacy import public_plan
from agent.generate import names, panels, ranking
from agent.generate.layout import Board, Cell, Mark, Section
from agent.generate.panels import About, Column, Query

SCORE_STEPS = (
    (None, panels.VERMILLION),
    (AT_RISK_FROM, panels.ORANGE),
    (MET_FROM, panels.BLUE),
)
"""A score has the colour of its objective's state."""
MOST_ROWS = 200
"""Rows of the tables, of the worst series."""

SEVERITY_COLORS = {
    "critical": panels.VERMILLION,
    "page": panels.VERMILLION,
    "warning": panels.ORANGE,
    "info": panels.SKY,
}

TITLE_PIXELS, NAME_PIXELS = 370, 190
"""Widths of columns: seven words, and a name of twenty letters."""

BOARD_COLUMN = "Board"
TITLE_COLUMN = Column(
    "KPI", link=("Open its board", f"/d/${{__data.fields.{BOARD_COLUMN}}}"), pixels=TITLE_PIXELS
)

RULE_PARAMETER = "rule=${__value.raw:percentencode}"
NO_SERIES = "or vector(0)"

CHOSEN_KPIS = ('owner=~"$owner"', 'objective=~"(.*,)?$objective(,.*)?"')
"""Matchers of the selected KPIs; `kpi_info` has a KPI's objectives, separated by commas."""


KPI_TITLE = "kpi_title"
"""The label with a KPI's title in the tables; `title` may be a dimension of the KPI."""
BOARD_UID = "kpi_board"
"""The label with the uid of a KPI's board."""


class _PublicSeries:
    """Selects the public series, of all workers.

    A scrape adds its own labels to all series. If a KPI has a dimension with such a name (`pod`,
    `service`), it is kept for that KPI, and the scrape's label is dropped from all others: so
    series are not merged, and no row has a value that is no dimension.
    """

    def __init__(self, declared: Plan, external: Sequence[str]) -> None:
        plan = public_plan(declared)
        self.external = tuple(external)
        self._environment = names.chosen(external)
        self._private_kpis = declared.kpis.keys() - plan.kpis.keys()
        self._private_rules = declared.rules.keys() - plan.rules.keys()
        by = {name: kpi.by for name, kpi in plan.kpis.items()}
        by_rule = {rule.name: rule.by for rule in plan.composites.values()}
        dimensions = {name for names_ in (*by.values(), *by_rule.values()) for name in names_}
        self._ambiguous = dimensions & set(names.SCRAPE_LABELS)
        self._kpis = self._by_kept_labels(by)
        self._rules = self._by_kept_labels(by_rule)

    def of(self, metric: str, *matchers: str) -> str:
        """The public series of a metric with the label `kpi`, of the selected KPIs. Rules over
        several KPIs have no such label, and are included in any case."""
        series = self._of_every_kpi(metric, *matchers)
        on = names.on(self.external, "kpi")
        info = names.matching(metrics.INFO, [*CHOSEN_KPIS, *self._environment])
        chosen = f"{series} and {on} {info}"
        if metric == metrics.RULE_STATE:
            return f"({chosen} or {self.undescribed(series)})"
        return f"({chosen})"

    def _of_every_kpi(self, metric: str, *matchers: str) -> str:
        matchers = (*matchers, *self._environment)
        is_rule_state = metric == metrics.RULE_STATE
        kept_kpis = {name for of_labels in self._kpis.values() for name in of_labels}
        excluded = {"kpi": self._private_kpis | kept_kpis}
        if is_rule_state:
            kept_rules = {name for of_labels in self._rules.values() for name in of_labels}
            excluded["rule"] = self._private_rules | kept_rules
        parts = [self._merged(_without(metric, excluded, *matchers), frozenset())]
        for kept, of_labels in self._kpis.items():
            rules = {"rule": self._private_rules} if is_rule_state else {}
            parts.append(
                self._merged(_without(metric, rules, _among("kpi", of_labels), *matchers), kept)
            )
        if is_rule_state:
            for kept, of_labels in self._rules.items():
                parts.append(
                    self._merged(_without(metric, {}, _among("rule", of_labels), *matchers), kept)
                )
        return parts[0] if len(parts) == 1 else f"({' or '.join(parts)})"

    def of_objectives(self, metric: str, *fixed: tuple[str, str]) -> str:
        """All series of a metric that has the label `objective`."""
        matchers = [*names.equal_to(fixed), *self._environment]
        return names.one_of_workers(names.matching(metric, matchers))

    def of_titled_objectives(self, metric: str) -> str:
        """All series of a metric with the label `objective`, with the objective's title."""
        info = self.of_objectives(metrics.OBJECTIVE_INFO)
        on = names.on(self.external, "objective")
        return f"{self.of_objectives(metric)} * {on} group_left (title) {info}"

    def described(self, query: str, plan: Plan) -> str:
        """A query with the title and owner of the KPI, and the uid of its board."""
        joined = self._joined(query, KPI_TITLE, "owner")
        plain = f'label_replace({joined}, "{BOARD_UID}", "kpi-$1", "kpi", "(.+)")'
        shortened = {
            name: kpi_board_uid(name) for name in plan.kpis if kpi_board_uid(name) != f"kpi-{name}"
        }
        return names.labeled(plain, BOARD_UID, "kpi", shortened)

    def titled(self, query: str) -> str:
        """A query with the title of the KPI."""
        return self._joined(query, KPI_TITLE)

    def undescribed(self, query: str) -> str:
        """The series of a query that have no KPI."""
        info = names.matching(metrics.INFO, self._environment)
        return f"{query} unless {names.on(self.external, 'kpi')} {info}"

    def _joined(self, query: str, *labels: str) -> str:
        kept = ", ".join(("kpi", *labels, *self.external))
        info = names.matching(metrics.INFO, self._environment)
        renamed = f'label_replace({info}, "{KPI_TITLE}", "$1", "title", "(.*)")'
        on, group = names.on(self.external, "kpi"), ", ".join(labels)
        return f"({query}) * {on} group_left ({group}) max by ({kept}) ({renamed})"

    def _by_kept_labels(self, by: Mapping[str, Sequence[str]]) -> dict[frozenset[str], list[str]]:
        """The KPIs or rules with dimensions that are named like labels of a scrape, by these
        dimensions."""
        by_labels: dict[frozenset[str], list[str]] = {}
        for name, dimensions in sorted(by.items()):
            if kept := self._ambiguous & set(dimensions):
                by_labels.setdefault(frozenset(kept), []).append(name)
        return by_labels

    def _merged(self, query: str, kept: frozenset[str]) -> str:
        drop = (set(names.WORKER_LABELS) | self._ambiguous) - kept
        return f"max without ({', '.join(sorted(drop))}) ({query})"


def _among(label: str, values: Iterable[str]) -> str:
    return f'{label}=~"{"|".join(sorted(values))}"'


def _without(metric: str, excluded: Mapping[str, Iterable[str]], *matchers: str) -> str:
    """The series of a metric with these matchers, without those whose labels are excluded."""
    exclusions = [f'{label}!~"{"|".join(sorted(v))}"' for label, v in excluded.items() if v]
    inside = ",".join([*exclusions, *matchers])
    return f"{metric}{{{inside}}}" if inside else metric


def strategy_board(declared: Plan, external: Sequence[str] = (), address: str = "") -> Board:
    """The board that people start at; `address`: of the agent's own board, if known."""
    plan, public = public_plan(declared), _PublicSeries(declared, external)
    return Board(
        uid=STRATEGY_UID,
        title=STRATEGY_TITLE,
        description="Objectives and their KPIs: where they stand, and who should act.",
        tags=["strategy"],
        sections=[
            Section("Objectives", 5, list(_objectives(plan, public))),
            Section("At a glance", 4, list(_counts(public))),
            Section("Every KPI against its target", 11, list(_standing(plan, public))),
            Section("Alerts", 9, list(_alerts(plan, public, address))),
            Section("Over time", 8, list(_courses(public))),
        ],
        external_labels=external,
        choices=[("owner", metrics.INFO), ("objective", metrics.OBJECTIVE_SCORE)],
        marks=list(_marks(plan, public)),
        links=[
            ("KPI agent", f"/d/{AGENT_UID}"),
            *([("Live board", f"{address}/")] if address else []),
        ],
    )


def _marks(plan: Plan, public: _PublicSeries) -> Iterator[Mark]:
    if plan.rules:
        # Those of all severities would cover a company's board.
        critical = public.of(metrics.RULE_STATE, 'severity="critical"')
        firing = f"max by (rule) ({critical} == {names.FIRING})"
        yield Mark("Critical alerts", firing, panels.VERMILLION, "{{rule}}")
    if plan.maintenance:
        query = f"max by (maintenance) ({public.of(metrics.MAINTENANCE)})"
        yield Mark("Maintenance", query, panels.GREY, "{{maintenance}}")


def _objectives(plan: Plan, public: _PublicSeries) -> Iterator[Cell]:
    objectives = in_tree_order(plan.objectives)
    width = max(24 // max(len(objectives), 1), 6)
    for objective in objectives:
        score = public.of_objectives(metrics.OBJECTIVE_SCORE, ("objective", objective.name))
        query = Query(score, objective.title)
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


def _counts(public: _PublicSeries) -> Iterator[Cell]:
    state = public.of(metrics.TARGET_STATE)
    for number in (3, 2, 1, 0):
        words, color = panels.TARGET_STATES[number]
        query = Query(f"count({state} == {number}) {NO_SERIES}", words)
        about = About(words, f"Series whose last closed window is: {words[2:]}.", "short")
        yield Cell(panels.stat_panel(about, [query], steps=((None, color),)), 5)
    firing = f"count({public.of(metrics.RULE_STATE)} == {names.FIRING}) {NO_SERIES}"
    about = About("● firing", "Alerts that fire now, of all severities.", "short")
    steps = ((None, panels.BLUE), (1.0, panels.VERMILLION))
    yield Cell(panels.stat_panel(about, [Query(firing, "firing")], steps=steps), 4)


def _columns_of_kpis(plan: Plan) -> dict[str, Column]:
    """The last columns of tables of series: all KPIs' dimensions, and what describes a KPI."""
    dimensions = sorted({name for kpi in plan.kpis.values() for name in kpi.by})
    return {
        **{name: Column(name.replace("_", " ")) for name in dimensions},
        "owner": Column("Owner"),
        "kpi": Column("Name"),
        BOARD_UID: Column(BOARD_COLUMN, hidden=True),
    }


def _standing(plan: Plan, public: _PublicSeries) -> Iterator[Cell]:
    about = About(
        "Targets",
        f"The last closed window of each series, missed ones first ({MOST_ROWS} at most). "
        "Attainment: 100 % is the target.",
        "short",
    )
    worst = f"topk({MOST_ROWS}, {public.of(metrics.TARGET_STATE)})"
    attained = f"{public.of(metrics.ATTAINMENT)} and {worst}"
    panel = panels.table_panel(
        about,
        [Query(public.described(worst, plan)), Query(public.described(attained, plan))],
        columns={
            KPI_TITLE: TITLE_COLUMN,
            "Value #A": Column("State", states=panels.TARGET_STATES),
            "Value #B": Column("Attainment", unit="percentunit"),
            **_columns_of_kpis(plan),
        },
        sort_by="Value #A",
    )
    yield Cell(panel, 15)
    about = About(
        "Attainment, the lowest of each KPI",
        f"The series of each KPI that is furthest from its target, of the {ranking.ROWS} KPIs "
        "furthest from it; 100 % is the target.",
        "percentunit",
    )
    lowest = f"min by ({', '.join(('kpi', *public.external))}) ({public.of(metrics.ATTAINMENT)})"
    titles = [kpi.title for kpi in plan.kpis.values()]
    legend = f"{{{{{KPI_TITLE}}}}}"
    if len(set(titles)) < len(titles):
        legend += " ({{kpi}})"
    query = Query(f"sort(bottomk({ranking.ROWS}, {public.titled(lowest)}))", legend)
    steps = ((None, panels.VERMILLION), (1.0, panels.BLUE))
    yield Cell(panels.bar_panel(about, [query], steps, 1.5), 9)


def _alerts(plan: Plan, public: _PublicSeries, address: str) -> Iterator[Cell]:
    about = About(
        "Rules, firing first",
        f"Every rule and series; firing ones first ({MOST_ROWS} at most).",
        "short",
    )
    rule_states = public.of(metrics.RULE_STATE)
    of_kpis = public.described(rule_states, plan)
    # The alerts of composite rules are about no single KPI.
    owners = {rule.name: rule.owner for rule in plan.composites.values() if rule.owner}
    composite = names.labeled(public.undescribed(rule_states), "owner", "rule", owners)
    every = f"({of_kpis} or {composite})"
    urgent = f"topk({MOST_ROWS}, {names.urgency(every)})"
    its_alerts = ("Open its alerts", f"{address}/{ALERTS}?{RULE_PARAMETER}")
    panel = panels.table_panel(
        about,
        [Query(f"{every} and {urgent}"), Query(urgent)],
        columns={
            "rule": Column("Rule", link=its_alerts if address else None, pixels=NAME_PIXELS),
            "severity": Column("Severity"),
            "Value #A": Column("State", states=panels.RULE_STATES),
            KPI_TITLE: TITLE_COLUMN,
            **_columns_of_kpis(plan),
        },
        sort_by="Value #B",
    )
    yield Cell(panel, 15)
    about = About("Firing alerts", "How many fired, by severity.", "short")
    state = public.of(metrics.RULE_STATE)
    fired = f"sum by (severity) ({state} == bool {names.FIRING})"
    lines = panels.line_panel(about, [Query(fired, "{{severity}}")], stacked=True)
    panels.color_lines(lines, SEVERITY_COLORS.items())
    yield Cell(lines, 9)


def _courses(public: _PublicSeries) -> Iterator[Cell]:
    about = About("Scores", "Each objective's score; 100 % is every target reached.", "percentunit")
    query = Query(public.of_titled_objectives(metrics.OBJECTIVE_SCORE), "{{title}}")
    yield Cell(panels.line_panel(about, [query], limit=1.0), 8)
    about = About(
        "Trend of the scores",
        "How much higher each score is than a week (of long windows: four windows) before.",
        "percentunit",
    )
    query = Query(public.of_titled_objectives(metrics.OBJECTIVE_CHANGE), "{{title}}")
    yield Cell(panels.line_panel(about, [query]), 8)
    about = About("Series by target state", "How many series stood where.", "short")
    state = public.of(metrics.TARGET_STATE)
    queries = [
        Query(f"count({state} == {number}) {NO_SERIES}", panels.TARGET_STATES[number][0])
        for number in (3, 2, 1, 0)
    ]
    panel = panels.line_panel(about, queries, stacked=True)
    panels.color_lines(panel, panels.TARGET_STATES.values())
    yield Cell(panel, 8)
