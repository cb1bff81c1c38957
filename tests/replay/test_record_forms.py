"""Records with key, headers and timestamp in files."""

import json
from pathlib import Path

import pytest

from agent.cli import main
from agent.replay.record_forms import FileRecord, form_of, record_line, records_in

STAMP = 1_741_000_000_000
VALUE = b'{"total":1.10}'
RECORD = FileRecord(VALUE, b"k1", (("type", b"order"), ("try", b"2")), STAMP)

RULES = """
version: 1
events:
  order:
    topic: shop
    type_field: {header: type}
    time: record
    id: {key: true}
    fields: {total: float}
kpis:
  revenue: {unit: eur, from: order, value: sum(total), window: 1h}
"""


def read(line: bytes, *more: bytes) -> list[FileRecord]:
    lines = [line, *more]
    records = records_in(lines, form_of(line))
    assert records.timestamps is not None
    return [
        FileRecord(value, records.keys[i], records.headers.get(i, ()), records.timestamps[i])
        for i, value in enumerate(records.values)
    ]


@pytest.mark.parametrize(
    "line",
    [
        b'{"topic":"shop","partition":0,"offset":7,"timestamp":1741000000000,"key":"k1",'
        b'"headers":{"type":"order","try":2},"value":{"total":1.10}}',
        b'{"topic":"shop","timestamp":1741000000000,"key_base64":"azE=",'
        b'"headers":[["type","order"],["try","2"]],"value":"{\\"total\\":1.10}"}',
        b'{"topic":"shop","partition":0,"offset":7,"tstype":"create","ts":1741000000000,"broker":1,'
        b'"headers":["type","order","try","2"],"key":"k1","payload":"{\\"total\\":1.10}"}',
        b'CreateTime:1741000000000\ttype:order,try:2\tk1\t{"total":1.10}',
        b'LogAppendTime:1741000000000\tPartition:3\tOffset:9\ttype:order,try:2\tk1\t{"total":1.10}',
    ],
)
def test_a_record_is_read_with_its_key_headers_and_timestamp(line: bytes) -> None:
    assert read(line) == [RECORD]


def test_a_record_that_is_written_is_read_back() -> None:
    headers = (("type", b"order"), ("__value_schema_id", b"\x01\xff"), ("type", b"ret\xc3\xa9"))
    for record in (
        RECORD,
        RECORD._replace(value=b"\xff\x00", key=b"\xfe", timestamp_ms=-1),
        RECORD._replace(value=None, key=None, headers=()),
    ):
        assert read(record_line(record)) == [record]
    [back] = read(record_line(RECORD._replace(headers=headers)))
    assert sorted(back.headers) == sorted(headers)


@pytest.mark.parametrize("each", ["", "each: lines, "])
@pytest.mark.parametrize(
    ("line", "position"),
    [
        (
            '{"topic":"shop","timestamp":1741000000000,"partition":3,"offset":9,"value":{"lines":[1]}}',
            [3, 9],
        ),
        (
            '{"topic":"shop","partition":3,"offset":9,"key":"","ts":1741000000000,"payload":"{}"}',
            [3, 9],
        ),
        ("CreateTime:1741000000000\tPartition:3\tOffset:9\t{}", [3, 9]),
        ("CreateTime:1741000000000\t{}", [0, 0]),
        (
            '{"topic":"shop","timestamp":1741000000000,"partition":-1,"offset":-1,"value":{}}',
            [0, 0],
        ),
    ],
)
def test_fields_have_the_partition_and_offset_of_the_record(
    line: str, position: list[int], each: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules, events = tmp_path / "rules.yaml", tmp_path / "dump.txt"
    rules.write_text(
        f"""
version: 1
events:
  order:
    {{topic: shop, type_field: none, time: record, {each}fields: {{
      p: {{path: {{record: partition}}, type: integer}},
      o: {{path: {{record: offset}}, type: integer}}}}}}
kpis:
  orders: {{from: order, value: count(*), by: [p, o], window: 1h}}
"""
    )
    lines = r"{\"lines\":[1]}" if "payload" in line else '{"lines":[1]}'
    events.write_text(line.replace("{}", lines) + "\n")
    assert main(["replay", "--rules", str(rules), str(events), "--format", "json"]) == 0
    window, _ = map(json.loads, capsys.readouterr().out.splitlines())
    assert list(map(int, window["dimensions"].values())) == position


def test_tombstones_and_what_a_record_lacks() -> None:
    bare = FileRecord(None, None, (), STAMP)
    assert read(b'{"topic":"shop","timestamp":1741000000000,"value":null}') == [bare]
    assert read(b"CreateTime:1741000000000\tNO_HEADERS\tnull\tnull") == [bare]
    assert read(b"CreateTime:1741000000000\tk1\tnull") == [bare._replace(key=b"k1")]
    assert read(b"NO_TIMESTAMP\tnull") == [bare._replace(timestamp_ms=-1)]


@pytest.mark.parametrize(
    "line",
    [
        b'{"timestamp":1,"value":3}',
        b'{"topic":"news","value":3,"author":"x"}',
        b'{"key":"a","value":"b","headers":{}}',
        b"",
        b"CreateTime",
        b"[]",
    ],
)
def test_events_that_look_like_records_are_events(line: bytes) -> None:
    assert form_of(line) is None


def test_a_line_of_another_form_is_an_event_by_itself() -> None:
    first = b'{"topic":"shop","timestamp":1741000000000,"key":"k1","value":{}}'
    odd = [b"{", b'{"topic":"shop","value_base64":"%"}', b"CreateTime:1\t{}"]
    assert [record.value for record in read(first, *odd)] == [b"{}", *odd]


def test_replay_reads_what_the_record_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules, events = tmp_path / "rules.yaml", tmp_path / "dump.txt"
    rules.write_text(RULES)
    events.write_bytes(
        b'CreateTime:1741000000000\ttype:order\tk1\t{"total":1.10}\n'
        b'CreateTime:1741000000001\ttype:order\tk1\t{"total":1.10}\n'
        b'CreateTime:1741000000002\ttype:visit\tk2\t{"total":5}\n'
        b'CreateTime:1741000000003\ttype:order\tk3\t{"total":2}\n'
    )
    assert main(["replay", "--rules", str(rules), str(events), "--format", "json"]) == 0
    window, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert (window["value"], window["start"]) == (3.1, "2025-03-03T11:00:00Z")
    counts = summary["outcomes"]
    assert (counts["folded"], counts["duplicate"], counts["ignored"]) == (2, 1, 1)
