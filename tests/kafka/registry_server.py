"""A schema registry that speaks as much of the public REST API as the vendor's client asks for.

https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Registry:
    """Its schemas, by id. `refuse`: the status that all requests get, None: their answer."""

    def __init__(self) -> None:
        self.schemas: list[dict[str, Any]] = []
        self.subjects: dict[str, list[int]] = {}
        self.refuse: int | None = None
        self.asked: list[str] = []
        self.authorization: str | None = None
        self.url = ""

    def register(self, subject: str, content: dict[str, Any]) -> int:
        """The id of a schema, new or not."""
        own = {
            key: content[key] for key in ("schema", "schemaType", "references") if key in content
        }
        if own not in self.schemas:
            self.schemas.append(own)
        number = self.schemas.index(own) + 1
        versions = self.subjects.setdefault(subject, [])
        if number not in versions:
            versions.append(number)
        return number

    def guid(self, number: int) -> str:
        """The GUID of an id."""
        return str(uuid.UUID(int=number))

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:  # noqa: PLR0911
        """Status and content."""
        if self.refuse is not None:
            return self.refuse, {"error_code": self.refuse * 100, "message": "not now"}
        if path == "/subjects":
            return 200, list(self.subjects)
        if match := re.fullmatch(r"/schemas/ids/(\d+)", path):
            return self._schema(int(match[1]))
        if match := re.fullmatch(r"/schemas/guids/([0-9a-f-]+)", path):
            return self._schema(uuid.UUID(match[1]).int)
        if match := re.fullmatch(r"/subjects/([^/]+)/versions", path):
            number = self.register(match[1], body)
            return 200, {"id": number, "guid": self.guid(number)} | body
        if match := re.fullmatch(r"/subjects/([^/]+)/versions/(\w+)", path):
            versions = self.subjects.get(match[1])
            if versions is None:
                return 404, {"error_code": 40401, "message": f"Subject '{match[1]}' not found."}
            version = len(versions) if match[2] == "latest" else int(match[2])
            return self._version(match[1], version)
        if match := re.fullmatch(r"/subjects/([^/]+)", path):
            number = self.register(match[1], body)
            return self._version(match[1], self.subjects[match[1]].index(number) + 1)
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def _schema(self, number: int) -> tuple[int, Any]:
        if not 0 < number <= len(self.schemas):
            return 404, {"error_code": 40403, "message": f"Schema {number} not found"}
        return 200, self.schemas[number - 1] | {"guid": self.guid(number)}

    def _version(self, subject: str, version: int) -> tuple[int, Any]:
        number = self.subjects[subject][version - 1]
        where = {"subject": subject, "version": version, "id": number, "guid": self.guid(number)}
        return 200, self.schemas[number - 1] | where


@contextmanager
def running() -> Iterator[Registry]:
    """A registry that answers at its `url`."""
    registry = Registry()

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            path = self.path.partition("?")[0]
            registry.asked.append(path)
            registry.authorization = self.headers.get("Authorization")
            status, content = registry.answer(self.command, path, body)
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _reply

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is written."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    registry.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
