"""Whatever shape the events have: the draft passes the check, reads the whole sample, and has the
KPIs that the team wants."""

from __future__ import annotations

import base64
import gzip
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from agent.core.model.events import TimeSource
from agent.core.model.field_types import TimeFormat
from agent.language.load import check, load
from tests.events.samples import SHAPES, lines

WANTED: dict[str, list[str]] = {
    "cloudevents": ["sum(amount) by tenant"],
    "debezium": ["count(*) by op"],
    "debezium_schema": ["sum(price) by op"],
    "debezium_mongo": ["sum(total) by op"],
    "connect": ["avg(orderunits) by state"],
    "canal": ["sum(weight) by type"],
    "maxwell": ["sum(weight) by type"],
    "sns": ["sum(amount)"],
    "sqs": ["sum(amount)"],
    "kinesis": ["sum(amount)"],
    "eventbridge": ["sum(amount) by currency"],
    "eventgrid": ["sum(content_length)"],
    "dynamodb": ["sum(total) by event_name"],
    "mongo": ["sum(qty) by status"],
    "openbanking": ["sum(amount) by credit_debit_indicator, currency"],
    "openbanking_page": ["sum(amount) by credit_debit_indicator, currency"],
    "salesforce": ["sum(amount) by stage"],
    "mixpanel": ["sum(amount) by plan_type"],
    "posthog": ["count(*)", "count(distinct distinct_id)"],
    "fhir": ["count(*) by status"],
    "otel_flat": [
        "count(*) filter (where http_status_code >= 500) / count(http_status_code) by service_name"
    ],
    "headers": ["sum(total) by region"],
    "lines": ["sum(price * quantity) by country", "sum(quantity) by country"],
    "topics": ["sum(total)"],
    "stripe": ["sum(amount) by currency", "count(distinct customer) by currency"],
    "github": ["count(*) by full_name"],
    "ga4": ["avg(value) by country", "quantile(engagement_time_msec, 0.95) by country"],
    "otlp": ["count(*) filter (where http_status >= 500) / count(http_status) by service_name"],
    "outbox": ["sum(total) by country"],
    "odata": ["sum(total_net_amount) by transaction_currency"],
    "nginx": ["quantile(request_time, 0.95) by status"],
    "w3c": ["count(*) by sc_status"],
    "sap_table": ["avg(netwr) by waerk"],
    "masstransit": ["sum(total_amount) by currency"],
    "ocpp": ["avg(sampled_value) by measurand, point"],
    "hl7": ["count(*) by msh_9_2"],
    "epcis": ["count(*) by biz_step"],
}

Record = Callable[[random.Random, int, datetime], Any]


def _written(rng: random.Random, n: int, at: datetime) -> Any:
    return {
        "when": at.strftime("%d/%m/%Y %H:%M"),
        "total": f"{rng.randrange(100, 99_999) / 10:,.2f}",
        "fee": f"€{rng.randrange(9)}",
        "latency_us": rng.randrange(9_999),
    }


def _parameters(rng: random.Random, n: int, at: datetime) -> Any:
    price = {"key": "price", "value": {"double_value": rng.random()}}
    return {
        "event_name": rng.choice(["purchase", "view"]),
        "event_timestamp": int(at.timestamp() * 1e6),
        "event_params": [{"key": "page", "value": {"string_value": "x"}}, price],
    }


def _packed(rng: random.Random, n: int, at: datetime) -> Any:
    inner = json.dumps({"wait_seconds": rng.random(), "desk": rng.choice("ab")}).encode()
    blob = base64.b64encode(gzip.compress(inner)).decode()
    return {"id": f"m{n}", "at": int(at.timestamp()) * 10**9, "blob": blob}


def _strings_in_strings(rng: random.Random, n: int, at: datetime) -> Any:
    message = json.dumps({"total": f"{rng.randrange(999)}.50", "currency": "NOK"})
    body = {"Type": "Notification", "Message": message, "Timestamp": at.isoformat()}
    return {"Records": [{"messageId": f"m{n}", "body": json.dumps(body)}]}


