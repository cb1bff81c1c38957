"""Whatever is in a file of rule tests, it is published or run, and nothing raises."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings

from agent.language.load import load
from agent.ruletests.compare import compare
from agent.ruletests.read import read_tests
from agent.ruletests.run import run
from tests.language.damage import check_places, damaged

HERE = Path(__file__).parent
PLAN = load(HERE / "rules")
LINES = (HERE / "reports" / "desk_test.yaml").read_text().splitlines()
ODD = (
    *("none", "5x3", "10:00", "+5m", "[[]]", "'{'", "_"),
    *("1e9x9", "[5, {a: 1}]"),
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(damaged(LINES, ODD, "5@_"))
def test_damaged_files_give_problems_with_places_or_results(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a_test.yaml"
    file.write_text(text)
    suite = read_tests(PLAN, [file])
    problems = list(suite.problems)
    for case in suite.cases:
        result = compare(PLAN, case, run(PLAN, case))
        assert result.passed == (not result.problems())
        problems += result.problems()
    check_places(problems, file, text)
    assert suite.cases or suite.problems
