"""The KPI series of `/metrics`, rendered as bytes.

prometheus_client takes 7 µs a sample and keeps the GIL all the time, which is too slow for 100,000
series beside a consumer that must answer its broker. So the samples of KPIs are written as text
(`text_format`), with labels that are built once (`label_cache`). Values that are missing or not
finite have no sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

import msgspec
from msgspec import structs

from agent.core.evaluate.objectives import Score
from agent.core.model import metrics
from agent.core.model.kpis import Kpi, Target
from agent.core.model.plan import Plan
from agent.core.model.results import (
    ALERT_PHASE_NUMBER,
    TARGET_STATE_NUMBER,
    AlertPhase,
    SeriesView,
    TargetState,
    WindowValue,
)
from agent.core.model.rules import Severity, is_whole
from agent.core.model.text import window_text
from agent.core.output.labels import severities
from agent.core.output.messages import label
from agent.export.metrics.closed_samples import bounds
from agent.export.metrics.label_cache import LabelCache
from agent.export.metrics.text_format import LINES_PER_CHUNK, Family, labels_text

_JSON = msgspec.json.Encoder()
_NONE = "null"


def families(
    plan: Plan,
    views: Sequence[SeriesView],
    whole: Mapping[str, SeriesView] | None,
    scores: Mapping[str, Score],
    cache: LabelCache,
) -> Iterator[Family]:
    """Every KPI family of one worker, in a fixed order.

    `views`: the series that it holds. `whole`: by KPI, the view of the KPI as a whole; None except
    on the worker that exports `per: kpi` rules. `scores`: of objectives; likewise empty.
    """
    held = group(plan, views)
    cache.keep(plan.kpis.values())
    every = [_KpiSeries(plan.kpis[name], of_kpi, cache) for name, of_kpi in held.items()]
    for series in every:
        yield from _own_families(series)
    yield Family(
        metrics.TARGET_STATE,
        "The last closed window against its target: 0 no data, 1 met, 2 at risk, 3 missed.",
        chain.from_iterable(map(_state_lines, every)),
    )
    yield Family(
        metrics.ATTAINMENT,
        "How far the last closed window reaches its target, the KPI's direction counted: 1 is the"
        " target.",
        chain.from_iterable(map(_attainment_lines, every)),
        "ratio",
    )
    yield Family(
        metrics.RULE_STATE,
        "State of a rule's alert: 0 inactive, 1 pending, 2 firing, 3 inhibited by what it"
        " depends on.",
        chain(_rule_lines(plan, every, whole), _composite_lines(plan, views)),
    )
    yield Family(
        metrics.WINDOW_EVENTS,
        "Events in the last closed window.",
        chain.from_iterable(map(_events_lines, every)),
    )
    yield Family(
        metrics.MAINTENANCE,
        "1 for a series whose last closed window was in maintenance; else there is no sample.",
        chain.from_iterable(map(_maintenance_lines, every)),
    )
    yield from _plan_families(plan, held, scores)


def group(plan: Plan, views: Sequence[SeriesView]) -> dict[str, list[SeriesView]]:
    """The views of series by KPI, in the plan's order; without those of KPIs as a whole."""
    held: dict[str, list[SeriesView]] = {name: [] for name in plan.kpis}
    widths = {name: len(kpi.by) for name, kpi in plan.kpis.items()}
    for view in views:
        if view.dimensions is not None and widths.get(view.kpi) == len(view.dimensions):
            held[view.kpi].append(view)
    for name, of_kpi in held.items():
        if not widths[name] and len(of_kpi) > 1:
            held[name] = [_merged(of_kpi)]
    return held


def _merged(views: Sequence[SeriesView]) -> SeriesView:
    """One view of a KPI without dimensions: its only series and the KPI as a whole may be
    published separately."""
    phases: dict[tuple[str, Severity], AlertPhase] = {}
    for view in views:
        for key, phase in view.phases.items():
            known = phases.get(key, AlertPhase.INACTIVE)
            phases[key] = max(known, phase, key=ALERT_PHASE_NUMBER.__getitem__)
    newest = max(views, key=lambda v: v.closed.end_ms if v.closed is not None else -1)
    return structs.replace(newest, phases=phases)


def whole_kpis(plan: Plan, views: Iterable[SeriesView]) -> dict[str, SeriesView]:
    """By KPI, the view of the KPI as a whole, which has the phases of `per: kpi` rules."""
    latest: dict[str, SeriesView] = {}
    for view in views:
        # Without a view of the whole, the only series of a KPI without dimensions is it.
        if view.kpi in plan.kpis and not view.dimensions:
            known = latest.get(view.kpi)
            if known is None or view.dimensions is None or not known.phases:
                latest[view.kpi] = view
    return latest


