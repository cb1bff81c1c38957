"""Whatever is in a file, `check` answers with a plan or with problems, and never raises."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings

from agent.language.load import check
from tests.language.damage import check_places, damaged

RULES = Path(__file__).parents[2] / "rules"
TIMES = (RULES / "maintenance.yaml").read_text().replace("version: 1\n", "")
LINES = f"{(RULES / 'sales.yaml').read_text()}\n{TIMES}".splitlines()
ODD = (
    *("'{{'", "'%'", "'sum('", "count(*)", "99999999999999999999999"),
    *("Europe", "2027-Q5", "[monday, 5]"),
)


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(damaged(LINES, ODD, ""))
def test_damaged_files_give_problems_with_places(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    plan, problems = check(file)
    assert (plan is None) == any(p.severity == "error" for p in problems)
    check_places(problems, file, text)
