"""`kpi-agent backfill`, up to a real Prometheus that answers from what it wrote."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from agent.cli import main
from agent.core.output.privacy import Privacy
from tests.integration.monitoring import Server

RULES = """\
version: 1
events:
  order: {topic: orders, time: at, fields: {amount: float, region: string}}
kpis:
  revenue:
    {unit: eur, from: order, value: sum(amount), by: [region], window: 10m, target: {at_least: 50}}
rules:
  low: {kpi: revenue, when: value < 40, for: 20m}
"""
FIRST = "2025-03-03T"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rules, and six hours of one order a minute; low from two o'clock to three."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.yaml").write_text(RULES)
    with (tmp_path / "orders.ndjson").open("w") as out:
        for minute in range(360):
            amount = 1 if 120 <= minute < 180 else 9
            at = f"{FIRST}{minute // 60:02}:{minute % 60:02}:30Z"
            event = {"type": "order", "at": at, "amount": amount, "region": 'a "b"\\c'}
            out.write(json.dumps(event) + "\n")
    return tmp_path


def backfill(*arguments: str) -> int:
    return main(["backfill", "orders.ndjson", "--rules", "shop.yaml", *arguments])


def test_the_file_is_written_whole_and_says_what_became_of_the_records(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert backfill("--output", "history.om") == 0
    assert capsys.readouterr().err.endswith("360 records: 360 folded\n")
    assert sorted(p.name for p in shop.iterdir()) == ["history.om", "orders.ndjson", "shop.yaml"]
    assert backfill() == 0
    assert capsys.readouterr().out == (shop / "history.om").read_text()


def test_only_what_is_asked_for_is_written(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert backfill("--since", f"{FIRST}01:00", "--until", f"{FIRST}02:00") == 0
    shown = capsys.readouterr().out
    values = [line for line in shown.splitlines() if line.startswith("kpi_revenue_eur{")]
    assert len(values) == 6
    assert shown.endswith("# EOF\n")
    assert backfill("--kpi", "revenu") == 1
    assert "no KPI is called revenu" in capsys.readouterr().err


def test_a_folder_that_is_not_there_leaves_nothing_behind(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert backfill("--output", "nowhere/history.om") == 3
    assert "can't be written" in capsys.readouterr().err


@pytest.mark.needs_prometheus
@pytest.mark.parametrize("every", [None, "1m"])
def test_prometheus_answers_from_the_blocks(shop: Path, every: str | None) -> None:
    more = ["--every", every] if every else []
    assert backfill("--output", "history.om", *more) == 0
    made = subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", "history.om", "data"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    (shop / "prometheus.yml").write_text("")
    server = Server("prometheus", shop)
    try:
        server.launch(
            [
                "prometheus",
                f"--config.file={shop / 'prometheus.yml'}",
                f"--storage.tsdb.path={shop / 'data'}",
                "--storage.tsdb.retention.time=100y",
                f"--web.listen-address={server.address}",
            ]
        )
        server.wait_ready()

        def ask(query: str, clock: str) -> list[tuple[dict[str, str], float]]:
            answer = server.get("/api/v1/query", query=query, time=f"{FIRST}{clock}Z")
            return [(s["metric"], float(s["value"][1])) for s in answer["data"]["result"]]

        [(labels, value)] = ask("kpi_revenue_eur", "02:10:00")
        assert (labels["region"], value) == ('a "b"\\c', 10.0)
        # Prometheus looks back five minutes: a window is longer.
        assert [v for _, v in ask("kpi_revenue_eur", "02:19:00")] == ([10.0] if every else [])
        state = [ask("kpi_rule_state", at)[0][1] for at in ("02:00:00", "02:10:00", "02:30:00")]
        assert state == [0, 1, 2]
        assert ask("kpi_rule_state", "03:10:00")[0][1] == 0
        [(_, target)] = ask('kpi_revenue_target_eur{band="at_least"}', "03:10:00")
        assert target == 50
        [(_, count)] = ask("count_over_time(kpi_window_events[6h])", "05:50:00")
        assert count == (341 if every else 35)
    finally:
        server.terminate()


def test_people_of_private_kpis_are_written_under_their_pseudonym(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = RULES.replace("unit: eur,", "unit: eur, visibility: private, person: region,")
    (shop / "shop.yaml").write_text(rules)
    assert backfill() == 3
    assert "no person_secret" in capsys.readouterr().err
    secret = "a secret of sixteen characters or more"
    monkeypatch.setenv("KPI_AGENT_PERSON_SECRET", secret)
    assert backfill() == 0
    shown = capsys.readouterr().out
    pseudonym = Privacy(secret).pseudonym("region", 'a "b"\\c')
    assert f'kpi_revenue_eur{{region="{pseudonym}"}}' in shown
    rule = 'kpi_rule_state{rule="low",severity="warning",kpi="revenue"'
    assert f'{rule},region="{pseudonym}"}}' in shown
    assert "b\\" not in shown
