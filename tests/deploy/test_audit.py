"""`make audit` fails on a known vulnerability, and where nobody says whether there is one."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.conftest import ROOT

ADVISORY = {
    "id": "PYSEC-2099-1",
    "summary": "templates leave their sandbox",
    "modified": "2099-01-01T00:00:00Z",
    "affected": [{"package": {"ecosystem": "PyPI", "name": "jinja2"}}],
}


class Osv(BaseHTTPRequestHandler):
    """OSV's interface, with one advisory at most."""

    vulnerable = ""
    asked: dict[str, str]

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        queries = json.loads(self.rfile.read(length))["queries"]
        self.asked.update((query["package"]["name"], query["version"]) for query in queries)
        known = {"vulns": [{"id": ADVISORY["id"], "modified": ADVISORY["modified"]}]}
        self._answer(
            {"results": [known if q["package"]["name"] == self.vulnerable else {} for q in queries]}
        )

    def do_GET(self) -> None:
        self._answer(ADVISORY)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _answer(self, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def osv(vulnerable: str = "") -> Iterator[tuple[str, dict[str, str]]]:
    """The address of an OSV database in which one package is vulnerable; and what it is asked."""
    asked: dict[str, str] = {}
    handler = type("Database", (Osv,), {"vulnerable": vulnerable, "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def without_make() -> dict[str, str]:
    """The environment without the variables that `make test ARGS=…` hands down to other makes."""
    return {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}


def audit(address: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--silent", "-C", str(ROOT), "audit"],
        env={**without_make(), "ARGS": f"--service-url {address} --project {folder}"},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_every_locked_package_is_asked_for() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    locked = {p["name"]: p["version"] for p in lock["package"] if "registry" in p["source"]}
    with osv() as (address, asked):
        made = audit(address)
    assert made.returncode == 0, made.stderr
    assert asked == locked


def test_a_known_vulnerability_fails_and_is_named() -> None:
    with osv("jinja2") as (address, _):
        made = audit(address)
    assert made.returncode != 0
    assert "PYSEC-2099-1: templates leave their sandbox" in made.stdout


def test_a_database_that_does_not_answer_fails() -> None:
    with osv() as (address, _):
        pass  # nobody listens there any more
    made = audit(address)
    assert made.returncode != 0
    assert "error sending request" in made.stderr


def test_an_exception_in_pyproject_is_passed_over(tmp_path: Path) -> None:
    pyproject = (ROOT / "pyproject.toml").read_text()
    assert "\nignore = []\n" in pyproject
    changed = pyproject.replace("\nignore = []\n", '\nignore = ["PYSEC-2099-1"]\n')
    (tmp_path / "pyproject.toml").write_text(changed)
    (tmp_path / "uv.lock").write_text((ROOT / "uv.lock").read_text())
    with osv("jinja2") as (address, _):
        assert audit(address).returncode != 0
        assert audit(address, tmp_path).returncode == 0
