"""A KPI's board: where it stands, how it got there, and whether the figure can be trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from agent.core.model import metrics
from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.model.text import schedule_text, target_text, window_text
from agent.core.output.addresses import kpi_path
from agent.core.output.uids import (
    AGENT_TITLE,
    AGENT_UID,
    STRATEGY_TITLE,
    STRATEGY_UID,
    kpi_board_uid,
    variable_name,
)
from agent.generate import names, panels
from agent.generate.agent_alerts import stale_after_seconds
from agent.generate.layout import Board, Cell, Mark, Section
from agent.generate.panels import About, Query
from agent.generate.time_range import range_start, refresh_interval
from agent.generate.units import grafana_unit

BANDS = {
    "at_least": ("target at least", panels.VERMILLION),
    "at_most": ("target at most", panels.VERMILLION),
    "warn_at_least": ("warn below", panels.ORANGE),
    "warn_at_most": ("warn above", panels.ORANGE),
}
"""What each band of the target metric is called, and its colour."""


def kpi_board(plan: Plan, kpi: Kpi, external: Sequence[str] = (), address: str = "") -> Board:
    """The board of one KPI. `external` are the labels that keep environments apart, `address` is
    that of the agent's own board, "" where it is not known."""
    series = _Series(kpi, external)
    live = [("Live page", f"{address}/{kpi_path(kpi.name)}")] if address else []
    return Board(
        uid=kpi_board_uid(kpi.name),
        title=_title(plan, kpi),
        description=kpi.description or f"The KPI {kpi.name}.",
        tags=[kpi.team] if kpi.team else [],
        sections=[
            Section("Now", 5, list(_now(plan, kpi, series))),
            Section("Against its target", 10, list(_course(plan, kpi, series))),
            Section("Targets over time", 8, list(_targets(kpi, series))),
            Section("Rules", 8, list(_rules(plan, kpi, series))),
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
    """The KPI's title; with its name where another board has the same title, which Grafana refuses
    in one folder."""
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
        yield Mark("Alerts", f"max by (rule, severity) ({firing})", panels.VERMILLION)
    if any(kpi.name in m.kpis for m in plan.maintenance.values()):
        query = series.selected(metrics.MAINTENANCE)
        yield Mark("Maintenance", f"max by (maintenance) ({query})", panels.GREY)


def has_target(kpi: Kpi) -> bool:
    """Whether any series of the KPI has a target."""
    return kpi.target is not None or bool(kpi.overrides)


class _Series:
    """Selects a KPI's series, whichever worker exports them, as the board's variables choose."""

    def __init__(self, kpi: Kpi, external: Sequence[str]) -> None:
        self._kpi = kpi
        self._environment = names.chosen(external)
        self._dimensions = [f'{name}=~"${variable_name(name)}"' for name in kpi.by]

    def of(self, metric: str, *fixed: tuple[str, str]) -> str:
        """Of one of the KPI's own metrics."""
        matchers = [*names.equal_to(fixed), *self._dimensions, *self._environment]
        return names.one_of_workers(names.matching(metric, matchers), self._kpi.by)

    def shared(self, metric: str, *fixed: tuple[str, str]) -> str:
        """Of a metric that all KPIs share."""
        return self.of(metric, ("kpi", self._kpi.name), *fixed)

    def selected(self, metric: str) -> str:
        """Of a metric that has one series a KPI, as each worker exports it."""
        matchers = names.equal_to([("kpi", self._kpi.name)])
        return names.matching(metric, [*matchers, *self._environment])


def _legend(kpi: Kpi, first: str = "") -> str:
    """What a series is called: its dimensions, after a first word."""
    dimensions = ", ".join(f"{{{{{name}}}}}" for name in kpi.by)
    return f"{first} {dimensions}".strip() or kpi.title


def _now(plan: Plan, kpi: Kpi, series: _Series) -> Iterator[Cell]:
    unit = grafana_unit(kpi.unit)
    about = About(
        "Last closed window", f"{kpi.title}, each window ({window_text(kpi.window)}) once.", unit
    )
    query = Query(series.of(names.value_metric(kpi)), _legend(kpi))
    yield Cell(panels.stat_panel(about, [query], sparkline=True), 8 if has_target(kpi) else 12)
    about = About("Window still open", "The value so far. It will change until the end.", unit)
    query = Query(series.of(names.current_metric(kpi)), _legend(kpi))
    yield Cell(panels.stat_panel(about, [query], steps=((None, panels.SKY),)), 6)
    if has_target(kpi):
        about = About("Target", "The last closed window against the target.", "none")
        query = Query(series.shared(metrics.TARGET_STATE), _legend(kpi))
        yield Cell(panels.stat_panel(about, [query], states=panels.TARGET_STATES), 5)
    about = About(
        "Last window ended",
        "Event time at which the newest closed window ended.",
        "dateTimeFromNow",
    )
    end = names.one_of_workers(series.selected(metrics.WINDOW_END))
    yield Cell(
        panels.stat_panel(about, [Query(f"{end} * 1000", "ended")]), 5 if has_target(kpi) else 6
    )


def _course(plan: Plan, kpi: Kpi, series: _Series) -> Iterator[Cell]:
    about = About(
        "Value against its bands",
        "Solid: closed windows. Dotted: the window still open. Dashed: the bounds that the agent "
        "holds each series against, overrides included; rules and alerts read the same.",
        grafana_unit(kpi.unit),
    )
    queries = [
        Query(series.of(names.value_metric(kpi)), _legend(kpi)),
        Query(series.of(names.current_metric(kpi)), _legend(kpi, "open:")),
    ]
    bands = [band for band in BANDS if _has_band(kpi, band)]
    for band in bands:
        query = series.of(names.target_metric(kpi), ("band", band))
        queries.append(Query(query, _legend(kpi, f"{BANDS[band][0]}:")))
    panel = panels.line_panel(about, queries, zero=False)
    panels.thin_lines(panel, "open:")
    for band in bands:
        legend, color = BANDS[band]
        panels.style_lines(panel, f"{legend}:", color, [10, 10] if "warn" in band else [20, 8])
    yield Cell(panel, 17)
    about = About("About this KPI", "What is declared of it under rules/.", "none")
    yield Cell(panels.text_panel(about, "\n".join(_about(plan, kpi))), 7)


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
    if not has_target(kpi):
        return
    about = About("Target state", "The state of each closed window.", "none")
    query = Query(series.shared(metrics.TARGET_STATE), _legend(kpi))
    yield Cell(panels.timeline_panel(about, [query], panels.TARGET_STATES), 12)
    about = About(
        "Attainment",
        "The value against the target, the KPI's direction counted: at 100 % and above it is met.",
        "percentunit",
    )
    query = Query(series.shared(metrics.ATTAINMENT), _legend(kpi))
    yield Cell(panels.line_panel(about, [query], limit=1.0), 12)


def _rules(plan: Plan, kpi: Kpi, series: _Series) -> Iterator[Cell]:
    if not plan.rules_of(kpi.name):
        return
    about = About(
        "Alerts",
        "The state of each rule over this KPI. Prometheus alerts on the very same series.",
        "none",
    )
    query = Query(series.shared(metrics.RULE_STATE), _legend(kpi, "{{rule}} ({{severity}})"))
    yield Cell(panels.timeline_panel(about, [query], panels.RULE_STATES), 24)


def _trust(plan: Plan, kpi: Kpi, series: _Series) -> Iterator[Cell]:
    about = About("Events in each window", "A figure made of few events says little.", "short")
    query = Query(series.shared(metrics.WINDOW_EVENTS), _legend(kpi))
    yield Cell(panels.line_panel(about, [query], bars=True), 12)
    about = About(
        "Age of the last closed window",
        "Seconds since the newest closed window ended. Above the dashed line KpiStale alerts.",
        "s",
    )
    end = names.one_of_workers(series.selected(metrics.WINDOW_END))
    limit = float(stale_after_seconds(kpi, plan))
    yield Cell(panels.line_panel(about, [Query(f"time() - {end}", "age")], limit=limit), 12)
