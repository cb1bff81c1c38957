from __future__ import annotations

import pytest

from agent.core.output.templates import (
    MAX_RENDERED_CHARS,
    BadTemplate,
    humanize,
    humanize_duration,
    humanize_percentage,
    humanize_timestamp,
    render,
    variables_of,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "1"),
        (999, "999"),
        (1000, "1k"),
        (1234, "1.234k"),
        (1234567, "1.235M"),
        (-2500, "-2.5k"),
        (0.0021, "2.1m"),
        (1e-30, "1e-06y"),
        (1e27, "1000Y"),
        (None, "no value"),
        (float("nan"), "no value"),
        (float("inf"), "no value"),
    ],
)
def test_humanize_gives_four_digits_and_a_prefix(value: float | None, text: str) -> None:
    assert humanize(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0s"),
        (1, "1s"),
        (12.345678, "12.35s"),
        (60, "1m 0s"),
        (3725, "1h 2m 5s"),
        (-90061, "-1d 1h 1m 1s"),
        (0.25, "250ms"),
        (None, "no value"),
    ],
)
def test_humanize_duration_reads_seconds(value: float | None, text: str) -> None:
    assert humanize_duration(value) == text


def test_humanize_percentage_reads_a_ratio() -> None:
    assert humanize_percentage(0.12345) == "12.35%"
    assert humanize_percentage(1) == "100%"


@pytest.mark.parametrize(
    "value", [1291191960, "1291191960", "2010-12-01T08:26:00Z", "2010-12-01T09:26:00+01:00"]
)
def test_humanize_timestamp_reads_seconds_and_iso_8601(value: float | str) -> None:
    assert humanize_timestamp(value) == "2010-12-01 08:26:00 UTC"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (135.4, "seconds", "2 min 15 s"),
        (0.1234, "ratio", "12.3 %"),
        (1366, "eur", "€1,366"),
        (40, "tasks_per_employee", "40 tasks per employee"),
        (1234.5, "", "1,234"),
        (None, "seconds", "no value"),
    ],
)
def test_with_unit_words_a_value_as_the_board_does(
    value: float | None, unit: str, text: str
) -> None:
    assert render("{{ value | with_unit }}", {"value": value, "unit": unit}) == text


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("{{ region }} answers in {{ value | humanize }}", "apac answers in 1.234k"),
        ("{{ value }}, {{ missing_value }}", "1234.5, no value"),
        ("{% if value > 1000 %}slow{% else %}well{% endif %}", "slow"),
        ("{{ 'slow' if value > 1000 else 'well' }}", "slow"),
        ("{{ (value / 60) | round(1) }} min, {{ value | round }} s", "20.6 min, 1234 s"),
        ("{{ dimensions.region | upper }} {{ dimensions['region'] }}", "APAC apac"),
        ("{{ nothing_here | default('unknown') }}", "unknown"),
        ("<b>{{ region }}</b> & more", "<b>apac</b> & more"),
        ("", ""),
    ],
)
def test_a_template_is_filled_in(text: str, rendered: str) -> None:
    variables = {
        "region": "apac",
        "value": 1234.5,
        "missing_value": None,
        "dimensions": {"region": "apac"},
    }
    assert render(text, variables) == rendered


def test_the_variables_of_a_template_are_the_names_it_reads() -> None:
    text = "{{ region }} {% if value > 3 %}{{ dimensions.tier | humanize }}{% endif %}"
    assert variables_of(text) == {"region", "value", "dimensions"}


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("{{ value", 1, "not a template: unexpected end of template"),
        ("a\n{{ value | humanise }}", 2, "unknown filter `humanise`; there are abs,"),
        ("{{ value is odd }}", 1, "not a template: No test named 'odd'"),
        ("{% for a in region %}{% endfor %}", 1, "loops are not possible"),
        ("{% macro a() %}{{ a() }}{% endmacro %}", 1, "macros are not possible"),
        ("{% set a = 1 %}", 1, "setting a variable is not possible"),
        ("{{ range(10) }}", 1, "calling a function is not possible"),
        ("{{ region.upper() }}", 1, "calling a function is not possible"),
        ("{{ 10 ** 10 }}", 1, "`**` is not possible"),
        ("{% include '/etc/hostname' %}", 1, "including files is not possible"),
        ("{{ 'x' | center(1000000000) }}", 1, "unknown filter `center`"),
        ("{{" + "-" * 3000 + "1 }}", 1, "the template is nested too deeply"),
        ("x" * 4001, 1, "the template is longer than 4000 characters"),
    ],
)
def test_what_a_template_may_not_do_is_reported_with_its_line(
    text: str, line: int, problem: str
) -> None:
    with pytest.raises(BadTemplate) as caught:
        variables_of(text)
    assert str(caught.value).startswith(problem)
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{{ regin }}", "'regin' is undefined"),
        ("{{ regin | humanize }}", "'regin' is undefined"),
        ("{{ regin * 2 }}", "'regin' is undefined"),
        ("{{ region.__class__ }}", "'str object' has no attribute '__class__'"),
        ("{{ value // 0 }}", "float floor division by zero"),
        ("{{ region | humanize }}", "could not convert string to float: 'apac'"),
        ("{{ 'a' * 1000000000 }}", "`*` needs numbers, not text ('a')"),
        ("{{ '%1000000000d' % 1 }}", "`%` needs numbers, not text ('%1000000000d')"),
        ("{{ nothing * 2 }}", "`*` needs numbers, not nothing (null)"),
    ],
)
def test_a_text_that_fails_is_shown_as_written_with_what_is_wrong(text: str, problem: str) -> None:
    rendered = render(text, {"region": "apac", "value": 2.0, "nothing": None})
    assert rendered == f"{text} (this text could not be filled in: {problem})"


def test_what_a_template_makes_is_bounded() -> None:
    rendered = render("{{ name }}", {"name": "x" * 1_000_000})
    assert rendered == "x" * (MAX_RENDERED_CHARS - 1) + "…"

    rendered = render("x" * 3900 + "{{ unknown }}", {})
    assert len(rendered) == MAX_RENDERED_CHARS
    assert rendered.endswith("(this text could not be filled in: 'unknown' is undefined)")


@pytest.mark.timeout(60)  # it would take for ever
def test_the_costliest_arithmetic_that_fits_is_over_at_once() -> None:
    rendered = render("{{" + "*".join(["9" * 100] * 39) + "}}", {})
    assert len(rendered) <= MAX_RENDERED_CHARS
