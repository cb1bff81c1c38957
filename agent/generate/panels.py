"""The panels that the boards are made of, each with its unit, title, description and data source.

States have a sign and a word, not a colour alone; the colours are those of Okabe and Ito
(https://jfly.uni-koeln.de/color/), which colour-blind people can distinguish.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    table,
    text,
    timeseries,
)
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

from agent.core.output.addresses import DATA_SOURCE_VARIABLE

BLUE = "#0072B2"
ORANGE = "#E69F00"
VERMILLION = "#D55E00"
GREY = "#8C8C8C"
SKY = "#56B4E9"

SOURCE = models.DataSourceRef(type_val="prometheus", uid=f"${{{DATA_SOURCE_VARIABLE}}}")

States = Mapping[int, tuple[str, str]]
"""The text and colour of each number of a state metric."""

TARGET_STATES: States = {
    0: ("○ no data", GREY),
    1: ("✓ met", BLUE),
    2: ("▲ at risk", ORANGE),
    3: ("✕ missed", VERMILLION),
}
RULE_STATES: States = {
    0: ("– inactive", GREY),
    1: ("◔ pending", ORANGE),
    2: ("● firing", VERMILLION),
    3: ("◌ inhibited", GREY),
}
READY_STATES: States = {0: ("✕ not ready", VERMILLION), 1: ("✓ ready", BLUE)}

P = TypeVar("P", bound="Panel")

Panel = (
    stat.Panel | bargauge.Panel | timeseries.Panel | statetimeline.Panel | table.Panel | text.Panel
)


TOOLTIP_HEIGHT = 400
"""px; a longer tooltip scrolls."""

Ranked = Literal["highest first", "lowest first"]


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression, and the legend of its series (`{{label}}`)."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class About:
    """The header of a panel. `unit`: Grafana's id (see `units.py`)."""

    title: str
    description: str
    unit: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its title; its numbers as `states`, or in a `unit`; a `link` of its
    cells (title and address, with Grafana's `${__data.fields.…}`); its least width in `pixels`. A
    column that only links use is `hidden`."""

    title: str
    states: States | None = None
    unit: str = ""
    link: tuple[str, str] | None = None
    pixels: int = 0
    hidden: bool = False

    def options(self) -> Iterator[models.DynamicConfigValue]:
        """Its options in Grafana, where it has any."""
        if self.states:
            yield _value("mappings", [m.to_json() for m in _mappings(self.states)])
            yield _value("custom.cellOptions", {"type": "color-text"})
            yield _value("unit", "none")
        if self.unit:
            yield _value("unit", self.unit)
        if self.link:
            yield _value("links", [{"title": self.link[0], "url": self.link[1]}])
        if self.pixels:
            yield _value("custom.minWidth", self.pixels)
        if self.hidden:
            yield _value("custom.hidden", True)


def stat_panel(
    about: About,
    queries: Sequence[Query],
    *,
    states: States | None = None,
    steps: Sequence[tuple[float | None, str]] = ((None, BLUE),),
    sparkline: bool = False,
) -> stat.Panel:
    """A number for each series, below each other: beside each other, they are tiny."""
    graph = common_models.BigValueGraphMode
    panel = (
        stat.Panel()
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_mode(common_models.BigValueColorMode.VALUE)
        .graph_mode(graph.AREA if sparkline else graph.NONE)
        .text_mode(common_models.BigValueTextMode.AUTO)
        .orientation(common_models.VizOrientation.HORIZONTAL)
        .wide_layout(True)
        .thresholds(_steps(steps))
        .no_value("no data")
    )
    if states:
        panel.mappings(_mappings(states))
    # A sparkline needs the range, a number alone only the newest sample.
    return _finished(panel, about, queries, instant=not sparkline)


def bar_panel(
    about: About, queries: Sequence[Query], steps: Sequence[tuple[float | None, str]], most: float
) -> bargauge.Panel:
    """A horizontal bar for each series, from 0 to `most`, below its full name."""
    panel = (
        bargauge.Panel()
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .orientation(common_models.VizOrientation.HORIZONTAL)
        .display_mode(common_models.BarGaugeDisplayMode.BASIC)
        .value_mode(common_models.BarGaugeValueMode.TEXT)
        .name_placement(common_models.BarGaugeNamePlacement.TOP)
        .show_unfilled(True)
        .min(0)
        .max(most)
        .thresholds(_steps(steps))
    )
    return _finished(panel, about, queries, instant=True)


def line_panel(
    about: About,
    queries: Sequence[Query],
    *,
    bars: bool = False,
    stacked: bool = False,
    zero: bool = True,
    limit: float | None = None,
    ranked: Ranked | None = None,
) -> timeseries.Panel:
    """Lines over time (or bars). `zero`: the axis begins at 0; `limit`: a dashed line; `ranked`: a
    legend table of the lines' last values, in this order, instead of a list."""
    draw = common_models.GraphDrawStyle
    panel = (
        timeseries.Panel()
        .draw_style(draw.BARS if bars else draw.LINE)
        .line_interpolation(common_models.LineInterpolation.STEP_AFTER)
        .line_width(2)
        .fill_opacity(40 if bars or stacked else 0)
        .show_points(common_models.VisibilityMode.NEVER)
        .legend(_table_legend(ranked) if ranked else _legend())
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_models.TooltipDisplayMode.MULTI)
            .sort(common_models.SortOrder.DESCENDING)
            .max_height(TOOLTIP_HEIGHT)
        )
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
    )
    if zero:
        panel.axis_soft_min(0)
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
    if limit is not None:
        style = common_models.GraphThresholdsStyleMode.DASHED
        panel.thresholds(_steps([(None, BLUE), (limit, VERMILLION)]))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(style))
    return _finished(panel, about, queries)


