"""Lists of events in a record."""

from typing import Any

import pytest

from agent.core.model.events import Envelope, Field
from agent.core.model.paths import Elements, Selector
from tests.core.decode.enveloped import AROUND, columns, decoded, enveloped
from tests.core.decode.samples import AT


@pytest.mark.parametrize("path", [(), ("data", "events")])
def test_each_event_of_a_list_has_its_own_verdict(path: tuple[str, ...]) -> None:
    listed = enveloped(
        Envelope("list", path=path),
        Field("total", ("total",), "float", required=True),
        Field("sender", (AROUND, "sender") if path else ("sender",), "string"),
    )
    events: Any = [{"total": 1, "at": AT}, {"total": "x", "at": AT}, {"total": 3, "at": AT}]
    record = {"sender": "s", "data": {"events": events}} if path else events
    result = decoded(listed, record, [] if not path else {"data": {"events": []}})
    assert columns(result, "_row", "total", "sender") == [
        (0, 1.0, "s" if path else None), (0, 3.0, "s" if path else None)
    ]  # fmt: skip
    assert [(row, r.reason) for row, r in result.rejects] == [(0, "wrong_type")]
    assert result.empty.tolist() == [] and result.ignored.tolist() == [1]


EACH = Elements()


def test_a_bad_event_of_nested_lists_leaves_its_neighbours() -> None:
    of_groups = enveloped(
        Envelope("list", path=("groups", EACH, "records")),
        Field("n", ("n",), "integer", required=True),
        Field("group", (AROUND, "groups", EACH, "name"), "string"),
        Field("sent", (AROUND, "sent"), "string"),
    )
    first = {"name": "a", "records": [{"at": AT, "n": 1}, {"at": AT}, {"at": AT, "n": 3}]}
    record = {"sent": "s", "groups": [first, {"name": "b", "records": {"at": AT, "n": 4}}, {}]}
    bad = {"groups": [{"records": 5}, {"name": "c", "records": [{"at": AT, "n": 6}]}]}
    for count in (1, 300):
        result = decoded(of_groups, *[record] * count, bad)
        assert columns(result, "n", "group", "sent") == [
            *[(1, "a", "s"), (3, "a", "s"), (4, "b", "s")] * count,
            (6, "c", None),
        ]
        assert [reject.detail for _, reject in result.rejects] == [
            *["n: required, but absent or null"] * count,
            "records: expected an array of events, found the number 5",
        ]


def test_what_is_around_an_event_is_reached_through_any_path() -> None:
    name = Selector("kind", "sales")
    reads = enveloped(
        Envelope("list", path=("parts", name, "days", 1, "shops", EACH, "orders")),
        Field("n", ("n",), "integer"),
        Field("shop", (AROUND, "parts", name, "days", 1, "shops", EACH, "name"), "string"),
    )
    shops = [{"name": n, "orders": [{"at": AT, "n": i}]} for i, n in enumerate("ab")]
    record = {"parts": [{"kind": "other"}, {"kind": "sales", "days": [{}, {"shops": shops}]}]}
    for count in (1, 300):
        result = decoded(reads, *[record] * count)
        assert columns(result, "n", "shop") == [(0, "a"), (1, "b")] * count


def test_a_record_may_be_an_array_of_arrays_of_events() -> None:
    reads = enveloped(
        Envelope("list", path=(EACH, "orders")),
        Field("n", ("n",), "integer"),
        Field("shop", (AROUND, EACH, "name"), "string"),
    )
    record = [{"name": "a", "orders": [{"at": AT, "n": 1}]}, {"name": "b", "orders": []}]
    assert columns(decoded(reads, record), "n", "shop") == [(1, "a")]
