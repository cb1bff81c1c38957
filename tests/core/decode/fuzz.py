"""Mutated records through the decoder, many at a time, compared with a plain reading of each.

`python -m tests.core.decode.fuzz` runs a hundred thousand of them; `--seed` repeats a run.
"""

from __future__ import annotations

import argparse
import gzip
import random
import sys
import time
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import cramjam

from agent.core.decode.batch import Decoded
from agent.core.decode.decoder import Decoder
from agent.core.model.events import REGISTRY, Contract, Field
from agent.core.model.paths import Elements, Root
from tests.core.decode.reference import verdict
from tests.core.decode.samples import ANY, AT, AT_MS, ORDER, VISIT, batch, contract


def extracted(of: Contract) -> Contract:
    """The same contract, whose records have to be read one by one for a field that it has more."""
    return replace(of, fields=(*of.fields, Field("partition", (Root("partition"),), "integer")))


def _of_lines(of: Contract) -> Contract:
    """The contract about lines, of which its fields are."""
    fields = (replace(f, path=("lines", Elements(), *f.path)) for f in of.fields)
    return replace(of, fields=tuple(fields), each=("lines",))


BY_COLUMNS: tuple[tuple[Contract, ...], ...] = (
    (ORDER,),
    (ORDER, VISIT, ANY),
    (ORDER, contract("visit", Field("amount", ("amount",), "string")), ANY),
    (
        contract(
            "3",
            Field("x", ("a", "b", "c"), "integer"),
            Field("flag", ("user", "id"), "boolean"),
        ),
        contract("true", type_path=("k",)),
    ),
)
ONE_BY_ONE: tuple[tuple[Contract, ...], ...] = (
    (extracted(ORDER),),
    (_of_lines(ORDER),),
    (extracted(ORDER), VISIT, extracted(ANY)),
)
FRAMED: tuple[tuple[Contract, ...], ...] = tuple(
    tuple(replace(of, schema=REGISTRY) for of in contracts)
    for contracts in (*BY_COLUMNS, (extracted(ORDER), VISIT))
)
"""Contracts of records behind the id of a schema."""
_ATOMS = [
    "null", "true", "false", "0", "-0", "1", "5.0", "-1.5", "1e3", "1E-7", "0.1e1", "1e999",
    "-1e999",
    "1e-400", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "9" * 38,
    "9" * 39, "9" * 45, "1." + "3" * 60, "NaN", "Infinity", "-Infinity", "01", "1.", ".5",
    "+1", "0x1",
    '""', '"5"', '"5.0"', '"true"', '"null"', '"{"', '"[1]"', '"-1.5"', '"1,234.50"', '"€12"',
    '"é"',
    '"\\u00e9"', '"\\ud83d\\ude00"', '"\\ud800"', '"\\ude00\\ud83d"', '"\\\\ud800"', '"a\\nb"',
    '"a\tb"', '"\\x"', '"\\u12"', '"😀"', '"\u2028"', '"\\u0000"', "{}", "[]", "[[]]", '{"id":1}',
    '{"id":"u"}', '[{"id":"u"}]', "'x'", "undefined", "tru", '{"b":{"c":3}}', '{"b":{"c":"3"}}',
    '{"b":3}', '"20240501"', "20240501", "2025", "1714557600.9999999", '"yesterday"',
]  # fmt: skip
_KEYS = [
    "type", "id", "at", "amount", "items", "region", "gift", "user", "page", "k", "a", "b",
    "other", "",
    "am\\u006funt", "it\\u0065ms", "é", "user.id", "\\ud800", 'a\\"b', "a\\\\b", "amount ",
]  # fmt: skip
_SPLICES = [
    b"\n", b"\r\n", b"\\", b'"', b"{", b"}", b"[", b"]", b",", b":", b"\x00", b"\xff", b"\xc3",
    b"\xed\xa0\x80",
    b"\\ud800", b"\\\\", b" ", b"\t", b"\x0b", b"/*x*/", b"\xef\xbb\xbf", b"1", b"e9", b"null",
    b"}{", b"}\n{",
]  # fmt: skip
_HEADS = [
    b"\x1f\x8b\x08", b"\x78\x01", b"\x78\x9c", b"\x78\xda", b"\x28\xb5\x2f\xfd", b"BZh9",
    b"\xfd7zXZ\x00",
    b"\x04\x22\x4d\x18", b"\x00\x00\x00\x00\x07", b"PK\x03\x04", b"Obj\x01",
]  # fmt: skip


