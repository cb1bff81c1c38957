"""What a sample is taken for."""

from __future__ import annotations

from typing import Any

import pytest

from agent.init import inference
from agent.init.inference import FieldDraft
from agent.init.sample import profile

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


def test_fields_have_their_type_path_unit_and_what_all_events_keep_to() -> None:
    events = orders(wait_seconds=2, mixed=1, temperature=-3)
    events[0] |= {"mixed": "one", "amount": None}
    fields = inference.fields_of(profile(events), 200, {"type", "id", "paid_at"})
    assert fields == [
        FieldDraft("amount", "amount", "float", False, 0.0),
        FieldDraft("id", "user.id", "string", True),
        FieldDraft("region", "user.region", "string", True),
        FieldDraft("wait_seconds", "wait_seconds", "integer", True, 0.0, "seconds"),
        FieldDraft("temperature", "temperature", "integer", True),
    ]


def test_kpis_are_sums_means_slow_ends_and_people() -> None:
    fields = [
        FieldDraft("amount", "amount", "float"),
        FieldDraft("wait_seconds", "wait_seconds", "float", unit="seconds"),
        FieldDraft("stars", "stars", "integer", unit="stars"),
        FieldDraft("customer", "customer", "string"),
        FieldDraft("zip_code", "zip_code", "integer"),
    ]
    assert [(k.name, k.value, k.better) for k in inference.kpis_of("order.paid", fields)] == [
        ("order_paid_events", "count(*)", "higher"),
        ("order_paid_amount", "sum(amount)", "higher"),
        ("order_paid_wait_seconds_p95", "quantile(wait_seconds, 0.95)", "lower"),
        ("order_paid_stars_mean", "avg(stars)", "higher"),
        ("order_paid_customers", "count(distinct customer)", "higher"),
    ]


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
    assert inference.snake(written) == name
