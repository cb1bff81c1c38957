"""A sample of several topics: those of like records share a contract, others have their own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from agent.core.model.plan import Plan
from agent.init.topics import common_name
from agent.language.load import load

START = datetime(2025, 3, 3, 8, tzinfo=UTC)


def record(topic: str, n: int, value: dict[str, Any]) -> dict[str, Any]:
    at = START + timedelta(minutes=n)
    return {
        "topic": topic,
        "timestamp": int(at.timestamp() * 1000),
        "value": {"at": at.isoformat()} | value,
    }


def shops(count: int = 60) -> Iterable[dict[str, Any]]:
    for n in range(count):
        yield record(f"shop-{('no', 'se', 'dk')[n % 3]}", n, {"order": f"o{n}", "total": n + 0.5})


def others(count: int = 60) -> Iterable[dict[str, Any]]:
    """Orders, and what depots write under the same types."""
    for n in range(count):
        kind = ("created", "closed")[n % 2]
        yield record("orders", n, {"type": kind, "order_id": f"o{n}", "total": n + 0.5})
        parcel = {"type": kind, "depot": "north", "weight_kg": 2.5, "lane": n % 4}
        yield record("parcels", n, parcel)


def drafted(
    records: Iterable[dict[str, Any]], folder: Path, *arguments: str
) -> tuple[Plan, Path, Path]:
    file, rules = folder / "dump.ndjson", folder / "rules"
    file.write_text("\n".join(map(json.dumps, records)))
    assert main(["init", str(file), "--rules", str(rules), "--yes", *arguments]) == 0
    (draft,) = rules.glob("*.yaml")
    return load(draft), draft, file


def outcomes(draft: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, int]:
    capsys.readouterr()
    main(["replay", "--rules", str(draft), str(file), "--format", "json"])
    counts: dict[str, int] = json.loads(capsys.readouterr().out.splitlines()[-1])["outcomes"]
    return {name: count for name, count in counts.items() if count}


def test_topics_of_like_records_are_a_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, draft, file = drafted(shops(), tmp_path)
    (contract,) = plan.contracts.values()
    assert (contract.name, draft.name) == ("shop", "shop.yaml")
    assert contract.topics.names == ("shop-no", "shop-se", "shop-dk")
    assert contract.lateness_ms < 60_000  # the order of the file, not of one topic after another
    assert outcomes(draft, file, capsys) == {"folded": 60}


def test_topics_of_other_records_have_contracts_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, draft, file = drafted(others(), tmp_path)
    assert {c.name: (*c.topics.names, c.type_value) for c in plan.contracts.values()} == {
        "created": ("orders", "created"),
        "closed": ("orders", "closed"),
        "parcels.created": ("parcels", "created"),
        "parcels.closed": ("parcels", "closed"),
    }
    assert outcomes(draft, file, capsys) == {"folded": 120}


def test_a_topic_of_the_sample_can_be_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, draft, file = drafted(others(), tmp_path, "--topic", "parcels")
    assert {c.name: c.topics.names for c in plan.contracts.values()} == {
        "created": ("parcels",),
        "closed": ("parcels",),
    }
    assert outcomes(draft, file, capsys) == {"folded": 60, "ignored": 60}


def test_a_topic_that_no_record_names_is_that_of_all(tmp_path: Path) -> None:
    plan, _, _ = drafted(shops(), tmp_path, "--topic", "orders")
    assert [c.topics.names for c in plan.contracts.values()] == [("orders",)]
    assert plan.rules  # thresholds come from the records, whatever topic they name


@pytest.mark.parametrize(
    ("topics", "name"),
    [
        (["shop-no", "shop-se"], "shop"),
        (["a", "b"], "a"),
        (["shop"], "shop"),
    ],
)
def test_topics_are_called_after_what_they_begin_with(topics: list[str], name: str) -> None:
    assert common_name(topics) == name