def _arrays_in_arrays(rng: random.Random, n: int, at: datetime) -> Any:
    parts = [{"sku": "a", "price": 1.5, "qty": 2}, {"sku": "b", "price": 2.5, "qty": n % 3}]
    orders = [{"customer": f"c{n}", "lines": parts}, {"customer": "d", "lines": parts}]
    return {"type": "shipment", "id": f"s{n}", "created_at": at.isoformat(), "orders": orders}


def _typed_by_key(rng: random.Random, n: int, at: datetime) -> Any:
    value = {"ordered_at": at.isoformat(), "delivered_at": (at + timedelta(hours=n)).isoformat()}
    key = rng.choice(["order.paid", "order.sent"])
    return {"topic": "t", "timestamp": int(at.timestamp() * 1000), "key": key, "value": value}


def _binary_cloudevent(rng: random.Random, n: int, at: datetime) -> Any:
    headers = {
        "ce_specversion": "1.0", "ce_type": "paid", "ce_source": "/s", "ce_id": f"e{n}",
        "ce_time": at.isoformat(), "ce_tenant": rng.choice("ab"),
    }  # fmt: skip
    stamp = int(at.timestamp() * 1000)
    return {"topic": "t", "timestamp": stamp, "headers": headers, "value": {"amount": n + 0.5}}


