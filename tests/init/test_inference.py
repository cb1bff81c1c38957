"""What a sample is taken for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from agent.core.model.paths import Root
from agent.init import identity, inference
from agent.init.fields import FieldDraft, fields_of
from agent.init.measures import kpis_of, measures_of
from agent.init.naming import snake, unit_of
from agent.init.sample import Occurrence, left_out, named, profile
from agent.init.times import lateness_of, time_of, times_with_gaps

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
    assert inference.type_of(profile(orders()), 200) == ("type",)
    assert inference.type_of(profile(orders(3)), 3) is None
    assert inference.type_of(profile([{"type": str(n)} for n in range(100)]), 100) is None
    assert inference.type_of(profile([{"kind": "a"}, {"kind": "b"}] * 50), 100) == ("kind",)


def test_a_type_that_is_always_the_same_gives_way_to_one_that_differs() -> None:
    events = [
        {"Type": "Notification", "MessageAttributes": {"type": {"Type": "String", "Value": kind}}}
        for kind in ("paid", "placed") * 20
    ]
    assert inference.type_of(profile(events), 40) == ("MessageAttributes", "type", "Value")
    assert inference.type_of(profile([{"type": "order", "car": {"type": "a"}}] * 40), 40) == (
        "type",
    )


@pytest.mark.parametrize(
    ("event", "path"),
    [
        ({"action": "a{}", "webhookEvent": "e{}"}, ("webhookEvent",)),
        ({"type": "notification", "topic": "chat.e{}"}, ("topic",)),
        ({"topic": "Kitchen {}"}, None),
        ({"action": "created"}, None),
        ({"action": "a{}"}, ("action",)),
        ({"event_type": "Warning"}, None),
    ],
)
def test_a_type_has_a_name_and_values_of_one(
    event: dict[str, str], path: tuple[str, ...] | None
) -> None:
    events = [{k: v.replace("{}", str(n % 3)) for k, v in event.items()} for n in range(60)]
    assert inference.type_of(profile(events), 60) == path


def test_the_event_in_a_header_comes_before_the_action_in_it() -> None:
    header = [("X-GitHub-Event", b"issues"), ("X-GitHub-Event", b"push")]
    events = [Occurrence({"action": "ab"[n % 2]}, headers=[header[n % 2]]) for n in range(40)]
    assert inference.type_of(profile(events), 40) == (Root("header", "X-GitHub-Event"),)


def test_the_class_that_spring_writes_in_a_header_is_the_type() -> None:
    events = [
        Occurrence({"id": n}, headers=(("__TypeId__", b"shop.Paid"), ("__ContentTypeId__", b"x")))
        for n in range(20)
    ]
    assert inference.type_of(profile(events), 20) == (Root("header", "__TypeId__"),)


def test_the_type_may_be_in_a_header_or_be_the_key() -> None:
    by_header = [Occurrence({"n": n}, headers=[("X-Event", b"ab"[n % 2 :][:1])]) for n in range(40)]
    assert inference.type_of(profile(by_header), 40) == (Root("header", "X-Event"),)
    by_key = [Occurrence({}, key=(b"order.paid", b"order.sent")[n % 2]) for n in range(40)]
    assert inference.type_of(profile(by_key), 40) == (Root("key_text"),)
    regions = [Occurrence({}, key=(b"emea", b"apac")[n % 2]) for n in range(40)]
    assert inference.type_of(profile(regions), 40) is None


def test_the_time_is_what_can_be_read_as_one_in_every_event_by_its_name_first() -> None:
    assert time_of(profile(orders()), 200) == ("paid_at",)
    assert time_of(profile(orders(created="2025-03-01T10:00:00")), 200) == ("paid_at",)
    assert time_of(profile([{"a": "2025-03-01", "b": 1}] * 5), 5) == ("a",)
    assert time_of(profile([{"at": "2025-03-01"}, {"at": "soon"}]), 2) is None


def test_of_times_with_gaps_the_first_that_is_there_counts() -> None:
    at = "2025-03-01T10:00:00Z"
    events = [
        Occurrence({"paid_at": at if n % 3 else None, "sent_at": at, "never": None})
        for n in range(9)
    ]
    assert times_with_gaps(profile(events), events) == [("paid_at",), ("sent_at",)]


NOON = "2025-03-01T12:00:00Z"
SPREAD = "2025-03-01T10:{:02}:00Z"


@pytest.mark.parametrize(
    ("event", "path"),
    [
        ({"api_version": "2024-06-20", "created": SPREAD}, ("created",)),
        ({"event_date": "20250301", "event_timestamp": SPREAD}, ("event_timestamp",)),
        ({"ENERGY": {"TotalStartTime": NOON}, "Time": SPREAD}, ("Time",)),
        ({"day": "2025-03-{:02}", "seen": SPREAD}, ("seen",)),
        ({"originalTimestamp": SPREAD, "timestamp": SPREAD}, ("timestamp",)),
        ({"client_event_time": SPREAD, "event_time": SPREAD}, ("event_time",)),
        ({"dvce_created_tstamp": SPREAD, "derived_tstamp": SPREAD}, ("derived_tstamp",)),
        ({"data": {"created_at": SPREAD}, "meta": {"timestamp": SPREAD}}, ("meta", "timestamp")),
        ({"firstTimestamp": SPREAD, "lastTimestamp": SPREAD}, ("lastTimestamp",)),
        ({"CloseDate": SPREAD, "meta": {"commitTimestamp": SPREAD}}, ("meta", "commitTimestamp")),
        ({"_airbyte_emitted_at": SPREAD, "row": {"created_at": SPREAD}}, ("row", "created_at")),
        ({"MSH": {"MSH.7": "202503030830{:02}"}}, ("MSH", "MSH.7")),
    ],
)  # fmt: skip
def test_the_time_is_that_of_the_event(event: dict[str, Any], path: tuple[str, ...]) -> None:
    text = json.dumps(event)
    events = [json.loads(text.replace("{:02}", f"{n + 10}")) for n in range(20)]
    assert time_of(profile(events), 20) == path


def test_of_two_steps_the_time_is_the_one_in_whose_order_events_come() -> None:
    started = [f"2025-03-01T10:{n * 7 % 40:02}:00Z" for n in range(40)]
    events = [
        {"started_at": at, "finished_at": f"2025-03-01T11:{n:02}:00Z"}
        for n, at in enumerate(started)
    ]
    assert time_of(profile(events), 40) == ("finished_at",)


def test_a_time_that_goes_back_by_hours_is_that_of_an_earlier_step() -> None:
    opened = [f"2025-03-01T{n * 7 % 20:02}:00:00Z" for n in range(20)]
    events = [
        {"opened_at": at, "merged_at": f"2025-03-02T10:{n:02}:00Z"} for n, at in enumerate(opened)
    ]
    assert time_of(profile(events), 20) == ("merged_at",)


def test_the_id_hardly_repeats() -> None:
    assert identity.id_of(profile(orders()), 200, "order.paid") == ("id",)
    assert identity.id_of(profile([{"id": n % 5} for n in range(100)]), 100, "order") is None
    events = [{"order_id": str(n)} for n in range(100)]
    assert identity.id_of(profile(events), 100, "order.paid") == ("order_id",)


def test_the_time_is_when_it_happened_and_not_when_it_was_handled() -> None:
    at = "2025-03-01T10:00:00Z"
    event = {"received_at": at, "meta": {"updated_at": at}, "payload": {"CreatedDate": at}}
    assert time_of(profile([event] * 5), 5) == ("payload", "CreatedDate")
    change = {"ts_ms": 1_740_960_016_066, "source": {"ts_ms": 1_740_960_016_061}}
    assert time_of(profile([change] * 5), 5) == ("source", "ts_ms")


@pytest.mark.parametrize(
    ("event", "path"),
    [
        ({"eventID": "e{}", "id": "{}"}, ("eventID",)),
        ({"properties": {"$insert_id": "e{}"}}, ("properties", "$insert_id")),
        ({"messageId": "e{}", "order": {"id": "{}"}}, ("messageId",)),
        ({"sg_event_id": "e{}", "sg_message_id": "{}"}, ("sg_event_id",)),
        ({"event": {"id": "{}"}}, ("event", "id")),
        ({"eventIdentifier": "e{}", "type": "Account"}, ("eventIdentifier",)),
        ({"meeting": {"uuid": "{}"}}, None),
        ({"order": {"id": "{}"}}, None),
    ],
)
def test_the_identity_is_that_of_the_event(
    event: dict[str, Any], path: tuple[str, ...] | None
) -> None:
    text = json.dumps(event)
    events = [json.loads(text.replace("{}", str(n))) for n in range(30)]
    assert identity.id_of(profile(events), 30, "order.paid") == path


def test_a_header_of_the_delivery_is_an_identity() -> None:
    events = [Occurrence({}, headers=[("X-GitHub-Delivery", b"%d" % n)]) for n in range(30)]
    path = identity.id_of(profile(events), 30, "push")
    assert path == (Root("header", "X-GitHub-Delivery"),)


def test_a_position_is_an_identity_where_records_come_twice() -> None:
    events = [Occurrence({"event": {"replayId": max(n, 2)}}) for n in range(8)]
    assert identity.positions_of(events) == (("event", "replayId"),)
    events += [Occurrence({"event": {"replayId": 2}, "other": 1})]
    assert identity.positions_of(events) == ()


def test_an_entity_that_changes_says_so_beside_its_number() -> None:
    event = {"id": "1", "updated_at": NOON, "data": {"id": "2"}}
    assert identity.touched(profile([event]), ("id",)) == ("updated_at",)
    assert identity.touched(profile([event]), ("data", "id")) is None


def test_fields_have_their_type_path_and_unit_and_promise_nothing_more() -> None:
    events = orders(wait_seconds=2, mixed=1, temperature=-3, seen="2025-03-01T10:00:00Z", eu=True)
    events[0] |= {"mixed": "one", "amount": None}
    for n, event in enumerate(events):
        event["price"] = f"{n}.50" if n % 2 else n
        event["paid"] = f"€{n},50"
        event["Tip ($)"] = n
        event["account_no"] = str(n)
        event["qty"] = {"$numberInt": str(n)}
        event["due_date"] = 20_150 + n % 3
        event["tags"] = ["a", "b"]
    fields, left_out = fields_of(profile(events), {("type",), ("id",), ("paid_at",)})
    assert fields == [
        FieldDraft("amount", ("amount",), "float"),
        FieldDraft("id", ("user", "id"), "string"),
        FieldDraft("region", ("user", "region"), "string"),
        FieldDraft("wait_seconds", ("wait_seconds",), "integer", "seconds"),
        FieldDraft("temperature", ("temperature",), "integer"),
        FieldDraft("seen", ("seen",), "timestamp"),
        FieldDraft("price", ("price",), "decimal", scale=2),
        FieldDraft("paid", ("paid",), "decimal", "eur", read="€1234,50"),
        FieldDraft("tip", ("Tip ($)",), "integer", "usd"),
        FieldDraft("account_no", ("account_no",), "string"),
        FieldDraft("qty", ("qty", "$numberInt"), "integer", read="text"),
        FieldDraft("due_date", ("due_date",), "date", epoch="day"),
        FieldDraft("tags", ("tags",), "string[]"),
    ]
    assert left_out == {("eu",): "always True"}


def test_kpis_are_sums_means_slow_ends_and_people() -> None:
    fields = [
        FieldDraft("customer_tier", ("customer_tier",), "string"),
        FieldDraft("stars", ("stars",), "integer", unit="stars"),
        FieldDraft("wait_seconds", ("wait_seconds",), "float", unit="seconds"),
        FieldDraft("amount", ("amount",), "float"),
        FieldDraft("mean_unit_price", ("mean_unit_price",), "float"),
        FieldDraft("customer", ("customer",), "string"),
        FieldDraft("zip_code", ("zip_code",), "integer"),
        FieldDraft("ordered_at", ("ordered_at",), "timestamp"),
        FieldDraft("delivered_at", ("delivered_at",), "timestamp"),
    ]
    made, left_out = kpis_of("order.paid", fields)
    assert [(k.name, k.value, k.better) for k in made] == [
        ("order_paid_events", "count(*)", "higher"),
        ("order_paid_amount", "sum(amount)", "higher"),
        ("order_paid_wait_seconds_p95", "quantile(wait_seconds, 0.95)", "lower"),
        ("order_paid_stars_mean", "avg(stars)", "higher"),
        ("order_paid_mean_unit_price_mean", "avg(mean_unit_price)", "higher"),
        (
            "order_paid_ordered_at_to_delivered_at_p95",
            "quantile(delivered_at - ordered_at, 0.95)",
            "lower",
        ),
        ("order_paid_customers", "count(distinct customer)", "higher"),
    ]
    assert left_out == {("zip_code",): "a code, position or time by its name"}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("amount", lambda n: n % 7, None),
        ("additions", lambda n: n * 37 % 101, None),
        ("vessel", lambda n: 257_000_000 + n % 9, "a code by its values"),
        ("cost_center", lambda n: 1000 + n % 3, "a code, position or time by its name"),
        ("request_time", lambda n: n % 7, None),
        ("duration", lambda n: n % 7, None),
        ("pending_webhooks", lambda n: n % 3, "how it was sent, by its name"),
        ("amount", lambda n: 1, None),
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
        ("approximate_receive_count", lambda n: n % 3, "how it was sent, by its name"),
        ("count", lambda n: n, "a counter that only rises: `max(x) - min(x)` is its growth"),
        ("count", lambda n: n % 7, None),
        ("fired", lambda n: n if n % 20 else n + 2, "another number in each event"),
        ("bearing", lambda n: n % 7, "a code, position or time by its name"),
        ("domain_sessionidx", lambda n: n % 7, "a code, position or time by its name"),
        ("br_viewwidth", lambda n: n % 7, "a code, position or time by its name"),
    ],
)
def test_a_number_is_a_measure_or_has_a_reason_why_not(
    name: str, value: Callable[[int], int], reason: str | None
) -> None:
    seen = profile([{name: value(n)} for n in range(50)])
    field = FieldDraft(name, (name,), "integer", unit_of(name))
    made, left_out = measures_of("e", [field], seen)
    assert left_out == ({} if reason is None else {(name,): reason})
    assert len(made) == (1 if reason is None else 0)


def test_numbers_that_say_so_as_text_are_measures_as_others_are() -> None:
    seen = profile(
        [{"load": {"$numberInt": str(n % 7)}, "lit": {"N": str(n % 2)}} for n in range(30)]
    )
    made, left_out = measures_of("e", fields_of(seen, ())[0], seen)
    assert [kpi.value for kpi in made] == ["avg(load)"]
    assert left_out == {("lit", "N"): "a yes or no"}


def test_a_value_before_a_change_is_no_measure() -> None:
    seen = profile([{"before": {"amount": n}, "after": {"amount": n}} for n in range(9)])
    fields, _ = fields_of(seen, ())
    made, left_out = measures_of("e", fields, seen)
    assert [kpi.value for kpi in made] == ["sum(after_amount)"]
    assert left_out == {("before", "amount"): "a value before a change"}


@pytest.mark.parametrize(
    ("event", "kpi"),
    [
        ({"price": 2.5, "quantity": 2, "total_discount": 1.5}, "sum(price * quantity)"),
        ({"total_price": 5.5, "price": 2.5, "quantity": 2}, "sum(total_price)"),
        ({"request_time": 0.5}, "quantile(request_time, 0.95)"),
        ({"visit_duration": "340"}, "quantile(visit_duration, 0.95)"),
        ({"latency": "0.25s"}, "quantile(latency, 0.95)"),
        ({"min": 3}, "avg(min)"),
    ],
)
def test_the_first_measure_of_an_event(event: dict[str, Any], kpi: str) -> None:
    seen = profile(
        [
            event,
            event
            | {name: value * 2 for name, value in event.items() if not isinstance(value, str)},
        ]
    )
    made, _ = measures_of("e", fields_of(seen, ())[0], seen)
    assert made[0].value == kpi


@pytest.mark.parametrize(
    ("name", "values", "field"),
    [
        ("version", ("2.11.1", "2.11.2"), {"type": "string"}),
        ("ip", ("10.123.123.123",), {"type": "string"}),
        ("release", ("2.11.1", "2.12.1"), {"type": "string"}),
        ("user_id", ("12.2", "13.1"), {"type": "string"}),
        ("sales_order", ("4500", "4501"), {"type": "string"}),
        ("qty", ("007", "010"), {"type": "string"}),
        ("session_id", (1_740_990_000, 1_740_990_001), {"type": "integer"}),
        ("ts", ("1740990000.25", "1740990001.5"), {"type": "timestamp"}),
        ("latency", ("0.25s", "1.5s"), {"type": "decimal", "unit": "seconds", "read": "1234.50s"}),
        ("host", ("h1", "h2"), {"type": "string"}),
    ],
)
def test_a_field_is_read_as_what_it_is(
    name: str, values: tuple[Any, ...], field: dict[str, Any]
) -> None:
    made, _ = fields_of(profile([{name: value} for value in values]), ())
    assert made == [FieldDraft(name, (name,), **field)]


def test_fields_of_one_name_have_the_name_of_what_they_are_in() -> None:
    event = {"id": 1, "old": {"state": 2.5}, "new": {"state": 3.5}, "user": {"id": 7}}
    fields, _ = fields_of(profile([event]), ())
    assert [f.name for f in fields] == ["id", "old_state", "new_state", "user_id"]


def test_of_many_numbers_the_first_five_measures_have_kpis() -> None:
    fields = [FieldDraft(f"load{n}", (f"load{n}",), "float") for n in range(7)]
    made, left_out = kpis_of("e", [*fields, FieldDraft("cost", ("cost",), "float")])
    assert [k.name for k in made][1] == "e_cost"
    assert len(made) == 6
    assert left_out == {(f"load{n}",): "one of more than 5 numbers" for n in (4, 5, 6)}


def test_what_no_field_is_made_of_is_named_with_the_reason() -> None:
    deep: dict[str, Any] = {"e": 1}
    for _ in range(9):
        deep = {"d": deep}
    event = {
        "lines": [{"sku": "x"}, {"sku": "y"}], "params": [{"key": "a]", "value": 1}], "code": 5,
    }  # fmt: skip
    seen = profile([event | deep, event | {"code": "x"}])
    assert named(left_out(seen)) == {
        "lines": "an array of objects without a number to measure",
        "params[key=a]].value": "rules can't write its name",
        "code": "of several types: integer, string",
        "d.d.d.d.d.d.d.d.d": "nested too deeply",
    }


@pytest.mark.parametrize(
    ("every_ms", "window"), [(1_000, "1m"), (12_000, "5m"), (60_000, "1h"), (HOUR_MS, "day")]
)
def test_the_window_is_the_smallest_with_enough_events(every_ms: int, window: str) -> None:
    times = [n * every_ms for n in range(40_000_000 // every_ms * 30)][:40_000]
    assert inference.window_of(times)[0] == window


def test_lateness_is_the_most_that_an_event_came_behind() -> None:
    assert lateness_of([10, 20, 15, 30, 12, 40]) == 18
    assert lateness_of([]) == 0


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Đăng ký", "dang_ky"),
        ("invoice.placedAt", "invoice_placed_at"),
        ("Order-Paid", "order_paid"),
        ("2fa", "n_2fa"),
    ],
)
def test_names_are_as_kpis_are_called(written: str, name: str) -> None:
    assert snake(written) == name
