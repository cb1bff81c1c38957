"""Tokens are asked for once in most of their life, and what is wrong is said without the secret."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import faust.auth
import pytest

from agent.errors import EnvironmentFault
from agent.kafka.client import connection, faust_credentials
from agent.kafka.tokens import (
    MskTokens,
    OidcTokens,
    TokenRefusedError,
    TokenUnavailableError,
    token_provider,
)
from agent.settings import Settings, load_settings

from .token_endpoint import CLIENT, SECRET, TokenEndpoint


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    with TokenEndpoint() as started:
        yield started


def by_oauth(endpoint: TokenEndpoint, **others: Any) -> Settings:
    login = {"sasl_username": CLIENT, "sasl_password": SECRET, "oauth_token_url": endpoint.url}
    return load_settings(
        security_protocol="SASL_PLAINTEXT", sasl_mechanism="OAUTHBEARER", **login | others
    )


async def test_a_token_is_kept_for_all_connections(endpoint: TokenEndpoint) -> None:
    settings = by_oauth(endpoint, oauth_scope="kafka read")
    tokens = token_provider(settings)
    assert tokens is token_provider(settings) is connection(settings)["sasl_oauth_token_provider"]
    assert tokens is not None
    assert await tokens.token() == await tokens.token()
    assert endpoint.asked == [{"grant_type": ["client_credentials"], "scope": ["kafka read"]}]


async def test_a_token_is_renewed_before_it_ends() -> None:
    with TokenEndpoint(life_seconds=0) as endpoint:
        tokens = OidcTokens(by_oauth(endpoint))
        await tokens.token()
        await tokens.token()
        assert len(endpoint.asked) == 2


async def test_a_wrong_secret_is_said_and_not_shown(endpoint: TokenEndpoint) -> None:
    tokens = OidcTokens(by_oauth(endpoint, sasl_password="wrong horse"))
    with pytest.raises(TokenRefusedError, match="gives 'kpi agent' no token: invalid_client") as no:
        await tokens.token()
    assert "wrong horse" not in str(no.value)


async def test_a_provider_that_is_away_is_asked_again(endpoint: TokenEndpoint) -> None:
    tokens = OidcTokens(by_oauth(endpoint))
    endpoint.broken = True
    with pytest.raises(TokenUnavailableError, match="it answers 503"):
        await tokens.token()
    endpoint.broken = False
    assert await tokens.token()


async def test_a_provider_that_can_not_be_reached_is_named() -> None:
    with TokenEndpoint() as gone:
        settings = by_oauth(gone)
    with pytest.raises(TokenUnavailableError, match=gone.url):
        await OidcTokens(settings).token()


def test_extensions_go_to_the_broker(endpoint: TokenEndpoint) -> None:
    tokens = OidcTokens(
        by_oauth(endpoint, oauth_extensions="logicalCluster=lkc-1, identityPoolId=p")
    )
    assert tokens.extensions() == {"logicalCluster": "lkc-1", "identityPoolId": "p"}


def by_msk() -> Settings:
    return load_settings(
        security_protocol="SASL_SSL", sasl_mechanism="AWS_MSK_IAM", aws_region="eu-west-1"
    )


async def test_amazons_tokens_are_signed_for_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "only-an-example")
    token = await MskTokens(by_msk()).token()
    url = urlsplit(base64.urlsafe_b64decode(token + "==").decode())
    assert url.hostname == "kafka.eu-west-1.amazonaws.com"
    assert parse_qs(url.query)["Action"] == ["kafka-cluster:Connect"]


async def test_missing_amazon_credentials_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(TokenRefusedError, match="there are no AWS credentials"):
        await MskTokens(by_msk()).token()


def test_faust_logs_in_as_the_other_clients_do(endpoint: TokenEndpoint) -> None:
    settings = by_oauth(endpoint)
    credentials = faust_credentials(settings)
    assert isinstance(credentials, faust.auth.OAuthCredentials)
    assert credentials.oauth_cb is token_provider(settings)
    assert connection(by_msk())["sasl_mechanism"] == "OAUTHBEARER"


def test_kerberos_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    settings = load_settings(security_protocol="SASL_PLAINTEXT", sasl_mechanism="GSSAPI")
    with pytest.raises(EnvironmentFault, match="needs the extra kerberos"):
        connection(settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sasl_mechanism": "OAUTHBEARER"}, "OAUTHBEARER needs oauth_token_url"),
        ({"sasl_mechanism": "AWS_MSK_IAM"}, "AWS_MSK_IAM needs aws_region"),
        (
            {"sasl_mechanism": "OAUTHBEARER", "oauth_token_url": "https://login.example.org/token"},
            "SASL_SSL needs sasl_username",
        ),
        ({"oauth_token_url": "http://login.example.org/token"}, "use https"),
        ({"oauth_token_url": "login.example.org"}, "this is not https://host/path"),
        ({"oauth_extensions": "logical-cluster=1"}, "'logical-cluster' is not a name"),
    ],
)
def test_settings_of_a_login_that_are_wrong_are_refused(
    settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(EnvironmentFault, match=words):
        load_settings(security_protocol="SASL_SSL", **settings)
