"""Files in which a few lines are wrong, as hands and merges leave them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st

from agent.language.problems import FORMATS, Problem, render
from agent.language.recovery import UNKNOWN_NAME

ODD = (
    *("5", "-1", "~", "[]", "{}", "[~]", "{a: b}", "''", ".nan", "true", "1e400", "*q"),
    *("{? [a] : b}", "'\"'", "'𝄞é'"),
)
"""Values that no place expects."""


@st.composite
def damaged(draw: st.DrawFn, good: Sequence[str], odd: Sequence[str], characters: str) -> str:
    """Lines of a file with a few left out, repeated, or given odd values or characters."""
    lines = list(good)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        how = draw(st.sampled_from(["drop", "repeat", "value", "character"]))
        line = lines[at]
        if how == "drop":
            del lines[at]
        elif how == "repeat":
            lines.insert(draw(st.integers(0, len(lines) - 1)), line)
        elif how == "value" and ": " in line:
            lines[at] = f"{line.split(': ')[0]}: {draw(st.sampled_from([*ODD, *odd]))}"
        elif line:
            cut = draw(st.integers(0, len(line) - 1))
            wrong = draw(st.sampled_from("{}[]:,'\"*&#|>- \tx" + characters))
            lines[at] = line[:cut] + wrong + line[cut + 1 :]
    return "\n".join(lines)


def check_places(problems: Sequence[Problem], file: Path, text: str) -> None:
    """Problems are at places of the file, and show nothing that stands in for what is missing."""
    lines = text.split("\n")
    for problem in problems:
        assert problem.file == str(file)
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column < problem.end_column
        assert UNKNOWN_NAME not in f"{problem.message} {problem.hint} {problem.where}"
    assert all(bool(render(problems, form)) == bool(problems) for form in FORMATS)
