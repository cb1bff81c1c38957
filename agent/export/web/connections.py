"""Limits on connections: their number, and how long one may keep the server waiting.

aiohttp waits forever for the first request of a connection, and for a client that does not read.
`Connection` is between the socket and aiohttp's protocol, and passes everything on.

A connection is waiting (for a whole request) or answering; in either state it may be stalled (the
client does not read what was written).

1. A waiting connection is closed after `head_seconds`, however many bytes trickle in.
2. A connection that has sent `pending_bytes` without a whole request is closed.
3. A connection that does not read for `stall_seconds` is closed, in any state.
4. With all `connections` in use, a new one replaces the one that has been waiting for longest, else
   a stalled one: incomplete requests displace each other, never one that is being answered. If all
   are being answered, the new one is closed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import chain
from typing import cast


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one server. `connections` is half of the 1,024 file descriptors that a process
    usually may have: Kafka clients and files need some."""

    connections: int = 512
    head_seconds: float = 10.0
    stall_seconds: float = 30.0
    pending_bytes: int = 64 * 1024


class Connections:
    """All connections of one server."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._waiting: dict[asyncio.BaseProtocol, Connection] = {}  # longest waiting first
        self._answering: dict[asyncio.BaseProtocol, Connection] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._answering)

    def new(self, handler: asyncio.Protocol) -> Connection:
        """The protocol of a new connection, which passes everything on to aiohttp's `handler`."""
        return Connection(self, handler)

    def admit(self, connection: Connection) -> bool:
        """Add a new connection; False: there is no room."""
        if len(self) >= self.limits.connections:
            stalled = (
                connection for connection in self._answering.values() if connection.is_stalled
            )
            idle = next(chain(self._waiting.values(), stalled), None)
            if idle is None:
                return False
            idle.abort()
            self.remove(idle)
        self._waiting[connection.handler] = connection
        return True

    def remove(self, connection: Connection) -> None:
        """Remove a closed connection."""
        self._waiting.pop(connection.handler, None)
        self._answering.pop(connection.handler, None)

    def begin(self, handler: asyncio.BaseProtocol) -> None:
        """A whole request has arrived: the connection is answering."""
        if (connection := self._waiting.pop(handler, None)) is not None:
            self._answering[handler] = connection
            connection.begin()

    def end(self, handler: asyncio.BaseProtocol) -> None:
        """The request is answered: the connection is waiting for the next one."""
        if (connection := self._answering.pop(handler, None)) is not None:
            self._waiting[handler] = connection
            connection.wait()


class Connection(asyncio.Protocol):
    """One connection: passes everything on to its handler, and enforces the time limits."""

    def __init__(self, connections: Connections, handler: asyncio.Protocol) -> None:
        self.handler = handler
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._pending_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    @property
    def is_stalled(self) -> bool:
        """Whether the client does not read what was written."""
        return self._stalled is not None

    def begin(self) -> None:
        """Stop the timer: a whole request has arrived."""
        self._pending_bytes = 0
        self._cancel_timer()

    def wait(self) -> None:
        """Start the timer for a request."""
        self._pending_bytes = 0
        self._cancel_timer()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._connections.limits.head_seconds, self._waited)

    def abort(self) -> None:
        """Close at once, without sending the rest."""
        if self._transport is not None:
            self._transport.abort()

    def _waited(self) -> None:
        # A response that is still being sent has the limit for stalling.
        if self._transport is not None and self._transport.get_write_buffer_size() > 0:
            self.wait()
        else:
            self.abort()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- asyncio.Protocol --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the connection, or close it."""
        self._transport = cast("asyncio.Transport", transport)
        if not self._connections.admit(self):
            self._transport.abort()
            self._transport = None
            return
        self.handler.connection_made(transport)
        self.wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection."""
        admitted, self._transport = self._transport is not None, None
        self._cancel_timer()
        if self._stalled is not None:
            self._stalled.cancel()
        self._connections.remove(self)
        if admitted:
            self.handler.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass data on, up to the limit."""
        if self._transport is None:
            return
        self._pending_bytes += len(data)
        if self._pending_bytes > self._connections.limits.pending_bytes:
            self.abort()
        else:
            self.handler.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return self.handler.eof_received() if self._transport is not None else None

    def pause_writing(self) -> None:
        """The client is slow: it has `stall_seconds` to read something."""
        loop = asyncio.get_running_loop()
        self._stalled = loop.call_later(self._connections.limits.stall_seconds, self.abort)
        self.handler.pause_writing()

    def resume_writing(self) -> None:
        """The client reads again."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        self.handler.resume_writing()
