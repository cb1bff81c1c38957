"""Records with schemas, good and mutated, read many at a time and compared with the JSON that they
mean, decoded as JSON records are.

`python -m tests.core.decode.schema_fuzz` runs a hundred thousand of each format; `--seed` repeats a
run.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Protocol

from agent.core.decode.avro_format import AvroCodec
from agent.core.decode.codec import BodyError, Codec, encode_json
from agent.core.decode.decoder import Decoder
from agent.core.decode.protobuf_format import ProtobufCodec
from agent.core.model.events import REGISTRY, Contract, Schema
from tests.core.decode.avro_fuzz import InventedAvro
from tests.core.decode.fuzz import by_row, extracted
from tests.core.decode.protobuf_fuzz import InventedProtobuf
from tests.core.decode.samples import batch


class Invented(Protocol):
    """A schema, records of it, and contracts that read some of its paths."""

    schema: Schema

    def record(self) -> bytes: ...

    def contracts(self, others: Sequence[Any]) -> tuple[Contract, ...]: ...


FORMATS: dict[str, tuple[Callable[[random.Random], Any], Callable[[Schema], Codec]]] = {
    "avro": (InventedAvro, AvroCodec),
    "protobuf": (InventedProtobuf, ProtobufCodec),
}


def mutated(rng: random.Random, body: bytes) -> bytes:
    for _ in range(rng.randint(1, 2)):
        at = rng.randrange(len(body) + 1)
        splice = rng.choice([b"", b"\x00", b"\x02", b"\x04", b"\xff", b"\x80", rng.randbytes(3)])
        body = body[:at] + splice + body[at + rng.choice([0, 1, 1, 3]) :]
    return body[: rng.randrange(len(body) + 1)] if rng.random() < 0.2 else body


def differences(
    format: str, seed: int, count: int, size: int = 300
) -> Iterator[tuple[Any, Any, Any]]:
    """(record, expected, found) wherever the columns and the JSON of a record disagree."""
    rng = random.Random(seed)
    invent, codec_of = FORMATS[format]
    while count > 0:
        invented = [invent(rng) for _ in range(rng.choice([1, 1, 3]))]
        schemas = {i: each.schema for i, each in enumerate(invented)}
        codecs = {i: codec_of(schema) for i, schema in schemas.items()}
        contracts = invented[0].contracts(invented)
        if rng.random() < 0.3:
            contracts = tuple(map(extracted, contracts))
        decoder = Decoder([replace(c, format=format, schema=REGISTRY) for c in contracts])
        decoder._extraction.least_records = 0
        plain = Decoder(contracts)
        share = rng.choice([0, 0.01, 0.3])
        values = []
        for _ in range(size):
            which = rng.randrange(len(invented))
            body = invented[which].record()
            body = mutated(rng, body) if rng.random() < share else body
            values.append(b"\0" + which.to_bytes(4, "big") + body)
        got = by_row(decoder.decode(replace(batch(values), schemas=schemas)), size)
        wanted = _expected(plain, [(codecs[value[4]], value[5:]) for value in values], format)
        for value, actual, expected in zip(values, got, wanted, strict=True):
            if repr(actual) != repr(expected):
                alone = by_row(decoder.decode(replace(batch([value]), schemas=schemas)), 1)[0]
                if repr(alone) != repr(actual) or not _is_loose(format, expected, actual):
                    yield (schemas[value[4]], contracts, value), expected, actual
                    break
        count -= size


def _expected(plain: Decoder, bodies: Sequence[tuple[Codec, bytes]], format: str) -> list[Any]:
    documents: list[bytes | None] = []
    for codec, body in bodies:
        try:
            documents.append(encode_json(codec.tree(body)))
        except BodyError:
            documents.append(None)
    sole = None if len(plain.contracts) > 1 else plain.contracts[0].name
    decoded = by_row(plain.decode(batch(documents)), len(documents))
    return [{sole: f"not_{format}"} if verdict == "empty" else verdict for verdict in decoded]


def _is_loose(format: str, expected: Any, actual: Any) -> bool:
    """Whether one reader of Avro refuses what another takes: a branch that a union does not have, a
    number in more bytes than it needs."""
    return format == "avro" and ("not_avro" in repr(expected) or "not_avro" in repr(actual))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--format", choices=FORMATS, action="append")
    options = parser.parse_args(arguments)
    failed = False
    for format in options.format or FORMATS:
        started = time.monotonic()
        unlike = list(islice(differences(format, options.seed, options.records), 10))
        for value, expected, got in unlike:
            sys.stdout.write(f"{value!r}\n  expected {expected}\n  found    {got}\n")
        seconds = time.monotonic() - started
        sys.stdout.write(
            f"{options.records:,} records of {format} in {seconds:.0f} s: "
            f"{len(unlike)} differences\n"
        )
        failed = failed or bool(unlike)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
