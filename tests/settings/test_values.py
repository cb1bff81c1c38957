"""What kinds of values settings have, and what is said of wrong ones."""

from __future__ import annotations

import pytest

from agent.errors import EnvironmentFault
from agent.settings import load_settings


def test_addresses_are_kept_without_their_last_slash() -> None:
    settings = load_settings(external_url="https://kpis.example.org/board/")
    assert settings.external_url == "https://kpis.example.org/board"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("external_url", "kpis.example.org"),
        ("grafana_url", "https://me:secret@grafana.example.org"),
        ("runbooks_url", "docs/runbooks"),
        ("timezone", "Berlin"),
        ("timezone", "../etc/passwd"),
    ],
)
def test_an_address_that_leads_nowhere_and_a_zone_that_is_none_are_refused(
    name: str, value: str
) -> None:
    with pytest.raises(EnvironmentFault, match=name):
        load_settings(**{name: value})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"remote_write_url": "https://ada:pw@host/write"}, "a password has no place"),
        ({"remote_write_url": "host:9090"}, "is not http://host:port"),
        ({"remote_write_headers": "X Scope=shop"}, "'X Scope' is not a header's name"),
        ({"remote_write_headers": "A=b\nC: d"}, "is not a header's name"),
        ({"remote_write_certfile": "a.pem"}, "remote_write_certfile and remote_write_keyfile"),
        ({"remote_write_user": "a", "remote_write_token": "b"}, "keep one of them"),
    ],
)
def test_wrong_settings_of_remote_write_are_said(given: dict[str, str], said: str) -> None:
    with pytest.raises(EnvironmentFault, match=said):
        load_settings(**given)


def test_headers_of_remote_write_are_read_by_name() -> None:
    settings = load_settings(remote_write_headers="X-Scope-OrgID=shop, X-Team=a=b")
    assert settings.remote_write_header_values == {"X-Scope-OrgID": "shop", "X-Team": "a=b"}