class _KpiSeries:
    """The series of one KPI in one scrape, in parallel lists: `views`, `labels`, `closed` (their
    closed windows; empty if there is none) and `with_target` (the series; empty if the KPI has no
    target)."""

    # Parallel lists: a tuple for each series at each scrape would be work for the garbage
    # collector.
    def __init__(self, kpi: Kpi, views: Sequence[SeriesView], cache: LabelCache) -> None:
        closed = [view.closed for view in views]
        self.kpi = kpi
        self.views = views
        self.labels = cache.of(kpi).all_of(views)
        self.closed = closed if any(closed) else []
        self.with_target = views if kpi.has_target else []


def _own_families(series: _KpiSeries) -> Iterator[Family]:
    kpi = series.kpi
    about = f"{kpi.title}: the last closed window ({window_text(kpi.window)})."
    yield Family(kpi.metric, about, _value_lines(kpi.metric, series, series.closed), kpi.unit)
    name = kpi.current_metric
    about = f"{kpi.title}: the window still open ({window_text(kpi.window)})."
    current = [view.current for view in series.views]
    yield Family(name, about, _value_lines(name, series, current), kpi.unit)
    name = kpi.target_metric
    about = f"{kpi.title}: the bounds that hold for this series, by band."
    yield Family(name, about, _target_lines(name, series), kpi.unit)


def _value_lines(
    name: str, series: _KpiSeries, windows: Sequence[WindowValue | None]
) -> Iterator[str]:
    # Most lines of a large scrape are made here.
    start, end = (f"{name}{{", "}") if series.kpi.by else (name, "")
    numbers = _numbers([None if window is None else window.value for window in windows])
    for labels, number in zip(series.labels, numbers, strict=False):
        if number != _NONE:
            yield f"{start}{labels}{end} {number}\n"


def _numbers(values: Sequence[float | None]) -> Iterator[str]:
    """The shortest text of each number that reads as it; `_NONE` for missing or not finite ones.

    That is how msgspec writes JSON, six times as fast as `repr`.
    """
    for at in range(0, len(values), LINES_PER_CHUNK):
        yield from _JSON.encode(values[at : at + LINES_PER_CHUNK])[1:-1].decode().split(",")


def _target_lines(name: str, series: _KpiSeries) -> Iterator[str]:
    # Thousands of series share a handful of targets.
    by_target: dict[Target, dict[str, float]] = {}
    for labels, view in zip(series.labels, series.with_target, strict=False):
        if (target := view.target) is None:
            continue
        if target not in by_target:
            by_target[target] = bounds(target)
        comma = "," if labels else ""
        for band, bound in by_target[target].items():
            yield f'{name}{{{labels}{comma}band="{band}"}} {bound!r}\n'


def _shared_metric(name: str, kpi: Kpi) -> str:
    """The start of a line, up to the dimensions, in a metric of all KPIs."""
    return f'{name}{{kpi="{kpi.name}"{"," if kpi.by else ""}'


def _state_lines(series: _KpiSeries) -> Iterator[str]:
    no_data = TARGET_STATE_NUMBER[TargetState.NO_DATA]
    start = _shared_metric(metrics.TARGET_STATE, series.kpi)
    for labels, view in zip(series.labels, series.with_target, strict=False):
        if view.status is not None:
            number = TARGET_STATE_NUMBER[view.status.state]
        elif view.target is not None:
            number = no_data
        else:
            continue
        yield f"{start}{labels}}} {number}\n"


def _attainment_lines(series: _KpiSeries) -> Iterator[str]:
    start = _shared_metric(metrics.ATTAINMENT, series.kpi)
    for labels, view in zip(series.labels, series.with_target, strict=False):
        if view.status is None or (reached := view.status.attainment) is None:
            continue
        if math.isfinite(reached):
            yield f"{start}{labels}}} {reached!r}\n"


def _events_lines(series: _KpiSeries) -> Iterator[str]:
    start = _shared_metric(metrics.WINDOW_EVENTS, series.kpi)
    for labels, window in zip(series.labels, series.closed, strict=False):
        if window is not None:
            yield f"{start}{labels}}} {window.events}\n"


def _maintenance_lines(series: _KpiSeries) -> Iterator[str]:
    start = f'{metrics.MAINTENANCE}{{kpi="{series.kpi.name}",'
    for labels, window in zip(series.labels, series.closed, strict=False):
        if window is not None and window.maintenance is not None:
            # The labels are of the view, not the window: those of private KPIs are hashed in it.
            comma = "," if labels else ""
            yield f'{start}maintenance="{window.maintenance}"{comma}{labels}}} 1\n'


