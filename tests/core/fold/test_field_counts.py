"""What is counted of fields without a value, and what is said of it."""

import json
from pathlib import Path

from agent.core.fold.field_counts import FieldCounts, in_words
from agent.core.fold.folder import Folder, FoldResult, Resume
from agent.core.model.plan import Plan
from agent.language.load import load
from tests.core.batches import batch_of

RULES = """
version: 1
events:
  order:
    topic: shop
    time: at
    fields: {amount: float, items: integer, shop: string, gone: {path: not.there, type: string}}
kpis:
  revenue: {from: order, value: sum(amount), window: 1m}
"""


def order(**changes: object) -> bytes:
    event = {"type": "order", "at": "2025-03-03T09:00:00Z", "amount": 1.5, "items": 1, "shop": "a"}
    return json.dumps(event | changes).encode()


def fold(plan: Plan, values: list[bytes], resume: Resume | None = None) -> FoldResult:
    folder = Folder(plan, "shop", 1)
    folder.assign(0, resume)
    first = resume.offset if resume else 0
    return folder.add(batch_of("shop", values, offset=first, at_ms=1_741_000_000_000))


VALUES = [
    order(),
    order(amount="12.50"),
    order(items=None),
    order(shop=7, items="3"),
    b"{",
    order(amount=[], at="yesterday"),
]


def test_nulls_and_wrong_types_are_counted_by_contract_and_field(plan: Plan) -> None:
    counts = fold(plan, VALUES).fields["order"]
    assert counts.events == 4
    assert counts.nulls == {"amount": 1, "items": 2, "shop": 1, "gone": 4}
    assert counts.wrong_types == {"amount": 1, "items": 1, "shop": 1}


def test_what_was_counted_before_a_restart_is_not_counted_again(plan: Plan) -> None:
    counts = fold(plan, VALUES, Resume(0, 3, None, None)).fields["order"]
    assert counts.events == 1
    assert counts.nulls == {"items": 1, "shop": 1, "gone": 1}
    assert counts.wrong_types == {"items": 1, "shop": 1}


def test_only_what_somebody_should_look_at_is_said(plan: Plan) -> None:
    total = FieldCounts()
    for values in (VALUES[:2], VALUES[2:]):
        total.add(fold(plan, values).fields["order"])
    assert list(in_words({"order": total})) == [
        "order: gone is null in all 4 events: none has its path",
        "order: amount has another type in 1 of 4 events, and is null there",
        "order: items has another type in 1 of 4 events, and is null there",
        "order: shop has another type in 1 of 4 events, and is null there",
    ]
    counts = fold(plan, [order(amount="x", items=1)]).fields
    assert list(in_words(counts)) == [
        "order: amount is null in the only event, of another type in 1",
        "order: gone is null in the only event: none has its path",
    ]


def test_an_event_with_a_wrong_optional_field_is_folded(plan: Plan) -> None:
    counts = fold(plan, VALUES).counts
    assert {str(outcome): n for (outcome, _, _), n in counts.items()} == {
        "folded": 4,
        "rejected": 1,
    }


def test_keys_without_a_row_are_counted_by_lookup_and_null_keys_are_not(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(
        RULES.replace("kpis:", "    lookup: {tier: shops.tier, open: shops.open}\nkpis:", 1)
        + "lookups:\n  shops: {file: s.csv, key: shop, columns: {tier: string, open: boolean}}\n"
    )
    (tmp_path / "s.csv").write_text("shop,tier,open\na,,true\n")
    plan = load(tmp_path)
    values = [order(), order(shop="b"), order(shop="b"), order(shop=None)]
    counts = fold(plan, values).fields
    assert counts["order"].misses == {"shops": 2}
    assert (
        "order: shops has no row for the key of 2 of 4 events: what they look up there is null"
        in list(in_words(counts))
    )
    assert not fold(plan, values, Resume(0, 4, None, None)).fields["order"].misses


CASTS = """
version: 1
events:
  order: {topic: shop, time: at, fields: {amount: string, shop: string, items: string}}
kpis:
  revenue: {from: order, value: sum(cast(amount as double)), where: shop = 'a', window: 1m}
  average: {from: order, value: avg(amount::double), where: shop = 'a', window: 1h}
  exact: {from: order, value: "sum(cast(amount as decimal(18, 2)))", where: shop = 'a', window: 1m}
  many: {from: order, value: count(*), where: try_cast(items as double) > 1, window: 1m}
"""


def test_casts_that_fail_are_counted_by_field_in_the_rows_of_the_kpi(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(CASTS)
    amounts = ["12.50", "1,234.50", "€12", None, ""]
    values = [order(amount=amount, items="x") for amount in amounts]
    values.append(order(amount="€12", shop="b", items="x"))
    counts = fold(load(tmp_path / "r.yaml"), values).fields
    assert counts["order"].failed_casts == {"amount": 3}
    assert list(in_words(counts)) == [
        "order: a cast of amount fails in 3 of 6 events, and is null there "
        "(`try_cast` says that it may)"
    ]


def test_rules_without_casts_count_none(plan: Plan) -> None:
    assert all(not kpi.casts for kpi in plan.kpis.values())
    assert fold(plan, VALUES).fields["order"].failed_casts == {}
