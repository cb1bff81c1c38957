"""Whatever is in a file of rule tests, it is published or run, and nothing raises."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.language.load import load
from agent.language.recovery import NOBODY
from agent.language.report import FORMATS, render
from agent.ruletests.compare import compare
from agent.ruletests.read import read_tests
from agent.ruletests.run import run

HERE = Path(__file__).parent
PLAN = load(HERE / "rules")
LINES = (HERE / "reports" / "desk_test.yaml").read_text().splitlines()
ODD = [
    *("5", "-1", "~", "[]", "{}", "[~]", "{a: b}", "''", ".nan", "true", "1e400", "*q", "none"),
    *(
        "5x3",
        "10:00",
        "+5m",
        "'\"'",
        "[[]]",
        "{? [a] : b}",
        "'{'",
        "_",
        "1e9x9",
        "'𝄞é'",
        "[5, {a: 1}]",
    ),
]


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """Good tests with a few lines left out, repeated, or given odd values."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        how = draw(st.sampled_from(["drop", "repeat", "value", "character"]))
        line = lines[at]
        if how == "drop":
            del lines[at]
        elif how == "repeat":
            lines.insert(draw(st.integers(0, len(lines) - 1)), line)
        elif how == "value" and ": " in line:
            lines[at] = f"{line.split(': ')[0]}: {draw(st.sampled_from(ODD))}"
        elif line:
            cut = draw(st.integers(0, len(line) - 1))
            odd = draw(st.sampled_from("{}[]:,'\"*&#|>- \tx5@_"))
            lines[at] = line[:cut] + odd + line[cut + 1 :]
    return "\n".join(lines)


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(damaged())
def test_damaged_files_give_problems_with_places_or_results(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a_test.yaml"
    file.write_text(text)
    suite = read_tests(PLAN, [file])
    problems = list(suite.problems)
    for case in suite.cases:
        result = compare(PLAN, case, run(PLAN, case))
        assert result.passed == (not result.problems())
        problems += result.problems()
    lines = text.split("\n")
    for problem in problems:
        assert problem.file == str(file)
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column < problem.end_column
        assert NOBODY not in f"{problem.message} {problem.hint} {problem.where}"
    assert all(bool(render(problems, form)) == bool(problems) for form in FORMATS)
    assert suite.cases or suite.problems
