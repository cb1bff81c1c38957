"""Node with Grafana's own packages, which `.ci/install-node.sh` puts into .cache/grafana."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
INSTALLED = HERE.parents[1] / ".cache" / "grafana"
SECONDS = 170


@dataclass(frozen=True, slots=True)
class Workspace:
    """A copy of our TypeScript where Node finds Grafana's packages: in a folder beside them."""

    folder: Path

    def types(self) -> str:
        """What the TypeScript compiler complains of; "" if of nothing."""
        done = self._run(INSTALLED / "node_modules" / ".bin" / "tsc", "--project", ".")
        return done.stdout if done.returncode else ""

    def run(self, script: str, asked: object) -> Any:
        """What a script writes as JSON for what it reads as JSON."""
        self._bundle(f"src/{script}.ts", f"{script}.cjs")
        done = self._run(_node(), f"{script}.cjs", asked=json.dumps(asked))
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout)

    def page(self, script: str, shown: object) -> Path:
        """A page that runs a script with `window.shown`; it needs no server."""
        if not (self.folder / f"{script}.js").exists():
            self._bundle(f"src/{script}.tsx", f"{script}.js")
        given = json.dumps(shown).replace("<", "\\u003c")
        page = self.folder / f"{script}.html"
        page.write_text(
            '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">\n'
            f'<link rel="stylesheet" href="{script}.css">\n'
            f'<div id="root"></div><script>window.shown = {given}</script>\n'
            f'<script src="{script}.js"></script>\n'
        )
        return page

    def _bundle(self, script: str, bundle: str) -> None:
        done = self._run(_node(), "bundle.mjs", script, bundle)
        assert done.returncode == 0, done.stderr[-4000:]

    def _run(
        self, *command: str | Path, asked: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, input=asked, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip


def _node() -> str:
    node = shutil.which("node")
    assert node, "node is missing: run .ci/install-node.sh"
    return node


@contextmanager
def workspace() -> Iterator[Workspace]:
    """A workspace for as long as the block lasts."""
    assert (INSTALLED / "installed.json").is_file(), "run .ci/install-node.sh"
    with tempfile.TemporaryDirectory(dir=INSTALLED) as folder:
        shutil.copytree(HERE / "src", Path(folder) / "src")
        for name in ("bundle.mjs", "tsconfig.json"):
            shutil.copy(HERE / name, folder)
        yield Workspace(Path(folder))
