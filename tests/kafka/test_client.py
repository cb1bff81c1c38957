"""How the settings become the options of a connection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.errors import EnvironmentFault
from agent.kafka.client import connection, faust_credentials, ssl_context
from agent.settings import load_settings

SASL: dict[str, Any] = {
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_mechanism": "SCRAM-SHA-256",
    "sasl_username": "agent",
    "sasl_password": "a secret of sixteen characters",
}


def test_a_plain_connection_has_no_secrets() -> None:
    settings = load_settings(brokers="one:9092, two:9093", group="shop")
    options = connection(settings)
    assert options["bootstrap_servers"] == settings.bootstrap
    assert options["client_id"] == "shop"
    assert options["security_protocol"] == "PLAINTEXT"
    assert not [name for name in options if name.startswith(("sasl", "ssl"))]
    assert faust_credentials(settings) is None


def test_both_clients_have_the_same_credentials() -> None:
    settings = load_settings(**SASL)
    options, credentials = connection(settings), faust_credentials(settings)
    assert credentials is not None
    assert options["sasl_mechanism"] == "SCRAM-SHA-256"
    assert options["sasl_plain_username"] == credentials.username == "agent"
    assert options["sasl_plain_password"] == credentials.password == SASL["sasl_password"]


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
def test_tls_compares_the_name_of_the_host_by_default(protocol: str) -> None:
    more = {} if protocol == "SSL" else SASL
    settings = load_settings(**{**more, "security_protocol": protocol})
    context = connection(settings)["ssl_context"]
    assert context.check_hostname
    lenient = settings.model_copy(update={"ssl_check_hostname": False})
    assert connection(lenient)["ssl_context"].check_hostname is False


def test_files_that_do_not_serve_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")
    settings = load_settings(security_protocol="SSL", ssl_cafile=broken)
    with pytest.raises(EnvironmentFault, match="TLS files") as fault:
        ssl_context(settings)
    assert "ssl_cafile" in (fault.value.hint or "")
