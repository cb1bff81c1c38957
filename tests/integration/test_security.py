"""Brokers that ask for a password (SASL/SCRAM), for TLS, and for a client's certificate."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from tests.kafka.token_endpoint import CLIENT, SECRET, TokenEndpoint

from .agents import Agent
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


def work_through(stage: Stage, **settings: object) -> Agent:
    """An agent with these settings reads everything and says what is right."""
    stage.use_company()
    stage.create_topics()
    (everything,) = stage.company_parts(1)
    stage.send(everything)
    stage.send_closing()
    agent = stage.agent("agent", **settings)
    agent.start()
    agent.wait_ready()
    stage.wait_counted()
    expected = stage.evaluated()
    stage.wait_published(expected)
    stage.check_exact(expected)
    assert agent.terminate() == 0, agent.last_words()
    return agent


def test_the_right_password_lets_both_stages_in(stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    agent = work_through(stage, **secure(stage, sasl_password_file=file))
    assert PASSWORD not in agent.log.read_text()


def test_password_over_tls(stage: Stage) -> None:
    tls = {
        "brokers": stage.broker.tls_address,
        "security_protocol": "SASL_SSL",
        "ssl_cafile": stage.broker.certificates / "authority.pem",
    }
    work_through(stage, **{**secure(stage, sasl_password=PASSWORD), **tls})


def test_a_clients_certificate(stage: Stage) -> None:
    certificates = stage.broker.certificates
    work_through(
        stage,
        brokers=stage.broker.mutual_address,
        security_protocol="SSL",
        ssl_cafile=certificates / "authority.pem",
        ssl_certfile=certificates / "client.pem",
        ssl_keyfile=certificates / "client.key",
    )


def by_token(stage: Stage, endpoint: TokenEndpoint, **others: str) -> dict[str, object]:
    return {
        "brokers": stage.broker.token_address,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "OAUTHBEARER",
        "sasl_username": CLIENT,
        "sasl_password": SECRET,
        "oauth_token_url": endpoint.url,
        **others,
    }


def test_tokens_of_an_identity_provider_let_both_stages_in(stage: Stage) -> None:
    with TokenEndpoint() as endpoint:
        agent = work_through(stage, **by_token(stage, endpoint))
        assert 1 <= len(endpoint.asked) <= 3
    assert SECRET not in agent.log.read_text()


def test_a_client_without_a_token_is_said_with_the_providers_reason(stage: Stage) -> None:
    stage.use_company()
    with TokenEndpoint() as endpoint:
        agent = stage.agent("agent", **by_token(stage, endpoint, sasl_password=WRONG))
        agent.start()
        said = agent.wait_says("no token: invalid_client")
        assert endpoint.url in said and "sasl_password (its secret)" in said
        assert agent.terminate() == 0, agent.last_words()
    assert WRONG not in agent.log.read_text()


def test_a_certificate_of_a_stranger_is_said(stage: Stage, tmp_path: Path) -> None:
    stage.use_company()
    stage.create_topics()
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    agent = stage.agent(
        "agent",
        brokers=stage.broker.mutual_address,
        security_protocol="SSL",
        ssl_cafile=other,
    )
    agent.start()
    said = agent.wait_says("certificate")
    assert stage.broker.mutual_address in said and "ssl_cafile" in said
    assert agent.terminate() == 0, agent.last_words()


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


def test_a_mechanism_that_the_broker_does_not_offer_is_said_with_those_that_it_does(
    stage: Stage,
) -> None:
    stage.use_company()
    agent = stage.agent(
        "agent", **{**secure(stage, sasl_password=PASSWORD), "sasl_mechanism": "SCRAM-SHA-512"}
    )
    agent.start()
    said = agent.wait_says("does not support sasl_mechanism SCRAM-SHA-512")
    assert "it offers SCRAM-SHA-256" in said and stage.broker.secure_address in said


@pytest.mark.parametrize(
    ("address", "settings", "words"),
    [
        ("tls_address", {}, "is reached with TLS, but security_protocol is PLAINTEXT"),
        ("secure_address", {}, "is reached with a login (SCRAM-SHA-256)"),
        ("address", {"security_protocol": "SSL"}, "is reached without TLS"),
        (
            "address",
            {"security_protocol": "SASL_PLAINTEXT", "sasl_username": "a", "sasl_password": "b"},
            "is reached without a login",
        ),
    ],
    ids=["plain on TLS", "plain on SASL", "TLS on plain", "SASL on plain"],
)
def test_another_protocol_than_the_listeners_is_said(
    stage: Stage, address: str, settings: dict[str, object], words: str
) -> None:
    stage.use_company()
    agent = stage.agent("agent", **{"brokers": getattr(stage.broker, address), **settings})
    agent.start()
    said = agent.wait_says(words)
    assert "security_protocol" in said


def test_a_healthy_start_logs_no_error(stage: Stage) -> None:
    stage.use_company()
    stage.create_topics()
    agent = stage.agent("agent")
    agent.start()
    agent.wait_ready()
    assert '"level": "error"' not in agent.log.read_text(), agent.last_words()
    assert "carry their producers' clocks (message.timestamp.type is CreateTime)" in (
        agent.log.read_text()
    )
