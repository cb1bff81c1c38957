"""Single JSON records, read exactly: what is wrong with each, in words."""

from __future__ import annotations

from typing import Any

import pytest

from agent.core.decode.format import Kind, UnreadableError, WrongPlaceError
from agent.core.decode.single_record import (
    MAX_DEPTH,
    all_strings,
    has_lone_surrogate,
    is_of_kind,
    is_too_deep,
    problem_of,
    tree_of,
    value_in,
)
from agent.core.model.results import Reason


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        (b'{"a": 1}', None, ""),
        (b'{"a": "\\ud83d\\ude00"}', None, ""),
        (b'{"a": "\\\\ud83d"}', None, ""),  # an escaped backslash, then letters
        (b"[1]", Reason.NOT_AN_OBJECT, "expected an object {…}, found an array"),
        (b"7", Reason.NOT_AN_OBJECT, "expected an object {…}, found the number 7"),
        (b'{"a": 1', Reason.NOT_JSON, "Input data was truncated"),
        (b"\xef\xbb\xbf{}", Reason.NOT_JSON, "a byte order mark before the JSON"),
        (b'{"a": 1e400}', Reason.NOT_JSON, "a number is out of range"),
        (b'{"a": ' + b"9" * 40 + b"}", Reason.NOT_JSON, "a number is out of range"),
        (b'{"a": "\xff"}', Reason.NOT_UTF8, "byte 7 is not UTF-8"),
        (b'{"a": "\\ud83d"}', Reason.NOT_UTF8, "half a surrogate pair"),
        (
            b'{"a": ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
            Reason.NOT_JSON,
            f"nested deeper than {MAX_DEPTH} levels",
        ),
    ],
)
def test_a_record_that_can_not_be_read_says_why(
    line: bytes, reason: Reason | None, detail: str
) -> None:
    problem = problem_of(line)
    assert (problem and problem[0]) == reason
    assert detail in (problem[1] if problem else "")


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1])
def test_depth_is_counted_outside_of_strings(depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    assert is_too_deep(nested) == (depth > MAX_DEPTH)
    assert not is_too_deep(b'{"a": "' + nested + b'"}')
    assert is_too_deep(b'{"\\"": ' + nested + b"}") == (depth + 1 > MAX_DEPTH)


@pytest.mark.parametrize(
    ("text", "expected"),
    [(rb"\ud83d", True), (rb"\ude00", True), (rb"\ud83d\ude00", False), (rb"\u00e4", False)],
)
def test_half_a_surrogate_pair_is_no_text(text: bytes, expected: bool) -> None:
    assert has_lone_surrogate(b'{"a": "' + text + b'"}') is expected


@pytest.mark.parametrize(
    ("line", "path", "expected"),
    [
        (b'{"a": {"b": 2.50}}', ("a", "b"), 2.5),
        (b'{"a": 1, "a": 2}', ("a",), 1),  # the first of duplicates
        (b'{"\\u0061": 3}', ("a",), 3),
        (b'{"a": null}', ("a", "b"), None),
        (b"{}", ("a",), None),
        (b'{"a": 123456789012345678901234567890}', ("a",), 123456789012345678901234567890),
    ],
)
def test_a_value_is_read_at_its_path(line: bytes, path: tuple[str, ...], expected: Any) -> None:
    assert value_in(line, path) == expected


def test_a_path_through_something_else_than_an_object_says_where() -> None:
    with pytest.raises(WrongPlaceError, match=r"a: expected an object, found the number 1"):
        value_in(b'{"a": 1}', ("a", "b"))


@pytest.mark.parametrize("keys", [None, [b"a"], [b"b"], []])
def test_of_members_that_matter_the_first_counts(keys: list[bytes] | None) -> None:
    tree = tree_of(b'{"a": 1, "b": {"a": 2}, "a": 3}', keys)
    assert tree["b"] == {"a": 2}
    if keys is None or b"a" in keys:
        assert tree["a"] == 1


def test_a_tree_of_no_json_raises_its_problem() -> None:
    with pytest.raises(UnreadableError) as error:
        tree_of(b"{", [b"a"])
    assert error.value.problem[0] is Reason.NOT_JSON


@pytest.mark.parametrize(
    ("kind", "fits", "fits_not"),
    [
        ("string", ["", "7"], [7, None, True]),
        ("integer", [0, -(2**63), 2**63 - 1], [2**63, 1.0, "1", True]),
        ("float", [1, 1.5], ["1", True, []]),
        ("boolean", [True, False], [0, "true"]),
        ("id", ["a", 7, 7.0], [7.5, True, {}]),
        ("time", [1, "soon", True], []),
    ],
)
def test_values_are_of_their_kinds(kind: Kind, fits: list[Any], fits_not: list[Any]) -> None:
    assert [value for value in fits if not is_of_kind(kind, value)] == []
    assert [value for value in fits_not if is_of_kind(kind, value)] == []


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b'{"a": "x"}', b'{"b": {"a":"y"}}'], True),
        ([b'{"a": "x"}', b'{"a": 7}'], False),
        ([b'{"b": "a"}'], False),  # it could not be proved
        ([b'{"a": "\\n"}'], False),
    ],
)
def test_strings_under_a_key_are_proved_by_bytes(lines: list[bytes], expected: bool) -> None:
    assert all_strings(lines, "a") is expected