_OF_RECORDS = ("not_json", "not_utf8", "not_an_object")
"""Reasons for which a record is rejected before any of its lines is looked at."""


def records(rng: random.Random, line_share: float = 0.0) -> Iterator[bytes | None]:
    """Records of all sorts without end, about half of them good. `line_share`: how many have
    lines."""
    while True:
        chance = rng.random()
        if chance < 0.02:
            yield rng.choice([None, b"", b" \n", b"\x0b", b"\r"])
            continue
        value = _event(rng, line_share)
        if chance < 0.06:
            value = rng.choice([gzip.compress, zlib.compress, cramjam.zstd.compress])(value)
            value = bytes(value)
        elif chance < 0.10:
            value = rng.choice(_HEADS) + rng.choice([value, b"", b"junk"])
        elif chance < 0.12:
            value = _deep(rng, value)
        elif chance < 0.40:
            value = _mutated(rng, value)
        elif chance < 0.45:
            value = value.replace(b",", b",\n  ")
        yield value


def _framed(rng: random.Random, value: bytes | None) -> bytes | None:
    """A record behind the id of a schema, mostly, and mostly whole."""
    if value is None or rng.random() < 0.1:
        return value
    framed = b"\0" + rng.choice([b"\0\0\0\1", b"{}\n\0", rng.randbytes(4)]) + value
    return framed[: rng.randrange(7)] if rng.random() < 0.01 else framed


def _body(value: bytes | None) -> bytes | None:
    """What a reader of such a record should see. Where nothing is behind the id, that is no JSON,
    as a zero byte is."""
    return value[5:] or b"\0" if value and value[0] == 0 else value


def _good(rng: random.Random) -> bytes:
    kind, number = rng.choice(["order", "visit", "3"]), rng.randrange(99)
    return f'{{"type":"{kind}","at":"{AT}","id":"o{number}","amount":{number}.5}}'.encode()


def _event(rng: random.Random, line_share: float) -> bytes:
    kind = rng.choice(["order", "order", "visit", "3", "other"])
    pairs = [("type", f'"{kind}"'), ("at", rng.choice([f'"{AT}"', str(AT_MS), str(AT_MS / 1000)]))]
    pairs += [("amount", "12.5"), ("id", f'"o{rng.randrange(99)}"'), ("user", '{"id":"u1"}')]
    pairs += [("items", "2"), ("region", '"emea"'), ("gift", "true"), ("page", '"/"')]
    pairs = [pair for pair in pairs if rng.random() < 0.95]
    for _ in range(rng.choice([0, 0, 1, 1, 2, 4])):
        pair = rng.choice(_KEYS), rng.choice(_ATOMS)
        at = rng.randrange(len(pairs) + 1)
        pairs[at : at + rng.choice([0, 1])] = [pair]
    rng.shuffle(pairs)
    blank = rng.choice(["", "", " "])
    if line_share and rng.random() < line_share:
        pairs = _with_lines(rng, pairs)
    body = ",".join(f'"{key}":{blank}{value}' for key, value in pairs)
    return f"{{{body}}}".encode()


