"""Where settings come from, and what is said of wrong ones."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from agent.errors import EnvironmentFault
from agent.settings import load_settings, misspelt_variables


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KPI_AGENT_BROKERS", raising=False)
    monkeypatch.delenv("KPI_AGENT_SETTINGS", raising=False)


def test_an_argument_goes_before_the_environment_and_that_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text("brokers: file:1\ngroup: from-file\ntopic_prefix: from-file\n")
    monkeypatch.setenv("KPI_AGENT_GROUP", "from-environment")
    monkeypatch.setenv("KPI_AGENT_TOPIC_PREFIX", "from-environment")
    settings = load_settings(file, topic_prefix="from-argument")
    assert settings.brokers == "file:1"
    assert settings.group == "from-environment"
    assert settings.topic_prefix == "from-argument"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("agent.yaml", "state_partitions: 3"),
        ("agent.toml", "state_partitions = 3"),
        ("agent.env", "# a comment\nexport KPI_AGENT_STATE_PARTITIONS='3'\n"),
    ],
)
def test_the_file_may_be_yaml_toml_or_lines(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    assert load_settings(file).state_partitions == 3


def test_every_problem_is_said_at_once_and_the_nearest_name_given(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text("broker: a:1\nflush_interval: soon\nbrokers: nowhere\n")
    with pytest.raises(EnvironmentFault) as caught:
        load_settings(file)
    text = str(caught.value)
    assert "broker: unknown setting; did you mean brokers?" in text
    assert "flush_interval: Input should be a valid number" in text
    assert "brokers: 'nowhere' is not host:port" in text


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        load_settings(sasl_password="hunter2", sasl_mechanism="hunter3", security_protocol="SSL")
    assert "hunter2" not in str(caught.value)
    settings = load_settings(
        security_protocol="SASL_SSL", sasl_username="me", sasl_password="hunter2"
    )
    assert "hunter2" not in repr(settings)
    assert settings.password() == "hunter2"


def test_a_password_can_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")
    settings = load_settings(
        security_protocol="SASL_PLAINTEXT", sasl_username="me", sasl_password_file=secret
    )
    assert settings.password() == "hunter2"
    secret.unlink()
    with pytest.raises(EnvironmentFault, match="sasl_password_file can't be read"):
        settings.password()


def test_sasl_without_a_user_is_refused() -> None:
    with pytest.raises(EnvironmentFault, match="SASL_SSL needs sasl_username"):
        load_settings(security_protocol="SASL_SSL")


def test_a_misspelt_variable_is_reported_but_not_those_of_kubernetes() -> None:
    environment = {
        "KPI_AGENT_BROKER": "a:1",
        "KPI_AGENT_BROKERS": "a:1",
        "KPI_AGENT_PORT_9108_TCP": "tcp://10.0.0.1:9108",
        "KPI_AGENT_SERVICE_HOST": "10.0.0.1",
    }
    assert misspelt_variables(environment) == [
        "KPI_AGENT_BROKER is not a setting; did you mean KPI_AGENT_BROKERS?"
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.yaml", 'brokers: k:1\nperson_secret: "hunter2-hunter2-hunter2\n'),
        ("s.yaml", "person_secret: hunter2-hunter2: x\n"),
        ("s.yaml", "person_secret: *hunter2\n"),
        ("s.yaml", "person_secret: !hunter2 x\n"),
        ("s.toml", "person_secret = hunter2\n"),
        ("s.toml", 'person_secret = "hunter2\n'),
        ("s.env", "person_secret hunter2\n"),
        ("s.yaml", "person_secret: [hunter2]\n"),
        ("s.yaml", "sasl_pasword: hunter2\n"),
    ],
)
def test_a_mistake_in_the_file_never_shows_a_secret(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(EnvironmentFault) as fault:
        load_settings(file)
    shown = "".join(traceback.format_exception(fault.value))
    assert "hunter2" not in shown.replace(text, "")
    assert str(file) in str(fault.value)
