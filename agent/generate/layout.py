"""A board: sections of panels on Grafana's 24-column grid, numbered and placed in order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from agent.core.model.kpis import Kpi
from agent.core.model.metrics import BUILD_INFO
from agent.core.output.addresses import DATA_SOURCE_VARIABLE, variable_name
from agent.generate.files import mark
from agent.generate.panels import SOURCE, Panel
from agent.generate.time_range import SHORTEST_REFRESH

WHAT = "grafana"
COLUMNS = 24
TAG = "kpi"


@dataclass(frozen=True, slots=True)
class Cell:
    """A panel and its width in columns."""

    panel: Panel
    width: int


@dataclass(frozen=True, slots=True)
class Section:
    """A titled row of the board. `height`: of each of its lines, in grid units (30 px)."""

    title: str
    height: int
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Mark(Builder[models.AnnotationQuery]):
    """Periods to mark on all panels: those in which a query has samples. `says`: the text of a
    mark, with `{{label}}`s of its sample."""

    name: str
    expr: str
    color: str
    says: str

    def build(self) -> models.AnnotationQuery:
        """The annotation as Grafana reads it."""
        return _Annotation(self)


class _Annotation(models.AnnotationQuery):
    """An annotation with the text field of Prometheus annotations that the SDK lacks."""

    def __init__(self, mark: Mark) -> None:
        super().__init__(
            name=mark.name,
            datasource=SOURCE,
            icon_color=mark.color,
            expr=mark.expr,
        )
        self._says = mark.says

    def to_json(self) -> dict[str, object]:
        return super().to_json() | {"titleFormat": self._says}


@dataclass(slots=True)
class Board:
    """The parts of a dashboard; `json_text` is it in Grafana's format."""

    uid: str
    title: str
    description: str
    tags: Sequence[str]
    sections: Sequence[Section]
    dimensions: Sequence[tuple[Kpi, str]] = ()
    """A variable for each dimension of a KPI."""
    external_labels: Sequence[str] = ()
    """A variable for each label that keeps environments apart."""
    links: Sequence[tuple[str, str]] = ()
    """Title and address of other boards: Grafana's, as `/d/…`, keep the time range."""
    choices: Sequence[tuple[str, str]] = ()
    """Variables with all values of a label: its name, and the metric that has it."""
    marks: Sequence[Mark] = ()
    since: str = "now-6h"
    refresh: str = SHORTEST_REFRESH
    _number: int = field(default=0, init=False)

    def json_text(self) -> str:
        """The dashboard as JSON; the same board has always the same text."""
        built = self._builder()
        y = 0
        for section in self.sections:
            if not section.cells:
                continue
            row = dashboard.Row(section.title).id(self._next())
            built.with_row(row.grid_pos(models.GridPos(x=0, y=y, w=COLUMNS, h=1)))
            y = self._place(built, section, y + 1)
        document = built.build()
        return (
            json.dumps(document, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False)
            + "\n"
        )

    def _place(self, built: dashboard.Dashboard, section: Section, y: int) -> int:
        """Place the section's panels from left to right, line by line; returns the next free y."""
        x = 0
        for cell in section.cells:
            if x + cell.width > COLUMNS:
                x, y = 0, y + section.height
            place = models.GridPos(x=x, y=y, w=cell.width, h=section.height)
            built.with_panel(cell.panel.id(self._next()).grid_pos(place))
            x += cell.width
        return y + section.height

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _builder(self) -> dashboard.Dashboard:
        self._number = 0
        built = (
            dashboard.Dashboard(self.title)
            .uid(self.uid)
            .description(f"{self.description}\n\n({mark(WHAT)})")
            .tags([TAG, *self.tags])
            .readonly()
            .time(self.since, "now")
            .timezone("browser")
            .refresh(self.refresh)
            .tooltip(models.DashboardCursorSync.CROSSHAIR)
            .with_variable(
                dashboard.DatasourceVariable(DATA_SOURCE_VARIABLE)
                .label("Data source")
                .type("prometheus")
            )
        )
        for name in self.external_labels:
            variable = _variable(name, name, BUILD_INFO)
            built.with_variable(variable.refresh(models.VariableRefresh.ON_DASHBOARD_LOAD))
        for kpi, name in self.dimensions:
            built.with_variable(_multiple(variable_name(name), name, kpi.metric))
        for label, metric in self.choices:
            built.with_variable(_multiple(label, label, metric))
        for each in self.marks:
            built.annotation(each)
        for title, url in self.links:
            link = dashboard.DashboardLink(title).type(models.DashboardLinkType.LINK).url(url)
            built.link(link.keep_time(url.startswith("/")).icon("dashboard"))
        kpis = dashboard.DashboardLink("KPIs").type(models.DashboardLinkType.DASHBOARDS)
        return built.link(kpis.tags([TAG]).as_dropdown(True).keep_time(True))


def _multiple(variable: str, label: str, metric: str) -> dashboard.QueryVariable:
    """A variable for several values of a label, at first all of them."""
    every = models.VariableOption(selected=True, text="All", value="$__all")
    chosen = _variable(variable, label, metric).multi(True).include_all(True)
    chosen.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    return chosen.all_value(".*").current(every)


def _variable(variable: str, label: str, metric: str) -> dashboard.QueryVariable:
    """A variable for the values that a label has in a metric."""
    return (
        dashboard.QueryVariable(variable)
        .label(label.replace("_", " "))
        .datasource(SOURCE)
        .query(f"label_values({metric}, {label})")
        .sort(models.VariableSort.NATURAL_ASC)
    )
