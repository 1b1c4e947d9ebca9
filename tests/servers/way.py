"""A way to a server on this machine that can be cut for who goes by it, while others still reach the server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from tests.servers.ports import free_port

_PIECE: Final = 65_536


class Way:
    """From `port` to a port of 127.0.0.1, in TCP."""

    def __init__(self, to: int) -> None:
        self._to = to
        self.port = free_port()
        self._server: asyncio.Server | None = None
        self._carrying: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()

    async def open(self) -> None:
        """Connections are taken, and what was cut may come again."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """All connections end, and no other is taken: as where a host says that there is nobody."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def fall_silent(self) -> None:
        """Nothing comes through and nothing ends, as where packets are dropped: neither side is told."""
        self._flows.clear()

    def flow(self) -> None:
        """What waits comes through."""
        self._flows.set()

    async def _carry(self, near: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        try:
            far, far_out = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            near_out.close()
            return
        for source, target in ((near, far_out), (far, near_out)):
            task = asyncio.create_task(self._pass_on(source, target))
            self._carrying.add(task)
            task.add_done_callback(self._carrying.discard)

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):
                while piece := await source.read(_PIECE):
                    await self._flows.wait()
                    target.write(piece)
                    await target.drain()
                await self._flows.wait()  # the end does not come through either
        finally:
            target.close()


@asynccontextmanager
async def open_way(to: int) -> AsyncIterator[Way]:
    """Open; cut when the block ends."""
    way = Way(to)
    await way.open()
    try:
        yield way
    finally:
        await way.cut()
