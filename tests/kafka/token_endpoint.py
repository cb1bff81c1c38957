"""A small token endpoint (RFC 6749): client credentials for unsecured tokens (RFC 7519, `none`)."""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

CLIENT, SECRET = "kpi agent", "right:horse+battery"
LIFE_SECONDS = 60


def unsecured(subject: str, life_seconds: float = LIFE_SECONDS) -> str:
    """A token that says who it is for, without a signature."""
    now = time.time()
    claims = {"sub": subject, "iat": now, "exp": now + life_seconds, "scope": "kafka"}
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."


class TokenEndpoint:
    """The endpoint on a free port; `asked` are the forms that it was sent."""

    def __init__(self, life_seconds: float = LIFE_SECONDS) -> None:
        self.asked: list[dict[str, list[str]]] = []
        self.broken = False
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                endpoint.asked.append(parse_qs(body))
                login = base64.b64decode(self.headers["Authorization"].removeprefix("Basic "))
                if endpoint.broken:
                    self._answer(503, {})
                elif login == b"kpi+agent:right%3Ahorse%2Bbattery":
                    token = unsecured(CLIENT, life_seconds)
                    self._answer(200, {"access_token": token, "expires_in": life_seconds})
                else:
                    self._answer(401, {"error": "invalid_client"})

            def _answer(self, status: int, body: dict[str, Any]) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._server.shutdown()
        self._server.server_close()
