"""The Grafana board of a KPI: its state, its history, and how reliable its values are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote

from agent.core.model import metrics
from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.model.text import schedule_text, target_text, window_text
from agent.core.output.addresses import (
    AGENT_TITLE,
    AGENT_UID,
    STRATEGY_TITLE,
    STRATEGY_UID,
    kpi_board_uid,
    kpi_path,
    variable_name,
)
from agent.generate import names, panels, ranking
from agent.generate.agent_alerts import stale_after_seconds
from agent.generate.layout import Board, Cell, Mark, Section
from agent.generate.panels import About, Query, Ranked, grafana_unit
from agent.generate.time_range import range_start, refresh_interval

BANDS = {
    "at_least": ("target at least", panels.VERMILLION),
    "at_most": ("target at most", panels.VERMILLION),
    "warn_at_least": ("warn below", panels.ORANGE),
    "warn_at_most": ("warn above", panels.ORANGE),
}
"""The name and colour of each band of the target metric."""


WORST_STATES = "worst, now and for how long,"


def kpi_board(plan: Plan, kpi: Kpi, external: Sequence[str] = (), address: str = "") -> Board:
    """The board of one KPI. `external`: the labels that distinguish environments; `address`: of the
    agent's own board, "" if it is not known."""
    series = _Series(kpi, external)
    live = [("Live page", f"{address}/{kpi_path(kpi.name)}")] if address else []
    return Board(
        uid=kpi_board_uid(kpi.name),
        title=_title(plan, kpi),
        description=kpi.description or f"The KPI {kpi.name}.",
        tags=[kpi.team] if kpi.team else [],
        sections=[
            Section("Now", 6, list(_now(plan, kpi, series))),
            Section("Against its target", 10, list(_course(plan, kpi, series, address))),
            Section("Targets over time", 9, list(_targets(kpi, series))),
            Section("Rules", 9, list(_rules(plan, kpi, series, address))),
            Section("Can it be trusted?", 7, list(_trust(plan, kpi, series))),
        ],
        dimensions=[(kpi, name) for name in kpi.by],
        marks=list(_marks(plan, kpi, series)),
        since=range_start(kpi.window),
        refresh=refresh_interval(kpi.window),
        external_labels=external,
        links=[("Strategy", f"/d/{STRATEGY_UID}"), ("KPI agent", f"/d/{AGENT_UID}"), *live],
    )


def _title(plan: Plan, kpi: Kpi) -> str:
    """The KPI's title, with its name if another board has the same title, which Grafana does not
    allow in a folder."""
    fixed = {STRATEGY_UID: STRATEGY_TITLE, AGENT_UID: AGENT_TITLE}
    titles = fixed | {f"kpi-{name}": kpi.title for name, kpi in plan.kpis.items()}
    while True:
        counts = Counter(title.casefold() for title in titles.values())
        twice = [board for board, title in titles.items() if counts[title.casefold()] > 1]
        if not twice:
            return titles[f"kpi-{kpi.name}"]
        titles |= {
            board: f"{titles[board]} ({board.removeprefix('kpi-')})"
            for board in twice
            if board not in fixed
        }


def _marks(plan: Plan, kpi: Kpi, series: _Series) -> Iterator[Mark]:
    if plan.rules_of(kpi.name):
        firing = f"{series.shared(metrics.RULE_STATE)} == {names.FIRING}"
        # By rule, so that an alert of two hundred series is one mark.
        query = f"max by (rule, severity) ({firing})"
        yield Mark("Alerts", query, panels.VERMILLION, "{{rule}} ({{severity}})")
    if any(kpi.name in m.kpis for m in plan.maintenance.values()):
        query = series.selected(metrics.MAINTENANCE)
        query = f"max by (maintenance) ({query})"
        yield Mark("Maintenance", query, panels.GREY, "{{maintenance}}")


class _Series:
    """Selects a KPI's series of all workers, as selected by the board's variables."""

    def __init__(self, kpi: Kpi, external: Sequence[str]) -> None:
        self._kpi = kpi
        self._environment = names.chosen(external)
        self._dimensions = [f'{name}=~"${variable_name(name)}"' for name in kpi.by]

    def of(self, metric: str, *fixed: tuple[str, str]) -> str:
        """The series of one of the KPI's own metrics."""
        matchers = [*names.equal_to(fixed), *self._dimensions, *self._environment]
        return names.one_of_workers(names.matching(metric, matchers), self._kpi.by)

    def shared(self, metric: str, *fixed: tuple[str, str]) -> str:
        """The KPI's series of a metric of all KPIs."""
        return self.of(metric, ("kpi", self._kpi.name), *fixed)

    def worst(self, query: str, limit: int) -> str:
        """The series of a query with the worst values of their last closed windows; all if the KPI
        has no dimensions."""
        if not self._kpi.by:
            return query
        rank = "topk" if self._kpi.better == "lower" else "bottomk"
        values = ranking.last(self.of(self._kpi.metric))
        return f"({query}) and {names.on((), *self._kpi.by)} {rank}({limit}, {values})"

    def longest(self, query: str, state: str = "") -> str:
        """The series of a query of states with the worst states, and those for the longest; all if
        the KPI has no dimensions."""
        return ranking.longest(query, ranking.ROWS, state) if self._kpi.by else query

    def selected(self, metric: str) -> str:
        """The series of a metric with one series for each KPI, as each worker exports it."""
        matchers = names.equal_to([("kpi", self._kpi.name)])
        return names.matching(metric, [*matchers, *self._environment])


