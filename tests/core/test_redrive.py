"""Which dead letters may go back: good ones, of which nothing counts yet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from agent.core.decode.batch import Batch
from agent.core.model.plan import Plan
from agent.core.model.results import Reason
from agent.core.redrive import Reassessment, Verdict
from agent.language.load import load

AT_MS = 1_700_000_000_000
RULES = """
version: 1
events:
  paid:
    topic: shop
    time: at
    fields: {amount: {type: float, required: true, maximum: 100}}
  visit:
    topic: shop
    type_field: kind
    time: at
    fields: {page: string}
  reading:
    topic: meters
    type_field: none
    time: at
    envelope: list
    fields: {watts: {type: float, required: true}}
kpis:
  revenue: {from: paid, value: sum(amount), window: 1h}
  visits: {from: visit, value: count(*), window: 1h}
  power: {from: reading, value: avg(watts), window: 1h}
"""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "rules.yaml").write_text(RULES)
    return load(tmp_path / "rules.yaml")


def verdicts(
    plan: Plan, topic: str, values: Sequence[object], contracts: Sequence[str]
) -> list[tuple[Verdict, Reason | None]]:
    count = len(values)
    batch = Batch(
        topic,
        [json.dumps(value).encode() for value in values],
        np.zeros(count, np.int32),
        np.arange(count, dtype=np.int64),
        np.full(count, AT_MS, np.int64),
    )
    return Reassessment(plan, topic).verdicts(batch, contracts)


def test_a_letter_is_good_rejected_still_or_of_no_interest(plan: Plan) -> None:
    good = {"type": "paid", "at": AT_MS, "amount": 5}
    made = verdicts(
        plan, "shop",
        [good, {**good, "amount": 500}, {**good, "at": AT_MS + 10**9}, {"type": "lost"}, good],
        ["paid", "paid", "paid", "paid", ""],
    )  # fmt: skip
    assert made == [
        (Verdict.GOOD, None),
        (Verdict.REJECTED, Reason.OUT_OF_BOUNDS),
        (Verdict.REJECTED, Reason.FUTURE_TIME),
        (Verdict.IGNORED, None),
        (Verdict.GOOD, None),
    ]


def test_a_letter_that_another_contract_reads_may_count_there_already(plan: Plan) -> None:
    both = {"type": "paid", "kind": "visit", "at": AT_MS, "amount": 5, "page": "/"}
    made = verdicts(plan, "shop", [both, both], ["paid", ""])
    assert made == [(Verdict.COUNTED, None), (Verdict.GOOD, None)]


def test_of_a_record_with_many_events_the_others_may_count_already(plan: Plan) -> None:
    event = {"at": AT_MS, "watts": 5}
    made = verdicts(plan, "meters", [[event], [event, event]], ["reading", "reading"])
    assert made == [(Verdict.GOOD, None), (Verdict.COUNTED, None)]


def test_no_letter_is_judged_by_another(plan: Plan) -> None:
    later = {"type": "paid", "at": AT_MS, "amount": 5}
    earlier = {**later, "at": AT_MS - 10**8}
    check = [later, earlier, later, later]
    assert verdicts(plan, "shop", check, ["paid"] * 4) == [(Verdict.GOOD, None)] * 4
