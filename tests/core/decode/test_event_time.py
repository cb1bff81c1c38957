"""Event times: what is read, what is not, and that one value and a column give the same."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.core.decode.event_time import parse_instants, parse_times
from agent.core.decode.time_text import END_MS, instant_of, parse_time

LONDON = "Europe/London"


def column(values: Sequence[object], timezone: str, dtype: type[pl.DataType]) -> list[int | None]:
    ms, readable = parse_times(pl.Series(values, dtype=dtype), timezone)
    return [m if r else None for m, r in zip(ms.tolist(), readable.tolist(), strict=True)]


def utc_ms(*parts: int, ms: int = 0) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1000 + ms  # type: ignore[arg-type, misc]


READ = [
    ("2024-05-01T10:20:30Z", utc_ms(2024, 5, 1, 10, 20, 30)),
    ("2024-05-01t10:20:30z", utc_ms(2024, 5, 1, 10, 20, 30)),
    ("2024-05-01 10:20:30Z", utc_ms(2024, 5, 1, 10, 20, 30)),
    ("2024-05-01T10:20Z", utc_ms(2024, 5, 1, 10, 20)),
    ("2024-05-01T10:20:30.5Z", utc_ms(2024, 5, 1, 10, 20, 30, ms=500)),
    ("2024-05-01T10:20:30,25Z", utc_ms(2024, 5, 1, 10, 20, 30, ms=250)),
    ("2024-05-01T10:20:30.123999999Z", utc_ms(2024, 5, 1, 10, 20, 30, ms=123)),
    ("2024-05-01T10:20:30+01:00", utc_ms(2024, 5, 1, 9, 20, 30)),
    ("2024-05-01T10:20:30+0130", utc_ms(2024, 5, 1, 8, 50, 30)),
    ("2024-05-01T10:20:30-05", utc_ms(2024, 5, 1, 15, 20, 30)),
    ("20240501T102030Z", utc_ms(2024, 5, 1, 10, 20, 30)),
    ("2024-W18-3", utc_ms(2024, 4, 30, 23)),
    ("2024-05-01", utc_ms(2024, 4, 30, 23)),
    ("2024-05-01T10:20:30", utc_ms(2024, 5, 1, 9, 20, 30)),
    ("2024-01-01T10:20:30", utc_ms(2024, 1, 1, 10, 20, 30)),
    ("2024-02-29T00:00:00Z", utc_ms(2024, 2, 29)),
    ("1970-01-01T00:00:00Z", 0),
    ("9999-12-31T23:59:59.999Z", END_MS - 1),
    ("1714558830", utc_ms(2024, 5, 1, 10, 20, 30)),
    ("1714558830.1239", utc_ms(2024, 5, 1, 10, 20, 30, ms=123)),
    ("1714558830123", utc_ms(2024, 5, 1, 10, 20, 30, ms=123)),
    ("1714558830123.9", utc_ms(2024, 5, 1, 10, 20, 30, ms=123)),
    ("1714558830123999", utc_ms(2024, 5, 1, 10, 20, 30, ms=123)),
    ("1714558830123999.5", utc_ms(2024, 5, 1, 10, 20, 30, ms=123)),
    ("1714558830123999.9", utc_ms(2024, 5, 1, 10, 20, 30, ms=123)),
    # Cut, as the fraction of an ISO time is: never the next window's.
    ("1714558830.9999999", utc_ms(2024, 5, 1, 10, 20, 30, ms=999)),
    ("1714558830.9999999999", utc_ms(2024, 5, 1, 10, 20, 30, ms=999)),
    ("1714558830.5", utc_ms(2024, 5, 1, 10, 20, 30, ms=500)),
    ("2024-05-01T10:20:30.9999999Z", utc_ms(2024, 5, 1, 10, 20, 30, ms=999)),
    ("20240501", utc_ms(2024, 4, 30, 23)),
    ("20250303", utc_ms(2025, 3, 3)),
    ("19720106", utc_ms(1972, 1, 6)),
    ("100000000", 10**11),
    ("100000000.0", 10**11),
    ("1714558830123999999", utc_ms(2024, 5, 1, 10, 20, 30, ms=123)),
    ("1714558830123999999.9", utc_ms(2024, 5, 1, 10, 20, 30, ms=123)),
    ("9223372036854775807", 9_223_372_036_854),
    ("0", 0),
    ("0.0", 0),
    # RFC 3339 and ISO 8601, all that they allow.
    ("2024-05-01 10:20:30 +0200", utc_ms(2024, 5, 1, 8, 20, 30)),
    ("2024-05-01 10:20:30 UTC", utc_ms(2024, 5, 1, 10, 20, 30)),
    ("2024-05-01 10:20:30.123456789 +0200 CEST", utc_ms(2024, 5, 1, 8, 20, 30, ms=123)),
    ("2024-05-01 10:20:30 +0000 UTC", utc_ms(2024, 5, 1, 10, 20, 30)),
    ("/Date(1714558830123)/", utc_ms(2024, 5, 1, 10, 20, 30, ms=123)),
    ("/Date(1714558830123+0200)/", utc_ms(2024, 5, 1, 10, 20, 30, ms=123)),
    ("/Date(86400000)/", 86_400_000),
    ("2024-05-01T10:20:30+01:00[Europe/London]", utc_ms(2024, 5, 1, 9, 20, 30)),
    ("2024-05-01T24:00:00Z", utc_ms(2024, 5, 2)),
    ("2016-12-31T23:59:60Z", utc_ms(2017, 1, 1)),
    ("2024-05-01T10Z", utc_ms(2024, 5, 1, 10)),
    ("2024-05-01T10.5Z", utc_ms(2024, 5, 1, 10, 30)),
    ("2024-05-01T10:20,25Z", utc_ms(2024, 5, 1, 10, 20, 15)),
    ("20240501T1020", utc_ms(2024, 5, 1, 9, 20)),
    ("20240501 102030,5Z", utc_ms(2024, 5, 1, 10, 20, 30, ms=500)),
    ("2024W183T1020Z", utc_ms(2024, 5, 1, 10, 20)),
    ("2024-122T10:20Z", utc_ms(2024, 5, 1, 10, 20)),
    ("2024-366", utc_ms(2024, 12, 31)),
    # A date and a time in digits, in the zone of the contract.
    ("20250303083000", utc_ms(2025, 3, 3, 8, 30)),
    ("20240701083000", utc_ms(2024, 7, 1, 7, 30)),
    # A date of XML Schema.
    ("2024-05-01Z", utc_ms(2024, 5, 1)),
    ("2024-05-01+02:00", utc_ms(2024, 4, 30, 22)),
    # RFC 2822, and RFC 9110's GMT.
    ("Mon, 03 Mar 2025 08:30:00 +0100", utc_ms(2025, 3, 3, 7, 30)),
    ("3 Mar 2025 08:30 -0500", utc_ms(2025, 3, 3, 13, 30)),
    ("Mon, 03 Mar 2025 08:30:00 GMT", utc_ms(2025, 3, 3, 8, 30)),
    ("Mon, 03 Mar 2025 08:30:00 EST", utc_ms(2025, 3, 3, 13, 30)),
    ("Tue, 01 Jul 2025 08:30:00 +0000 (UTC)", utc_ms(2025, 7, 1, 8, 30)),
    ("Tue, 01 Jul 2025 08:30:00", utc_ms(2025, 7, 1, 7, 30)),
]

NOT_READ = [
    "",
    " ",
    "yesterday",
    "true",
    "{}",
    "2024-13-01T00:00:00Z",
    "2024-00-01",
    "2024-02-30T00:00:00Z",
    "2023-02-29",
    "2024-05-00",
    "2024-05-01T24:00:01Z",
    "2024-05-01T25:00:00Z",
    "2024-000",
    "2023-366",
    "2024-W54-1",
    "2024-05-01T10:20:30+01:00 ",
    "2024-05-01T10:20:30Z[",
    "2024-05",
    "20241301000000",
    "20240230000000",
    "/Date(-1)/",
    "/Date(999999999999999)/",
    "/Date(1714558830123)",
    "2024-05-01 10:20:30 +0200 Summer",
    "Mon, 32 Mar 2025 08:30:00 +0100",
    "Mon, 03 Mrz 2025 08:30:00 +0100",
    "03 Mar 25 08:30:00 +0100",
    "Mon, 03 Mar 2025 08:30:00 XYZ",
    "Mon, 03 Mar 2025",
    "2024-05-01T10:60:00Z",
    "2024-05-01T10:20:60Z",
    "2024-05-01T10:20:30.Z",
    "2024-05-01T10:20:30+24:00",
    "2024-05-01T10:20:30+01:60",
    "2024-05-01T10:20:30 ",
    " 2024-05-01T10:20:30Z",
    "2024-05-01T10:20:30Z\n",
    "2024-5-1",
    "0000-01-01T00:00:00Z",
    "1969-12-31T23:59:59Z",
    "1970-01-01T00:00:00+00:01",
    "9999-12-31T23:59:59-01:00",
    # Epoch seconds before March 1973, which nobody means: a year, a count of days, a broken date.
    "2025",
    "20150",
    "20251303",
    "12345678",
    "99999999",
    "99999999.9",
    "0.5",
    "1",
    "19691231",
    "-1",
    "-0.5",
    "1e9",
    "NaN",
    "99999999999999999999",
    "100000000000000000000",
    "9" * 400,
    "1" + "0" * 300 + ".5",
    "٢٠٢٤-05-01",
    "１７１４５５８８３０",
]


@pytest.mark.parametrize(("text", "expected"), READ)
def test_a_time_is_read_alone_and_in_a_column(text: str, expected: int) -> None:
    assert parse_time(text, LONDON) == expected
    assert column([text], LONDON, pl.String) == [expected]


@pytest.mark.parametrize("text", NOT_READ)
def test_what_is_no_time_is_not_read_alone_nor_in_a_column(text: str) -> None:
    assert parse_time(text, LONDON) is None
    assert column([text], LONDON, pl.String) == [None]


def test_a_column_of_all_shapes_reads_each_as_if_alone() -> None:
    texts = [text for text, _ in READ] + NOT_READ
    expected = [ms for _, ms in READ] + [None] * len(NOT_READ)
    assert column([*texts, None], LONDON, pl.String) == [*expected, None]


def test_rubbish_in_front_does_not_change_what_follows() -> None:
    good = "2024-05-01T10:20:30Z"
    texts = [f"rubbish number {n:05d}" for n in range(100)] + [
        good,
        "2024-05-01T10:20:6\N{POUND SIGN}",
    ]
    assert column(texts, LONDON, pl.String) == [None] * 100 + [parse_time(good, LONDON), None]


def test_a_local_time_that_happens_twice_is_the_first_of_the_two() -> None:
    assert column(["2024-10-27T01:30:00"], LONDON, pl.String) == [utc_ms(2024, 10, 27, 0, 30)]


def test_a_local_time_that_is_skipped_has_the_offset_before_the_change() -> None:
    assert column(["2024-03-31T01:30:00"], LONDON, pl.String) == [utc_ms(2024, 3, 31, 1, 30)]


def test_numbers_are_seconds_milliseconds_or_microseconds_by_magnitude() -> None:
    whole = [1714558830, 1714558830123, 1714558830123999, 10**11 - 1, 10**11, 10**14, -1, None]
    assert column(whole, "UTC", pl.Int64) == [
        1714558830_000,
        1714558830_123,
        1714558830_123,
        (10**11 - 1) * 1000,
        10**11,
        10**11,
        None,
        None,
    ]
    broken = [1714558830.123, 1714558830123.9, 1714558830123999.0, 1e300, -0.5, 0.5, 2025.0, None]
    assert column(broken, "UTC", pl.Float64) == [
        *[1714558830_123] * 3,
        None,
        None,
        None,
        None,
        None,
    ]


def test_a_whole_number_of_eight_digits_is_a_date_too() -> None:
    assert column([20250303, 20251303, 2025], "UTC", pl.Int64) == [utc_ms(2025, 3, 3), None, None]


@given(
    st.lists(
        st.floats(10**8, 10**11, exclude_max=True) | st.floats(1.7e9, 1.8e9),
        min_size=1,
        max_size=30,
    )
)
def test_an_epoch_is_cut_where_its_shortest_decimals_are(seconds: list[float]) -> None:
    texts = [f"{number!r}" for number in seconds]
    expected = [int(Decimal(text) * 1000 // 1) for text in texts]
    assert column(seconds, "UTC", pl.Float64) == expected
    assert column(texts, "UTC", pl.String) == expected
    assert [parse_time(text, "UTC") for text in texts] == expected


FINE = [
    ("2024-05-01T10:20:30.1234567Z", 123_456),
    ("2024-05-01T10:20:30,5Z", 500_000),
    ("1714558830.1234569", 123_456),
    ("1714558830123", 123_000),
    ("1714558830123.9", 123_900),
    ("1714558830123456", 123_456),
    ("1714558830123456.9", 123_456),
    ("1714558830123456789", 123_456),
]


@pytest.mark.parametrize(("text", "of_second"), FINE)
def test_a_field_is_read_to_the_microsecond(text: str, of_second: int) -> None:
    expected = utc_ms(2024, 5, 1, 10, 20, 30) * 1000 + of_second
    us, readable = parse_instants(pl.Series([text]), LONDON)
    assert readable.all() and us.tolist() == [expected]
    assert instant_of(text, LONDON, 6) == expected


def test_a_field_may_lie_before_1970() -> None:
    texts = pl.Series(["1815-12-10", "1969-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
    us, readable = parse_instants(texts, LONDON)
    lmt = datetime(1815, 12, 10, tzinfo=ZoneInfo(LONDON))
    expected = [int(lmt.timestamp()) * 10**6, -(10**6), -62_135_596_800 * 10**6]
    assert readable.all() and us.tolist() == expected
    assert [instant_of(text, LONDON, 6) for text in texts] == expected


def test_other_types_are_never_times() -> None:
    assert column([True, None], "UTC", pl.Boolean) == [None, None]


ZONES = st.sampled_from(["UTC", LONDON, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])
LOCAL = st.datetimes(datetime(1970, 1, 3), datetime(2200, 1, 1))
NEAR_CHANGES = st.builds(
    lambda day, seconds: day + timedelta(seconds=seconds),
    st.sampled_from(
        [datetime(2024, m, d) for m, d in ((3, 31), (10, 27), (3, 10), (11, 3), (4, 7))]
    ),
    st.integers(0, 5 * 3600),
)


@given(st.lists(LOCAL | NEAR_CHANGES, min_size=1, max_size=30), ZONES)
def test_local_times_are_as_the_zone_says(times: list[datetime], timezone: str) -> None:
    zone = ZoneInfo(timezone)
    expected = [
        int(t.replace(tzinfo=zone, microsecond=0, fold=0).timestamp()) * 1000
        + t.microsecond // 1000
        for t in times
    ]
    texts = [t.isoformat() for t in times]
    assert column(texts, timezone, pl.String) == expected
    assert [parse_time(text, timezone) for text in texts] == expected


PIECES = st.lists(
    st.sampled_from(
        [
            *("2024-05-01", "20240501", "2024-W18-3", "2024-122", "T", " ", "10:20", ":30", ":59"),
            *(
                ":60",
                "24:00",
                ".123456",
                "Z",
                " UTC",
                "-0530",
                "3 Mar 2025 ",
                "GMT",
                "1714558830",
                "20240501102030",
            ),
        ]
    )
    | st.sampled_from("0123456789-:.+TZ "),
    min_size=1,
    max_size=7,
).map("".join)
ALMOST = st.builds(
    lambda text, at, char: text[: at % len(text)] + char + text[at % len(text) + 1 :],
    st.sampled_from([text for text, _ in READ]),
    st.integers(0, 40),
    st.sampled_from(list("0123456789-:.+TZ w,é")),
)


@given(st.lists(PIECES | ALMOST | st.none(), min_size=1, max_size=20))
@example(["2024-05-01", "020240501"])
def test_a_column_gives_what_each_value_gives_alone(texts: list[str | None]) -> None:
    expected = [None if text is None else parse_time(text, LONDON) for text in texts]
    assert column(texts, LONDON, pl.String) == expected
    us, readable = parse_instants(pl.Series(texts, dtype=pl.String), LONDON)
    alone = [None if text is None else instant_of(text, LONDON, 6) for text in texts]
    pairs = zip(us.tolist(), readable.tolist(), strict=True)
    assert [at if good else None for at, good in pairs] == alone
