"""The page about trusting a rule before it pages does what it says."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from agent.cli import main
from agent.commands.common import instant as clock_of
from agent.export.web.server import serving
from agent.language.load import load
from agent.replay.runner import Replayed, pipeline_over, sources, stream
from tests.conftest import ROOT
from tests.docs.shell import walk
from tests.export.running_agent import running_agent

PAGE = (ROOT / "docs" / "before-paging.md").read_text()


AGENT = re.compile(
    r"```sh\nkpi-agent (diff --agent (\S+) [^\n]*)\n```\n\n```text\n(.*?)```", re.DOTALL
)
NOON_MS = clock_of("2025-03-19T12:00")
"""When the page asks the agent."""


async def test_the_page_runs_and_prints_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert walk(PAGE, tmp_path) == 7

    monkeypatch.chdir(tmp_path)
    plan = load("trust/rules")
    files = sources(plan, ["trust/calls.ndjson"])
    pipeline = pipeline_over(plan, files, NOON_MS)
    out = Replayed()
    for _ in stream(plan, files, NOON_MS, out, until_ms=NOON_MS, pipeline=pipeline):
        pass
    state = running_agent(plan, pipeline.views(), ready={"merge": None})
    [(command, url, shown)] = AGENT.findall(PAGE)
    async with serving(state, "127.0.0.1", 0) as port:
        asked = command.replace(url, f"http://127.0.0.1:{port}").split()
        assert await asyncio.to_thread(main, asked) == 0
    assert capsys.readouterr().out.replace(f"http://127.0.0.1:{port}", url) == shown
