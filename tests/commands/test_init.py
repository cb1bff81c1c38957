"""`kpi-agent init`: what it writes is valid, and its thresholds are quantiles of the sample."""

from __future__ import annotations

import gzip
import io
import json
import math
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.cli import main
from agent.core.model.events import TimeSource
from agent.language.load import check, load
from tests.conftest import ROOT

YEAR = ROOT / "examples" / "retail" / "retail-invoices.ndjson.gz"


@pytest.fixture(scope="module")
def retail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is written for the retailer's year."""
    folder = tmp_path_factory.mktemp("rules")
    arguments = ["--topic", "retail", "--timezone", "Europe/London", "--owner", "trade", "--yes"]
    assert main(["init", str(YEAR), "--rules", str(folder), *arguments]) == 0
    return folder / "retail.yaml"


def test_what_it_writes_for_a_real_year_passes_the_check(retail: Path) -> None:
    plan, problems = check(retail)
    assert problems == []
    assert plan is not None
    assert set(plan.contracts) == {
        "invoice.placed", "invoice.cancelled", "stock.adjusted", "debt.adjusted",
    }  # fmt: skip
    placed = plan.contracts["invoice.placed"]
    assert (placed.times[0].path, placed.timezone, placed.ids) == (
        ("occurred_at",), "Europe/London", (),
    )  # fmt: skip
    # Two invoices of one number are no retry of each other: their lines were entered at two times.
    assert "# id is no identity: 42 of 20,767 events repeat one with other values" in (
        retail.read_text()
    )
    assert all(rule.owner == "trade" for rule in plan.rules.values())
    assert retail.read_text().startswith("# yaml-language-server: $schema=")


def test_the_thresholds_are_the_quantiles_of_the_days(retail: Path) -> None:
    days: dict[str, float] = defaultdict(float)
    with gzip.open(YEAR, "rt") as lines:
        for line in lines:
            event = json.loads(line)
            if event["type"] == "invoice.placed":
                days[event["occurred_at"][:10]] += event["units"]
    # The last day never closes.
    values = sorted(units for day, units in days.items() if day != max(days))
    text = retail.read_text()
    rule = text[text.index("invoice_placed_units_low:") :]
    shown = re.findall(r"value [<>] ([-\d.]+)  # proposed: the (\d+)\w+ percentile of (\d+)", rule)
    for threshold, percent, windows in shown[:2]:
        assert int(windows) == len(values)
        expected = values[math.ceil(int(percent) / 100 * len(values)) - 1]
        assert float(threshold) == float(f"{expected:.3g}")
    assert [percent for _, percent, _ in shown[:2]] == ["1", "25"]


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "sample.ndjson"
    file.write_text('{"type": "paid", "at": "2025-03-01T10:00Z", "id": 1, "amount": 5}\n' * 3)
    arguments = ["init", str(file), "--rules", str(tmp_path / "rules"), "--topic", "till", "--yes"]
    assert main(arguments) == 0
    (written,) = (tmp_path / "rules").glob("*.yaml")
    before = written.read_text() + "# changed\n"
    written.write_text(before)
    assert main(arguments) == 1
    assert "is there already" in capsys.readouterr().err
    assert written.read_text() == before


def test_without_a_sample_all_can_be_said_by_options(tmp_path: Path) -> None:
    arguments = [
        "--event", "ticket.answered", "--topic", "support", "--time", "at", "--id", "ticket.id",
        "--fields", "wait_seconds:float,user.region:string", "--by", "region", "--window", "5m",
        "--rules", str(tmp_path), "--name", "desk",
    ]  # fmt: skip
    assert main(["init", *arguments, "--yes"]) == 0
    plan = load(tmp_path / "desk.yaml")
    assert list(plan.kpis) == ["ticket_answered_events", "ticket_answered_wait_seconds_p95"]
    assert plan.kpis["ticket_answered_wait_seconds_p95"].by == ("region",)
    assert plan.contracts["ticket.answered"].fields[1].path == ("user", "region")
    assert plan.rules == {}


def test_on_a_terminal_what_is_left_open_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["ticket.answered", "", "", "answered_at", "", "", "stars:integer", "15m", "", "me"]
    answers = io.StringIO("\n".join([*lines, ""]))
    answers.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", answers)
    assert main(["init", "--rules", str(tmp_path)]) == 0
    asked = capsys.readouterr().out
    assert "The Kafka topic [tickets]: " in asked
    plan = load(tmp_path / "tickets.yaml")
    assert plan.contracts["ticket.answered"].times == (TimeSource(("answered_at",)),)
    assert plan.kpis["ticket_answered_stars_mean"].owner == "me"


