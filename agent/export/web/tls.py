"""TLS of the web port, with certificates that may be renewed while the agent runs."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from agent.errors import EnvironmentFault
from agent.export.web.web_config import TlsConfig

log = logging.getLogger(__name__)

_CLIENTS = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
HANDSHAKE_SECONDS = 10.0


class ServerTls:
    """The context of the server's connections.

    At each handshake the files are read again if they have changed: as in Prometheus, a renewed
    certificate needs no restart. While a new one can't be used, the previous one stays in use.
    Raises EnvironmentFault if the first one can't be used.
    """

    def __init__(self, config: TlsConfig) -> None:
        self._config = config
        self._files = tuple(
            file for file in (config.cert_file, config.key_file, config.client_ca_file) if file
        )
        self._read_as = self._state()
        try:
            self.context = self._current = self._read()
        except (OSError, ssl.SSLError) as error:
            raise EnvironmentFault(
                f"the files of tls_server_config can't be used: {error}",
                "cert_file, key_file and client_ca_file must be readable PEM files, and the key "
                "that of the certificate.",
            ) from error
        self.context.sni_callback = self._renew

    def _renew(self, connection: ssl.SSLObject, _name: str | None, _context: object) -> None:
        """Give a new connection the newest certificate."""
        state = self._state()
        if state != self._read_as:
            self._read_as = state
            try:
                self._current = self._read()
                log.info("reloaded the certificate of the web port")
            except (OSError, ssl.SSLError) as error:
                log.error("the changed certificate of the web port can't be used: %s", error)
        connection.context = self._current

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = self._config.minimum
        context.load_cert_chain(self._config.cert_file, self._config.key_file)
        if self._config.client_ca_file is not None:
            context.load_verify_locations(self._config.client_ca_file)
        context.verify_mode = _CLIENTS[self._config.client_auth_type]
        return context

    def _state(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(map(_version, self._files))


def _version(file: Path) -> tuple[int, int] | None:
    """The mtime and inode of a file, which change with it; None: there is no file."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino
