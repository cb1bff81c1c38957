"""One small file for each mistake, beside what `kpi-agent check` says of it."""

from pathlib import Path

import pytest

from agent.language.load import check
from agent.language.problems import render

BAD = Path(__file__).parent / "bad"
WARNINGS = {
    "template_shadowed", "many_hops", "unit_reserved", "better_contradicts_target",
    "kpi_serves_nothing", "person_shown_elsewhere", "name_like_histogram", "maintenance_odd",
    "large_state", "days_of_utc", "time_alternatives",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(file.stem for file in BAD.glob("*.yaml")))
def test_a_mistake_is_reported_with_its_place_and_a_way_out(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(BAD)
    plan, problems = check(f"{name}.yaml")
    assert render(problems) == (BAD / f"{name}.txt").read_text()
    assert (plan is not None) == (name in WARNINGS)