@pytest.mark.parametrize(
    ("sample", "arguments", "code", "said"),
    [
        ("", [], 1, "the sample contains no JSON object"),
        ('{"a": 1}\n', ["--time", "b"], 1, "no event has a field b"),
        ('{"at": "2025-03-01"}\n', ["--brokers", "localhost:1"], 2, "name a --topic and no files"),
        (
            '{"at": "2025-03-01"}\n',
            ["--type-field", "kind"],
            1,
            "no event of the sample has a text",
        ),
    ],
)
def test_what_can_not_be_used_is_reported(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    sample: str,
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    file = tmp_path / "sample.ndjson"
    file.write_text(sample)
    arguments = [str(file), "--rules", str(tmp_path / "rules"), "--yes", *arguments]
    assert main(["init", *arguments]) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "rules").exists()


def test_a_few_odd_events_still_give_valid_rules(tmp_path: Path) -> None:
    file = tmp_path / "odd.ndjson"
    event = {"select": 1, "Group By": "x", "at": "2025-03-01T10:00Z", "ünï": 2, "user": {"id": 5}}
    file.write_text((json.dumps(event) + "\n") * 3 + "no JSON\n[1]\n")
    assert main(["init", str(file), "--rules", str(tmp_path / "rules"), "--yes"]) == 0
    assert len(load(tmp_path / "rules" / "odd.yaml").kpis) >= 1


