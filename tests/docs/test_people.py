"""The workshop of docs/rules/people.md: who sees what, and the addresses, are as the page says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from agent.cli import main
from agent.commands.erase import report
from agent.core.erasure import Person
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase, Transition
from agent.core.output.messages import transition_json
from agent.core.output.privacy import Privacy, private_subjects, public_plan
from agent.kafka.erasure import PersonTopic
from agent.language.load import check
from tests.conftest import ROOT
from tests.integration.monitoring import Server

PAGE = (ROOT / "docs" / "rules" / "people.md").read_text()
(RULES,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS, *_ = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
ADDRESSES, REPORT = re.findall(r"^```text\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
(SECRET, MECHANIC, HASH) = re.findall(
    r"the secret `(.*?)`, mechanic `(.*?)` is `(.*?)`", PAGE.replace("\n", " ")
)[0]


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    (tmp_path / "workshop.yaml").write_text(RULES)
    return tmp_path


@pytest.fixture
def plan(rules: Path) -> Plan:
    checked, problems = check(rules)
    assert checked is not None
    assert [p.message for p in problems] == [
        "2 KPIs serve no objective: bench_time, repairs",
    ]
    return checked


def test_the_hash_of_the_page_is_the_mechanics() -> None:
    assert Privacy(SECRET).pseudonym("mechanic", MECHANIC) == HASH


def test_one_kpi_is_private_and_the_rest_is_everybodys(plan: Plan) -> None:
    assert private_subjects(plan) == {"repair_time"}
    public = public_plan(plan)
    assert (list(public.kpis), list(public.rules)) == (["bench_time", "repairs"], [])
    assert public.objectives["workshop"].kpis == {}


def test_the_alert_says_what_the_page_says(plan: Plan) -> None:
    step = Transition(
        "slow_repairs", "warning", "repair_time", ("bench-2", MECHANIC), 0, 0, AlertPhase.FIRING,
        AlertPhase.INACTIVE, 95.0, "value > 90", 0, 0, "when",
    )  # fmt: skip
    shown = transition_json(
        plan, plan.rules["slow_repairs"], Privacy(SECRET).transition(plan, step)
    )
    assert f"`{shown['summary']}`" in PAGE.replace("\n", " ")
    assert shown["dimensions"] == {"bench": "bench-2", "mechanic": HASH}


def test_the_commands_print_the_addresses(
    rules: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KPI_AGENT_PERSON_SECRET", SECRET)
    for line in COMMANDS.splitlines():
        assert main([*line.split()[1:], "--rules", str(rules)]) == 0
    assert capsys.readouterr().out == ADDRESSES


def test_links_need_the_secret_and_known_names(
    rules: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--rules", str(rules)]
    monkeypatch.delenv("KPI_AGENT_PERSON_SECRET", raising=False)
    assert main(["link", "mechanic=4711", *where]) == 3
    assert "there is no person_secret" in capsys.readouterr().err
    monkeypatch.setenv("KPI_AGENT_PERSON_SECRET", SECRET)
    assert main(["link", "bench=4711", *where]) == 1
    assert "known people of private KPIs: mechanic" in capsys.readouterr().err
    assert main(["link", "--owner", "nobody", *where]) == 1
    assert "known owners of private KPIs: head-of-workshop" in capsys.readouterr().err
    assert main(["link", *where]) == 2
    monkeypatch.setenv("KPI_AGENT_PERSON_SECRET", "too short")
    assert main(["link", "mechanic=4711", *where]) == 3
    shown = capsys.readouterr().err
    assert "16 characters" in shown
    assert "too short" not in shown


def test_the_report_of_an_erasure_is_as_the_page_shows(plan: Plan) -> None:
    at_ms, day_ms = 1_741_000_000_000, 86_400_000
    topics = [
        PersonTopic(
            name, is_compacted=days is None, records=records,
            newest_ms=at_ms if records else None, retention_ms=days and days * day_ms,
        )
        for name, days, records in (
            ("kpi-agent-series", None, 2), ("kpi-agent-board", None, 3),
            ("kpi-agent-frames", 3, 12), ("kpi-agent-dead-letters", 30, 4),
            ("kpi-agent-late", 30, 0), ("kpi-values", 30, 140), ("kpi-alerts", 30, 5),
        )
    ]  # fmt: skip
    person = Person.of(plan, Privacy(SECRET), "mechanic", MECHANIC)
    assert [*report(plan, person, topics)] == REPORT.splitlines()


class WithAdminApi(Server):
    """A Prometheus whose series may be deleted."""

    def start(self) -> None:
        (self.folder / "prometheus.yml").write_text("")
        self.launch(
            [
                "prometheus",
                "--web.enable-admin-api",
                f"--config.file={self.folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self.folder / 'data'}",
                f"--web.listen-address={self.address}",
                "--log.level=warn",
            ]
        )
        self.wait_ready()

    def mechanics(self) -> set[str]:
        """Whose series there are."""
        answer = self.get("/api/v1/series", **{"match[]": "kpi_repair_time", "start": "0"})
        return {series["mechanic"] for series in answer["data"]}


@pytest.mark.needs_prometheus
def test_the_call_in_the_report_makes_prometheus_forget_the_person(tmp_path: Path) -> None:
    other = Privacy(SECRET).pseudonym("mechanic", "4712")
    lines = [f'kpi_repair_time{{mechanic="{name}"}} 45 1741000000' for name in (HASH, other)]
    (tmp_path / "history.txt").write_text("\n".join([*lines, "# EOF\n"]))
    server = WithAdminApi("prometheus", tmp_path)
    words = ["promtool", "tsdb", "create-blocks-from", "openmetrics"]
    subprocess.run([*words, tmp_path / "history.txt", server.folder / "data"], check=True)
    try:
        server.start()
        assert server.mechanics() == {HASH, other}
        (call,) = re.findall(r"^ +(curl .*\n.*)$", REPORT, re.MULTILINE)
        subprocess.run(call.replace("PROMETHEUS", server.address), shell=True, check=True)
        assert server.mechanics() == {other}
    finally:
        server.clean_up()