def _row_alone(rng: random.Random, n: int, at: datetime) -> Any:
    stamp = int(at.timestamp() * 1000)
    return {"id": n // 2, "price": n + 0.5, "__op": "c", "__source_ts_ms": stamp}


def _decimals_without_schema(rng: random.Random, n: int, at: datetime) -> Any:
    price = base64.b64encode((731 + n).to_bytes(3, "big")).decode()
    source = {"ts_ms": int(at.timestamp() * 1000), "lsn": n, "table": rng.choice("ab")}
    return {"before": None, "after": {"id": n, "price": price}, "op": "c", "source": source}


def _gaps(rng: random.Random, n: int, at: datetime) -> Any:
    times = ("created_at", "paid_at") if n % 3 else ("paid_at", "created_at")
    return {times[1]: at.isoformat(), times[0]: None, "amount_cents": rng.randrange(999)}


def _line_times(rng: random.Random, n: int, at: datetime) -> Any:
    nanoseconds = f"{int(at.timestamp())}000000000"
    status = {"key": "status", "value": {"intValue": str(rng.choice([200, 503]))}}
    took = {"key": "took_ms", "value": {"doubleValue": rng.random()}}
    log = {"timeUnixNano": nanoseconds, "attributes": [status, took]}
    service = {"key": "service.name", "value": {"stringValue": "cart"}}
    scopes = [{"scope": {"name": "lib"}, "logRecords": [log, log]}]
    return {"resourceLogs": [{"resource": {"attributes": [service]}, "scopeLogs": scopes}]}


def _carried(rng: random.Random, n: int, at: datetime) -> Any:
    amount = {"currency": rng.choice(["EUR", "JPY"]), "value": rng.randrange(9_999)}
    item = {"amount": amount, "eventDate": at.isoformat(), "eventCode": "CAPTURE"}
    return {"live": "true", "notificationItems": [{"NotificationRequestItem": item}]}


def _own_time(rng: random.Random, n: int, at: datetime) -> Any:
    jobs = [{"id": n * 9 + i, "created_at": at.isoformat(), "duration": i + 0.5} for i in (1, 2)]
    return {"pipeline": {"finished": at.isoformat()}, "jobs": jobs}


def _by_line(rng: random.Random, n: int, at: datetime) -> Any:
    entry = {"Amt": {"@Ccy": rng.choice(["EUR", "NOK"]), "#text": f"{rng.randrange(999)}.50"}}
    entry["CdtDbtInd"] = rng.choice(["CRDT", "DBIT"])
    return {"Ntfctn": {"CreDtTm": at.isoformat(), "Ntry": [entry, entry]}}


def _around_lines(rng: random.Random, n: int, at: datetime) -> Any:
    stops = [{"stopId": f"S{k}", "arrival": {"delay": rng.randrange(-60, 600)}} for k in (1, 2)]
    trips = [{"trip": {"route": route, "no": n}, "stops": stops} for route in ("31", "L1")]
    return {"header": {"timestamp": str(int(at.timestamp()))}, "entity": trips}


def _form(rng: random.Random, n: int, at: datetime) -> Any:
    form = {"data[id]": f"m{n}", "data[reason]": rng.choice(["abuse", "manual"])}
    return {"type": "unsubscribe", "fired_at": at.strftime("%Y-%m-%d %H:%M:%S")} | form


def _odata(rng: random.Random, n: int, at: datetime) -> Any:
    changed = f"/Date({int(at.timestamp()) * 1000})/"
    return {"d": {"SalesOrder": f"{n:010}", "ChangedAt": changed, "NetAmount": f"{n}.50"}}


def _go(rng: random.Random, n: int, at: datetime) -> Any:
    return {"MetaData": {"MMSI": 257_000_000 + n % 7, "time_utc": f"{at:%F %T}.123456 +0000 UTC"}}


def _batch(rng: random.Random, n: int, at: datetime) -> Any:
    sent = (at + timedelta(seconds=9)).isoformat()
    event = {"verb": rng.choice("ab"), "eventTime": at.isoformat(), "score": rng.random()}
    return {"sendTime": sent, "data": [event, event | {"score": rng.random()}]}


def _nested_lists(rng: random.Random, n: int, at: datetime) -> Any:
    record = {"time": at.isoformat(), "took_ms": rng.randrange(99)}
    groups = [{"zone": rng.choice("ab"), "records": [record, record]} for _ in range(2)]
    return {"site": "s1", "groups": groups}


def _reserved(rng: random.Random, n: int, at: datetime) -> Any:
    return {"time": at.isoformat(), "rule": rng.choice("ab"), "severity": rng.randrange(5)}


def _lines_split(rng: random.Random, n: int, at: datetime) -> Any:
    lines = [{"channel": rng.choice("ab"), "qty": rng.randrange(9)} for _ in range(2)]
    return {"time": at.isoformat(), "id": f"o{n}", "lines": lines[: 1 + n % 2]}


def _steps(rng: random.Random, n: int, at: datetime) -> Any:
    start = (at - timedelta(seconds=rng.randrange(500))).isoformat()
    return {"time": at.isoformat(), "startTime": start, "completionTime": at.isoformat()}


def _call(rng: random.Random, n: int, at: datetime) -> Any:
    body = {"timestamp": at.isoformat(), "energy_kwh": rng.random(), "state": rng.choice("ab")}
    return {"point": f"p{n % 3}", "message": [2, f"m{n}", "MeterValues", body]}


OTHERS: dict[str, tuple[Record, str]] = {
    "written": (_written, "sum(total)"),
    "parameters": (_parameters, "sum(price)"),
    "packed": (_packed, "quantile(wait_seconds, 0.95) by desk"),
    "strings_in_strings": (_strings_in_strings, "sum(total) by currency"),
    "arrays_in_arrays": (_arrays_in_arrays, "sum(price * qty)"),
    "typed_by_key": (_typed_by_key, "quantile(delivered_at - ordered_at, 0.95)"),
    "binary_cloudevent": (_binary_cloudevent, "sum(amount) by tenant"),
    "row_alone": (_row_alone, "sum(price)"),
    "decimals_without_schema": (_decimals_without_schema, "sum(price)"),
    "gaps": (_gaps, "sum(amount_cents)"),
    "line_times": (_line_times, "quantile(took_ms, 0.95)"),
    "carried": (_carried, "sum(amount) by currency"),
    "own_time": (_own_time, "quantile(duration, 0.95)"),
    "by_line": (_by_line, "sum(amt) by cdt_dbt_ind, ccy"),
    "around_lines": (_around_lines, "quantile(delay, 0.95) by route"),
    "form": (_form, "count(*) by data_reason"),
    "odata": (_odata, "sum(net_amount)"),
    "go": (_go, "count(*)"),
    "batch": (_batch, "avg(score) by verb"),
    "nested_lists": (_nested_lists, "quantile(took_ms, 0.95) by zone"),
    "reserved": (_reserved, "count(*) by rule_name"),
    "lines_split": (_lines_split, "sum(qty) by channel"),
    "steps": (_steps, "quantile(completion_time - start_time, 0.95)"),
    "call": (_call, "avg(energy_kwh) by state"),
}


def test_each_shape_of_the_page_about_events_is_tried() -> None:
    assert WANTED.keys() == SHAPES.keys()


@pytest.mark.parametrize("name", SHAPES)
def test_the_draft_of_a_public_shape_reads_all_and_has_the_kpis(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kpis = drafted("\n".join(lines(name)), tmp_path, capsys)
    assert set(WANTED[name]) <= kpis


@pytest.mark.parametrize("name", OTHERS)
def test_the_draft_of_another_shape_reads_all_and_has_the_kpi(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record, wanted = OTHERS[name]
    rng, start = random.Random(1), datetime(2025, 3, 3, 8, tzinfo=UTC)
    records = [record(rng, n, start + timedelta(minutes=4 * n)) for n in range(60)]
    assert wanted in drafted("\n".join(map(json.dumps, records)), tmp_path, capsys)


def drafted(sample: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """The KPIs of the draft of a sample, which `replay` reads without a rejected record."""
    file, draft = folder / "sample.ndjson", folder / "draft.yaml"
    file.write_text(sample)
    arguments = ["--rules", str(folder), "--name", "draft", "--yes"]
    assert main(["init", str(file), *arguments]) == 0
    plan, problems = check(draft)
    assert plan is not None, problems
    capsys.readouterr()
    assert main(["replay", "--rules", str(draft), str(file), "--format", "json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    outcomes = summary["outcomes"]
    assert (outcomes["rejected"], outcomes["late"]) == (0, 0)
    assert outcomes["folded"]
    assert not summary.get("fields")
    return {
        f"{kpi.sql} by {', '.join(kpi.by)}" if kpi.by else kpi.sql for kpi in plan.kpis.values()
    }


TIMES = [
    (("date", "%Y-%m-%d"), ("time", "%H:%M:%S"), None),
    (("ERDAT", "%Y%m%d"), ("ERZET", "%H%M%S"), None),
    (("Order-Date", "%d.%m.%Y"), ("Order-Time", "%H:%M"), "%d.%m.%Y %H:%M"),
]


@pytest.mark.parametrize(("date", "clock", "format"), TIMES)
def test_a_date_and_its_time_of_day_are_drafted_as_the_time(
    date: tuple[str, str],
    clock: tuple[str, str],
    format: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = datetime(2025, 3, 3, 8, tzinfo=UTC)
    events = []
    for n in range(60):
        at = start + timedelta(minutes=4 * n)
        events.append({date[0]: f"{at:{date[1]}}", clock[0]: f"{at:{clock[1]}}", "amount": n})
    drafted("\n".join(map(json.dumps, events)), tmp_path, capsys)
    (contract,) = load(tmp_path / "draft.yaml").contracts.values()
    form = None if format is None else TimeFormat(format)
    assert contract.times == (TimeSource((date[0],), form, (clock[0],)),)
    assert not {date[0].lower(), clock[0].lower()} & {field.name for field in contract.fields}


def test_a_date_beside_a_whole_time_is_not_the_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = datetime(2025, 3, 3, 8, tzinfo=UTC)
    events = []
    for n in range(60):
        at = start + timedelta(minutes=4 * n)
        events.append({"date": f"{at:%F}", "time": f"{at:%T}", "created_at": at.isoformat()})
    drafted("\n".join(map(json.dumps, events)), tmp_path, capsys)
    (contract,) = load(tmp_path / "draft.yaml").contracts.values()
    assert contract.times == (TimeSource(("created_at",)),)
