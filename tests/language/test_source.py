from unittest import mock

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.language.source import Span, read
from tests.conftest import ROOT

DOCUMENT = b"""\
on: yes
day: 2020-01-01
x-base: &base {unit: eur, better: lower}
kpis:
  orders:
    <<: *base
    better: higher
    where: >-
      region = 'emea'
      and amount > 1
    value: 'it''s sum(x)'
    text: |
      first
        second
    plain: one
      two
    empty:
"""


def test_plain_scalars_are_read_as_yaml_1_2() -> None:
    source = read("a.yaml", DOCUMENT)
    assert source.problems == []
    assert source.data["on"] == "yes"
    assert source.data["day"] == "2020-01-01"
    scalars = read("b.yaml", b"[1, -2, 1.5, 1e3, true, ~, no, 1_000, 0o7, '5']").data
    assert scalars == [1, -2, 1.5, 1000.0, True, None, "no", 1000, "0o7", "5"]


def test_a_merge_gives_what_the_mapping_does_not_say_itself() -> None:
    orders = read("a.yaml", DOCUMENT).data["kpis"]["orders"]
    assert (orders["unit"], orders["better"]) == ("eur", "higher")


def test_of_two_merged_bases_the_first_wins() -> None:
    text = b"a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc:\n  <<: [*a, *b]\n"
    assert read("a.yaml", text).data["c"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("place", "word", "span"),
    [
        (("kpis", "orders", "where"), "emea", Span(9, 17, 21)),
        (("kpis", "orders", "where"), "amount", Span(10, 11, 17)),
        (("kpis", "orders", "value"), "sum", Span(11, 19, 22)),
        (("kpis", "orders", "text"), "second", Span(14, 9, 15)),
        (("kpis", "orders", "plain"), "two", Span(16, 7, 10)),
        (("x-base", "unit"), "eur", Span(3, 22, 25)),
    ],
)
def test_a_word_within_a_text_is_found_in_every_style(
    place: tuple[str, ...], word: str, span: Span
) -> None:
    source = read("a.yaml", DOCUMENT)
    value = source.data
    for part in place:
        value = value[part]
    start = value.index(word)
    assert source.locate_text(place, start, start + len(word)) == span


def test_what_is_not_written_is_shown_at_what_should_hold_it() -> None:
    source = read("a.yaml", DOCUMENT)
    assert source.locate(("kpis", "orders", "window")) == Span(5, 3, 9)
    assert source.locate(("kpis", "orders", "empty")) == Span(17, 5, 10)


def test_windows_line_ends_and_a_byte_order_mark_change_nothing() -> None:
    source = read("a.yaml", b"\xef\xbb\xbfa: 1\r\nb: two\r\n")
    assert source.data == {"a": 1, "b": "two"}
    assert source.locate(("b",)) == Span(2, 4, 7)


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        (b"a: \xff\n", 1, 1, "the file is not UTF-8: byte 0xff"),
        (b"a:\n\tb: 1\n", 2, 1, "not YAML: a tab where YAML wants spaces"),
        (b'a: 1\nb: "x\n', 2, 5, "not YAML: a quote is not closed"),
        (b"a: !!int x\n", 1, 4, "'x' is not what its tag says"),
        (b"a: !mine {b: 1}\n", 1, 4, "the tag !mine is not supported"),
        (b"a: &a [*a]\n", 1, 4, "an alias that contains itself"),
        (b"? [a]\n: 1\n", 1, 3, "a name must be text"),
        (b"a: \x01\n", 1, 4, "not YAML: a control character"),
        (b"[" * 1500, 1, 1, "nested too deeply"),
    ],
)
def test_what_is_not_yaml_is_reported_and_never_raised(
    text: bytes, line: int, column: int, message: str
) -> None:
    problem = read("a.yaml", text).problems[0]
    assert (problem.line, problem.column, problem.message) == (line, column, message)


def test_merges_of_merges_take_no_time() -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 22)]
    source = read("a.yaml", "\n".join(lines).encode())
    assert source.data is None
    assert [p.message for p in source.problems] == [
        "more than 100,000 values, aliases and merges followed"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 90 + "]" * 90,
        *(
            "a0: &a0 {x: 1}\n"
            + "\n".join(f"a{i}: &a{i} {made.format(i - 1)}" for i in range(1, 90))
            for made in ("[*a{}]", "{{<<: *a{}}}")
        ),
    ],
)
def test_values_within_values_have_a_depth_however_they_are_written(text: str) -> None:
    source = read("a.yaml", text.encode())
    assert source.data is None
    assert [p.message for p in source.problems] == [
        "more than 64 levels, aliases and merges followed"
    ]


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    source = read("a.yaml", "\n".join(lines).encode())
    assert source.data is None
    assert [p.message for p in source.problems] == [
        "more than 100,000 values, aliases and merges followed"
    ]


FILES = sorted(ROOT.glob("rules/*.yaml")) + sorted(ROOT.glob("tests/scenarios/*.yaml"))[:40]


@given(data=st.data())
def test_both_parsers_give_the_same_places_and_problems(data: st.DataObject) -> None:
    assert yaml.__with_libyaml__, "PyYAML's wheels have it; this one was built without"
    lines = data.draw(st.sampled_from(FILES)).read_text().split("\n")
    first = data.draw(st.integers(0, len(lines) - 1))
    # In braces PyYAML takes no `?` within a plain text, which YAML 1.2 allows and libyaml reads.
    text = "\n".join(lines[first : first + 8]).replace("?", "") + "\n"
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(text)))
        new = data.draw(st.sampled_from([*":-#[]{},&*!|>'\"%@` \n\t~<é\u2028\u0085\x00\ufeff", ""]))
        text = text[:at] + new + text[at + data.draw(st.integers(0, 1)) :]
    fast = read("a.yaml", text.encode())
    with mock.patch.object(yaml, "__with_libyaml__", False):
        plain = read("a.yaml", text.encode())
    assert (fast.data, fast.keys, fast.problems) == (plain.data, plain.keys, plain.problems)
    spans = {place: plain.locate(place) for place in plain.nodes}
    assert {place: fast.locate(place) for place in fast.nodes} == spans
