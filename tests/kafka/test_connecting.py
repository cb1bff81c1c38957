"""Why a broker does not let us in, as far as no broker is needed to find out."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trustme

from agent.kafka.connecting import why_not
from agent.settings import Settings

WEEK = datetime.timedelta(days=7)


@asynccontextmanager
async def tls_server(certificate: trustme.LeafCert) -> AsyncIterator[int]:
    """Something that answers with TLS, and no more; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def reason(folder: Path, certificate: trustme.LeafCert, authority: trustme.CA) -> str:
    """What is said of a server with a certificate, where an authority is trusted."""
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    async with tls_server(certificate) as port:
        settings = Settings(
            brokers=f"localhost:{port}", security_protocol="SSL", ssl_cafile=folder / "ca.pem"
        )
        return await why_not(settings) or ""


async def test_an_expired_certificate_is_the_brokers_to_renew(tmp_path: Path) -> None:
    authority = trustme.CA()
    past = datetime.datetime.now(datetime.UTC) - WEEK
    said = await reason(tmp_path, authority.issue_cert("localhost", not_after=past), authority)
    assert "certificate has expired" in said
    assert "the brokers need a new one" in said and "ssl_cafile" not in said


async def test_a_certificate_of_another_name_says_which_setting_holds_the_name(
    tmp_path: Path,
) -> None:
    authority = trustme.CA()
    said = await reason(tmp_path, authority.issue_cert("broker.example"), authority)
    assert "the name in brokers must be one that the certificate has" in said


async def test_a_certificate_of_a_stranger_says_which_setting_names_the_authority(
    tmp_path: Path,
) -> None:
    said = await reason(tmp_path, trustme.CA().issue_cert("localhost"), trustme.CA())
    assert "ssl_cafile must name the authority that signed it" in said


async def test_nobody_there_is_nothing_to_say_more_of() -> None:
    assert await why_not(Settings(brokers="127.0.0.1:1")) is None
