"""A contract's promises: the first problem of each record, with its words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from agent.core.decode.batch import Decoded
from agent.core.decode.decoder import Decoder
from agent.core.model.events import Contract
from agent.core.model.results import Reason
from tests.core.decode.samples import AT_MS, HOUR_MS, ORDER, batch, order

BOUNDED = replace(ORDER, max_past_ms=24 * HOUR_MS, max_bytes=200)


def decoded(contract: Contract, *records: bytes) -> Decoded:
    return Decoder([contract]).decode(batch(records))


def clock(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"amount": "12"}, Reason.WRONG_TYPE, 'amount: expected a number, found the string "12"'),
        ({"id": {}}, Reason.WRONG_TYPE, "id: expected a string or an integer, found an object"),
        ({"amount": None}, Reason.MISSING_FIELD, "amount: required, but absent or null"),
        ({"amount": -0.5}, Reason.OUT_OF_BOUNDS, "amount: -0.5 is below the minimum 0"),
        ({"amount": 1000.5}, Reason.OUT_OF_BOUNDS, "amount: 1000.5 is above the maximum 1000"),
        ({"at": None}, Reason.NO_TIME, "at: the event time is absent"),
        ({"at": "soon"}, Reason.BAD_TIME, 'found "soon"'),
        ({"at": 99_999_999}, Reason.BAD_TIME, "no number below 100000000"),
        ({"at": clock(AT_MS + HOUR_MS + 1)}, Reason.FUTURE_TIME, "at most 1:00:00 (max_future)"),
        (
            {"at": clock(AT_MS - 24 * HOUR_MS - 1)},
            Reason.PAST_TIME,
            "at most 1 day, 0:00:00 (max_past)",
        ),
        ({"note": "x" * 200}, Reason.TOO_LARGE, "at most 200 (max_bytes)"),
    ],
)
def test_a_broken_promise_is_named(changes: dict[str, Any], reason: Reason, detail: str) -> None:
    got = decoded(BOUNDED, order(id="good"), order(**changes))
    ((row, reject),) = got.rejects
    assert (row, reject.reason) == (1, reason)
    assert detail in reject.detail
    assert got.tables["order"]["_id"].to_list() == ["good"]


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 0},
        {"amount": 1000},
        {"at": clock(AT_MS + HOUR_MS)},
        {"at": clock(AT_MS - 24 * HOUR_MS)},
        {"id": None},
        {"items": None},
    ],
)
def test_bounds_are_inclusive_and_optional_parts_may_lack(changes: dict[str, Any]) -> None:
    got = decoded(BOUNDED, order(**changes))
    assert not got.rejects
    assert got.tables["order"].height == 1


def test_a_wrong_type_in_an_optional_field_is_null_and_noted() -> None:
    got = decoded(ORDER, order(items="many"), order(items=2), order(items=True))
    assert not got.rejects
    assert got.tables["order"]["items"].to_list() == [None, 2, None]
    assert got.wrong_types["order", "items"].tolist() == [0, 2]


def test_of_several_problems_the_first_counts() -> None:
    got = decoded(BOUNDED, order(amount="12", at="soon", note="x" * 200))
    assert [reject.reason for _, reject in got.rejects] == [Reason.TOO_LARGE]
    got = decoded(BOUNDED, order(amount="12", at="soon"))
    assert [reject.reason for _, reject in got.rejects] == [Reason.WRONG_TYPE]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("a", "b"), "a\x1f b"),
        (("a\x1f", "b"), "a\x1f\x1f\x1f b"),
        (("a", ""), None),
        ((None, "b"), None),
        ((7, "b"), "7\x1f b"),
    ],
)
def test_parts_of_an_identity_stay_apart(parts: tuple[Any, Any], expected: str | None) -> None:
    contract = replace(ORDER, ids=(("id",), ("line",)))
    got = decoded(contract, order(id=parts[0], line=parts[1]))
    assert got.tables["order"]["_id"].to_list() == [expected]
