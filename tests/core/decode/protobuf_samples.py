"""Protobuf schemas that the tests compile from text."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

from agent.core.model.events import Schema


def compiled(files: Mapping[str, str], message: str = "") -> Schema:
    """The schema of `.proto` files, by name, the main one last."""
    with TemporaryDirectory() as folder:
        for name, text in files.items():
            Path(folder, name).write_text(text)
        out = Path(folder, "out")
        include = Path(protoc.__file__).with_name("_proto")
        main = list(files)[-1]
        arguments = ["protoc", f"-I{folder}", f"-I{include}", f"--descriptor_set_out={out}"]
        assert protoc.main([*arguments, "--include_imports", main]) == 0
        return Schema("PROTOBUF", base64.b64encode(out.read_bytes()).decode(), (), message)


def classes(schema: Schema) -> Any:
    """What makes messages of a schema, by full name."""
    files = descriptor_pb2.FileDescriptorSet.FromString(base64.b64decode(schema.text))
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    names = [f"{f.package}.{m.name}".lstrip(".") for f in files.file for m in f.message_type]
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in names
    }