def drafted(file: Path, rules: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What `replay` says of the sample, by the draft that `init` makes of it."""
    assert main(["init", str(file), "--rules", str(rules), "--name", "draft", "--yes"]) == 0
    draft = rules / "draft.yaml"
    assert check(draft)[0] is not None
    capsys.readouterr()
    assert main(["replay", "--rules", str(draft), str(file), "--format", "json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_without_a_time_in_the_events_that_of_the_record_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sample.ndjson"
    events = [f'{{"amount": {n}.5}}' for n in range(30)]
    file.write_text("\n".join(events))
    assert main(["init", str(file), "--rules", str(tmp_path / "bare"), "--yes"]) == 1
    assert "give records with timestamps (kcat -J)" in capsys.readouterr().err
    records = [
        {
            "topic": "payments",
            "partition": 0,
            "offset": n,
            "ts": 1741000000000 + n,
            "key": None,
            "payload": event,
        }
        for n, event in enumerate(events)
    ]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    values = drafted(file, tmp_path / "rules", capsys)
    assert {v["kpi"]: v["value"] for v in values[:-1]} == {
        "payments_events": 30, "payments_amount": 450,
    }  # fmt: skip


def test_numbers_in_text_are_added_up_and_a_cloud_event_identifies_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    event = {"specversion": "1.0", "source": "/shop", "type": "paid"}
    events = [
        event
        | {
            "id": str(n // 2),
            "time": f"2025-03-03T09:00:{n:02}Z",
            "data": {"total": f"{n // 2}.50"},
        }
        for n in range(40)
    ]
    file = tmp_path / "sample.ndjson"
    file.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    *windows, summary = drafted(file, tmp_path / "rules", capsys)
    assert {w["kpi"]: w["value"] for w in windows} == {"paid_events": 20, "paid_total_overall": 200}
    assert summary["outcomes"]["duplicate"] == 20


def test_a_field_named_like_a_label_of_the_agent_has_another_name(tmp_path: Path) -> None:
    sample = tmp_path / "tasks.ndjson"
    events = (
        {"task": f"t{n}", "at": f"2026-03-02T{n // 60:02}:{n % 60:02}:00Z", "team": "abc"[n % 3]}
        for n in range(600)
    )
    sample.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    assert main(["init", str(sample), "--rules", str(tmp_path / "rules"), "--yes"]) == 0
    plan = load(tmp_path / "rules")
    assert {kpi.by for kpi in plan.kpis.values()} == {("team_name",)}


def test_a_dense_sample_gets_a_silence_that_its_slices_can_tell(tmp_path: Path) -> None:
    events = [
        {"type": "order.paid", "at": 1_740_787_200_000 + n * 500, "id": n, "amount": 5 + n % 7}
        for n in range(4_000)
    ]
    file = tmp_path / "dense.ndjson"
    file.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    arguments = [str(file), "--rules", str(tmp_path / "rules"), "--window", "15m", "--yes"]
    assert main(["init", *arguments]) == 0
    rules = load(tmp_path / "rules" / "dense.yaml").rules
    (silence,) = [rule for name, rule in rules.items() if name.endswith("_silent")]
    assert [level.no_data_for_ms for level in silence.levels] == [300_000]  # type: ignore[union-attr]


def test_types_that_fold_to_one_name_have_kpis_of_their_own(tmp_path: Path) -> None:
    types = ["order-paid", "order.paid", "OrderPaid", " odd "]
    events = [
        {"type": types[n % 4], "at": 1_740_787_200_000 + n * 60_000, "amount": n, "a": {"b": n}}
        for n in range(200)
    ]
    file = tmp_path / "12.ndjson"
    file.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    assert main(["init", str(file), "--rules", str(tmp_path / "rules"), "--yes"]) == 0
    plan = load(tmp_path / "rules" / "12.yaml")
    assert set(plan.contracts) == set(types[:3])
    counted = {kpi.contract: name for name, kpi in plan.kpis.items() if "_events" in name}
    assert set(counted) == set(types[:3])
    assert len(set(counted.values())) == 3


NAMES = st.sampled_from([
    "a", "b.c", "null", "yes", "select", "from", "case", "type", "name", "ts", "A", "a b", "ü",
    'quo"te', "back\\slash", "*", "^x$", "events", "count", "sum", "current", "target", "amount",
    "user_id", "_", "9", "le", "kpi", "value", "\x7f", "title",
])  # fmt: skip
VALUES = st.sampled_from([1, 0, -2.5, 1e300, "x", "2025-03-01T10:00Z", True, None, [1], 2**70])
OBJECTS = st.recursive(
    st.dictionaries(NAMES, VALUES, max_size=6),
    lambda inner: st.dictionaries(NAMES, VALUES | inner, max_size=4),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.sampled_from(["a.b", "a-b", "a", "x y", "kpi", "Ü"]), OBJECTS),
        min_size=1,
        max_size=4,
    )
)
def test_whatever_the_events_hold_the_draft_passes_the_check(
    tmp_path: Path, shapes: list[tuple[str, dict[str, object]]]
) -> None:
    events = [
        {**shape, "type": kind, "time": 1_740_787_200_000 + (i * 30 + n) * 60_000}
        for i, (kind, shape) in enumerate(shapes)
        for n in range(30)
    ]
    file = tmp_path / "sample.ndjson"
    file.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    place = tmp_path / "rules" / "sample.yaml"
    place.unlink(missing_ok=True)
    assert main(["init", str(file), "--rules", str(place.parent), "--yes"]) == 0
    assert check(place)[0] is not None


def cloud_event(n: int) -> dict[str, Any]:
    return {
        "specversion": "1.0", "type": "order.placed", "source": "/shop", "id": f"e{n}",
        "time": f"2025-03-03T08:{n:02}:00Z", "data": {"amount": n + 0.5},
    }  # fmt: skip


def change(n: int) -> dict[str, Any]:
    row = {"id": n // 2, "amount": n + 0.5}
    return {
        "before": None,
        "after": row,
        "op": "c",
        "source": {"ts_ms": 1741000000000 + n * 60_000},
    }


@pytest.mark.parametrize(
    ("envelope", "records"),
    [
        ("cloudevents", [cloud_event(n) for n in range(30)]),
        ("cloudevents", [[cloud_event(n), cloud_event(n + 1)] for n in range(0, 30, 2)]),
        ("debezium", [change(n) for n in range(30)]),
        ("debezium", [{"schema": {"type": "struct"}, "payload": change(n)} for n in range(30)]),
        (
            "connect",
            [
                {"schema": {"type": "struct"}, "payload": {"at": f"2025-03-03T08:{n:02}:00Z", "amount": n + 0.5}}  # noqa: E501
                for n in range(30)
            ],
        ),
        ("list", [[{"at": f"2025-03-03T08:{n:02}:00Z", "amount": n + 0.5}] for n in range(30)]),
    ],
    ids=["cloudevents", "batched", "debezium", "debezium with schema", "connect", "list"],
)  # fmt: skip
def test_the_envelope_of_a_sample_is_in_the_draft(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], envelope: str, records: list[Any]
) -> None:
    file = tmp_path / "sample.ndjson"
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    values = drafted(file, tmp_path / "rules", capsys)
    assert f"    envelope: {envelope}\n" in (tmp_path / "rules" / "draft.yaml").read_text()
    amounts = [value for value in values[:-1] if "amount" in value["kpi"]]
    assert sum(value["events"] for value in amounts) == 30
    total = [value["value"] for value in amounts if not value["kpi"].endswith("mean")]
    assert sum(total) in (0, 450)
