"""Whatever is in a file, `check` answers with a plan or with problems, and never raises."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.language.load import check
from agent.language.recovery import NOBODY
from agent.language.report import FORMATS, render

RULES = Path(__file__).parents[2] / "rules"
TIMES = (RULES / "maintenance.yaml").read_text().replace("version: 1\n", "")
LINES = f"{(RULES / 'sales.yaml').read_text()}\n{TIMES}".splitlines()
ODD = [
    *("5", "-1", "~", "[]", "{}", "[~]", "{a: b}", "''", ".nan", "true", "1e400", "*q", "'{{'"),
    *(
        "'%'",
        "'sum('",
        "count(*)",
        "{? [a] : b}",
        "'\"'",
        "99999999999999999999999",
        "'𝄞é'",
        "Europe",
        "2027-Q5",
        "[monday, 5]",
    ),
]


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """The example rules with a few lines left out, repeated, or given odd values."""
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
            odd = draw(st.sampled_from("{}[]:,'\"*&#|>- \tx"))
            lines[at] = line[:cut] + odd + line[cut + 1 :]
    return "\n".join(lines)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(damaged())
def test_damaged_files_give_problems_with_places(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    plan, problems = check(file)
    assert (plan is None) == any(p.severity == "error" for p in problems)
    lines = text.split("\n")
    for problem in problems:
        assert problem.file == str(file)
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column < problem.end_column
        assert NOBODY not in f"{problem.message} {problem.hint} {problem.where}"
    assert all(bool(render(problems, form)) == bool(problems) for form in FORMATS)
