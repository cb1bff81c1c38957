"""The web configuration file: TLS, users, tokens and a trusted proxy of the web port.

Its first two sections are those of Prometheus' web configuration file, under the same names, so
that one file can serve both. The others are ours.

    tls_server_config:
      cert_file: tls.crt
      key_file: tls.key
      client_auth_type: RequireAndVerifyClientCert
      client_ca_file: clients.crt
      min_version: TLS12
    basic_auth_users:
      alice: $2b$12$…                           # bcrypt, as by htpasswd -nBC 12 ""
    bearer_tokens:
      prometheus: {file: prometheus.token}
    trusted_proxy:
      addresses: [10.0.0.7, 10.1.0.0/16]
      user_header: X-Forwarded-User
    operators: [alice]
    open_paths: [/-/healthy, /-/ready]

Paths are relative to the file's folder.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent.config_errors import value_problems, yaml_problem
from agent.errors import EnvironmentFault

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
OpenPath = Literal["/metrics", "/-/healthy", "/-/ready"]

_BCRYPT = re.compile(r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}")
_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}


def _network(text: str) -> str:
    ipaddress.ip_network(text)  # raises ValueError, which says what is wrong
    return text


def _bcrypt(text: str) -> str:
    if not _BCRYPT.fullmatch(text):
        raise ValueError('is no bcrypt hash; make one with: htpasswd -nBC 12 "" | tr -d ":\\n"')
    return text


def _header(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]+", text):
        raise ValueError("is no name of a header")
    return text


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TlsConfig(_Section):
    """The server's certificate, and which clients have to have one."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None
    client_auth_type: Literal[
        "NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"
    ] = "NoClientCert"
    min_version: Literal["TLS12", "TLS13"] = "TLS12"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.verifies_clients and self.client_ca_file is None:
            raise ValueError(f"client_auth_type {self.client_auth_type} needs client_ca_file")
        return self

    @property
    def verifies_clients(self) -> bool:
        """Whether clients are identified by certificates."""
        return self.client_auth_type != "NoClientCert"

    @property
    def minimum(self) -> ssl.TLSVersion:
        """The oldest version of TLS that is accepted."""
        return _VERSIONS[self.min_version]


class BearerToken(_Section):
    """A token in a file, read again when the file changes."""

    file: Path


class TrustedProxy(_Section):
    """A proxy that authenticates users and names them in a header. The header is trusted from these
    addresses only."""

    addresses: Annotated[list[Annotated[str, AfterValidator(_network)]], Field(min_length=1)]
    user_header: Annotated[str, AfterValidator(_header)] = "X-Forwarded-User"

    @property
    def networks(self) -> tuple[Network, ...]:
        """The addresses, as networks."""
        return tuple(ipaddress.ip_network(text) for text in self.addresses)


class WebConfig(_Section):
    """The whole file. All sections are optional; with an empty file, everybody has access."""

    tls_server_config: TlsConfig | None = None
    basic_auth_users: dict[str, Annotated[str, AfterValidator(_bcrypt)]] = {}
    bearer_tokens: dict[str, BearerToken] = {}
    trusted_proxy: TrustedProxy | None = None
    operators: frozenset[str] = frozenset()
    open_paths: frozenset[OpenPath] = frozenset({"/-/healthy", "/-/ready"})

    @property
    def is_closed(self) -> bool:
        """Whether requests need an identity."""
        tls = self.tls_server_config
        by_certificate = tls is not None and tls.verifies_clients
        return bool(
            self.basic_auth_users or self.bearer_tokens or self.trusted_proxy or by_certificate
        )


def load_web_config(path: Path) -> WebConfig:
    """Read the file. Raises EnvironmentFault with all problems, and without any secret."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EnvironmentFault(
            f"web_config_file can't be read: {error.strerror}: {path}"
        ) from error
    except yaml.YAMLError as error:
        raise EnvironmentFault(
            f"web_config_file is not valid: {path}: {yaml_problem(error)}"
        ) from None
    try:
        config = WebConfig.model_validate(values or {})
    except ValidationError as error:
        raise EnvironmentFault(
            f"web_config_file {path}:\n{value_problems(error, _unknown)}"
        ) from None
    return _resolved(config, path.parent)


def _unknown(_name: str) -> str:
    return "unknown; a web configuration file has " + ", ".join(WebConfig.model_fields)


def _resolved(config: WebConfig, folder: Path) -> WebConfig:
    """The configuration with paths made relative to its folder."""
    changes: dict[str, Any] = {
        "bearer_tokens": {
            name: BearerToken(file=folder / token.file)
            for name, token in config.bearer_tokens.items()
        }
    }
    if (tls := config.tls_server_config) is not None:
        files = {
            name: folder / path
            for name in ("cert_file", "key_file", "client_ca_file")
            if (path := getattr(tls, name)) is not None
        }
        changes["tls_server_config"] = tls.model_copy(update=files)
    return config.model_copy(update=changes)
