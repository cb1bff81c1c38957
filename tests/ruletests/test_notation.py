"""The two short notations: values of consecutive windows, and names of series and alerts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ruletests.notation import NotationError, read_name, read_values


def plain(text: str) -> list[tuple[float | None, int | None]]:
    values, wrong = read_values(text)
    assert wrong == []
    return [(v.value, v.events) for v in values]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("240x3 700", [240, 240, 240, 700]),
        ("100+5x4", [100, 105, 110, 115]),
        ("10-2.5x3", [10, 7.5, 5]),
        ("-1-1x3 -.5 1e3", [-1, -2, -3, -0.5, 1000]),
        ("5 _ 5 _x2", [5, None, 5, None, None]),
    ],
)
def test_x_says_how_many_windows_there_are(text: str, values: list[float | None]) -> None:
    assert [value for value, _ in plain(text)] == values


def test_a_value_may_say_of_how_many_events_it_is() -> None:
    assert plain("5@3x2 6 _ _@4") == [(5, 3), (5, 3), (6, None), (None, None), (None, 4)]


@given(st.lists(st.tuples(st.integers(-999, 999), st.integers(1, 9)), min_size=1))
def test_every_value_comes_as_often_as_it_says(parts: list[tuple[int, int]]) -> None:
    text = " ".join(f"{value}x{times}" for value, times in parts)
    assert [value for value, _ in plain(text)] == [v for v, n in parts for _ in range(n)]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("5 7oo", "7oo"),
        ("5+2", "5+2"),
        ("5x0", "5x0"),
        ("x5", "x5"),
        ("1 5x99999999", "5x99999999"),
    ],
)
def test_what_is_no_value_is_named_with_its_place(text: str, word: str) -> None:
    _, wrong = read_values(text)
    assert [text[slice(*error.chars)] for error in wrong] == [word]


def test_all_that_is_no_value_is_named() -> None:
    values, wrong = read_values("1 a 2 b")
    assert [v.value for v in values] == [1, 2]
    assert [error.chars for error in wrong] == [(2, 3), (6, 7)]


def test_a_name_has_dimensions_and_words() -> None:
    named = read_name("""slow{region="e, m", level=5, vip='a"b'} critical  firing""")
    assert named.name.text == "slow"
    assert {key: (word.text, quoted) for key, (word, quoted) in named.dimensions.items()} == {
        "region": ("e, m", True),
        "level": ("5", False),
        "vip": ('a"b', True),
    }
    assert [word.text for word in named.words] == ["critical", "firing"]


@pytest.mark.parametrize(
    "text", ["", "{region=1}", "slow{region}", "slow{region=1 level=2}", "a{b=1"]
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(NotationError):
        read_name(text)


def test_a_dimension_that_is_given_twice_is_refused() -> None:
    with pytest.raises(NotationError, match="'a' is given twice"):
        read_name("slow{a=1, a=2}")
