"""Events in the shapes of public systems: whatever contract is tried, there is no traceback."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main

CLOUD_EVENT = {
    "specversion": "1.0",
    "id": "a-1",
    "source": "/shop",
    "type": "com.example.order.placed",
    "time": "2025-03-03T09:00:00.123456Z",
    "data": {"total": "1,234.50", "lines": [{"sku": "a", "price": 1.5}]},
}
SHAPES: dict[str, list[Any]] = {
    "cloudevents": [CLOUD_EVENT],
    "a batch of cloudevents": [[CLOUD_EVENT, CLOUD_EVENT], []],
    "change capture": [
        {"before": None, "after": {"id": 1, "price": "YW=="}, "op": "c", "ts_ms": 1741000000000},
        {"before": {"id": 1}, "after": None, "op": "d", "ts_ms": 1741000000000},
    ],
    "change capture with its schema": [
        {"schema": {"type": "struct", "fields": [{"field": "id"}]}, "payload": {"day": 20150}},
    ],
    "analytics": [{"event": "Order", "properties": {"time": 1741000000, "$insert_id": "x"}}],
    "extended JSON": [{"_id": {"$oid": "65"}, "at": {"$date": {"$numberLong": "1741000000000"}}}],
    "a notification with JSON in a string": [{"Type": "N", "Message": '{"total": 5}', "Seq": "1"}],
    "resources": [{"resourceType": "Encounter", "status": "done", "extension": [{"url": "u"}]}],
    "dots in keys": [{"Timestamp": "1741000000000000000", "Attributes": {"http.code": 200}}],
    "dates as numbers": [{"event_date": "20250303", "event_timestamp": 1741000000000000}],
    "changing types": [{"v": 1}, {"v": "1"}, {"v": {"x": 1}}, {"v": [1]}, {"v": None}, {"v": 1.5}],
    "no events": ["text", 5, None, True, []],
}  # fmt: skip


def paths(value: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every place in a value, objects and lists as well."""
    if above:
        yield above
    if isinstance(value, dict) and len(above) < 4:
        for key, inner in value.items():
            yield from paths(inner, (*above, key))


@pytest.mark.parametrize("shape", SHAPES)
def test_no_contract_makes_a_shape_a_traceback(shape: str, tmp_path: Path) -> None:
    file = tmp_path / "t.ndjson"
    file.write_text("".join(json.dumps(record) + "\n" for record in SHAPES[shape]))
    all_paths = [path for record in SHAPES[shape] for path in paths(record)]
    dotted = list(dict.fromkeys(".".join(path) for path in all_paths if all(path))) or ["x"]
    types = ["string", "integer", "float", "boolean"]
    for number, at in enumerate(islice(dotted, 12)):
        leaves = [p for p in dotted if not any(o != p and o.startswith(p + ".") for o in dotted)]
        fields = {
            f"f{i}": {"path": path, "type": types[(number + i) % 4], "required": i % 5 == 4}
            for i, path in enumerate(leaves)
        }
        event = {"topic": "t", "type_field": "none", "time": at, "id": dotted[-1], "fields": fields}
        kpi = {"from": "e", "value": "count(*)", "window": "1d"}
        rules = tmp_path / f"r{number}.yaml"
        rules.write_text(json.dumps({"version": 1, "events": {"e": event}, "kpis": {"n": kpi}}))
        assert main(["replay", "--rules", str(rules), str(file)]) in (0, 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_init_says_in_words_what_it_can_not_draft(shape: str, tmp_path: Path) -> None:
    file = tmp_path / "t.ndjson"
    file.write_text("".join(json.dumps(record) + "\n" for record in SHAPES[shape] * 30))
    assert main(["init", "--yes", "--rules", str(tmp_path / "rules"), str(file)]) in (0, 1, 3)
