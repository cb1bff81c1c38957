"""Clients of the brokers: connection options for aiokafka and Faust, producers and consumers."""

from __future__ import annotations

import importlib.util
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import faust
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from faust.auth import Credentials, GSSAPICredentials, OAuthCredentials

from agent.client_tls import client_context
from agent.errors import EnvironmentFault, reason_of
from agent.kafka.tokens import token_provider
from agent.settings import Settings

METADATA_MAX_AGE_MS = 30_000  # how soon new partitions of a topic are noticed
PRODUCER_BATCH_BYTES = 128 * 1024
MOST_REQUEST_BYTES = 100 * 1024 * 1024  # socket.request.max.bytes of a broker, by default
FETCHER_WAKEUP_MS = 1_000
"""How often an idle consumer checks what it may fetch. aiokafka's default is five times a second,
but every answer, assignment, seek and pause wakes it, too."""

Client = TypeVar("Client", AIOKafkaAdminClient, AIOKafkaConsumer, AIOKafkaProducer)


def ssl_context(settings: Settings) -> ssl.SSLContext | None:
    """The TLS context, None without TLS. Raises EnvironmentFault for unusable files."""
    if not settings.security_protocol.endswith("SSL"):
        return None
    context = client_context(
        settings.ssl_cafile, settings.ssl_certfile, settings.ssl_keyfile,
        "the TLS files can't be used",
        "ssl_cafile, ssl_certfile and ssl_keyfile must be readable PEM files.",
    )  # fmt: skip
    context.check_hostname = settings.ssl_check_hostname
    return context


def connection(settings: Settings) -> dict[str, Any]:
    """The connection arguments of every aiokafka client."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap,
        "security_protocol": settings.security_protocol,
        "metadata_max_age_ms": METADATA_MAX_AGE_MS,
        "client_id": settings.group,
    }
    if (context := ssl_context(settings)) is not None:
        options["ssl_context"] = context
    if settings.security_protocol.startswith("SASL"):
        options |= _login(settings)
    return options


def _login(settings: Settings) -> dict[str, Any]:
    if (tokens := token_provider(settings)) is not None:
        return {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": tokens}
    if settings.sasl_mechanism == "GSSAPI":
        require_kerberos()
        return {
            "sasl_mechanism": "GSSAPI",
            "sasl_kerberos_service_name": settings.kerberos_service,
            "sasl_kerberos_domain_name": settings.kerberos_domain,
        }
    return {
        "sasl_mechanism": settings.sasl_mechanism,
        "sasl_plain_username": settings.sasl_username,
        "sasl_plain_password": settings.password(),
    }


def require_kerberos() -> None:
    """Raises EnvironmentFault where Kerberos' library isn't installed."""
    if importlib.util.find_spec("gssapi") is None:
        raise EnvironmentFault(
            "sasl_mechanism GSSAPI needs the extra kerberos, and Kerberos' headers to build it",
            "For example: apt-get install libkrb5-dev gcc && pip install 'kpi-agent[kerberos]'",
        )


def faust_credentials(settings: Settings) -> Credentials | None:
    """The login of `connection`, for Faust's `broker_credentials`."""
    context = ssl_context(settings)
    if settings.security_protocol.startswith("SASL"):
        if (tokens := token_provider(settings)) is not None:
            return OAuthCredentials(oauth_cb=tokens, ssl_context=context)
        if settings.sasl_mechanism == "GSSAPI":
            require_kerberos()
            return GSSAPICredentials(
                kerberos_service_name=settings.kerberos_service,
                kerberos_domain_name=settings.kerberos_domain,
                ssl_context=context,
            )
        return faust.SASLCredentials(
            username=settings.sasl_username,
            password=settings.password(),
            mechanism=settings.sasl_mechanism,
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context=context)


@contextmanager
def kafka_faults(what: str, hint: str | None = None) -> Iterator[None]:
    """Turn what Kafka and the network raise into an EnvironmentFault: what failed, and why."""
    try:
        yield
    except (KafkaError, OSError) as error:
        raise EnvironmentFault(f"{what}: {reason_of(error)}", hint) from error


@asynccontextmanager
async def running(client: Client) -> AsyncIterator[Client]:
    """A client that is started for a block, and stopped after it, also where the start fails."""
    try:
        await client.start()
        yield client
    finally:
        await (client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop())


def new_admin(settings: Settings) -> AIOKafkaAdminClient:
    """A client for topics, groups and their configuration."""
    return AIOKafkaAdminClient(**connection(settings))


def new_reader(
    settings: Settings, *topics: str, name: str = "", **options: Any
) -> AIOKafkaConsumer:
    """A consumer without a group, which commits nothing. It is assigned all partitions of `topics`;
    without topics, the caller assigns some. `name` is the suffix of its client id.

    If records are deleted before it has read them, it continues at the first that is left; with
    `auto_offset_reset="none"`, it raises OffsetOutOfRangeError instead.
    """
    client_id = f"{settings.group}-{name}" if name else settings.group
    return AIOKafkaConsumer(
        *topics,
        **{**connection(settings), "client_id": client_id},
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        # aiokafka would continue at the end of the log.
        **{"auto_offset_reset": "earliest", **options},
    )


def new_producer(settings: Settings, idempotent: bool = True) -> AIOKafkaProducer:
    """A producer whose records are acknowledged by all in-sync replicas, each written once; or, not
    `idempotent`, at least once and of any size that the broker takes."""
    return AIOKafkaProducer(
        **connection(settings),
        acks="all",
        enable_idempotence=idempotent,
        **({} if idempotent else {"max_request_size": MOST_REQUEST_BYTES}),
        compression_type="zstd",  # lz4 as aiokafka does it takes five times as long
        linger_ms=5,
        max_batch_size=PRODUCER_BATCH_BYTES,
    )
