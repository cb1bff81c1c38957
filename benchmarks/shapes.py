"""W in the shapes that people send: CPU time an event, from the records' bytes to folded partials.

    python -m benchmarks.shapes --events 100000

The same events and KPIs in each shape; only where things stand in a record differs. The shapes
take turns, batch by batch, so that all of them meet the same machine; what counts are the ratios
within a run. Beside them, `polars` reads the same lines by `read_ndjson` with a schema of what the
KPIs ask for, and groups them by the same dimensions: without times, verdicts or windows.
"""

from __future__ import annotations

import base64
import gc
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from agent.core.decode.batch import Batch, Headers
from agent.core.fold.folder import Folder
from agent.core.model.events import Contract, Envelope, InnerText, TimeSource
from agent.core.model.paths import Elements, Keys, Root
from agent.core.model.plan import Plan
from agent.language.load import load
from benchmarks import results
from benchmarks.broker import ROOT
from benchmarks.workload import Shape as Workload
from benchmarks.workload import chunk

BATCH_RECORDS = 20_000
TURNS = 5
LINES = 5
_AROUND = Root("envelope")
_AT_RECORD = (TimeSource((Root("timestamp"),)),)
_FIELDS = {
    "region": pl.String, "channel": pl.String, "amount": pl.Float64,
    "response_seconds": pl.Float64, "employee": pl.String, "score": pl.Int64,
}  # fmt: skip

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """How events are written, several to a record in `per_record`, and what a contract says of it.

    `headers`: those of a record. `path`: where an event stands, for polars; None: not measured.
    """

    write: Callable[[Any], bytes]
    contract: Callable[[Contract], Contract] = lambda contract: contract
    headers: Callable[[Event], Headers] | None = None
    path: Keys | None = None
    per_record: int = 1


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _below(*begin: Any) -> Callable[[Contract], Contract]:
    """A contract whose fields stand below a path."""
    return lambda contract: replace(
        contract, fields=tuple(replace(f, path=(*begin, *f.path)) for f in contract.fields)
    )


def _with(**changes: Any) -> Callable[[Contract], Contract]:
    return lambda contract: replace(contract, **changes)


def _own(event: Event) -> Event:
    return {key: event[key] for key in ("type", "id", "at")}


def _nested(event: Event) -> bytes:
    """About 700 bytes: the event among what a tracker adds."""
    device = {"os": "android", "version": "14.1", "model": "SM-S918B", "locale": "en-GB"}
    screen = {"width": 1080, "height": 2340, "density": 3.0}
    page = {"url": "https://shop.example.org/basket?step=2", "referrer": "https://example.org/"}
    context = {
        "device": device,
        "screen": screen,
        "page": page,
        "ip": "203.0.113.7",
        "library": {"name": "tracker", "version": "5.2.1"},
        "session": event["id"] * 3,
        "campaign": {"source": "mail", "medium": "letter", "name": "spring", "term": None},
        "flags": [True, False, True],
        "consent": {"ads": False, "analytics": True},
    }
    return _json({**_own(event), "context": context, "properties": event, "version": 2})


def _hosting(event: Event) -> bytes:
    """About 1.8 kB: the event in the payload of a notification about a code repository."""
    url = "https://code.example.org/api/repos/1296269"
    user = {
        "login": "octavia",
        "id": 583231,
        "type": "User",
        "site_admin": False,
        "avatar": "https://img.example.org/u/583231?v=4",
        "url": url + "/users/octavia",
    }
    links = {name: f"{url}/{name}{{/sha}}" for name in ("commits", "trees", "tags", "issues")}
    repo = {
        "id": 1296269,
        "name": "hello",
        "full_name": "octavia/hello",
        "private": False,
        "owner": user,
        "stars": 80,
        "topics": ["graph", "alerts"],
        **links,
    }
    change = {
        "number": 42,
        "state": "open",
        "title": 'Read "columns" first',
        "user": user,
        "labels": [{"id": 2080, "name": "bug", "color": "f29513"}],
        "draft": False,
        "reviewer": {**user, "login": "hubert"},
        "merged_at": None,
        "additions": 104,
        "deletions": 12,
        "event": event,
        "head": {"ref": "columns", "sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e"},
    }
    return _json({**_own(event), "actor": user, "repo": repo, "payload": {"change": change}})


