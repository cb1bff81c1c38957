"""Refuses requests by their `Host` and `Origin`; `identity` is about who sends them.

This keeps pages of other sites from using a browser that can reach the agent: by a form or script
(`Origin`), or by a name that resolves to the agent's address (DNS rebinding, `Host`). Names that
nobody can register in the public DNS are allowed: addresses, names without a dot, and the suffixes
of local networks. Any other has to be listed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from agent.export.web.identity import Identity

LOCAL_SUFFIXES = (
    "localhost",  # RFC 6761
    "local",  # RFC 6762
    "internal",  # reserved by ICANN for private use, 2024
    "home.arpa",  # RFC 8375
    "svc",  # Kubernetes, within a cluster
    "cluster.local",
)
NOT_CROSS_SITE = ("none", "same-origin")
"""`Sec-Fetch-Site` of requests that are not made by another site's page (Fetch Metadata)."""


@dataclass(frozen=True, slots=True)
class Access:
    """The rules for refusing requests. `hosts`: names of the server besides local ones,
    `*.example.org` for subdomains; `may_reload`: whether the rules can be reloaded over HTTP."""

    hosts: tuple[str, ...] = ()
    may_reload: bool = False

    def refusal(self, headers: Mapping[str, str]) -> str | None:
        """Why a request with these headers is refused; None: it is not."""
        host = headers.get("Host", "")
        if not self.allows_host(_name(host)):
            return (
                f"this agent does not answer to the name {host[:80]!r}: "
                "add it to the setting web_hosts\n"
            )
        origin = headers.get("Origin")
        if origin is not None and not self._is_own(origin, host):
            return "pages of other sites may not use this agent\n"
        return None

    def refusal_to_reload(
        self, headers: Mapping[str, str], identity: Identity | None = None
    ) -> str | None:
        """Why a reload is refused; None: it is not. With identities, only operators may reload."""
        if identity is not None and not identity.is_operator:
            return f"{identity.name} is not among the operators of web_config_file\n"
        if identity is None and not self.may_reload:
            return "reloading over HTTP is off: send SIGHUP, or set web_reload\n"
        if headers.get("Sec-Fetch-Site", "none") not in NOT_CROSS_SITE:
            return "a reload must not be requested by another site's page\n"
        return None

    def allows_host(self, name: str) -> bool:
        """Whether a name or an address may be the `Host` of a request."""
        name = name.lower().rstrip(".")
        if not name:
            return False
        if "." not in name or _is_address(name):
            return True
        if any(name.endswith(f".{suffix}") for suffix in LOCAL_SUFFIXES):
            return True
        return any(
            name.endswith(host[1:]) if host.startswith("*.") else name == host
            for host in map(str.lower, self.hosts)
        )

    def _is_own(self, origin: str, host: str) -> bool:
        """Whether a page's origin is this server. A proxy may pass on another `Host`."""
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return False  # also `null`: of a sandboxed page, or a file
        if parts.netloc.lower() == host.lower():
            return True
        return any(not h.startswith("*.") and h.lower() == parts.hostname for h in self.hosts)


def is_loopback(host: str) -> bool:
    """Whether a server that listens on this address is reached from this machine only."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _name(host: str) -> str:
    """The name in a `Host` header, without its port; "" where it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
