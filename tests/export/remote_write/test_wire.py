"""What goes over the wire reads by the protocol's own .proto as what was meant."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.export.remote_write.wire import Sample, encode

from .receiver import samples_of

LABELS = st.dictionaries(
    st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True), st.text(max_size=20), max_size=4
).map(lambda labels: tuple(sorted(labels.items())))
SAMPLES = st.builds(
    Sample,
    LABELS,
    st.integers(min_value=-(2**63), max_value=2**63 - 1),
    st.floats(allow_nan=False),
)


@given(st.lists(SAMPLES, max_size=30))
def test_a_request_holds_each_series_once_with_its_samples_in_order(samples: list[Sample]) -> None:
    by_series: dict[object, list[Sample]] = {}
    for sample in samples:
        by_series.setdefault(sample.labels, []).append(sample)
    assert samples_of(encode(samples)) == [s for same in by_series.values() for s in same]
