"""Which dead letters are good by today's contracts, and what is restated for them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from agent.core.dead_letters import (
    DeadLetter,
    Origin,
    Rejected,
    Review,
    Reviewer,
    ReviewResult,
    in_open_windows,
    periods,
)
from agent.core.model.plan import Plan
from agent.core.restatement import Period

AT_MS = 1_700_000_000_000
RULES = """
version: 1
events:
  paid: {topic: shop, time: at, fields: {amount: {type: float, required: true, maximum: 100}}}
  visit: {topic: shop, type_field: kind, time: at, fields: {page: {type: string, required: true}}}
  beat:
    topic: beats
    type_field: none
    time: record
    fields: {host: {type: string, required: true}}
kpis:
  revenue: {from: paid, value: sum(amount), window: 1h}
  payments: {from: paid, value: count(*), window: 1h}
  mean: {from: [revenue, payments], value: revenue / payments}
  visits: {from: visit, value: count(*), window: 1h every 10m}
  beats: {from: beat, value: count(*), window: 1m}
"""


def letter(
    offset: int, event: object, contract: str = "paid", topic: str = "shop", **other: bool
) -> DeadLetter:
    value = json.dumps(event).encode()
    origin = Origin(topic, 0, offset)
    return DeadLetter(origin, AT_MS, None, value, [], contract, "wrong_type", **other)


def review(plan: Plan, *batches: Sequence[DeadLetter]) -> Review:
    reviewer = Reviewer(plan)
    for letters in batches:
        for batch, of_topic in reviewer.batches(letters):
            reviewer.add(batch, of_topic)
    return reviewer.review


def paid(amount: object, at_ms: int = AT_MS) -> dict[str, object]:
    return {"type": "paid", "at": at_ms, "amount": amount}


def test_what_fits_its_contract_now_is_good_and_the_rest_has_its_reason(plan: Plan) -> None:
    made = review(
        plan,
        [
            letter(3, paid(5)),
            letter(1, paid(200)),
            letter(2, {"type": "gone", "at": AT_MS}),
            letter(4, paid(5), is_truncated=True),
        ],
    )
    assert made.results == {
        Rejected("shop", "paid", "wrong_type"): {
            (ReviewResult.GOOD, ""): 1,
            (ReviewResult.REJECTED, "out_of_bounds"): 1,
            (ReviewResult.IGNORED, ""): 1,
            (ReviewResult.TRUNCATED, ""): 1,
        }
    }
    assert made.times_ms == {"paid": [AT_MS]}
    assert (made.total(), made.total(ReviewResult.GOOD)) == (4, 1)


def test_a_record_counts_once_however_often_it_was_rejected(plan: Plan) -> None:
    made = review(plan, [letter(1, paid(5)), letter(1, paid(5))], [letter(1, paid(5))])
    assert made.total() == 1
    assert made.times_ms == {"paid": [AT_MS]}


def test_only_the_contract_that_rejected_it_matters_unless_that_is_gone(plan: Plan) -> None:
    both = {**paid(200), "kind": "visit", "page": "/"}
    assert review(plan, [letter(1, both, "paid")]).times_ms == {}
    assert review(plan, [letter(1, both, "visit")]).times_ms == {"visit": [AT_MS]}
    assert review(plan, [letter(1, both, "")]).times_ms == {"visit": [AT_MS]}
    assert review(plan, [letter(1, both, "renamed")]).times_ms == {"visit": [AT_MS]}


def test_the_records_own_timestamp_is_the_time_of_events_without_one(plan: Plan) -> None:
    made = review(plan, [letter(1, {"host": "a"}, "beat", "beats")])
    assert made.times_ms == {"beat": [AT_MS]}


def test_a_topic_that_no_contract_reads_any_more_is_ignored(plan: Plan) -> None:
    made = review(plan, [letter(1, paid(5), topic="old")])
    assert (made.total(ReviewResult.IGNORED), made.times_ms) == (1, {})


def test_kpis_that_are_restated_together_have_one_period(plan: Plan) -> None:
    times = {"paid": [AT_MS, AT_MS + 5], "beat": [7]}
    assert periods(plan, times) == {
        ("revenue", "payments", "mean"): Period(AT_MS, AT_MS + 6),
        ("beats",): Period(7, 8),
    }


def test_times_are_selected(plan: Plan) -> None:
    made = Review(times_ms={"paid": [1, 2, 3], "beat": [9]})
    assert made.within(2, 3) == {"paid": [2]}
    assert made.within(None, None) == {"paid": [1, 2, 3], "beat": [9]}


def test_events_in_windows_that_are_not_closed_are_known_by_their_ends(plan: Plan) -> None:
    hour = 3_600_000
    assert in_open_windows(plan.kpis["revenue"], [0, hour, 2 * hour - 1], hour) == [
        2 * hour,
        2 * hour,
    ]
    assert in_open_windows(plan.kpis["visits"], [0], hour - 1) == [hour]
    assert in_open_windows(plan.kpis["visits"], [0], hour) == []
