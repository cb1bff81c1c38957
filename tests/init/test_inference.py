"""What a sample is taken for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from agent.init import inference
from agent.init.measures import FieldDraft, kpis_of
from agent.init.naming import snake, unit_of
from agent.init.sample import left_out, profile

HOUR_MS = 3_600_000


def orders(count: int = 200, **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "type": ("order.paid", "order.sent")[n % 2],
            "id": f"o{n}",
            "paid_at": 1_700_000_000 + n,
            "amount": n + (0.5 if n % 3 else 0),
            "user": {"id": f"u{n % 7}", "region": ("emea", "apac")[n % 2]},
            **more,
        }
        for n in range(count)
    ]


def test_the_type_is_a_text_with_few_values_under_a_usual_name() -> None:
    assert inference.type_field(profile(orders()), 200) == "type"
    assert inference.type_field(profile(orders(3)), 3) is None
    assert inference.type_field(profile([{"type": str(n)} for n in range(100)]), 100) is None
    assert inference.type_field(profile([{"kind": "a"}, {"kind": "b"}] * 50), 100) == "kind"


def test_the_time_is_what_can_be_read_as_one_in_every_event_by_its_name_first() -> None:
    assert inference.time_field(profile(orders()), 200) == "paid_at"
    assert inference.time_field(profile(orders(created="2025-03-01T10:00:00")), 200) == "paid_at"
    assert inference.time_field(profile([{"a": "2025-03-01", "b": 1}] * 5), 5) == "a"
    assert inference.time_field(profile([{"at": "2025-03-01"}, {"at": "soon"}]), 2) is None


def test_the_id_hardly_repeats() -> None:
    assert inference.id_field(profile(orders()), 200, "order.paid") == "id"
    assert inference.id_field(profile([{"id": n % 5} for n in range(100)]), 100, "order") is None
    events = [{"order_id": str(n)} for n in range(100)]
    assert inference.id_field(profile(events), 100, "order.paid") == "order_id"


def test_the_time_is_when_it_happened_and_not_when_it_was_handled() -> None:
    at = "2025-03-01T10:00:00Z"
    event = {"received_at": at, "meta": {"updated_at": at}, "payload": {"CreatedDate": at}}
    assert inference.time_field(profile([event] * 5), 5) == "payload.CreatedDate"
    change = {"ts_ms": 1_740_960_016_066, "source": {"ts_ms": 1_740_960_016_061}}
    assert inference.time_field(profile([change] * 5), 5) == "source.ts_ms"


@pytest.mark.parametrize(
    ("event", "path"),
    [
        ({"eventID": "e{}", "id": "{}"}, "eventID"),
        ({"properties": {"$insert_id": "e{}"}}, "properties.$insert_id"),
        ({"messageId": "e{}", "order": {"id": "{}"}}, "messageId"),
        ({"specversion": "1.0", "source": "/a", "id": "same"}, "source,id"),
        ({"order": {"id": "{}"}}, None),
    ],
)
def test_the_identity_is_that_of_the_event(event: dict[str, Any], path: str | None) -> None:
    text = json.dumps(event)
    events = [json.loads(text.replace("{}", str(n))) for n in range(30)]
    assert inference.id_field(profile(events), 30, "order.paid") == path


def test_fields_have_their_type_path_and_unit_and_promise_nothing_more() -> None:
    events = orders(wait_seconds=2, mixed=1, temperature=-3, seen="2025-03-01T10:00:00Z")
    events[0] |= {"mixed": "one", "amount": None}
    for n, event in enumerate(events):
        event["price"] = f"{n}.50" if n % 2 else n
        event["Tip ($)"] = n
        event["account_no"] = str(n)
    fields = inference.fields_of(profile(events), {"type", "id", "paid_at"})
    assert fields == [
        FieldDraft("amount", "amount", "float"),
        FieldDraft("id", "user.id", "string"),
        FieldDraft("region", "user.region", "string"),
        FieldDraft("wait_seconds", "wait_seconds", "integer", "seconds"),
        FieldDraft("temperature", "temperature", "integer"),
        FieldDraft("seen", "seen", "timestamp"),
        FieldDraft("price", "price", "float", is_text=True),
        FieldDraft("tip", "Tip ($)", "integer", "usd"),
        FieldDraft("account_no", "account_no", "string"),
    ]


def test_kpis_are_sums_means_slow_ends_and_people() -> None:
    fields = [
        FieldDraft("customer_tier", "customer_tier", "string"),
        FieldDraft("stars", "stars", "integer", unit="stars"),
        FieldDraft("wait_seconds", "wait_seconds", "float", unit="seconds"),
        FieldDraft("amount", "amount", "float"),
        FieldDraft("mean_unit_price", "mean_unit_price", "float"),
        FieldDraft("customer", "customer", "string"),
        FieldDraft("zip_code", "zip_code", "integer"),
    ]
    made, left_out = kpis_of("order.paid", fields)
    assert [(k.name, k.value, k.better) for k in made] == [
        ("order_paid_events", "count(*)", "higher"),
        ("order_paid_amount", "sum(amount)", "higher"),
        ("order_paid_wait_seconds_p95", "quantile(wait_seconds, 0.95)", "lower"),
        ("order_paid_stars_mean", "avg(stars)", "higher"),
        ("order_paid_mean_unit_price_mean", "avg(mean_unit_price)", "higher"),
        ("order_paid_customers", "count(distinct customer)", "higher"),
    ]
    assert left_out == {"zip_code": "a code, position or time by its name"}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("amount", lambda n: n % 7, None),
        ("stars", lambda n: n % 5, None),
        ("items", lambda n: n, None),
        ("ticket", lambda n: 90_000 + n, "another number in each event"),
        ("postcode", lambda n: n % 9, "a code, position or time by its name"),
        ("order_number", lambda n: n % 9, "a code, position or time by its name"),
        ("http_status", lambda n: 200 + n % 3, "a code, position or time by its name"),
        ("delivered", lambda n: 1_740_960_016 + n, "a time"),
        ("elapsed_ms", lambda n: 1_740_960_016_000 + n, "a time"),
        ("gift", lambda n: n % 2, "a yes or no"),
        ("shards", lambda n: 3, "always 3"),
    ],
)
def test_a_number_is_a_measure_or_has_a_reason_why_not(
    name: str, value: Callable[[int], int], reason: str | None
) -> None:
    seen = profile([{name: value(n)} for n in range(50)])
    field = FieldDraft(name, name, "integer", unit_of(name))
    made, left_out = kpis_of("e", [field], seen)
    assert left_out == ({} if reason is None else {name: reason})
    assert len(made) == (2 if reason is None else 1)


def test_of_many_numbers_the_first_five_measures_have_kpis() -> None:
    fields = [FieldDraft(f"load{n}", f"load{n}", "float") for n in range(7)]
    made, left_out = kpis_of("e", [*fields, FieldDraft("cost", "cost", "float")])
    assert [k.name for k in made][1] == "e_cost"
    assert len(made) == 6
    assert left_out == {f"load{n}": "one of more than 5 numbers" for n in (4, 5, 6)}


def test_what_no_field_is_made_of_is_named_with_the_reason() -> None:
    event = {
        "a.b": 1, "lines": [{"price": 1}], "body": '{"amount": 1}', "code": 5,
        "deep": {"a": {"b": {"c": {"d": {"e": 1}}}}},
    }  # fmt: skip
    events = [event, event | {"code": "x"}]
    assert left_out(events, profile(events)) == {
        "a.b": "its name has a dot: a list of keys as `path` reads it",
        "lines[]": "a list",
        "body": "text that holds JSON",
        "code": "of several types: integer, string",
        "deep.a.b.c.d": "nested too deeply",
    }


@pytest.mark.parametrize(
    ("every_ms", "window"), [(1_000, "1m"), (12_000, "5m"), (60_000, "1h"), (HOUR_MS, "day")]
)
def test_the_window_is_the_smallest_with_enough_events(every_ms: int, window: str) -> None:
    times = [n * every_ms for n in range(40_000_000 // every_ms * 30)][:40_000]
    assert inference.window_of(times)[0] == window


def test_lateness_is_the_most_that_an_event_came_behind() -> None:
    assert inference.lateness_of([10, 20, 15, 30, 12, 40]) == 18
    assert inference.lateness_of([]) == 0


@pytest.mark.parametrize(
    ("written", "name"),
    [("invoice.placedAt", "invoice_placed_at"), ("Order-Paid", "order_paid"), ("2fa", "n_2fa")],
)
def test_names_are_as_kpis_are_called(written: str, name: str) -> None:
    assert snake(written) == name