def _legend(kpi: Kpi, first: str = "") -> str:
    """The legend of a series: its dimensions, after a first word."""
    dimensions = ", ".join(f"{{{{{name}}}}}" for name in kpi.by)
    return f"{first} {dimensions}".strip() or kpi.title


def _limited(kpi: Kpi, text: str, limit: int, which: str = "") -> str:
    """A description with the selection of series, if there may be more than `limit`."""
    if not kpi.by:
        return text
    which = which or ("highest" if kpi.better == "lower" else "lowest")
    return f"{text} Of more than {limit} series, the {which} are shown; choose others above."


def _now(plan: Plan, kpi: Kpi, series: _Series) -> Iterator[Cell]:
    unit = grafana_unit(kpi.unit)
    few = ranking.NUMBERS
    words = f"{kpi.title}, each window ({window_text(kpi.window)}) once."
    about = About("Last closed window", _limited(kpi, words, few), unit)
    query = Query(series.worst(series.of(kpi.metric), few), _legend(kpi))
    yield Cell(panels.stat_panel(about, [query], sparkline=True), 8 if kpi.has_target else 12)
    about = About("Window still open", "The value so far. It will change until the end.", unit)
    query = Query(series.worst(series.of(kpi.current_metric), few), _legend(kpi))
    yield Cell(panels.stat_panel(about, [query], steps=((None, panels.SKY),)), 6)
    if kpi.has_target:
        about = About("Target", "The last closed window against the target.", "none")
        query = Query(series.worst(series.shared(metrics.TARGET_STATE), few), _legend(kpi))
        yield Cell(panels.stat_panel(about, [query], states=panels.TARGET_STATES), 5)
    about = About(
        "Last window ended",
        "Event time at which the newest closed window ended.",
        "dateTimeFromNow",
    )
    end = names.one_of_workers(series.selected(metrics.WINDOW_END))
    yield Cell(
        panels.stat_panel(about, [Query(f"{end} * 1000", "ended")]), 5 if kpi.has_target else 6
    )


def _course(plan: Plan, kpi: Kpi, series: _Series, address: str) -> Iterator[Cell]:
    many = ranking.LINES
    words = (
        "Solid: closed windows. Dotted: the window still open. Dashed: the bounds that the agent "
        "holds each series against, overrides included; rules and alerts read the same."
    )
    about = About("Value against its bands", _limited(kpi, words, many), grafana_unit(kpi.unit))
    queries = [
        Query(series.worst(series.of(kpi.metric), many), _legend(kpi)),
        Query(series.worst(series.of(kpi.current_metric), many), _legend(kpi, "open:")),
    ]
    bands = [band for band in BANDS if _has_band(kpi, band)]
    for band in bands:
        query = series.worst(series.of(kpi.target_metric, ("band", band)), many)
        queries.append(Query(query, _legend(kpi, f"{BANDS[band][0]}:")))
    panel = panels.line_panel(about, queries, zero=False, ranked=_ranked(kpi))
    panels.thin_lines(panel, "open:")
    for band in bands:
        legend, color = BANDS[band]
        panels.style_lines(panel, f"{legend}:", color, [10, 10] if "warn" in band else [20, 8])
    if kpi.by:
        for legend in ("open", *(BANDS[band][0] for band in bands)):
            panels.leave_out_of_legend(panel, f"{legend}:")
    if address:
        panels.link_series(panel, "Open its page", f"{address}/{_page_of_series(kpi)}")
    yield Cell(panel, 17)
    about = About("About this KPI", "What is declared of it under rules/.", "none")
    yield Cell(panels.text_panel(about, "\n".join(_about(plan, kpi))), 7)


def _ranked(kpi: Kpi) -> Ranked | None:
    """The sort order of a KPI's values in a legend, worst first."""
    if not kpi.by:
        return None
    return "highest first" if kpi.better == "lower" else "lowest first"


def _page_of_series(kpi: Kpi) -> str:
    """The address of the agent's page of the series that is clicked on."""
    if not kpi.by:
        return kpi_path(kpi.name)
    # In quotes, as JSON writes text: a value may hold a comma.
    selector = ",".join(f'{name}="${{__field.labels.{name}:percentencode}}"' for name in kpi.by)
    return f"{kpi_path(kpi.name)}?series={quote(selector, safe='${}:')}"


