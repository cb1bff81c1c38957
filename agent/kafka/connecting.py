"""Waits for a broker, and diagnoses why connections fail.

aiokafka logs the reason, and only raises that it could not connect. So once a connection has
failed, the first broker that can be reached is probed step by step, and the cause is reported with
the setting to change.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, get_args

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
    for_code,
)
from aiokafka.protocol.admin import SaslHandShakeRequest

from agent.kafka.client import connection, new_admin
from agent.kafka.tokens import TokenRefusedError, TokenUnavailableError
from agent.settings import SaslMechanism, Settings

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 10.0
PROBE_TIMEOUT_MS = 5_000
EXPIRED, NOT_YET_VALID, WRONG_HOST = 10, 9, 62  # OpenSSL's x509_vfy.h
CLIENT_EXPIRED = "CERTIFICATE_EXPIRED"


async def wait_for_broker(settings: Settings, report: Callable[[str], None]) -> AIOKafkaAdminClient:
    """A started admin client, as soon as a broker answers.

    `report` is called with the reason of each failed attempt. Waits 0.5 s, then up to 10 s between
    attempts, until one answers: the brokers may start later than the agent.
    """
    wait_seconds = FIRST_WAIT_SECONDS
    while True:
        admin = new_admin(settings)
        try:
            await admin.start()
            return admin
        except (KafkaError, OSError) as error:
            await admin.close()
            report(
                await why_not(settings)
                or f"no broker answers at {settings.brokers}, trying again: {error}; "
                "are the brokers right (--brokers, KPI_AGENT_BROKERS), and do they run?"
            )
        except BaseException:
            await admin.close()
            raise
        await asyncio.sleep(wait_seconds)
        wait_seconds = min(wait_seconds * 2, LONGEST_WAIT_SECONDS)


async def why_not(settings: Settings) -> str | None:
    """Why the first broker that can be reached refuses the connection; None if none is reached, or
    it does not refuse."""
    for address in settings.bootstrap:
        try:
            await _connect(settings, address)
        except (
            SaslAuthenticationFailed,
            UnsupportedSaslMechanismError,
            TokenUnavailableError,
        ) as error:
            return await _login_refused(settings, address, error)
        except ssl.SSLCertVerificationError as error:
            return _certificate_refused(settings, address, error)
        except ssl.SSLError as error:
            return await _no_tls(settings, address, error)
        except (KafkaError, OSError, TimeoutError):
            if (reason := await _other_protocol(settings, address)) is not None:
                return reason
        else:
            # The connection was accepted, but its requests may be refused.
            if (reason := await _other_protocol(settings, address)) is not None:
                return reason
    return None


async def _connect(settings: Settings, address: str, **other: Any) -> None:
    options = connection(settings)
    del options["bootstrap_servers"], options["metadata_max_age_ms"]
    host, _, port = address.rpartition(":")
    options |= {"request_timeout_ms": PROBE_TIMEOUT_MS, **other}
    (await create_conn(host, int(port), **options)).close()


async def _login_refused(settings: Settings, address: str, error: KafkaError) -> str:
    if isinstance(error, TokenUnavailableError):
        return f"{error}; is oauth_token_url right, and can it be reached from here?"
    if isinstance(error, TokenRefusedError):
        return f"{error}. {_LOGIN_HINTS[settings.sasl_mechanism]}"
    if isinstance(error, UnsupportedSaslMechanismError):
        offered = await _mechanisms(settings, address)
        offers = f": it offers {', '.join(offered)}" if offered else ""
        return (
            f"{address} does not support sasl_mechanism {settings.sasl_mechanism}{offers}. Set "
            f"sasl_mechanism to one of {', '.join(get_args(SaslMechanism))} that it does"
        )
    if settings.sasl_mechanism == "OAUTHBEARER":
        return (
            f"{address} refuses the token that {settings.oauth_token_url} gave "
            f"{settings.sasl_username!r}: {error}. Do the brokers trust this issuer, and does it "
            "put the audience and the scope that they want into its tokens (oauth_scope)?"
        )
    who = f" of {settings.sasl_username!r}" if settings.sasl_username else ""
    return (
        f"{address} refuses the login{who} by {settings.sasl_mechanism}: "
        f"{error}. {_LOGIN_HINTS[settings.sasl_mechanism]}"
    )


_LOGIN_HINTS = {
    **dict.fromkeys(
        ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
        "Are sasl_username and sasl_password right?",
    ),
    "OAUTHBEARER": "Are sasl_username (the client's id), sasl_password (its secret) and "
    "oauth_scope right?",
    "AWS_MSK_IAM": "Are there AWS credentials here that may kafka-cluster:Connect, and is "
    "aws_region the cluster's?",
    "GSSAPI": "Is there a valid ticket (klist), and are kerberos_service and kerberos_domain the "
    "brokers'?",
}


def _certificate_refused(
    settings: Settings, address: str, error: ssl.SSLCertVerificationError
) -> str:
    what = f"the certificate of {address} is not accepted: {error.verify_message}"
    hints = {
        EXPIRED: "the brokers need a new one; no setting of the agent helps",
        NOT_YET_VALID: "is the clock of this machine right?",
        WRONG_HOST: "the name in brokers must be one that the certificate has, or "
        "ssl_check_hostname: false where the network is trusted",
    }
    authority = "ssl_cafile must name the authority that signed it"
    if settings.ssl_cafile is None:
        authority += "; without it, the system's authorities count"
    return f"{what}; {hints.get(error.verify_code, authority)}"


async def _no_tls(settings: Settings, address: str, error: ssl.SSLError) -> str:
    reason = error.reason or str(error)
    if CLIENT_EXPIRED in reason:
        return f"{address} refuses this agent's certificate: it has expired; renew ssl_certfile"
    if "CERTIFICATE" in reason:
        return (
            f"{address} refuses this agent's certificate ({reason}): the brokers must trust the "
            "authority that signed ssl_certfile"
        )
    if await _mechanisms(settings, address, tls=False) is not None:
        return _protocol_differs(settings, address, "without TLS")
    return f"{address} answers, but no TLS connection comes about: {reason}"


async def _other_protocol(settings: Settings, address: str) -> str | None:
    """How the listener's protocol differs from the settings, in words; None: it does not."""
    uses_tls = settings.security_protocol.endswith("SSL")
    uses_sasl = settings.security_protocol.startswith("SASL")
    offered = await _mechanisms(settings, address, tls=uses_tls)
    if offered is None:
        if await _mechanisms(settings, address, tls=not uses_tls) is None:
            return None
        return _protocol_differs(settings, address, "without TLS" if uses_tls else "with TLS")
    if offered and not uses_sasl:
        return _protocol_differs(settings, address, f"with a login ({', '.join(offered)})")
    if not offered and uses_sasl:
        return _protocol_differs(settings, address, "without a login")
    return None