def _with_lines(rng: random.Random, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs that say what is ordered moved into lines."""
    own = [pair for pair in pairs if pair[0] in ("type", "id", "at")]
    inner = ",".join(f'"{key}":{value}' for key, value in pairs if (key, value) not in own)
    atoms = [f"{{{inner}}}", f"{{{inner}}}", '{"amount":1}', '{"amount":1,"items":"x"}']
    atoms.append(rng.choice(_ATOMS))
    lines = ",".join(rng.choice(atoms) for _ in range(rng.choice([0, 1, 2, 2, 3])))
    return [*own, ("lines", rng.choice([f"[{lines}]", f"[{lines}]", rng.choice(_ATOMS)]))]


def _mutated(rng: random.Random, value: bytes) -> bytes:
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(value) + 1)
        value = value[:at] + rng.choice(_SPLICES) + value[at + rng.choice([0, 0, 1, 2, 5]) :]
    return value[: rng.randrange(len(value) + 1)] if rng.random() < 0.2 else value


def _deep(rng: random.Random, value: bytes) -> bytes:
    depth = rng.choice([200, 254, 255, 256, 300, 900, 1030, 3000])
    start, end = rng.choice([(b"[", b"]"), (b'{"a":', b"}")])
    inside = rng.choice([b"1", b'"]]]"', b'"\\"}"'])
    nested = start * depth + inside + end * rng.choice([depth, depth, depth - 1])
    return value[:-1] + rng.choice([b',"deep":', b',"user":', b',"amount":']) + nested + b"}"


def differences(
    seed: int,
    count: int,
    batch_size: int = 500,
    sets: Sequence[tuple[Contract, ...]] = BY_COLUMNS + ONE_BY_ONE + FRAMED,
) -> Iterator[tuple[bytes | None, Any, Any]]:
    """(record, expected, found) wherever the decoder of one of the sets of contracts and the plain
    reading disagree."""
    rng = random.Random(seed)
    is_lined = any(c.each is not None for contracts in sets for c in contracts)
    stream = records(rng, 0.3 if is_lined else 0.0)
    decoders = [Decoder(contracts) for contracts in sets]
    while count > 0:
        decoder = rng.choice(decoders)
        lined = {c.name for c in decoder.contracts if c.each is not None}
        size = min(rng.choice([1, 7, batch_size, batch_size, 8 * batch_size]), count)
        # Few of a batch, or many: what is odd hides behind what is worse.
        share = rng.choice([3 / size, 0.05, 1.0])
        values = [next(stream) if rng.random() < share else _good(rng) for _ in range(size)]
        is_framed = decoder.contracts[0].schema == REGISTRY
        if is_framed:
            values = [_framed(rng, value) for value in values]
        decoded = decoder.decode(batch(values))
        got = by_row(decoded, len(values), lined)
        for row, value in enumerate(values):
            body = _body(value) if is_framed else value
            expected = verdict(decoder.contracts, body, AT_MS)
            if repr(got[row]) != repr(expected):
                yield value, expected, got[row]
        count -= size


def by_row(decoded: Decoded, count: int, lined: Collection[str] = ()) -> list[Any]:
    """What was said of each record, in the form of the reference. `lined`: the contracts of
    lines."""
    out: list[Any] = [{} for _ in range(count)]
    for name, table in decoded.tables.items():
        wrong: dict[int, list[str]] = {}
        for (of, field), rows in decoded.wrong_types.items():
            for at in rows.tolist() if of == name else ():
                wrong.setdefault(at, []).append(field)
        for row in table.drop("_partition", "_offset").to_dicts():
            at, id_, time_ms = row.pop("_row"), row.pop("_id"), row.pop("_time")
            event = {"_id": id_, "_time": time_ms, "wrong": sorted(set(wrong.get(at, ())))}
            if name in lined:
                out[at].setdefault(name, []).append(row | event)
            else:
                out[at][name] = row | event
    for row, reject in decoded.rejects:
        of_line = reject.contract in lined and reject.reason not in _OF_RECORDS
        out[row][reject.contract] = "rejected" if of_line else reject.reason.value
    for row in decoded.empty.tolist():
        out[row] = "empty"
    for row in decoded.ignored.tolist():
        out[row] = "ignored"
    return [_ordered(decoded.tables, events) for events in out]


def _ordered(names: Sequence[str] | Any, events: Any) -> Any:
    if not isinstance(events, dict):
        return events
    return {name: events[name] for name in [None, *names] if name in events}


def main() -> int:
    """Run it; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    started = time.monotonic()
    unlike = list(islice(differences(options.seed, options.records), 10))
    for value, expected, got in unlike:
        sys.stdout.write(f"{value!r}\n  expected {expected}\n  found    {got}\n")
    seconds = time.monotonic() - started
    sys.stdout.write(f"{options.records:,} records in {seconds:.0f} s: {len(unlike)} differences\n")
    return 1 if unlike else 0


if __name__ == "__main__":
    sys.exit(main())
