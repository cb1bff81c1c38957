"""The texts of rules, from the language's templates to Prometheus' own.

A rule's `summary` is a jinja template that the agent renders for the board and the kpi-alerts
topic. Prometheus renders annotations with Go templates: `{{ region }}` becomes
`{{ $labels.region }}`, and `{{ value | humanize }}` a query of the KPI's own metric, because the
value of an alert expression over `kpi_rule_state` is the state. Expressions that have no
counterpart there make the whole text fall back to a plain sentence: half a sentence would mislead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from jinja2 import TemplateSyntaxError, nodes

from agent.core.model.kpis import Kpi
from agent.core.model.rules import Rule, Severity, ThresholdRule
from agent.core.model.text import singular_text, unit_text
from agent.core.output.templates import NO_VALUE, environment
from agent.generate import names

FILTERS: Mapping[str, str] = {
    "humanize": "humanize",
    "humanize_duration": "humanizeDuration",
    "humanize_percentage": "humanizePercentage",
    "humanize_timestamp": "humanizeTimestamp",
    "upper": "toUpper",
    "lower": "toLower",
    "title": "title",
    "string": "",
    "float": "",
}
"""Filters without arguments that both languages have: by our name, that of Prometheus."""

_UNITS = {"ratio": "humanizePercentage", "seconds": "humanizeDuration"}
"""The functions of Prometheus that format a value, by its unit."""


def annotation(
    template: str, rule: Rule, kpi: Kpi, severity: Severity, condition: str
) -> str | None:
    """A rule's text as a Prometheus annotation template. `condition`: the value of `bound` in the
    template. None if the text is empty, or has an expression that Prometheus can't render."""
    if not template.strip():
        return None
    try:
        parsed = environment().parse(template)
    except TemplateSyntaxError:
        return None
    values = _constants(rule, kpi, severity) | {"bound": condition}
    parts: list[str] = []
    for node in parsed.body:
        if not isinstance(node, nodes.Output):
            return None
        for piece in node.nodes:
            text = _piece(piece, rule, kpi, values)
            if text is None:
                return None
            parts.append(text)
    return "".join(parts).strip()


def plain_summary(kpi: Kpi, condition: str) -> str:
    """The summary of a rule whose own text Prometheus can't render."""
    return f"{literal(kpi.title)}: {literal(condition)}{where(kpi.by)}"


def where(dimensions: Iterable[str]) -> str:
    """The dimensions as text: ` (region={{ $labels.region }})`, empty without dimensions."""
    inside = series_text(dimensions)
    return f" ({inside})" if inside else ""


def series_text(dimensions: Iterable[str], between: str = ", ") -> str:
    """`region={{ $labels.region }}` for each dimension."""
    return between.join(f"{name}={{{{ $labels.{name} }}}}" for name in dimensions)


def literal(text: str) -> str:
    """A text, escaped for a Prometheus template."""
    return text.replace("{{", '{{ "{{" }}')


def value_with_unit(rule: Rule, kpi: Kpi) -> str:
    """The rule's value with its unit, in Prometheus' forms: `2m 15s`, `12.3%`."""
    unit = kpi.unit or ""
    function = f" | {_UNITS.get(unit, 'humanize')}"
    if unit in ("", *_UNITS):
        return value_text(rule, kpi, function)
    words, singular = unit_text(unit), singular_text(unit)
    if singular != words:
        is_one = "{{ if eq (. | first | value) 1.0 }}"
        words = f"{is_one}{singular}{{{{ else }}}}{words}{{{{ end }}}}"
    return value_text(rule, kpi, function, f" {words}")


def value_text(rule: Rule, kpi: Kpi, pipe: str, unit: str = "") -> str:
    """The rule's value of the alert's own series through a filter and then its unit, or a text that
    there is none."""
    if not kpi.name:
        return NO_VALUE  # a composite rule is about no single value
    on_current = isinstance(rule, ThresholdRule) and rule.on == "current"
    metric = kpi.current_metric if on_current else kpi.metric
    worded = f"{{{{ . | first | value{pipe} }}}}{unit}"
    return f"{{{{ with {_query(metric, kpi.by)} }}}}{worded}{{{{ else }}}}{NO_VALUE}{{{{ end }}}}"


def _query(metric: str, by: Iterable[str]) -> str:
    """`printf "max(metric{region=%q})" $labels.region | query`: the alert's own series.

    `%q` quotes as Go does, and PromQL strings have Go's escapes.
    """
    by = tuple(by)
    if not by:
        return f"query {names.quoted(f'max({metric})')}"
    inside = ",".join(f"{name}=%q" for name in by)
    arguments = " ".join(f"$labels.{name}" for name in by)
    return f"printf {names.quoted(f'max({metric}{{{inside}}})')} {arguments} | query"


def _constants(rule: Rule, kpi: Kpi, severity: Severity) -> dict[str, str]:
    """The variables that are the same for all alerts of a rule."""
    return {
        "rule": rule.name,
        "severity": severity,
        "state": "firing",
        "kpi": kpi.name,
        "title": kpi.title,
        "unit": kpi.unit or "",
        "owner": rule.owner or kpi.owner or NO_VALUE,
        "team": rule.team or kpi.team or NO_VALUE,
    }


def _piece(node: nodes.Expr, rule: Rule, kpi: Kpi, values: Mapping[str, str]) -> str | None:
    """A part of a jinja template; None if Prometheus has no counterpart."""
    if isinstance(node, nodes.TemplateData):
        return literal(node.data)
    if isinstance(node, nodes.Filter) and node.name == "with_unit":
        is_value = isinstance(node.node, nodes.Name) and node.node.name == "value"
        return value_with_unit(rule, kpi) if is_value else None
    pipe = ""
    while isinstance(node, nodes.Filter) and node.node is not None:
        step = _filter(node)
        if step is None:
            return None
        pipe = step + pipe
        node = node.node
    if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
        return _member(node.node.name, node.attr, pipe, rule, kpi)
    return _named(node.name, pipe, rule, kpi, values) if isinstance(node, nodes.Name) else None


def _filter(node: nodes.Filter) -> str | None:
    """A step of a Go pipeline; empty if the filter has no effect."""
    digits = node.args[0] if node.args else nodes.Const(0)
    if node.name == "round" and isinstance(digits, nodes.Const) and not node.kwargs:
        return f' | printf "%.{int(digits.value)}f"'
    if node.name not in FILTERS or node.args or node.kwargs:
        return None
    return f" | {FILTERS[node.name]}" if FILTERS[node.name] else ""


def _member(mapping: str, name: str, pipe: str, rule: Rule, kpi: Kpi) -> str | None:
    """`dimensions.region` or `labels.area`."""
    if mapping == "dimensions" and name in kpi.by:
        return f"{{{{ $labels.{name}{pipe} }}}}"
    if mapping == "labels" and name in rule.labels:
        return _constant(rule.labels[name], pipe)
    return None


def _named(name: str, pipe: str, rule: Rule, kpi: Kpi, values: Mapping[str, str]) -> str | None:
    """A variable of the template. As in our language, predefined ones precede dimensions."""
    if name in values:
        return _constant(values[name], pipe)
    if name == "value":
        return value_text(rule, kpi, pipe or ' | printf "%.10g"')
    if name == "series" and not pipe:
        return series_text(kpi.by)
    return f"{{{{ $labels.{name}{pipe} }}}}" if name in kpi.by else None


def _constant(text: str, pipe: str) -> str:
    return f"{{{{ {names.quoted(text)}{pipe} }}}}" if pipe else literal(text)
