from __future__ import annotations

import pytest

from agent.generate.templates import annotation

from .plans import absence, company, level, threshold

VALUE = '{{ with printf "max(kpi_response_time_seconds{region=%q})" $labels.region | query }}'
END = "{{ else }}no value{{ end }}"


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        ("plain words", "plain words"),
        ("{{ region }}", "{{ $labels.region }}"),
        ("{{ region | upper }}", "{{ $labels.region | toUpper }}"),
        ("{{ dimensions.region }}", "{{ $labels.region }}"),
        ("{{ series }}", "region={{ $labels.region }}"),
        ("{{ labels.area }}", "support"),
        ("{{ rule }} {{ kpi }} {{ unit }}", "slow response_time seconds"),
        ("{{ severity | upper }}", '{{ "warning" | toUpper }}'),
        ("{{ bound }}", "value > 400"),
        ("{{ value }}", VALUE + '{{ . | first | value | printf "%.10g" }}' + END),
        ("{{ value | round(2) }}", VALUE + '{{ . | first | value | printf "%.2f" }}' + END),
        (
            "{{ value | humanize_duration }}",
            VALUE + "{{ . | first | value | humanizeDuration }}" + END,
        ),
        (
            "{{ value | with_unit }}",
            VALUE + "{{ . | first | value | humanizeDuration }}" + END,
        ),
        ("braces {% raw %}{{ here }}{% endraw %}", 'braces {{ "{{" }} here }}'),
    ],
)
def test_a_template_becomes_prometheus_own(written: str, becomes: str) -> None:
    rule = threshold(
        "slow", "response_time", level("warning", "value > 400"), labels={"area": "support"}
    )
    kpi = company().kpis["response_time"]
    assert annotation(written, rule, kpi, "warning", "value > 400") == becomes


@pytest.mark.parametrize(
    "written",
    [
        "",
        "{{ value * 2 }}",
        "{% if value %}x{% endif %}",
        "{{ value | default(3) }}",
        "{{ (value / 2) | with_unit }}",
        "{{ unknown }}",
        "{{ broken",
        "{{ labels.missing }}",
        "{{ start }}",
    ],
)
def test_what_prometheus_cannot_render_gives_nothing(written: str) -> None:
    rule = absence("silent", "response_time")
    assert annotation(written, rule, company().kpis["response_time"], "info", "") is None