def _cloud_headers(event: Event) -> Headers:
    attributes = {"specversion": "1.0", "type": event["type"], "source": "/w", "id": event["id"]}
    return [("ce_" + name, value.encode()) for name, value in attributes.items()]


def _cloud(event: Event) -> bytes:
    return _json({"specversion": "1.0", "source": "/w", **_own(event), "data": event})


def _change(event: Event) -> Event:
    source = {"connector": "postgresql", "db": "shop", "table": "orders", "lsn": 24023128}
    return {"before": None, "after": event, "source": source, "op": "c", "ts_ms": event["at"]}


_SCHEMA = {
    "type": "struct",
    "fields": [{"field": "after", "type": "struct", "optional": True, "fields": [
        {"field": name, "type": "string", "optional": True} for name in _FIELDS]}],
}  # fmt: skip


def _lines(events: Sequence[Event]) -> bytes:
    return _json({**_own(events[0]), "type": "any", "lines": events})


def _index(event: Event) -> bytes:
    return _json({**_own(event), "items": [{"sku": "a"}, event]})


def _text(event: Event) -> bytes:
    return _json({**_own(event), "data": base64.b64encode(_json(event)).decode()})


def _lined(contract: Contract) -> Contract:
    of_lines = _below("lines", Elements())(contract)
    return replace(of_lines, each=("lines",), type_path=None)


_BASE64 = InnerText(("data",), ("base64", "json"))
_CLOUD = {"envelope": Envelope("cloudevents"), "type_path": (_AROUND, "type")}
SHAPES: dict[str, Shape] = {
    "flat, 157 bytes": Shape(_json, path=()),
    "nested, 700 bytes": Shape(_nested, _below("properties"), path=("properties",)),
    "1.8 kB": Shape(
        _hosting, _below("payload", "change", "event"), path=("payload", "change", "event")
    ),
    "type in a header, record's time": Shape(
        _json,
        _with(type_path=(Root("header", "type"),), times=_AT_RECORD),
        lambda event: [("type", event["type"].encode()), ("trace", b"00-4bf92f3577b34da6")],
    ),
    "CloudEvents, structured": Shape(_cloud, _with(**_CLOUD, times=(TimeSource((_AROUND, "at")),))),
    "CloudEvents, binary": Shape(_json, _with(**_CLOUD), _cloud_headers),
    "Debezium": Shape(lambda event: _json(_change(event)), _with(envelope=Envelope("debezium"))),
    "Debezium with its schema": Shape(
        lambda event: _json({"schema": _SCHEMA, "payload": _change(event)}),
        _with(envelope=Envelope("debezium")),
    ),
    "lines of an array, each": Shape(
        _lines,
        _lined,
        per_record=LINES,
    ),
    "events of an array, each": Shape(
        _lines, _with(envelope=Envelope("list", path=("lines",))), per_record=LINES
    ),
    "an element by its index": Shape(_index, _below("items", 1)),
    "JSON in base64": Shape(_text, lambda c: replace(_below("data")(c), decode=(_BASE64,))),
}
BAD = {"one bad record in 20,000": 20_000, "3 % bad records": 33}
"""The flat shape with a bad record now and then: of what kinds people send."""
_BAD_RECORDS = (
    b'{"type":"order.completed","at":NaN}', b"not JSON", b'{"type":"order.completed"}',
    b'{"type":"order.completed","at":1700000000000,"amount":"a lot"}', b"[]",
    b'{"type":"order.completed","at":"yesterday","amount":1}',
)  # fmt: skip


def _plan(plan: Plan, shape: Shape) -> Plan:
    contracts = {name: shape.contract(contract) for name, contract in plan.contracts.items()}
    return replace(plan, contracts=contracts)