def style_lines(panel: timeseries.Panel, legend: str, color: str, dash: Sequence[float]) -> None:
    """Draw the series whose legend begins with a text in one colour, dashed."""
    panel.override_by_regexp(
        f"/^{legend}/",
        [
            _value("custom.lineWidth", 1),
            _value("custom.lineStyle", {"fill": "dash", "dash": list(dash)}),
            _value("color", {"mode": "fixed", "fixedColor": color}),
        ],
    )


def leave_out_of_legend(panel: timeseries.Panel, legend: str) -> None:
    """Leave the series whose legend begins with a text out of the legend."""
    hidden = {"legend": True, "tooltip": False, "viz": False}
    panel.override_by_regexp(f"/^{legend}/", [_value("custom.hideFrom", hidden)])


def link_series(panel: timeseries.Panel | statetimeline.Panel, title: str, url: str) -> None:
    """Link the series of the first query to an address (with `${__field.labels.…}`)."""
    panel.override_by_query("A", [_value("links", [{"title": title, "url": url}])])


def color_lines(panel: timeseries.Panel, colors: Iterable[tuple[str, str]]) -> None:
    """Draw the series of these names in these colours."""
    for name, color in colors:
        panel.override_by_name(name, [_value("color", {"mode": "fixed", "fixedColor": color})])


def thin_lines(panel: timeseries.Panel, legend: str) -> None:
    """Draw the series whose legend begins with a text thin and dotted, in their own colour."""
    panel.override_by_regexp(
        f"/^{legend}/",
        [
            _value("custom.lineWidth", 1),
            _value("custom.lineStyle", {"fill": "dot", "dash": [0, 4]}),
        ],
    )


def timeline_panel(about: About, queries: Sequence[Query], states: States) -> statetimeline.Panel:
    """A band for each series, in the colour and with the text of its state."""
    panel = (
        statetimeline.Panel()
        .mappings(_mappings(states))
        .merge_values(True)
        .show_value(common_models.VisibilityMode.AUTO)
        .fill_opacity(80)
        .row_height(0.85)
        .legend(_legend())
        .thresholds(_steps([(None, GREY)]))
    )
    return _finished(panel, about, queries)


