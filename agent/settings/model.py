"""The settings of one agent, and which of them need or exclude each other."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from agent.core.output.labels import parse_external_labels
from agent.errors import EnvironmentFault
from agent.settings.values import (
    Addresses,
    Brokers,
    Extensions,
    Headers,
    Labels,
    Link,
    TokenUrl,
    Zone,
    parse_extensions,
    parse_headers,
    split_list,
)

PREFIX = "KPI_AGENT_"
"""The prefix of the environment variables."""
MIN_SECRET_LENGTH = 16
"""In characters. A shorter one could be guessed from a list of names and their hashes."""


SaslMechanism = Literal[
    "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM", "GSSAPI"
]
WITHOUT_PASSWORD = ("AWS_MSK_IAM", "GSSAPI")
"""Mechanisms whose credentials come from the environment."""


class Settings(BaseSettings):
    """The settings of one agent. Durations are seconds. Build it with `load_settings`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    brokers: Brokers = Field(
        "localhost:9092", description="host:port of the brokers, separated by commas"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: SaslMechanism = "PLAIN"
    sasl_username: str | None = Field(None, description="for OAUTHBEARER, the client id")
    sasl_password: SecretStr | None = Field(None, description="for OAUTHBEARER, the client secret")
    sasl_password_file: Path | None = Field(None, description="file that contains the password")
    oauth_token_url: TokenUrl | None = Field(None, description="token endpoint for OAUTHBEARER")
    oauth_scope: str | None = Field(None, description="requested scope")
    oauth_extensions: Extensions = Field(
        "", description="name=value, separated by commas, sent to the brokers with the token"
    )
    aws_region: str | None = Field(None, description="region of the cluster, for AWS_MSK_IAM")
    kerberos_service: str = Field(
        "kafka", min_length=1, description="service in the brokers' principal"
    )
    kerberos_domain: str | None = Field(
        None, description="host in the brokers' principal; default: as in brokers"
    )
    ssl_cafile: Path | None = Field(None, description="PEM; default: the system's authorities")
    ssl_certfile: Path | None = Field(None, description="PEM of the client certificate")
    ssl_keyfile: Path | None = Field(None, description="PEM of the client key")
    ssl_check_hostname: bool = True

    group: str = Field("kpi-agent", min_length=1, description="prefix of the consumer groups")
    topic_prefix: str = Field("kpi-agent", min_length=1, description="prefix of internal topics")
    values_topic: str = Field("kpi-values", min_length=1)
    alerts_topic: str = Field("kpi-alerts", min_length=1)
    dead_letters_topic: str | None = Field(None, description="default <topic_prefix>-dead-letters")
    late_topic: str | None = Field(None, description="default <topic_prefix>-late")
    frames_topic: str | None = Field(None, description="default <topic_prefix>-frames")
    series_topic: str | None = Field(None, description="default <topic_prefix>-series")
    board_topic: str | None = Field(None, description="default <topic_prefix>-board")
    create_topics: bool = Field(True, description="false: they exist, or the broker creates them")
    state_partitions: int = Field(8, ge=1, le=256, description="of the topics that are created")
    replication_factor: int | None = Field(
        None, ge=1, description="of created topics; default: 3, or the number of brokers if lower"
    )

    schema_registry: Addresses = Field(
        "", description="schema registry addresses, separated by commas: https://host:8081"
    )
    schema_registry_user: str | None = None
    schema_registry_password: SecretStr | None = None
    schema_registry_password_file: Path | None = Field(
        None, description="file that contains the password"
    )
    schema_registry_token: SecretStr | None = Field(None, description="bearer token")
    schema_registry_token_file: Path | None = Field(
        None, description="file that contains the token"
    )
    schema_registry_cluster: str = Field(
        "", description="logical cluster of a bearer token (Confluent Cloud)"
    )
    schema_registry_cafile: Path | None = Field(
        None, description="PEM; default: the authorities of the client library"
    )
    schema_registry_certfile: Path | None = Field(None, description="PEM of the client certificate")
    schema_registry_keyfile: Path | None = Field(None, description="PEM of the client key")

    rules: Path = Field(Path("rules"), description="rules folder")
    start_from: Literal["earliest", "latest"] = Field(
        "earliest", description="where to start in a topic that this group has never read"
    )
    flush_interval: float = Field(1.0, ge=0.05, le=60, description="between flushes of frames")
    session_timeout: float = Field(
        15.0, ge=1, le=300, description="after which the group reassigns a silent worker's share"
    )
    data_dir: Path | None = Field(
        None, description="folder for the state, for fast restarts; default: in memory"
    )

    person_secret: SecretStr | None = Field(
        None, description="key for hashing the people of private KPIs"
    )
    person_secret_file: Path | None = Field(
        None, description="file that contains the key; older keys may follow, one a line"
    )
    link_secret: SecretStr | None = Field(
        None, description="key for the addresses of private pages; default: person_secret"
    )
    link_secret_file: Path | None = Field(
        None,
        description="file that contains the key; older keys, whose addresses still open pages, "
        "may follow, one a line",
    )
    alertmanagers: Addresses = Field(
        "",
        description="base addresses of Alertmanagers, separated by commas, that the agent sends "
        "alerts to; by default Prometheus sends them",
    )
    external_labels: Labels = Field(
        "",
        description="labels on all series and alerts, name=value, separated by commas: the "
        "environment or cluster, if several share a Prometheus",
    )
    remote_write_url: Addresses = Field(
        "",
        description="Prometheus remote write endpoint for closed windows: "
        "https://host/api/v1/write",
    )
    remote_write_headers: Headers = Field(
        "", description="headers, name=value, separated by commas: X-Scope-OrgID=tenant"
    )
    remote_write_user: str | None = None
    remote_write_password: SecretStr | None = None
    remote_write_password_file: Path | None = Field(
        None, description="file that contains the password"
    )
    remote_write_token: SecretStr | None = Field(None, description="bearer token")
    remote_write_token_file: Path | None = Field(None, description="file that contains the token")
    remote_write_cafile: Path | None = Field(
        None, description="PEM; default: the system's authorities"
    )
    remote_write_certfile: Path | None = Field(None, description="PEM of the client certificate")
    remote_write_keyfile: Path | None = Field(None, description="PEM of the client key")
    alert_resend: float = Field(60.0, ge=1, le=3600, description="between resends of an alert")

    external_url: Link = Field(
        "",
        description="address of the board for people: https://kpis.example.org; alerts link to "
        "its pages",
    )
    grafana_url: Link = Field(
        "", description="address of Grafana; alerts and pages link to its boards"
    )
    runbooks_url: Link = Field(
        "",
        description="address of the runbooks; the runbook's name is appended, or replaces {name}; "
        "generated alerts without a runbook of their own link there",
    )
    timezone: Zone = Field("UTC", description="IANA time zone of the times on pages: Europe/Berlin")

    web_host: str = "0.0.0.0"  # noqa: S104  a scrape comes from outside
    web_hosts: str = Field(
        "",
        description="host names under which browsers may reach the agent, separated by commas, "
        "besides IP addresses and local names; *.example.org covers subdomains",
    )
    web_reload: bool = Field(False, description="whether /-/reload reloads the rules")
    web_config_file: Path | None = Field(
        None,
        description="file that configures TLS and users; default: plain HTTP, for everybody who "
        "can reach the port",
    )
    web_port: int = Field(9108, ge=0, le=65535, description="0 takes a free port")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.sasl_mechanism == "AWS_MSK_IAM" and not self.aws_region:
            raise ValueError("AWS_MSK_IAM needs aws_region")
        if self.sasl_mechanism == "OAUTHBEARER" and not self.oauth_token_url:
            raise ValueError("OAUTHBEARER needs oauth_token_url")
        if (
            self.security_protocol.startswith("SASL")
            and self.sasl_mechanism not in WITHOUT_PASSWORD
        ):
            if not self.sasl_username:
                raise ValueError(f"{self.security_protocol} needs sasl_username")
            if self.sasl_password is None and self.sasl_password_file is None:
                raise ValueError(
                    f"{self.security_protocol} needs sasl_password or sasl_password_file"
                )
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            raise ValueError("ssl_certfile and ssl_keyfile go together")
        for name in ("schema_registry", "remote_write"):
            if (getattr(self, f"{name}_certfile") is None) != (
                getattr(self, f"{name}_keyfile") is None
            ):
                raise ValueError(f"{name}_certfile and {name}_keyfile go together")
            has_token = getattr(self, f"{name}_token") or getattr(self, f"{name}_token_file")
            if getattr(self, f"{name}_user") and has_token:
                raise ValueError(f"{name}_user and {name}_token: keep one of them")
        return self

    @property
    def bootstrap(self) -> list[str]:
        """The brokers, one address each."""
        return split_list(self.brokers)

    @property
    def alertmanager_urls(self) -> list[str]:
        """The Alertmanagers that alerts are sent to, one address each."""
        return split_list(self.alertmanagers)

    @property
    def web_host_names(self) -> tuple[str, ...]:
        """The names by which browsers may call the agent."""
        return tuple(split_list(self.web_hosts))

    @property
    def oauth_extension_values(self) -> dict[str, str]:
        """The SASL extensions that are sent to the brokers with a token, by name."""
        return parse_extensions(self.oauth_extensions)

    @property
    def remote_write_header_values(self) -> dict[str, str]:
        """The headers of each request of remote write, by name."""
        return parse_headers(self.remote_write_headers)

    @property
    def labels(self) -> dict[str, str]:
        """The external labels, by name."""
        return parse_external_labels(self.external_labels)

    def password(self) -> str | None:
        """The SASL password itself. Raises EnvironmentFault where its file can't be read."""
        return self._secret_of("sasl_password")

    def password_of(self, name: Literal["schema_registry", "remote_write"]) -> str | None:
        """The password for a server. Raises EnvironmentFault where its file can't be read."""
        return self._secret_of(f"{name}_password")

    def token_of(self, name: Literal["schema_registry", "remote_write"]) -> str | None:
        """The bearer token for a server. Raises EnvironmentFault where its file can't be read."""
        return self._secret_of(f"{name}_token")

    def _secret_of(self, name: str) -> str | None:
        return _secret(f"{name}_file", getattr(self, name), getattr(self, f"{name}_file"))

    def secrets_of(self, name: Literal["person", "link"]) -> tuple[str, ...]:
        """The secrets for people's hashes or for links to their pages, the newest first. Raises
        EnvironmentFault if their file can't be read or one of them is too short."""
        text = self._secret_of(f"{name}_secret")
        secrets = () if text is None else tuple(text.splitlines() or [text])
        if any(len(secret) < MIN_SECRET_LENGTH for secret in secrets):
            raise EnvironmentFault(
                f"the {name}_secret is shorter than {MIN_SECRET_LENGTH} characters",
                "For example: openssl rand -hex 32",
            )
        return secrets


def _secret(name: str, given: SecretStr | None, file: Path | None) -> str | None:
    if given is not None:
        return given.get_secret_value()
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise EnvironmentFault(f"{name} can't be read: {error.strerror}: {file}") from error
