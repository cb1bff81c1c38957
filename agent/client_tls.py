"""TLS towards servers that the agent connects to."""

from __future__ import annotations

import ssl
from pathlib import Path

from agent.errors import EnvironmentFault


def client_context(
    cafile: Path | None, certfile: Path | None, keyfile: Path | None, problem: str, hint: str
) -> ssl.SSLContext:
    """The context of PEM files: authorities (None: the system's), and our certificate with its key,
    if both are given. Raises EnvironmentFault, with `problem` and `hint`, for files that can't be
    used."""
    try:
        context = ssl.create_default_context(cafile=cafile)
        if certfile and keyfile:
            context.load_cert_chain(certfile, keyfile)
    except (OSError, ssl.SSLError) as error:
        raise EnvironmentFault(f"{problem}: {error}", hint) from error
    return context
