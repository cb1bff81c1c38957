"""How to reach the brokers: one set of connection options for aiokafka, one for Faust."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import faust
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import create_conn
from aiokafka.errors import (
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from agent.errors import EnvironmentFault
from agent.settings import Settings

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 10.0
METADATA_MAX_AGE_MS = 30_000  # how soon new partitions of a topic are noticed
PRODUCER_BATCH_BYTES = 128 * 1024
MOST_REQUEST_BYTES = 100 * 1024 * 1024  # socket.request.max.bytes of a broker, by default
LOOK_AGAIN_MS = 1_000
"""How often a consumer looks for what it may fetch though nothing has happened. aiokafka does so
five times a second, but every answer, assignment, seek and pause wakes it, too."""


def ssl_context(settings: Settings) -> ssl.SSLContext | None:
    """The TLS context, None without TLS. Raises EnvironmentFault for files that don't serve."""
    if not settings.security_protocol.endswith("SSL"):
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ssl_cafile)
        if settings.ssl_certfile and settings.ssl_keyfile:
            context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile)
    except (OSError, ssl.SSLError) as error:
        raise EnvironmentFault(
            f"the TLS files don't serve: {error}",
            "ssl_cafile, ssl_certfile and ssl_keyfile must be readable PEM files.",
        ) from error
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
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = settings.password()
    return options


def faust_credentials(settings: Settings) -> faust.SASLCredentials | faust.SSLCredentials | None:
    """The same for Faust's `broker_credentials`."""
    context = ssl_context(settings)
    if settings.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=settings.sasl_username,
            password=settings.password(),
            mechanism=settings.sasl_mechanism,
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context=context)


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


async def wait_for_broker(settings: Settings, tell: Callable[[str], None]) -> AIOKafkaAdminClient:
    """A started admin client, as soon as a broker answers.

    `tell` is given the reason of each failed attempt. Waits 0.5 s, then up to 10 s between
    attempts, for ever: the brokers may come later than the agent.
    """
    wait_seconds = FIRST_WAIT_SECONDS
    while True:
        admin = AIOKafkaAdminClient(**connection(settings))
        try:
            await admin.start()
            return admin
        except (KafkaError, OSError) as error:
            await admin.close()
            tell(
                await _why_not(settings)
                or f"no broker answers at {settings.brokers}, trying again: {error}; "
                "are the brokers right (--brokers, KPI_AGENT_BROKERS), and do they run?"
            )
        except BaseException:
            await admin.close()
            raise
        await asyncio.sleep(wait_seconds)
        wait_seconds = min(wait_seconds * 2, LONGEST_WAIT_SECONDS)


async def _why_not(settings: Settings) -> str | None:
    """Why the first broker that can be reached does not let us in; None when none is reached.

    The client library tells its log alone, and its callers only that it could not connect.
    """
    options = connection(settings)
    del options["bootstrap_servers"], options["metadata_max_age_ms"]
    for address in settings.bootstrap:
        host, _, port = address.rpartition(":")
        try:
            found = await create_conn(host, int(port), **options)
        except (SaslAuthenticationFailed, UnsupportedSaslMechanismError) as error:
            return f"{address} refuses the login of {settings.sasl_username!r}: {error}"
        except ssl.SSLCertVerificationError as error:
            return (
                f"the certificate of {address} is not accepted: {error.verify_message}; "
                "ssl_cafile must name the authority that signed it"
            )
        except ssl.SSLError as error:
            return f"{address} answers, but no TLS connection comes about: {error.reason or error}"
        except (KafkaError, OSError, TimeoutError):
            continue
        found.close()
    return None
