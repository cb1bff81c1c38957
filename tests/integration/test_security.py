"""A broker that asks for a password (SASL/SCRAM)."""

from __future__ import annotations

from pathlib import Path

import pytest

from .broker import PASSWORD, USER
from .stage import Stage

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(240)]

WRONG = "wrong-horse-battery"


def secure(stage: Stage, **password: str | Path) -> dict[str, object]:
    return {
        "brokers": stage.broker.secure_address,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_username": USER,
        **password,
    }


def test_the_right_password_lets_both_stages_in(stage: Stage, tmp_path: Path) -> None:
    stage.use_company()
    stage.create_topics()
    (everything,) = stage.company_parts(1)
    stage.send(everything)
    stage.send_closing()
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    agent = stage.agent("agent", **secure(stage, sasl_password_file=file))
    agent.start()
    agent.wait_ready()
    stage.wait_counted()
    expected = stage.judged()
    stage.wait_told(expected)
    stage.check_exact(expected)
    assert agent.terminate() == 0, agent.last_words()
    assert PASSWORD not in agent.log.read_text()


def test_the_wrong_password_is_said_and_never_shown(stage: Stage) -> None:
    stage.use_company()
    stage.create_topics()
    agent = stage.agent("agent", **secure(stage, sasl_password=WRONG))
    agent.start()
    said = agent.wait_says("refuses the login")
    assert stage.broker.secure_address in said and USER in said
    assert agent.get("/-/healthy")[0] == 200
    assert WRONG not in said
    assert agent.terminate() == 0, agent.last_words()
    assert WRONG not in agent.log.read_text()
