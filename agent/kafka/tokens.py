"""Tokens for SASL/OAUTHBEARER.

`OidcTokens` requests them from an identity provider (client credentials, RFC 6749 section 4.4),
`MskTokens` signs them with AWS credentials. Both cache a token for most of its lifetime: each
connection needs one.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from functools import lru_cache
from typing import Any
from urllib.parse import quote_plus

import aiohttp
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed

from agent.errors import EnvironmentFault
from agent.settings import Settings

TIMEOUT_SECONDS = 10.0
USED_SHARE = 0.8
"""The share of a token's lifetime after which it is renewed: Kafka's
sasl.login.refresh.window.factor."""
UNKNOWN_LIFE_SECONDS = 300.0
"""The lifetime of a token without `expires_in`, which is only recommended."""


class TokenRefusedError(SaslAuthenticationFailed):  # type: ignore[misc]
    """The provider refuses a token; the message has the reason, without the secret."""


class TokenUnavailableError(KafkaConnectionError):  # type: ignore[misc]
    """The provider of tokens can't be reached."""


class _Tokens(AbstractTokenProvider):  # type: ignore[misc]
    """A token that is cached for most of its lifetime."""

    def __init__(self) -> None:
        self._token = ""
        self._until = 0.0

    async def token(self) -> str:
        """A token that is valid for a while. Raises TokenRefusedError, TokenUnavailableError."""
        now = time.time()
        if now >= self._until:
            self._token, life_seconds = await self._fetch()
            self._until = now + USED_SHARE * life_seconds
        return self._token

    async def _fetch(self) -> tuple[str, float]:
        """A new token, and its lifetime in seconds."""
        raise NotImplementedError


class OidcTokens(_Tokens):
    """Access tokens of an OpenID Connect or OAuth 2.0 provider."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._url = settings.oauth_token_url or ""
        self._client = settings.sasl_username or ""
        self._settings = settings

    def extensions(self) -> dict[str, str]:
        """The SASL extensions that are sent with the token (RFC 7628)."""
        return self._settings.oauth_extension_values

    async def _fetch(self) -> tuple[str, float]:
        # RFC 6749 section 2.3.1 wants both encoded as in a form.
        credentials = f"{quote_plus(self._client)}:{quote_plus(self._settings.password() or '')}"
        headers = {"Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}"}
        form = {"grant_type": "client_credentials"}
        if self._settings.oauth_scope:
            form["scope"] = self._settings.oauth_scope
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT_SECONDS)) as session,
                session.post(
                    self._url, data=form, headers=headers, ssl=self._tls(), allow_redirects=False
                ) as answer,
            ):
                status, body = answer.status, await _json(answer)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            reason = str(error) or f"no answer within {TIMEOUT_SECONDS:.0f} s"
            raise TokenUnavailableError(f"{self._url} gives no token: {reason}") from error
        return self._token_of(status, body)

    def _token_of(self, status: int, body: dict[str, Any]) -> tuple[str, float]:
        token, life = body.get("access_token"), body.get("expires_in", UNKNOWN_LIFE_SECONDS)
        if status == 200 and isinstance(token, str) and token:
            return token, float(life) if isinstance(life, int | float) else UNKNOWN_LIFE_SECONDS
        if status >= 500 or status == 429:
            raise TokenUnavailableError(f"{self._url} gives no token: it answers {status}")
        texts = [str(body[name]) for name in ("error", "error_description") if body.get(name)]
        reason = ": ".join(texts) or f"it answers {status}, without a token"
        raise TokenRefusedError(f"{self._url} gives {self._client!r} no token: {reason}")

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._settings.ssl_cafile:
            context.load_verify_locations(self._settings.ssl_cafile)
        return context


async def _json(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    """The JSON object of a response, else an empty one."""
    try:
        body = await answer.json(content_type=None)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


class MskTokens(_Tokens):
    """Tokens for Amazon MSK, signed by the AWS credentials of the environment: variables, a
    profile, a web identity, an instance's or a task's role."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._region = settings.aws_region
        try:
            from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # type: ignore[import-untyped]
        except ImportError as error:
            raise EnvironmentFault(
                "sasl_mechanism AWS_MSK_IAM needs the extra msk",
                "For example: pip install 'kpi-agent[msk]'",
            ) from error
        self._signer = MSKAuthTokenProvider

    async def _fetch(self) -> tuple[str, float]:
        try:  # in a thread, as credentials may come over the network
            token, expiry_ms = await asyncio.to_thread(
                self._signer.generate_auth_token, self._region
            )
        except AttributeError as error:  # the signer's way of finding no credentials
            raise TokenRefusedError("there are no AWS credentials") from error
        except Exception as error:  # botocore's errors have no common base but this
            raise TokenRefusedError(f"AWS gives no token: {error}") from error
        return token, expiry_ms / 1000 - time.time()


@lru_cache(maxsize=4)
def token_provider(settings: Settings) -> AbstractTokenProvider | None:
    """The token provider that all connections with these settings share; None for a mechanism
    without tokens. Raises EnvironmentFault if its library isn't installed."""
    if settings.sasl_mechanism == "OAUTHBEARER":
        return OidcTokens(settings)
    return MskTokens(settings) if settings.sasl_mechanism == "AWS_MSK_IAM" else None