def _has_band(kpi: Kpi, band: str) -> bool:
    targets = [kpi.target, *(override.target for override in kpi.overrides)]
    return any(
        getattr(t, band) is not None or band in dict(t.kpis) for t in targets if t is not None
    )


def _about(plan: Plan, kpi: Kpi) -> Iterator[str]:
    yield kpi.description or kpi.title
    yield ""
    yield f"- **Better**: {kpi.better}"
    yield f"- **Window**: {window_text(kpi.window)}"
    yield from _targets_in_words(kpi)
    for word, value in (("Owner", kpi.owner), ("Team", kpi.team)):
        if value:
            yield f"- **{word}**: {value}"
    for objective in (plan.objectives[name] for name in plan.objectives_of(kpi.name)):
        weight = objective.kpis.get(kpi.name)
        share = f", {weight:.0%} of its score" if weight else ""
        yield f"- **Objective**: [{objective.title}](/d/{STRATEGY_UID}){share}"
    for maintenance in plan.maintenance.values():
        if kpi.name in maintenance.kpis:
            yield f"- **Maintenance**: {maintenance.title} ({schedule_text(maintenance.schedule)})"
    for rule in plan.rules_of(kpi.name):
        if rule.runbook:
            yield f"- **Runbook** of {rule.name}: <{rule.runbook}>"
    for source in (plan.kpis[name] for name in kpi.inputs):
        # A private KPI has no board.
        link = f"[{source.title}](/d/{kpi_board_uid(source.name)})"
        yield f"- **From**: {link if source.person is None else source.title}"
    if kpi.contract:
        yield f"- **From**: events `{kpi.contract}`"
    yield f"\n```sql\n{kpi.sql}{f' WHERE {kpi.where_sql}' if kpi.where_sql else ''}\n```"


def _targets_in_words(kpi: Kpi) -> Iterable[str]:
    if kpi.target is not None:
        yield f"- **Target**: {target_text(kpi.target, kpi.unit)}"
    for override in kpi.overrides:
        match = ", ".join(f"{k} {v}" for k, v in sorted(override.match.items()))
        words = ["Target", *([f"for {match}"] if match else [])]
        words += [f"from {override.since} on"] if override.since else []
        yield f"- **{' '.join(words)}**: {target_text(override.target, kpi.unit)}"


def _targets(kpi: Kpi, series: _Series) -> Iterator[Cell]:
    if not kpi.has_target:
        return
    words = _limited(kpi, "The state of each closed window.", ranking.ROWS, WORST_STATES)
    about = About("Target state", words, "none")
    query = Query(series.longest(series.shared(metrics.TARGET_STATE)), _legend(kpi))
    yield Cell(panels.timeline_panel(about, [query], panels.TARGET_STATES), 12)
    words = (
        "The value against the target, the KPI's direction counted: at 100 % and above it is met."
    )
    about = About("Attainment", _limited(kpi, words, ranking.LINES), "percentunit")
    attained = series.worst(series.shared(metrics.ATTAINMENT), ranking.LINES)
    ranked: Ranked | None = "lowest first" if kpi.by else None
    query = Query(attained, _legend(kpi))
    yield Cell(panels.line_panel(about, [query], limit=1.0, ranked=ranked), 12)


def _rules(plan: Plan, kpi: Kpi, series: _Series, address: str) -> Iterator[Cell]:
    if not plan.rules_of(kpi.name):
        return
    words = "The state of each rule over this KPI. Prometheus alerts on the very same series."
    about = About("Alerts", _limited(kpi, words, ranking.ROWS, WORST_STATES), "none")
    state = series.shared(metrics.RULE_STATE)
    query = Query(
        series.longest(state, names.urgency(state)), _legend(kpi, "{{rule}} ({{severity}})")
    )
    panel = panels.timeline_panel(about, [query], panels.RULE_STATES)
    if address:
        panels.link_series(panel, "Why: open its page", f"{address}/{_page_of_series(kpi)}")
    yield Cell(panel, 24)


def _trust(plan: Plan, kpi: Kpi, series: _Series) -> Iterator[Cell]:
    words = _limited(kpi, "A figure made of few events says little.", ranking.LINES)
    about = About("Events in each window", words, "short")
    events = series.worst(series.shared(metrics.WINDOW_EVENTS), ranking.LINES)
    query = Query(events, _legend(kpi))
    ranked: Ranked | None = "lowest first" if kpi.by else None
    yield Cell(panels.line_panel(about, [query], bars=True, ranked=ranked), 12)
    about = About(
        "Age of the last closed window",
        "Seconds since the newest closed window ended. Above the dashed line KpiStale alerts.",
        "s",
    )
    end = names.one_of_workers(series.selected(metrics.WINDOW_END))
    limit = float(stale_after_seconds(kpi, plan))
    yield Cell(panels.line_panel(about, [Query(f"time() - {end}", "age")], limit=limit), 12)
