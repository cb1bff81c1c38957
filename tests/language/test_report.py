import json

from agent.language.problems import Problem, render

PROBLEM = Problem(
    "a,b.yaml", 3, 8, 11, "kpis.x.unit", "100% wrong", "write:\nit", "error", "  unit: abc"
)


def test_json_is_one_object_a_line() -> None:
    assert [json.loads(line) for line in render([PROBLEM] * 2, "json").splitlines()] == [
        {
            "file": "a,b.yaml",
            "line": 3,
            "column": 8,
            "end_column": 11,
            "where": "kpis.x.unit",
            "message": "100% wrong",
            "hint": "write:\nit",
            "severity": "error",
        }
    ] * 2


def test_github_escapes_what_would_end_the_command() -> None:
    assert render([PROBLEM], "github") == (
        "::error file=a%2Cb.yaml,line=3,col=8,endColumn=11,title=kpis.x.unit"
        "::100%25 wrong%0Awrite:%0Ait\n"
    )


def test_colour_changes_nothing_but_the_colour() -> None:
    coloured = render([PROBLEM], color=True)
    assert "\x1b[31m^^^\x1b[0m" in coloured
    plain = coloured
    for code in (0, 1, 31, 33, 34):
        plain = plain.replace(f"\x1b[{code}m", "")
    assert plain == render([PROBLEM])


def test_a_very_long_line_is_shown_around_the_mistake() -> None:
    text = "x" * 500 + "bad" + "y" * 500
    shown = render([Problem("a", 1, 501, 504, "", "m", line_text=text)]).splitlines()
    line, marks = shown[1], shown[2]
    assert line[marks.index("^") : marks.rindex("^") + 1] == "bad"
    assert len(line) < 180


def test_no_problems_are_no_text() -> None:
    assert render([]) == render([], "json") == render([], "github") == ""
