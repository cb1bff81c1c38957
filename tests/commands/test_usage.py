"""Every command is used with every option that it has, as a user would."""

from __future__ import annotations

import importlib
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from confluent_kafka import Producer

from agent.cli import main
from agent.commands.common import ENVIRONMENT
from agent.commands.parser import COMMANDS, command_line
from agent.kafka.embedded import EmbeddedBroker
from tests.conftest import ROOT
from tests.kafka import registry_server

RULES = """version: 1
defaults: {idle_after: 1s}
events:
  sold:
    topic: tills
    time: at
    id: receipt
    fields: {price: float, shop: string, clerk: string}
kpis:
  takings: {from: sold, value: sum(price), by: [shop], window: 1m, owner: shop-lead}
  of_clerks: {from: sold, value: count(*), by: [clerk], window: 1m, person: clerk, owner: shop-lead,
    visibility: private}
rules:
  slow: {kpi: takings, when: value < 5, severity: warning}
"""
TESTS = """version: 1
tests: {sold: {series: {'takings{shop="a"}': 9x2}, expect: {windows: {'takings{shop="a"}': 9x2}}}}
"""
EVENTS = [
    {
        "type": "sold", "at": f"2026-03-02T10:{n:02}:00Z", "receipt": f"r{n}", "price": 3.5,
        "shop": "ab"[n % 2], "clerk": f"c{n % 3}",
    }
    for n in range(30)
]  # fmt: skip
SCHEMA = '{"type": "object", "properties": {"at": {"type": "string", "format": "date-time"}}}'
SETTINGS = "log_level: info\ncreate_topics: false\nweb_host: 127.0.0.1\n"

USES = """
init tills.ndjson --rules new --name tills --topic tills --type-field type --time at
    --timezone UTC --id receipt --by shop --window 1m --owner me --yes --now 2026-03-03
init --rules asked --event paid --fields amount:float --topic pay --time at --yes
check
check rules --format github
check - --format json
list
list rules --rules rules --owner shop-lead --format json
list objectives
list owners
size rules --events-per-second 20000 --series 50 --series takings=9 --keyed
size --events-per-second 20000 --source-partitions 12 --state-partitions 16 --flush-interval 2
    --format helm
schema
schema --tests
schema --rules rules
test
test rules --rules rules --run sold --format json --junit report.xml --coverage --fail-under 0
replay tills=tills.ndjson --rules rules --format csv --kpi takings --since 2026-03-02
    --until 2026-03-03 --now 2026-03-03
replay - --format json
backtest tills.ndjson --rules rules --rule slow --since 2026-03-02 --until 2026-03-03
    --against rules --format html --now 2026-03-03
explain slow tills.ndjson --rules rules --series shop=a --at 2026-03-02T10:20 --format json
    --now 2026-03-03
diff rules rules --format json --exit-code
diff rules --against rules
generate prometheus --rules rules --out made --external-labels cluster,environment
generate prometheus --rules rules --out made --external-labels cluster,environment --check
generate prometheus --out made --external-url http://a/ --grafana-url http://b/ --runbooks-url http://c
generate grafana --out boards
backfill tills.ndjson --rules rules --output history.txt --kpi takings --since 2026-03-02
    --until 2026-03-03 --every 1m --now 2026-03-03
link clerk=c1 --rules rules --settings agent.yaml --base https://kpi.example.org
link --owner shop-lead
link clerk=c1 --rules rules --settings agent.yaml --hashes
demo --copy mine
demo --retail --port 0 --seconds 2 --rules mine/rules
completion bash
completion zsh
completion tcsh
"""
ON_KAFKA = """
init --brokers {brokers} --settings agent.yaml --topic tills --rules from-kafka --yes
init --registry {registry} --topic tills --subject Sold --rules from-registry --yes
backtest --brokers {brokers} --settings agent.yaml --warm-up 1h --since 2026-03-02
restate takings --brokers {brokers} --settings agent.yaml --rules rules --since 2026-03-02
    --until 2026-03-03 --format json --apply --allow-fewer-events
restate --dead-letters --brokers {brokers}
check rules --registry {registry} --settings agent.yaml
diff rules --agent {agent}
explain slow --agent {agent}
"""
ERASE = (
    "erase clerk --file clerk.txt --rules rules --brokers {brokers} --settings agent.yaml --apply"
)
RUN = "run --rules rules --brokers {brokers} --settings agent.yaml --port 0"


def lines(text: str) -> list[str]:
    return text.strip().replace("\n    ", " ").splitlines()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "tills.yaml").write_text(RULES)
    (tmp_path / "rules" / "tills_test.yaml").write_text(TESTS)
    (tmp_path / "tills.ndjson").write_text("".join(f"{json.dumps(e)}\n" for e in EVENTS))
    (tmp_path / "agent.yaml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KPI_AGENT_PERSON_SECRET", "a secret of thirty-two letters at least")
    return tmp_path


def use(command: str, monkeypatch: pytest.MonkeyPatch) -> int:
    words = shlex.split(command)
    given = "tills.ndjson" if words[0] == "replay" else "rules/tills.yaml"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(given).read_bytes())))
    return main(words)


def test_every_command_does_with_every_option_what_it_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in lines(USES):
        assert use(command, monkeypatch) == 0, command


