"""Words YAML's syntax errors for people, with a hint how to fix them."""

from __future__ import annotations

import re

import yaml

_SYNTAX: tuple[tuple[str, str, str], ...] = (
    (
        r"found character '\\t'",
        "a tab where YAML wants spaces",
        "indent with spaces",
    ),
    (
        r"mapping values are not allowed",
        "a second ': ' in one line, or a line that is indented too far",
        "put text that holds ': ' in quotes",
    ),
    (
        r"expected a single document",
        "a second document in the file",
        "remove the line `---`, or split the file",
    ),
    (
        r"found undefined alias|found undefined",
        "an alias without its anchor",
        "an anchor (&name) must come before its alias (*name); "
        "text that begins with * needs quotes",
    ),
    (
        r"could not find expected ':'",
        "a line without ': '",
        "write `name: value`; is the line above indented as it should be?",
    ),
    (
        r"expected <block end>|expected the node content|while parsing a block",
        "the indentation, or a bracket, does not fit what is above",
        "give everything on one level the same indentation; "
        "put text that begins with { [ * & ! % @ in quotes",
    ),
    (
        r"expected ',' or|while parsing a flow",
        "a bracket or a comma is missing",
        "every { needs a }, every [ a ], and a comma between two values; "
        "put text that has brackets in it in quotes",
    ),
    (
        r"unexpected end of stream|found unexpected end",
        "a quote is not closed",
        "every quote needs its partner",
    ),
    (
        r"cannot start any token",
        "a character that cannot begin a value",
        "put the value in quotes",
    ),
    (
        r"special characters are not allowed",
        "a control character",
        "remove it",
    ),
)


def _line(text: str, index: int) -> str:
    lines = text.split("\n")
    return lines[index] if index < len(lines) else ""


def explain_syntax(error: yaml.YAMLError, text: str) -> tuple[int, int, str, str | None]:
    """Line and column (from 1), message and hint of a syntax error in `text`."""
    line, column = 1, 1
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        if mark is not None:
            line, column = mark.line + 1, mark.column + 1
    elif isinstance(error, yaml.reader.ReaderError):
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - (before.rfind("\n") + 1) + 1
    error_text = str(error)
    if isinstance(error, yaml.MarkedYAMLError) and error.context_mark is not None:
        opened = error.context_mark
        if "while parsing a flow" in error_text and not re.search(
            "[\\]}]", _line(text, opened.line)
        ):
            # Where the bracket was opened says more than where its partner was missed.
            line, column = opened.line + 1, opened.column + 1
    if re.search(r":\s+\{\{", _line(text, line - 1)):
        message = "text that begins with {{ is not in quotes"
        return line, column, message, 'write "{{ region }} is slow", quotes included'
    for pattern, message, hint in _SYNTAX:
        if re.search(pattern, error_text):
            return line, column, message, hint
    return line, column, getattr(error, "problem", None) or error_text.splitlines()[0], None