def _rule_lines(
    plan: Plan,
    every: Sequence[_KpiSeries],
    whole: Mapping[str, SeriesView] | None,
) -> Iterator[str]:
    inactive = AlertPhase.INACTIVE
    for series in every:
        kpi = series.kpi
        for rule in plan.rules_of(kpi.name):
            for severity in severities(rule):
                key = (rule.name, severity)
                named = f'rule="{rule.name}",severity="{severity}",kpi="{kpi.name}"'
                start = f"{metrics.RULE_STATE}{{{named}"
                if is_whole(rule):
                    if whole is not None:
                        of_whole = whole.get(kpi.name)
                        phase = of_whole.phases.get(key, inactive) if of_whole else inactive
                        yield f"{start}}} {ALERT_PHASE_NUMBER[phase]}\n"
                    continue
                for labels, view in zip(series.labels, series.views, strict=True):
                    number = ALERT_PHASE_NUMBER[view.phases.get(key, inactive)]
                    yield f"{start}{',' if labels else ''}{labels}}} {number}\n"


def _composite_lines(plan: Plan, views: Iterable[SeriesView]) -> Iterator[str]:
    """The alerts of composite rules, which have no KPI."""
    composites = plan.composites
    for view in views if composites else ():
        rule = composites.get(view.kpi)
        if rule is None or len(view.series) != len(rule.by):
            continue
        labels = labels_text(zip(rule.by, map(label, view.series), strict=True))
        for (_, severity), phase in view.phases.items():
            start = f'{metrics.RULE_STATE}{{rule="{rule.name}",severity="{severity}"'
            yield f"{start}{',' if labels else ''}{labels}}} {ALERT_PHASE_NUMBER[phase]}\n"


def _plan_families(
    plan: Plan, held: Mapping[str, Sequence[SeriesView]], scores: Mapping[str, Score]
) -> Iterator[Family]:
    yield Family(
        metrics.WINDOW_END,
        "The end of the newest closed window, in event time.",
        _window_end_lines(held),
        "seconds",
    )
    yield Family(
        metrics.OBJECTIVE_SCORE,
        "The weighted attainment of an objective's KPIs and of the objectives below it.",
        _score_lines(metrics.OBJECTIVE_SCORE, {n: s.value for n, s in scores.items()}),
        "ratio",
    )
    yield Family(
        metrics.OBJECTIVE_CHANGE,
        "How much higher an objective's score is than it was a week, or four windows, before.",
        _score_lines(metrics.OBJECTIVE_CHANGE, {n: s.change for n, s in scores.items()}),
        "ratio",
    )
    yield Family(
        metrics.OBJECTIVE_STATE,
        "An objective's score in words: 0 no data, 1 met, 2 at risk, 3 missed.",
        _score_lines(
            metrics.OBJECTIVE_STATE, {n: TARGET_STATE_NUMBER[s.state] for n, s in scores.items()}
        ),
    )
    yield Family(metrics.INFO, "What is declared of a KPI; always 1.", _info_lines(plan))
    if scores:
        about = "What is declared of an objective; always 1."
        yield Family(metrics.OBJECTIVE_INFO, about, _objective_lines(plan))


def _window_end_lines(held: Mapping[str, Sequence[SeriesView]]) -> Iterator[str]:
    for name, series in held.items():
        end_ms = max((v.closed.end_ms for v in series if v.closed is not None), default=None)
        if end_ms is not None:
            yield f'{metrics.WINDOW_END}{{kpi="{name}"}} {end_ms / 1000!r}\n'


def _score_lines(metric: str, values: Mapping[str, float | None]) -> Iterator[str]:
    for name, value in values.items():
        if value is not None and math.isfinite(value):
            yield f'{metric}{{objective="{name}"}} {value!r}\n'


def _objective_lines(plan: Plan) -> Iterator[str]:
    for objective in plan.objectives.values():
        above = sorted(o.name for o in plan.objectives.values() if objective.name in o.objectives)
        pairs = (
            ("objective", objective.name),
            ("title", objective.title),
            ("owner", objective.owner or ""),
            ("team", objective.team or ""),
            ("above", ",".join(above)),
        )
        yield f"{metrics.OBJECTIVE_INFO}{{{labels_text(pairs)}}} 1\n"


def _info_lines(plan: Plan) -> Iterator[str]:
    for kpi in plan.kpis.values():
        pairs = (
            ("kpi", kpi.name),
            ("title", kpi.title),
            ("unit", kpi.unit or ""),
            ("owner", kpi.owner or ""),
            ("team", kpi.team or ""),
            ("better", kpi.better),
            ("window", window_text(kpi.window)),
            # One series a KPI, so that joins on it stay one-to-many.
            ("objective", ",".join(plan.objectives_of(kpi.name))),
        )
        yield f"{metrics.INFO}{{{labels_text(pairs)}}} 1\n"
