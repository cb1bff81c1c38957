"""`kpi-agent diff`, as a person or a pipeline calls it."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from agent.cli import main
from agent.core.model.results import AlertPhase, SeriesView
from agent.export.web.server import serving
from agent.language.load import load
from tests.core.changes.test_diff import SHOP
from tests.export.running_agent import running_agent


@pytest.fixture
def committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with the shop's rules in it; the working directory."""
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "shop.yaml").write_text(SHOP)
    for command in (
        "git init -q -b main .",
        "git add .",
        "git -c user.name=t -c user.email=t@example.org commit -q -m rules",
    ):
        subprocess.run(command.split(), cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return rules


def edit(rules: Path, old: str, new: str) -> None:
    text = (rules / "shop.yaml").read_text()
    assert old in text
    (rules / "shop.yaml").write_text(text.replace(old, new))


def test_rules_are_compared_with_what_is_committed(
    committed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff"]) == 0
    assert capsys.readouterr().out == "rules against HEAD: nothing changes\n"
    edit(committed, "value: sum(amount)", "value: avg(amount)")
    assert main(["diff"]) == 0
    assert main(["diff", "--against", "main", "rules", "--exit-code"]) == 1
    assert capsys.readouterr().out.startswith(
        "rules against HEAD: 1 KPI changed; the state of revenue starts over\n"
    )


def test_two_folders_are_compared_as_they_are_named(
    committed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = committed.parent / "other.yaml"
    other.write_text(SHOP.replace("for: 20m", "for: 30m"))
    assert main(["diff", "rules", "other.yaml", "--exit-code"]) == 1
    assert capsys.readouterr().out == (
        "other.yaml against rules: 1 rule changed; all state is kept\n"
        "\n"
        "rules\n"
        "  ~ revenue_low\n"
        "      for: 20m → 30m\n"
        "\n"
        "alerts\n"
        "  revenue_low (critical) keeps its state, with the changed rule\n"
        "  revenue_low (warning) keeps its state, with the changed rule\n"
        "\n"
        "state\n"
        "  kept: revenue, orders, visits, conversion\n"
    )


def test_programs_get_one_object(committed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(committed, "unit: eur\n    from", "unit: usd\n    from")
    assert main(["diff", "--format", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["changes"] == [
        {
            "section": "kpis",
            "name": "revenue",
            "kind": "changed",
            "parts": [{"name": "unit", "before": "eur", "after": "usd"}],
            "was": None,
        }
    ]
    assert shown["metrics"][0]["was"] == "kpi_revenue_eur"
    assert {s["kpi"]: s["kept"] for s in shown["states"]}["revenue"] is True


def test_github_gets_a_warning_at_the_line_whose_state_is_lost(
    committed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(committed, "value: sum(amount)", "value: avg(amount)")
    edit(committed, "for: 20m", "for: 30m")
    assert main(["diff", "--format", "github"]) == 0
    kpi, rule = capsys.readouterr().out.splitlines()
    assert kpi.startswith("::warning file=rules/shop.yaml,line=10,title=KPI revenue::")
    assert "value: sum(amount) → avg(amount)" in kpi
    assert rule == (
        "::notice file=rules/shop.yaml,line=22,title=rule revenue_low::"
        "revenue_low changed%0Afor: 20m → 30m"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--against", "nowhere"], 3, "git does not give nowhere of rules"),
        (["/missing/path", "rules"], 1, "/missing/path: no such file or folder"),
        (["./missing", "rules"], 1, "./missing: no such file or folder"),
        (["missing", "rules"], 3, "Name a folder of rules that exists"),
        (["--against=--output=x"], 3, "is an option, not a revision"),
        (["a", "b", "c"], 2, "name one folder"),
        (["rules", "rules", "--against", "HEAD"], 2, "name one folder"),
        (["missing"], 1, "missing"),
    ],
)
def test_what_can_not_be_compared_is_reported(
    committed: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    assert main(["diff", *arguments]) == code
    assert said in capsys.readouterr().err


def test_committed_rules_that_are_not_valid_are_reported_with_their_revision(
    committed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(committed, "value: sum(amount)", "value: sum(amuont)")
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qam", "broken"],
        check=True,
    )
    edit(committed, "value: sum(amuont)", "value: sum(amount)")
    assert main(["diff"]) == 1
    assert "HEAD:rules/shop.yaml:13:" in capsys.readouterr().err


def test_an_agent_is_asked_for_its_rules_instead(
    committed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", "--agent", "http://127.0.0.1:1"]) == 3
    assert "does not answer as an agent" in capsys.readouterr().err
    assert main(["diff", "--agent", "http://x", "--against", "main"]) == 2
    assert main(["diff", "rules", "rules", "--agent", "http://x"]) == 2
    assert "--agent URL, or two folders" in capsys.readouterr().err


async def test_what_a_running_agent_holds_is_counted(
    committed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = load(committed)
    views = [
        SeriesView("visits", (region,), None, None, None, None, phases={})
        for region in ("emea", "apac", "latam")
    ]
    firing = {("no_orders", "warning"): AlertPhase.FIRING}
    views.append(SeriesView("orders", ("emea",), None, None, None, None, phases=firing))  # type: ignore[arg-type]
    state = running_agent(plan, views, ready={"merge": None})
    derived = "  conversion: {unit: ratio, from: [orders, visits], value: orders / visits}\n"
    edit(committed, derived, "")
    edit(committed, "  visits: {from: visit, value: count(*), by: [region], window: 10m}\n", "")
    edit(committed, "  no_orders: {kpi: orders, no_data_for: 30m}\n", "")
    async with serving(state, "127.0.0.1", 0) as port:
        url = f"http://127.0.0.1:{port}"
        assert await asyncio.to_thread(main, ["diff", "--agent", url, "--exit-code"]) == 1
        shown = capsys.readouterr().out
        assert await asyncio.to_thread(main, ["diff", "--agent", url, "--format", "json"]) == 0
    assert "  - visits (3 series)\n" in shown
    assert (
        "  no_orders (warning) ends; where it fires, it is published as resolved (removed): "
        "1 firing\n" in shown
    )
    assert "  kept: revenue (0 series), orders (1 series)\n" in shown
    assert json.loads(capsys.readouterr().out)["held"] == {
        "series": {"revenue": 0, "orders": 1, "visits": 3, "conversion": 0},
        "alerts": [{"rule": "no_orders", "severity": "warning", "phase": "firing", "count": 1}],
    }
