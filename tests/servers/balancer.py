"""A TCP balancer without stickiness, as any would do before the nodes of a relay: each connection to the next node."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

_PIECE: Final = 65_536


class Balancer:
    """Which nodes there are, as ports of 127.0.0.1."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.ports = list(ports)
        self._next = 0
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def _order(self) -> list[int]:
        self._next += 1
        at = self._next % len(self.ports)
        return self.ports[at:] + self.ports[:at]

    async def serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until either side is done."""
        for port in self._order():
            try:
                there, back = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
            await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))
            return
        writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
    with suppress(OSError):
        writer.close()


@asynccontextmanager
async def open_balancer(ports: Sequence[int], port: int = 0) -> AsyncIterator[Balancer]:
    """Listening until the block ends."""
    balancer = Balancer(ports)
    connections: set[asyncio.Task[None]] = set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await balancer.serve_one(reader, writer)
        finally:
            connections.discard(task)

    server = await asyncio.start_server(take, "127.0.0.1", port)
    balancer.port = server.sockets[0].getsockname()[1]
    try:
        yield balancer
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