def _protocol_differs(settings: Settings, address: str, how: str) -> str:
    return (
        f"{address} is reached {how}, but security_protocol is {settings.security_protocol}: is "
        "it the right port, and the right one of PLAINTEXT, SSL, SASL_PLAINTEXT and SASL_SSL?"
    )


async def _mechanisms(
    settings: Settings, address: str, tls: bool | None = None
) -> list[str] | None:
    """The SASL mechanisms that a listener offers, empty if it needs no login; None if it does not
    speak TLS, or plaintext, as asked for. Its certificate is not verified: no secret is sent."""
    host, _, port = address.rpartition(":")
    context = None
    if settings.security_protocol.endswith("SSL") if tls is None else tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if settings.ssl_certfile and settings.ssl_keyfile:
            context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile)
    try:
        probe = await create_conn(
            host, int(port), ssl_context=context, request_timeout_ms=PROBE_TIMEOUT_MS,
            security_protocol="PLAINTEXT" if context is None else "SSL",
        )  # fmt: skip
    except (KafkaError, OSError, TimeoutError):
        return None
    try:
        answer = await probe.send(SaslHandShakeRequest("PLAIN"))
        if for_code(answer.error_code) is IllegalSaslStateError:
            return []
        return list(answer.enabled_mechanisms)
    except (KafkaError, OSError, TimeoutError):
        return None
    finally:
        probe.close()
