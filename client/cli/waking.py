"""`tokenim listen --wake`: sleeps without a connection, is woken, takes what waits, sleeps again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from client.errors import ClientError, RelayUnreachable, UsageError
from client.system import System, this_machine
from client.wakeups import WebhookCheck
from relay.wire.links import decode_bytes, encode_bytes

from .listening import CATCH_UP_PATIENCE_SECONDS, print_events
from .output import Output, code_of, one_line
from .place import Place
from .work import open_client

LONGEST_SLEEP_SECONDS: Final = 1_800.0
"""A wakeup is a hint, and may get lost: so it looks by itself from time to time."""
AFTER_FAILURE_SECONDS: Final = 30.0
REQUEST_SECONDS: Final = 10.0
MAX_HEAD_BYTES: Final = 8_192


@dataclass
class Door:
    """Where the relay's request is taken: `listen` HOST:PORT on this machine, `url` as the relay knows it (None: the same)."""

    listen: str
    url: str | None
    check: WebhookCheck | None = None
    knocked: asyncio.Event = field(default_factory=asyncio.Event)
    system: System = field(default_factory=this_machine)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """The URL, while it stands open. Raises UsageError."""
        host, _, port = self.listen.rpartition(":")
        try:
            server = await asyncio.start_server(self._take, host.strip("[]"), int(port), limit=MAX_HEAD_BYTES)
        except (OSError, ValueError, OverflowError) as error:
            raise UsageError(f"--wake-listen {self.listen}: cannot be listened on: {error}") from error
        async with server:
            shown = f"{host}:{server.sockets[0].getsockname()[1]}"
            # Whoever does not know the path knocks in vain, and so does whoever cannot sign as the relay.
            yield f"{(self.url or f'http://{shown}').rstrip('/')}/{encode_bytes(self.system.random(16))}"

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        status = "400 Bad Request"
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                status = await self._judge(reader)
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, OSError):
            pass  # not what the relay sends
        with suppress(OSError):
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
        writer.close()

    async def _judge(self, reader: asyncio.StreamReader) -> str:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
        pairs = (line.partition(":") for line in head[1:])
        given = {name.lower(): value.strip() for name, _, value in pairs}
        length = int(given.get("content-length", "0"))
        if not head[0].startswith("POST ") or length > MAX_HEAD_BYTES:
            return "405 Method Not Allowed"
        body = await reader.readexactly(length)
        time_ms = int(given.get("tokenim-time", "0"))
        signature = decode_bytes(given.get("tokenim-signature", ""))
        now_ms = self.system.now_ms()
        if self.check is None or not self.check.is_wakeup(body, time_ms, signature, now_ms=now_ms):
            return "404 Not Found"  # what is registered no more is told so, and removed
        self.knocked.set()
        return "204 No Content"


async def listen(place: Place, out: Output, door: Door, *, events: bool, own: bool) -> None:
    """Print what comes until told to stop; then the relay is told to wake nobody here any more."""
    async with door.open() as url:
        async with open_client(place) as client:
            token = await client.wakeups.register("webhook", url)
            door.check = client.wakeups.webhook(url, token)
            name = one_line(client.whoami().handle or client.whoami().account)
        if not out.as_json:
            out.warn(f"listening as {name}, woken at {url}; Ctrl-C stops")
        try:
            while True:
                door.knocked.clear()
                patience = LONGEST_SLEEP_SECONDS
                try:
                    await print_events(place, out, True, CATCH_UP_PATIENCE_SECONDS, events=events, own=own)
                except RelayUnreachable as error:
                    out.warn(f"{code_of(error)}: {error}")
                    patience = AFTER_FAILURE_SECONDS
                with suppress(TimeoutError):
                    async with asyncio.timeout(patience):
                        await door.knocked.wait()
        finally:
            with suppress(ClientError):
                async with open_client(place) as client:
                    await client.wakeups.unregister()