class _Records:
    """The records of a shape, in batches."""

    def __init__(self, shape: Shape, events: Sequence[Event], bad_every: int = 0) -> None:
        size = shape.per_record
        groups = [events[i : i + size] for i in range(0, len(events), size)]
        self.values = [shape.write(group if size > 1 else group[0]) for group in groups]
        if bad_every:
            for number, at in enumerate(range(bad_every // 2, len(events), bad_every)):
                self.values[at] = _BAD_RECORDS[number % len(_BAD_RECORDS)]
        self._headers = [shape.headers(group[0]) for group in groups] if shape.headers else []
        self._stamps = np.array([group[-1]["at"] for group in groups])
        self._size = size

    def batch(self, first: int) -> Batch:
        """The records of events `[first, first + BATCH_RECORDS)`."""
        part = slice(first // self._size, (first + BATCH_RECORDS) // self._size)
        values: list[bytes | None] = list(self.values[part])
        count = len(values)
        return Batch(
            "bench-w", values, np.zeros(count, np.int32),
            np.arange(part.start, part.start + count), self._stamps[part],
            headers=dict(enumerate(self._headers[part])),
        )  # fmt: skip


def _agent_seconds(folder: Folder, batch: Batch) -> float:
    started = time.process_time()
    decoded = folder.decode(batch)
    folder.fold(batch, decoded, int(batch.timestamps[-1]))
    return time.process_time() - started


def _polars_seconds(values: Sequence[bytes | None], path: Keys) -> float:
    """The same groups by polars alone."""
    started = time.process_time()
    inner: Any = pl.Struct({**_FIELDS, "type": pl.String, "at": pl.Int64})
    for key in reversed(path):
        inner = pl.Struct({key: inner})
    frame = pl.read_ndjson(b"\n".join(values), schema=dict(inner.to_schema()))  # type: ignore[arg-type]
    for key in path:
        frame = frame.select(pl.col(key).struct.unnest())
    minute = (pl.col("at") // 60_000).alias("minute")
    amount = pl.col("amount")
    for of_type, by, values_of in (
        ("order.completed", ["region", "channel"],
         [pl.len(), amount.sum().alias("s"), amount.min().alias("l"), amount.max().alias("h")]),
        ("ticket.answered", ["region"], [pl.col("response_seconds").mean()]),
        ("feedback.submitted", ["employee"], [pl.col("score").mean()]),
    ):  # fmt: skip
        frame.lazy().filter(pl.col("type") == of_type).group_by(minute, *by).agg(
            values_of
        ).collect()
    return time.process_time() - started


def measure(count: int) -> Mapping[str, Any]:
    """Bytes a record, and CPU time an event (µs), by shape; medians over turns."""
    events = [json.loads(line) for line in chunk(Workload(count), 0, count)["json"].to_list()]
    flat = SHAPES["flat, 157 bytes"]
    shapes = {**SHAPES, **dict.fromkeys(BAD, flat)}
    records = {name: _Records(shape, events, BAD.get(name, 0)) for name, shape in shapes.items()}
    plan = load(ROOT / "benchmarks" / "rules" / "w")
    runs: dict[str, list[float]] = {name: [] for name in shapes}
    polars: dict[str, list[float]] = {n: [] for n, s in SHAPES.items() if s.path is not None}
    gc.collect()
    gc.freeze()  # the events themselves are not the agent's to look through
    for _ in range(TURNS):
        folders = {name: Folder(_plan(plan, shape), "bench-w", 8) for name, shape in shapes.items()}
        spent = dict.fromkeys(shapes, 0.0)
        alone = dict.fromkeys(polars, 0.0)
        for folder in folders.values():
            folder.assign(0, None)
        for first in range(0, count, BATCH_RECORDS):
            for name, of in records.items():
                batch = of.batch(first)
                spent[name] += _agent_seconds(folders[name], batch)
                path = shapes[name].path
                if name in alone and path is not None:
                    alone[name] += _polars_seconds(batch.values, path)
        for name, seconds in spent.items():
            runs[name].append(seconds / count * 1e6)
        for name, seconds in alone.items():
            polars[name].append(seconds / count * 1e6)
    return {
        name: {
            "bytes": round(sum(map(len, records[name].values)) / len(records[name].values)),
            "total_us": round(float(np.median(of)), 3),
            "polars_us": round(float(np.median(polars[name])), 3) if name in polars else None,
        }
        for name, of in runs.items()
    }


def main() -> None:
    """Measure, print and keep it."""
    parser = results.arguments(__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    options = parser.parse_args()
    measured = measure(options.events)
    flat = measured["flat, 157 bytes"]["total_us"]
    for name, of in measured.items():
        beside = f"{of['total_us'] / of['polars_us']:.2f} x polars" if of["polars_us"] else ""
        print(
            f"{name:34} {of['bytes']:6} {of['total_us']:8.2f} {of['total_us'] / flat:6.2f} {beside}"
        )
    results.save("shapes", {"events": options.events, "turns": TURNS, "shapes": measured})


if __name__ == "__main__":
    main()
