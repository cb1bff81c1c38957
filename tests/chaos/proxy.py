"""A TCP proxy between the agents and a broker: it cuts the network, and springs traps.

A trap waits for one request of Kafka's protocol, such as the first that writes to a topic, and
kills the worker that sent it: before the broker learns of it, or when the broker has answered and
the worker has not received yet. So a fault comes at a given step of the work, not at a given time.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

# <https://kafka.apache.org/protocol.html#protocol_api_keys>
PRODUCE, FETCH, OFFSET_COMMIT, OFFSET_FETCH, JOIN_GROUP, SYNC_GROUP = 0, 1, 8, 9, 11, 14


@dataclass
class Trap:
    """For the next request of a kind that names a topic or group. `kill` is given the sender's
    port; `answered`: it comes after the broker's answer, which is withheld."""

    api: int
    name: str
    answered: bool
    kill: Callable[[int], None]
    sprung: threading.Event = field(default_factory=threading.Event)
    caught: bool = False

    def catches(self, request: bytes) -> bool:
        """Whether it is for this request; it catches one only."""
        if self.caught or int.from_bytes(request[:2], "big") != self.api:
            return False
        name = self.name.encode()  # in the protocol after its length
        self.caught = len(name).to_bytes(2, "big") + name in request
        return self.caught

    def spring(self, port: int) -> None:
        """Kill."""
        self.kill(port)
        self.sprung.set()


@dataclass
class _Link:
    """One connection of an agent. `withheld`: the request whose answer nobody may hear."""

    port: int
    withheld: bytes | None = None
    trap: Trap | None = None


class Proxy:
    """Passes bytes on from `port` to `target`, both on this machine. `cut` stops every byte
    without closing anything, as a lost route does; new connections hang too."""

    def __init__(self, port: int, target: int) -> None:
        self.port, self.target = port, target
        self.trap: Trap | None = None
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._thread.start()
        assert self._ready.wait(10)

    def cut(self) -> None:
        """Let nothing through."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def mend(self) -> None:
        """Let everything through again, what was held back first."""
        self._loop.call_soon_threadsafe(self._flowing.set)

    def close(self) -> None:
        """Close every connection and stop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", self.port)
        )
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.1))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:  # the broker is down
            writer.close()
            return
        link = _Link(writer.get_extra_info("peername")[1])
        await asyncio.gather(
            self._pass(reader, there_writer, link, self._asked),
            self._pass(there_reader, writer, link, self._answered),
        )

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        link: _Link,
        may_pass: Callable[[_Link, bytes], bool],
    ) -> None:
        """Pass on message by message: four bytes of length, then the message."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                length = await reader.readexactly(4)
                message = await reader.readexactly(int.from_bytes(length, "big"))
                await self._flowing.wait()
                if not may_pass(link, message):
                    break
                writer.write(length + message)
                await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.close()

    def _asked(self, link: _Link, request: bytes) -> bool:
        trap = self.trap
        if trap is None or not trap.catches(request):
            return True
        if trap.answered:
            link.withheld, link.trap = request[4:8], trap
            return True
        trap.spring(link.port)
        return False

    def _answered(self, link: _Link, answer: bytes) -> bool:
        if link.trap is None or answer[:4] != link.withheld:
            return True
        link.trap.spring(link.port)
        return False