@pytest.fixture
def running(folder: Path) -> Iterator[dict[str, str]]:
    """An agent that `kpi-agent run` started with all its options, on the events of the file."""
    with EmbeddedBroker() as broker, registry_server.running() as registry:
        producer = Producer({"bootstrap.servers": broker.address})
        for event in EVENTS:
            producer.produce("tills", json.dumps(event).encode())
        producer.flush(30)
        registry.register("Sold", {"schema": SCHEMA, "schemaType": "JSON"})
        places = {"brokers": broker.address, "registry": registry.url}
        log = folder / "agent.log"
        process = subprocess.Popen(
            [sys.executable, "-m", "agent", *shlex.split(RUN.format(**places))],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=log.open("w"),
        )
        try:
            yield places | {"agent": ready_address(log, process)}
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()


def ready_address(log: Path, process: subprocess.Popen[bytes]) -> str:
    """Where the agent says that it serves, once it is ready."""
    while process.poll() is None:
        served = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        if served is not None:
            with suppress(urllib.error.URLError), urllib.request.urlopen(f"{served[0]}/-/ready"):
                return served[0]
        time.sleep(0.2)
    raise AssertionError(log.read_text())


def test_a_running_agent_and_its_topics_are_asked(
    running: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    *others, explain = (command.format(**running) for command in lines(ON_KAFKA))
    for command in others:
        assert use(command, monkeypatch) == 0, command
    Path("clerk.txt").write_text("c9\n")
    assert use(ERASE.format(**running), monkeypatch) == ENVIRONMENT  # an agent is running
    while use(explain, monkeypatch) != 0:  # until its first window has closed
        time.sleep(0.2)


_, PARSERS = command_line()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_uses_leave_no_option_out(name: str) -> None:
    uses = [shlex.split(line) for line in [*lines(USES), *lines(ON_KAFKA), ERASE, RUN]]
    used = {word for use in uses if use[0] == name for word in use if word.startswith("--")}
    has = {option for option in PARSERS[name]._option_string_actions if option.startswith("--")}
    assert used == has - {"--help"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_has_examples_that_are_read(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    examples = importlib.import_module(f"agent.commands.{name}").EXAMPLES
    for example in examples:
        words = shlex.split(re.split(r" [<>|#]|\)\"", example.partition("kpi-agent ")[2])[0])
        assert words[0] == name
        PARSERS[name].parse_args(words[1:])
    with pytest.raises(SystemExit):
        main([name, "--help"])
    shown = capsys.readouterr().out
    assert all(f"  {example}\n" in shown for example in examples)


def test_alone_it_says_what_to_do_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    commands = re.findall(r"kpi-agent (?!COMMAND|--)(\w+)", shown)
    assert commands == ["demo", "init", "check", "replay", "run"]


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("chek", "there is no command 'chek': did you mean 'check'?"),
        ("redrive", "did you mean 'restate --dead-letters'?"),
        ("redrve", "did you mean 'restate --dead-letters'?"),
        ("check --frmat json", "there is no option --frmat: did you mean '--format'?"),
        ("diff --agent x --against y", "name one folder"),
        ("explain slow", "name files of events, or --agent URL"),
        ("link", "name either a person"),
        ("demo --copy a --rules b", "leave --rules out"),
        ("test rules --run nobody", "none of 1 tests is called so"),
        ("init", "nothing was written"),
    ],
)
def test_a_wrong_command_line_exits_2_and_says_what_is_right(
    command: str,
    hint: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sorted(folder.rglob("*"))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    try:
        code: object = main(shlex.split(command))
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    assert hint in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("command", "near"),
    [
        ("replay tills.ndjson --kpi takngs", "takings"),
        ("backtest tills.ndjson --rule slw", "slow"),
        ("explain slw tills.ndjson", "slow"),
        ("list --owner shop-leed", "shop-lead"),
        ("link clrk=c1", "clerk"),
    ],
)
def test_a_name_that_the_rules_do_not_have_exits_1_and_the_nearest_is_named(
    command: str, near: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(shlex.split(command)) == 1
    assert f"did you mean '{near}'?" in capsys.readouterr().err


@pytest.mark.parametrize(("value", "colored"), [("", True), ("1", False)])
def test_colours_are_for_terminals_without_no_color(
    value: str, colored: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    (folder / "rules" / "tills.yaml").write_text(RULES.replace("sum(price)", "sum(prise)"))
    shown = Terminal()
    monkeypatch.setenv("NO_COLOR", value)
    monkeypatch.setattr(sys, "stdout", shown)
    assert main(["check"]) == 1
    assert ("\x1b[" in shown.getvalue()) is colored


def test_standard_input_is_named_in_what_is_wrong_with_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "rules" / "tills.yaml").write_text(RULES.replace("sum(price)", "sum(prise)"))
    assert use("check -", monkeypatch) == 1
    assert "<stdin>:10:" in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_the_completion_knows_commands_and_options(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in (*COMMANDS, "fail-under"))
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_owners_and_rules_are_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "rules"]) == 0
    assert capsys.readouterr().out == "name  owner      kpi\nslow  shop-lead  takings\n"
    assert main(["list", "owners", "--format", "json"]) == 0
    row = {"owner": "shop-lead", "kpis": "2", "rules": "1", "objectives": "0"}
    assert json.loads(capsys.readouterr().out) == row
