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
from jinja2.sandbox import SandboxedEnvironment

from agent.core.plan import AbsenceRule, Kpi, Rule, Severity
from agent.generate import names

PLAIN_NUMBER = 'printf "%.6g"'

FILTERS: Mapping[str, str] = {
    "humanize": "humanize",
    "humanize_duration": "humanizeDuration",
    "duration": "humanizeDuration",
    "humanize_percentage": "humanizePercentage",
    "percentage": "humanizePercentage",
    "percent": "humanizePercentage",
    "upper": "toUpper",
    "lower": "toLower",
    "title": "title",
    "string": "",
}
"""Filters that both sides have, by their name in the language."""


def annotation(template: str, rule: Rule, kpi: Kpi, severity: Severity) -> str | None:
    """A rule's text as a Prometheus annotation template.

    None when the text is empty, or has an expression that Prometheus can't render.
    """
    if not template.strip():
        return None
    try:
        parsed = SandboxedEnvironment().parse(template)
    except TemplateSyntaxError:
        return None
    values = _constants(rule, kpi, severity)
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


def plain_summary(rule: Rule, kpi: Kpi, condition: str) -> str:
    """What is told of a rule whose own text can't be carried over."""
    return f"{literal(kpi.title)}: {literal(condition)}{where(kpi.by)}"


def where(dimensions: Iterable[str]) -> str:
    """The series in words: ` (region={{ $labels.region }})`, empty without dimensions."""
    inside = ", ".join(f"{name}={{{{ $labels.{name} }}}}" for name in dimensions)
    return f" ({inside})" if inside else ""


def literal(text: str) -> str:
    """Text that means itself in a Prometheus template."""
    return text.replace("{{", '{{ "{{" }}')


def value_query(kpi: Kpi, rule: Rule) -> str:
    """A template pipeline that gives the query's result: the rule's value of the alert's series."""
    on_current = not isinstance(rule, AbsenceRule) and rule.on == "current"
    return series_query(names.current_metric(kpi) if on_current else kpi.metric, kpi.by)


def series_query(metric: str, by: Iterable[str], fixed: Iterable[tuple[str, str]] = ()) -> str:
    """`printf "max(metric{region=%q})" $labels.region | query`, for the alert's own series.

    `%q` quotes as Go does, and PromQL strings have Go's escapes.
    """
    by = tuple(by)
    inside = [f"{name}={names.quoted(value)}" for name, value in fixed]
    inside += [f"{name}=%q" for name in by]
    query = f"max({metric}{{{','.join(inside)}}})" if inside else f"max({metric})"
    if not by:
        return f"query {names.quoted(query)}"
    arguments = " ".join(f"$labels.{name}" for name in by)
    return f"printf {names.quoted(query)} {arguments} | query"


def _constants(rule: Rule, kpi: Kpi, severity: Severity) -> dict[str, str]:
    """What is the same for every alert of the rule."""
    return {
        "rule": rule.name,
        "severity": severity,
        "kpi": kpi.name,
        "title": kpi.title,
        "unit": kpi.unit or "",
        "owner": rule.owner or kpi.owner or "",
        "team": rule.team or kpi.team or "",
    }


def _piece(node: nodes.Expr, rule: Rule, kpi: Kpi, values: Mapping[str, str]) -> str | None:
    """One part of a jinja template; None when Prometheus has no counterpart."""
    if isinstance(node, nodes.TemplateData):
        return literal(node.data)
    pipe = ""
    while isinstance(node, nodes.Filter) and node.node is not None:
        if node.name not in FILTERS or node.args or node.kwargs:
            return None
        name = FILTERS[node.name]
        pipe = f" | {name}{pipe}" if name else pipe
        node = node.node
    return _named(node.name, pipe, rule, kpi, values) if isinstance(node, nodes.Name) else None


def _named(name: str, pipe: str, rule: Rule, kpi: Kpi, values: Mapping[str, str]) -> str | None:
    """A variable of the template, through Prometheus' filters."""
    if name in kpi.by:
        return f"{{{{ $labels.{name}{pipe} }}}}"
    if name == "value":
        return _first(value_query(kpi, rule), pipe)
    if name == "events":
        return _first(series_query(names.WINDOW_EVENTS, kpi.by, [("kpi", kpi.name)]), pipe)
    if name in values and pipe:
        return f"{{{{ {names.quoted(values[name])}{pipe} }}}}"
    return literal(values[name]) if name in values else None


def _first(query: str, pipe: str) -> str:
    """The first sample of a query; "no value" when there is none."""
    number = f"{{{{ . | first | value{pipe or f' | {PLAIN_NUMBER}'} }}}}"
    return f"{{{{ with {query} }}}}{number}{{{{ else }}}}no value{{{{ end }}}}"
