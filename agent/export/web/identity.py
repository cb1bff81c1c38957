"""Who sends a request, by the web configuration file: a user, a token, a certificate or a proxy.

Rules
-----
1. If the file has no users, everybody has access, and nobody is an operator.
2. The identity is that of the first of: a verified client certificate (the common name of its
   subject), a bearer token (its name), a user and a password, the header of a trusted proxy.
3. A proxy's header is trusted only on a connection from one of its addresses.
4. With wrong credentials there is no identity, whatever else the request has.
5. A header of credentials that comes twice is refused: a proxy may have checked the other one.
6. Passwords are verified in a thread, one at a time, and a few may wait; a flood of wrong ones is
   refused and costs the event loop nothing. A verified password is remembered by its digest.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multidict import MultiMapping

from agent.export.web.web_config import Network, WebConfig

log = logging.getLogger(__name__)

MOST_WAITING = 16
MOST_VERIFIED = 256
_UNKNOWN_USER = "$2b$12$.WICJGmTJSERK0q4YhuhKO8qZEEmE1Klr.AO2FBNkO7oTrgFFMm4C"
"""The hash that an unknown user's password is compared with, so that it takes as long."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The sender of a request. An operator may reload the rules."""

    name: str
    is_operator: bool = False


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection: its address, and its verified certificate, as
    `ssl.SSLSocket.getpeercert` returns it."""

    address: str | None
    certificate: Mapping[str, Any] | None = None


class TooManyLogins(Exception):
    """MOST_WAITING passwords wait to be verified already."""


class Identities:
    """Identifies the senders of requests."""

    def __init__(self, config: WebConfig) -> None:
        self._config = config
        self._tokens = {name: _Token(token.file) for name, token in config.bearer_tokens.items()}
        proxy = config.trusted_proxy
        self._proxies: tuple[Network, ...] = proxy.networks if proxy else ()
        self._verified: dict[bytes, None] = {}
        self._verifying = asyncio.Lock()
        self._waiting = 0

    @property
    def challenge(self) -> str:
        """The header `WWW-Authenticate`, by which browsers ask for credentials."""
        return 'Basic realm="kpi-agent"' if self._config.basic_auth_users else "Bearer"

    async def identify(self, peer: Peer, headers: MultiMapping[str]) -> Identity | None:
        """The sender of a request; None: unknown. Raises TooManyLogins."""
        name = _common_name(peer.certificate)
        if name is None:
            scheme, _, credentials = (_only(headers, "Authorization") or "").partition(" ")
            if scheme.lower() == "bearer" and self._tokens:
                name = self._by_token(credentials.strip())
            elif scheme.lower() == "basic" and self._config.basic_auth_users:
                name = await self._by_password(credentials.strip())
            elif self._config.trusted_proxy and self._is_proxy(peer.address):
                name = _only(headers, self._config.trusted_proxy.user_header)
        return Identity(name, name in self._config.operators) if name else None

    def _by_token(self, token: str) -> str | None:
        digest = digest_of(token)
        return next((name for name, held in self._tokens.items() if held.digest() == digest), None)

    async def _by_password(self, credentials: str) -> str | None:
        try:
            user, colon, password = base64.b64decode(credentials, validate=True).partition(b":")
            name = user.decode()
        except ValueError:  # no base64, or no UTF-8
            return None
        hashed = self._config.basic_auth_users.get(name)
        key = digest_of(f"{hashed} {credentials}")
        if hashed is not None and key in self._verified:
            return name
        if self._waiting >= MOST_WAITING:
            raise TooManyLogins
        self._waiting += 1
        try:
            async with self._verifying:
                expected = hashed or _UNKNOWN_USER
                matches = await asyncio.to_thread(_matches, password, expected.encode())
        finally:
            self._waiting -= 1
        if not colon or not matches or hashed is None:
            return None
        if len(self._verified) >= MOST_VERIFIED:
            self._verified.clear()
        self._verified[key] = None
        return name

    def _is_proxy(self, address: str | None) -> bool:
        try:
            ip = ipaddress.ip_address(address or "")
        except ValueError:
            return False
        ip = getattr(ip, "ipv4_mapped", None) or ip
        return any(ip in network for network in self._proxies)


class _Token:
    """A bearer token in a file, which is read again when it changes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read_at_ns: int | None = None
        self._digest: bytes | None = None
        self._failed = False

    def digest(self) -> bytes | None:
        """The digest of the token; None while the file holds none."""
        try:
            changed_at_ns = self._file.stat().st_mtime_ns
            if changed_at_ns != self._read_at_ns:
                token = self._file.read_text(encoding="utf-8").strip()
                self._digest = digest_of(token) if token else None
                self._read_at_ns = changed_at_ns
            self._failed = False
        except (OSError, UnicodeDecodeError) as error:
            if not self._failed:  # once, not at each request
                log.error("the token in %s can't be read: %s", self._file, error)
            self._failed, self._read_at_ns, self._digest = True, None, None
        return self._digest


def digest_of(text: str) -> bytes:
    """The digest that a credential is known by."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()


def _matches(password: bytes, hashed: bytes) -> bool:
    import bcrypt

    return bcrypt.checkpw(password[:72], hashed)  # bcrypt reads no further


def _only(headers: MultiMapping[str], name: str) -> str | None:
    """The value of a header; None if there is none, or more than one."""
    values = headers.getall(name, [])
    return values[0] if len(values) == 1 else None


def _common_name(certificate: Mapping[str, Any] | None) -> str | None:
    """The common name of a certificate's subject."""
    for part in (certificate or {}).get("subject", ()):
        for kind, value in part:
            if kind == "commonName":
                return str(value)
    return None
