"""Reads schema files beside the rules: `.avsc`, `.proto`, or a Protobuf descriptor set."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from agent.core.decode.schemas import SchemaError
from agent.core.model.events import REGISTRY, Schema
from agent.language.declared import Declared, Entry
from agent.language.models.events import EventSpec

MAX_BYTES = 4 * 2**20
"""Of a file: the largest schemas of public systems have a few hundred kilobytes."""
EXTRA = "pip install 'kpi-agent[schemas]'"


def read_all(declared: Declared) -> None:
    """Read the schema of each event that names a file; reports what is wrong with it."""
    for entry in declared.events.values():
        model = entry.model
        if model.schema_ in (None, REGISTRY) or model.format == "json" or entry.holes:
            continue
        try:
            declared.schemas[entry.name] = _read(entry)
        except SchemaError as error:
            declared.report(entry, ("schema",), str(error), _HINTS[model.format])
        except ImportError:
            message = f"the format {model.format} needs a library that is not installed"
            declared.report(entry, ("format",), message, EXTRA)


_HINTS = {
    "avro": "an Avro schema in JSON (.avsc), or `schema: registry`",
    "protobuf": "a .proto file, a descriptor set (protoc --include_imports "
    "--descriptor_set_out=FILE), or `schema: registry`",
}


def _read(entry: Entry[EventSpec]) -> Schema:
    path = Path(entry.source.name).parent / str(entry.model.schema_)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SchemaError(f"{path} has more than {MAX_BYTES // 2**20} MiB")
        content = path.read_bytes()
    except OSError as error:
        raise SchemaError(f"{path} cannot be read: {error.strerror}") from error
    return _READERS[entry.model.format](path, content, entry.model.message)


def _avro(path: Path, content: bytes, message: str | None) -> Schema:
    from agent.core.decode.avro_format import AvroCodec

    try:
        schema = Schema("AVRO", content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SchemaError(f"{path} is not UTF-8") from error
    AvroCodec(schema)
    return schema


def _protobuf(path: Path, content: bytes, message: str | None) -> Schema:
    from agent.core.decode.protobuf_format import ProtobufCodec
    from agent.core.decode.protobuf_schema import ProtobufSchema

    if path.suffix == ".proto":
        content = _compiled(path)
    schema = Schema("PROTOBUF", base64.b64encode(content).decode())
    name = message or ProtobufSchema(schema).first.full_name
    schema = Schema(schema.kind, schema.text, (), name)
    ProtobufCodec(schema)
    return schema


def _compiled(path: Path) -> bytes:
    """The descriptor set of a `.proto` file; it imports what lies beside it. The compiler runs as a
    process of its own: it writes its errors to standard error."""
    from grpc_tools import protoc

    with TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        command = [sys.executable, "-m", protoc.__name__, f"--descriptor_set_out={out}"]
        command += ["--include_imports", f"-I{path.parent}"]
        command += [f"-I{Path(protoc.__file__).with_name('_proto')}", str(path)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if ran.returncode != 0:
            raise SchemaError(ran.stderr.strip() or f"{path} cannot be compiled")
        return out.read_bytes()


_READERS: Mapping[str, Callable[[Path, bytes, str | None], Schema]] = {
    "avro": _avro,
    "protobuf": _protobuf,
}