def table_panel(
    about: About,
    queries: Sequence[Query],
    *,
    columns: Mapping[str, Column],
    sort_by: str,
) -> table.Panel:
    """A table of instant queries, joined on their labels.

    `columns`: the fields to show, in order: labels, and `Value #A`, `Value #B`… of the queries;
    other labels are hidden. Rows are sorted by the field `sort_by`, descending, whether it is shown
    or not.
    """
    panel = (
        table.Panel()
        .with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(
            models.DataTransformerConfig(
                id_val="sortBy", options={"sort": [{"field": sort_by, "desc": True}]}
            )
        )
        .with_transformation(
            models.DataTransformerConfig(
                id_val="organize",
                options={
                    "includeByName": dict.fromkeys(columns, True),
                    "indexByName": {name: i for i, name in enumerate(columns)},
                    "renameByName": {name: c.title for name, c in columns.items()},
                },
            )
        )
        .filterable(True)
        .show_header(True)
    )
    for column in columns.values():
        if shown := list(column.options()):
            panel.override_by_name(column.title, shown)
    return _finished(panel, about, queries, instant=True, tabular=True)


def text_panel(about: About, markdown: str) -> text.Panel:
    """A panel of Markdown."""
    panel = text.Panel().mode(TextMode.MARKDOWN).content(markdown)
    return _finished(panel, about, ())


def _finished(
    panel: P,
    about: About,
    queries: Sequence[Query],
    *,
    instant: bool = False,
    tabular: bool = False,
) -> P:
    panel.title(about.title).description(about.description).unit(about.unit).datasource(SOURCE)
    for number, query in enumerate(queries):
        target = prometheus.Dataquery().expr(query.expr).ref_id(chr(ord("A") + number))
        target.datasource(SOURCE).legend_format(query.legend)
        if instant:
            target.instant()
        else:
            target.range()
        kind = PromQueryFormat.TABLE if tabular else PromQueryFormat.TIME_SERIES
        panel.with_target(target.format(kind))
    return panel


def _steps(steps: Sequence[tuple[float | None, str]]) -> dashboard.ThresholdsConfig:
    thresholds = [models.Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(thresholds)


def _mappings(states: States) -> list[models.ValueMapping]:
    options = {
        str(number): models.ValueMappingResult(text=words, color=color, index=number)
        for number, (words, color) in sorted(states.items())
    }
    return [models.ValueMap(options=options)]


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(common_models.LegendDisplayMode.LIST)
        .placement(common_models.LegendPlacement.BOTTOM)
    )


def _table_legend(ranked: Ranked) -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(common_models.LegendDisplayMode.TABLE)
        .placement(common_models.LegendPlacement.RIGHT)
        .calcs(["lastNotNull"])
        .sort_by("Last *")
        .sort_desc(ranked == "highest first")
    )


def _value(name: str, value: object) -> models.DynamicConfigValue:
    return models.DynamicConfigValue(id_val=name, value=value)


SCALED: Mapping[str, str] = {
    "ratio": "percentunit",
    "percent": "percent",
    "milliseconds": "ms",
    "seconds": "s",
    "minutes": "m",
    "hours": "h",
    "days": "d",
    "bytes": "bytes",
    "meters": "lengthm",
    "kilometers": "lengthkm",
    "grams": "massg",
    "kilograms": "masskg",
    "watts": "watt",
    "joules": "joule",
    "celsius": "celsius",
}
"""Units that Grafana scales itself."""

# fmt: off
CURRENCIES = frozenset({
    "brl", "chf", "czk", "dkk", "eur", "gbp", "idr", "inr", "isk", "jpy", "krw",
    "myr", "nok", "php", "pln", "rub", "sek", "try", "uah", "usd", "vnd", "zar",
})
# fmt: on
"""ISO 4217 codes for which Grafana has a currency unit."""


def grafana_unit(unit: str | None) -> str:
    """Grafana's id of a unit; an unknown unit is a suffix of the number."""
    if unit is None:
        return "short"
    if unit in CURRENCIES:
        return f"currency{unit.upper()}"
    return SCALED.get(unit, f"suffix:{unit.replace('_', ' ')}")
