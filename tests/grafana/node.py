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

# What Grafana's packages expect of a browser before they compute anything.
BROWSER = """
globalThis.window = globalThis;
globalThis.location = { href: "http://localhost/" };
globalThis.localStorage = { getItem: () => null };
globalThis.navigator = { language: "en", languages: ["en"] };
"""


@dataclass(frozen=True, slots=True)
class Workspace:
    """A copy of our TypeScript where Node finds Grafana's packages: in a folder beside them."""

    folder: Path

    def types(self) -> str:
        """What the TypeScript compiler complains of; "" if of nothing."""
        return self._run("tsc", "--project", ".", fails=True)

    def run(self, script: str, asked: object) -> Any:
        """What a script writes as JSON for what it reads as JSON."""
        bundle = self.folder / f"{script}.cjs"
        self._run(
            "esbuild", f"src/{script}.ts", "--platform=node", "--main-fields=module,main",
            f"--outfile={bundle}", f"--banner:js={BROWSER}", *_BUNDLED,
        )  # fmt: skip
        node = shutil.which("node")
        assert node, "node is missing: run .ci/install-node.sh"
        done = subprocess.run(
            [node, bundle], input=json.dumps(asked), capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout)

    def page(self, script: str, shown: object) -> Path:
        """A page that runs a script with `window.shown`; it needs no server."""
        self._run(
            "esbuild", f"src/{script}.tsx", f"--outfile={self.folder / script}.js", *_BUNDLED,
            "--minify", '--define:process.env.NODE_ENV="production"',
        )  # fmt: skip
        given = json.dumps(shown).replace("<", "\\u003c")
        page = self.folder / f"{script}.html"
        page.write_text(
            '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">\n'
            f'<div id="root"></div><script>window.shown = {given}</script>\n'
            f'<script src="{script}.js"></script>\n'
        )
        return page

    def _run(self, tool: str, *arguments: str, fails: bool = False) -> str:
        done = subprocess.run(
            [INSTALLED / "node_modules" / ".bin" / tool, *arguments], cwd=self.folder,
            capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        assert fails or done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr if done.returncode else ""


_BUNDLED = (
    "--bundle",
    "--log-level=error",
    "--loader:.ttf=empty",
    "--loader:.css=empty",
    "--loader:.svg=dataurl",
)


@contextmanager
def workspace() -> Iterator[Workspace]:
    """A workspace for as long as the block lasts."""
    assert (INSTALLED / "installed.json").is_file(), "run .ci/install-node.sh"
    with tempfile.TemporaryDirectory(dir=INSTALLED) as folder:
        shutil.copytree(HERE / "src", Path(folder) / "src")
        shutil.copy(HERE / "tsconfig.json", folder)
        yield Workspace(Path(folder))
