"""Field values out of text: what each type reads, the same alone and among others."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.core.decode.decoder import Decoder
from agent.core.decode.field_values import shown
from agent.core.model.events import Field, TimeSource
from agent.core.model.field_types import BooleanFormat, NumberFormat, TextRule, TimeFormat
from tests.core.decode.samples import AT, batch, contract

LONDON = "Europe/London"
X = ("x",)
WRONG = "wrong"
"""Null, and counted as of another type."""


def read(field: Field, *values: str, timezone: str = "UTC", at: str = AT) -> list[Any]:
    """What a field makes of JSON values."""
    records = [
        f'{{"type": "order", "at": "{at}", "id": "{i}", "x": {value}}}'.encode()
        for i, value in enumerate(values)
    ]
    decoded = Decoder([contract("order", field, timezone=timezone)]).decode(batch(records))
    assert decoded.rejects == ()
    wrong = set(decoded.wrong_types.get(("order", field.name), ()))
    got = decoded.tables["order"]["x"].to_list()
    assert all(got[i] is None for i in wrong)
    return [WRONG if i in wrong else value for i, value in enumerate(got)]


def texts(*values: str) -> list[str]:
    return [json.dumps(value) for value in values]


def test_a_decimal_is_read_from_numbers_and_strings_and_rounded_half_away_from_zero() -> None:
    field = Field("x", X, "decimal", scale=2)
    values = [
        "12.34",
        "5",
        "1e3",
        "null",
        *texts("12.345", "-12.345", "-0.004", " 7 ", "1e2", "+.5"),
    ]
    assert read(field, *values) == [1234, 500, 100_000, None, 1235, -1235, 0, 700, 10_000, 50]


def test_a_decimal_has_eighteen_digits() -> None:
    field = Field("x", X, "decimal", scale=2)
    most = 10**18 - 1
    assert read(field, *texts("9999999999999999.99", "-9999999999999999.994")) == [most, -most]
    assert read(field, *texts("9999999999999999.995", "1e16", "1e400", "-1e17")) == [WRONG] * 4


def test_a_number_in_json_keeps_all_digits_of_a_decimal() -> None:
    values = [
        "90071992547409.93",
        "-9999999999999999.99",
        "9007199254740993",
        "1234567890.12345678",
    ]
    expected = [9007199254740993, 1 - 10**18, 900719925474099300, 123456789012]
    assert read(Field("x", X, "decimal", scale=2), *values) == expected
    lists = [f"[{value}]" for value in values]
    assert read(Field("x", ("x", 0), "decimal", scale=2), *lists) == expected
    assert read(Field("x", X, "decimal", scale=2), "99999999999999999.5", "1e-999999999") == [
        WRONG, 0
    ]  # fmt: skip


@pytest.mark.parametrize(
    "value", ["true", "[1]", "{}", *texts("", "abc", "1,5", "€12", "0x1", "NaN")]
)
@pytest.mark.parametrize("type_", ["decimal", "timestamp", "date", "integer[]"])
def test_what_is_not_of_the_type_is_null_and_counted(type_: Any, value: str) -> None:
    if (type_, value) != ("integer[]", "[1]"):
        assert read(Field("x", X, type_), value, "null") == [WRONG, None]


def test_a_required_value_that_cannot_be_read_rejects_the_event() -> None:
    field = Field("x", X, "decimal", required=True, scale=2)
    record = f'{{"type": "order", "at": "{AT}", "x": "12,5"}}'.encode()
    decoded = Decoder([contract("order", field)]).decode(batch([record]))
    ((_, reject),) = decoded.rejects
    assert (str(reject.reason), reject.detail) == (
        "wrong_type",
        "x: expected a decimal number of at most 16 digits before the point, found the string "
        '"12,5"',
    )


def test_bounds_of_a_decimal_are_exact() -> None:
    field = Field("x", X, "decimal", scale=2, minimum=0.07, maximum=0.29)
    values = [
        f'{{"type": "order", "at": "{AT}", "x": {x}}}' for x in ("0.07", "0.29", "0.06", '"0.30"')
    ]
    decoded = Decoder([contract("order", field)]).decode(batch([v.encode() for v in values]))
    assert decoded.tables["order"]["x"].to_list() == [7, 29]
    assert [reject.detail for _, reject in decoded.rejects] == [
        "x: 0.06 is below the minimum 0.07",
        "x: 0.30 is above the maximum 0.29",
    ]


def test_a_timestamp_is_an_instant_to_the_microsecond() -> None:
    values = ["1714558830", "null", *texts("2024-05-01T10:20:30.1234567Z", "2024-05-01 10:20:30")]
    at = datetime(2024, 5, 1, 10, 20, 30, tzinfo=UTC)
    assert read(Field("x", X, "timestamp"), *values, timezone=LONDON) == [
        at,
        None,
        at.replace(microsecond=123_456),
        at.replace(hour=9),
    ]


def test_a_date_is_the_day_in_the_zone_of_the_contract() -> None:
    values = texts(
        "2024-05-01", "2024-04-30T23:30:00Z", "Wed, 01 May 2024 00:30:00 +0100", "1815-12-10"
    )
    expected = [date(2024, 5, 1)] * 3 + [date(1815, 12, 10)]
    others = ("20240501", *texts("2024-05-01Z", "2024-05-01+09:00"))
    assert read(Field("x", X, "date"), *values, *others, timezone=LONDON) == [
        *expected,
        *[date(2024, 5, 1)] * 3,
    ]


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        (TimeFormat("%Y/%m/%d %H:%M"), '"2024/05/01 11:20"', "2024-05-01T10:20:00Z"),
        (TimeFormat("%d.%m.%Y"), '"02.05.2024"', "2024-05-01T23:00:00Z"),
        (
            TimeFormat("%d/%b/%Y:%H:%M:%S %z"),
            '"01/May/2024:12:20:30 +0200"',
            "2024-05-01T10:20:30Z",
        ),
        (TimeFormat("%m/%d/%Y %I:%M %p"), '"05/01/2024 01:20 PM"', "2024-05-01T12:20:00Z"),
        (TimeFormat(unit="s"), "1714558830.25", "2024-05-01T10:20:30.250000Z"),
        (TimeFormat(unit="s"), '"-1"', "1969-12-31T23:59:59Z"),
        (TimeFormat(unit="ms"), "60000", "1970-01-01T00:01:00Z"),
        (TimeFormat(unit="us"), "1714558830123456", "2024-05-01T10:20:30.123456Z"),
        (TimeFormat(unit="ns"), "1714558830123456789", "2024-05-01T10:20:30.123456Z"),
        (TimeFormat(unit="day"), "19845", "2024-05-01T23:00:00Z"),
    ],
)
def test_a_time_may_have_a_format_or_a_unit(form: TimeFormat, value: str, expected: str) -> None:
    field = Field("x", X, "timestamp", format=form)
    (got, nothing, wrong) = read(field, value, "null", '"soon"', timezone=LONDON)
    assert (shown(field, got), nothing, wrong) == (expected, None, WRONG)


def test_the_event_time_may_have_a_format_too() -> None:
    of = contract(
        "order",
        times=(
            TimeSource(("at",), TimeFormat("%d.%m.%Y %H:%M")),
            TimeSource(("day",), TimeFormat(unit="day")),
        ),
        timezone=LONDON,
    )
    records = [
        {"type": "order", "at": "01.05.2024 10:20"},
        {"type": "order", "day": 19844},
        {"type": "order", "at": "2024-05-01T10:20:00Z"},
    ]
    decoded = Decoder([of]).decode(batch([json.dumps(record).encode() for record in records]))
    assert decoded.tables["order"]["_time"].to_list() == [1_714_555_200_000, 1_714_518_000_000]
    ((_, reject),) = decoded.rejects
    assert reject.detail == (
        'at or day: expected a time written as %d.%m.%Y %H:%M, found "2024-05-01T10:20:00Z"'
    )


def test_a_local_time_in_a_format_may_happen_twice() -> None:
    times = (TimeSource(("at",), TimeFormat("%d.%m.%Y %H:%M")),)
    of = contract("order", times=times, timezone=LONDON, max_future_ms=10**12)
    record = b'{"type": "order", "at": "27.10.2024 01:30"}'
    decoded = Decoder([of]).decode(batch([record]))
    assert list(decoded.repeated_ms["order"].values()) == [3_600_000]


ENGLISH = NumberFormat(",", ".")
GERMAN = NumberFormat(".", ",")
FRENCH = NumberFormat(" ", ",", "", " €")


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        (NumberFormat(), '"1234.50"', 1234.5),
        (NumberFormat(), '" -1.5e3 "', -1500.0),
        (NumberFormat(), "7", 7.0),
        (NumberFormat(), '"1,234.50"', WRONG),
        (NumberFormat(), '"1e999"', WRONG),
        (ENGLISH, '"1,234,567.25"', 1_234_567.25),
        (ENGLISH, '"1234.5"', 1234.5),
        (ENGLISH, '"12,34"', WRONG),
        (ENGLISH, '"1,2345"', WRONG),
        (GERMAN, '"1.234,50"', 1234.5),
        (GERMAN, '"1.234"', 1234.0),
        (GERMAN, "1.234", 1.234),
        (GERMAN, '"12,5"', 12.5),
        (FRENCH, '"1 234,50 €"', 1234.5),
        (FRENCH, '"1\\u00a0234,50"', 1234.5),
        (NumberFormat("", "", "€ "), '"€ 12"', 12.0),
        (NumberFormat("", "", "€ "), '"€12"', 12.0),
        (NumberFormat("", "", "€ "), '"$12"', WRONG),
        (NumberFormat("", ".", "$"), '"-$12.50"', -12.5),
        (NumberFormat("", ".", "$"), '"$-12.50"', -12.5),
        (NumberFormat("", ".", "$"), '"-$-12.50"', WRONG),
        (NumberFormat("", ".", "$"), '"\\u221212.50"', -12.5),
        (NumberFormat("", ".", "", " %"), '"12.5%"', 12.5),
    ],
)
def test_a_number_is_read_as_it_is_written(form: NumberFormat, value: str, expected: Any) -> None:
    assert read(Field("x", X, "float", format=form), value, "null") == [expected, None]
    scaled = round(expected * 1000) if expected != WRONG else WRONG
    assert read(Field("x", X, "decimal", scale=3, format=form), value) == [scaled]


def test_an_integer_as_text_has_no_decimals() -> None:
    field = Field("x", X, "integer", format=ENGLISH)
    assert read(field, '"1,234"', "5", '"1.5"', '"99999999999999999999"') == [1234, 5, WRONG, WRONG]


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        (NumberFormat(",", ""), '"1,234,567"', 1_234_567),
        (NumberFormat(",", ""), "5", 5),
        (NumberFormat("", "", "€"), '"€12"', 12),
        (NumberFormat("", "", "", " kWh"), '"-7 kWh"', -7),
        (NumberFormat(",", ""), '"1,234.5"', WRONG),
    ],
)
def test_an_example_without_decimals_is_of_whole_numbers(
    form: NumberFormat, value: str, expected: Any
) -> None:
    assert read(Field("x", X, "integer", format=form), value) == [expected]


def test_booleans_are_the_values_that_the_contract_names() -> None:
    field = Field("x", X, "boolean", format=BooleanFormat(("1", "true", "Y"), ("0", "false", "N")))
    values = ["1", "true", '"Y"', '"true"', "0", '"N"', '"y"', "2", "null"]
    assert read(field, *values) == [True] * 4 + [False] * 2 + [WRONG] * 2 + [None]


def test_a_list_has_elements_of_one_type() -> None:
    strings = ['["a", "\\u0001\\"\\\\", null]', "[]", '["a", 1]', '"[\\"b\\"]"', '"a"', "null"]
    assert read(Field("x", X, "string[]"), *strings) == [
        ["a", '\x01"\\', None], [], WRONG, ["b"], WRONG, None,
    ]  # fmt: skip
    numbers = ["[1, 2]", "[9223372036854775808]", '["1"]', "[1.5]"]
    assert read(Field("x", X, "integer[]"), *numbers) == [[1, 2], WRONG, WRONG, WRONG]
    assert read(Field("x", X, "float[]"), "[1, 2.5]", "[true]") == [[1.0, 2.5], WRONG]
    assert read(Field("x", X, "boolean[]"), "[true]", "[1]") == [[True], WRONG]


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (TextRule(("open", "closed")), ["open"], ["Open", "", "x"]),
        (TextRule(pattern="^[A-Z]{2}$"), ["NO"], ["no", "NOR"]),
        (TextRule(pattern="[0-9]"), ["a1b"], ["ab"]),
        (TextRule(min_length=2, max_length=3), ["ab", "äöü"], ["a", "abcd"]),
    ],
)
def test_a_text_that_breaks_its_rule_is_null_and_counted(
    rule: TextRule, good: list[str], bad: list[str]
) -> None:
    field = Field("x", X, "string", text=rule)
    assert read(field, *texts(*good, *bad), "3", "null") == [
        *good,
        *[WRONG] * len(bad),
        WRONG,
        None,
    ]


def test_an_enum_in_any_case_has_the_listed_spelling() -> None:
    field = Field("x", X, "string", text=TextRule(("NO", "Åland"), ignore_case=True))
    assert read(field, *texts("no", "ÅLAND", "se")) == ["NO", "Åland", WRONG]


LARGE = st.decimals(-(10**14), 10**14, allow_nan=False, allow_infinity=False, places=4)


@example([Decimal("730983711223.7514")])
@given(st.lists(LARGE, min_size=1, max_size=20))
def test_decimals_are_the_same_as_numbers_and_as_text(numbers: list[Decimal]) -> None:
    field = Field("x", X, "decimal", scale=4)
    expected = [int(n.scaleb(4)) for n in numbers]
    expected = [n if abs(n) < 10**18 else WRONG for n in expected]
    plain = [format(n, "f") for n in numbers]
    assert read(field, *plain) == read(field, *texts(*plain)) == expected


NUMBERS = st.decimals(-(10**11), 10**11, allow_nan=False, allow_infinity=False, places=5)
SHAPES = st.one_of(
    NUMBERS.map(lambda n: json.dumps(str(n))),
    NUMBERS.map(lambda n: json.dumps(float(n))),
    st.sampled_from(["null", "true", '"x"', "[1]", '"€ 12"', '"1,234.50"', "1e3", '"1.234"']),
    st.text(max_size=5).map(json.dumps),
)
FIELDS: Sequence[Field] = (
    Field("x", X, "decimal", scale=2),
    Field("x", X, "float", format=NumberFormat()),
    Field("x", X, "decimal", scale=3, format=GERMAN),
    Field("x", X, "timestamp"),
    Field("x", X, "string[]"),
    Field("x", X, "string", text=TextRule(pattern="1", max_length=4)),
)


@given(st.lists(SHAPES, min_size=1, max_size=20), st.sampled_from(FIELDS))
def test_a_value_is_read_alone_as_it_is_among_others(values: list[str], field: Field) -> None:
    assert read(field, *values) == [read(field, value)[0] for value in values]


@given(st.lists(NUMBERS, min_size=1, max_size=20), st.integers(0, 5))
def test_a_decimal_is_the_nearest_at_its_scale(numbers: list[Decimal], scale: int) -> None:
    step = Decimal(1).scaleb(-scale)
    expected = [int(n.quantize(step, ROUND_HALF_UP).scaleb(scale)) for n in numbers]
    field = Field("x", X, "decimal", scale=scale)
    assert read(field, *texts(*map(str, numbers))) == expected
    assert [Decimal(shown(field, value)) for value in expected] == [
        n.quantize(step, ROUND_HALF_UP) for n in numbers
    ]
