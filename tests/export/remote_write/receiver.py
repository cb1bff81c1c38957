"""A receiver of remote write in this process: reads requests by the protocol's own .proto files."""

from __future__ import annotations

import functools
import importlib
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cramjam
from aiohttp import web
from aiohttp.test_utils import TestServer
from grpc_tools import protoc

from agent.export.remote_write.wire import Sample

PROTO = """
syntax = "proto3";
package prometheus;
message Label { string name = 1; string value = 2; }
message Sample { double value = 1; int64 timestamp = 2; }
message TimeSeries { repeated Label labels = 1; repeated Sample samples = 2; }
message WriteRequest { repeated TimeSeries timeseries = 1; reserved 2; }
"""
"""From https://prometheus.io/docs/specs/prw/remote_write_spec/#protocol."""


@functools.cache
def write_request() -> Any:
    """The class of the message, by protoc."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "prw_spec.proto").write_text(PROTO)
        assert (
            protoc.main(["protoc", f"-I{folder}", f"--python_out={folder}", "prw_spec.proto"]) == 0
        )
        sys.path.insert(0, folder)
        try:
            return importlib.import_module("prw_spec_pb2").WriteRequest
        finally:
            sys.path.remove(folder)


def samples_of(body: bytes) -> list[Sample]:
    """The samples of a request, series by series."""
    request = write_request().FromString(bytes(cramjam.snappy.decompress_raw(body)))
    return [
        Sample(tuple((label.name, label.value) for label in series.labels), s.timestamp, s.value)
        for series in request.timeseries
        for s in series.samples
    ]


@dataclass
class Receiver:
    """Accepts what `refuses` says nothing of, each request whole or not at all, as Prometheus
    does. `answers` are (status, headers) that the next requests get whatever they hold."""

    refuses: Callable[[Sample], str | None] = lambda _sample: None
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    stored: list[Sample] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def write(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        if self.answers:
            status, headers = self.answers.pop(0)
            return web.Response(status=status, headers=headers, text="not now")
        samples = samples_of(await request.read())
        for sample in samples:
            if (text := self.refuses(sample)) is not None:
                return web.Response(status=400, text=text)
        self.stored += samples
        return web.Response(status=204)


@asynccontextmanager
async def serving(receiver: Receiver) -> AsyncIterator[str]:
    """Serve it; the URL to write to."""
    app = web.Application()
    app.router.add_post("/api/v1/write", receiver.write)
    async with TestServer(app) as server:
        yield str(server.make_url("/api/v1/write"))
