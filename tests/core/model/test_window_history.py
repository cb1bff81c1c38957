"""A window history is a list of windows."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from agent.core.model.window_history import Item, WindowHistory

items = st.lists(
    st.tuples(st.integers(1, 50), st.none() | st.floats(-9, 9), st.integers(0, 9)), max_size=300
)


@given(items, st.data())
def test_a_past_is_a_list_of_windows(
    given_: list[tuple[int, float | None, int]], data: st.DataObject
) -> None:
    past, plain, end = WindowHistory(), list[Item](), 0
    for step, value, events in given_:
        end += step
        past.append((end, value, events, 0))
        plain.append((end, value, events, 0))
        if data.draw(st.booleans()) and len(plain) > 5:
            oldest = plain[len(plain) // 2][0]
            past.drop_before(oldest)
            plain = [item for item in plain if item[0] >= oldest]
    assert past.ends.tolist() == [item[0] for item in plain]
    assert [None if math.isnan(v) else v for v in past.values] == [item[1] for item in plain]
    assert past.events.tolist() == [item[2] for item in plain]
    middle = end // 2
    assert past.upto(middle).ends.tolist() == [item[0] for item in plain if item[0] <= middle]
    assert WindowHistory(plain[::-1] + plain).ends.tolist() == past.ends.tolist()
