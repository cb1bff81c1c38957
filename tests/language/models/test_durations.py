import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.language.models import durations


@pytest.mark.parametrize(
    ("text", "span_ms"),
    [
        ("0", 0),
        ("0s", 0),
        ("250ms", 250),
        ("1.5s", 1500),
        ("5m", 300_000),
        ("1h30m", 5_400_000),
        ("7d", 604_800_000),
        ("1w", 604_800_000),
    ],
)
def test_a_duration_is_read(text: str, span_ms: int) -> None:
    assert durations.parse(text) == span_ms


@pytest.mark.parametrize(
    "text", ["", "5", "m", "5 m", "-5m", "5M", "5min", "1h1h", "0.0001s", "200000w", "5m every 1m"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        durations.parse(text)


@given(st.integers(min_value=0, max_value=10**12))
def test_what_is_shown_is_read_back(span_ms: int) -> None:
    assert durations.parse(durations.show(span_ms)) == span_ms
