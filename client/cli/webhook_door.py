"""Where `tokenim listen --wake webhook` takes the relay's request: a door of this machine, open to who can sign as the relay."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from client.errors import UsageError
from client.system import System
from client.wakeups import Wakeups, WebhookCheck
from relay.wire.links import decode_bytes, encode_bytes

REQUEST_SECONDS: Final = 10.0
MAX_HEAD_BYTES: Final = 8_192


class Door:
    """`listen` HOST:PORT on this machine, `url` as the relay knows it (None: the same)."""

    def __init__(self, listen: str, url: str | None, system: System) -> None:
        self._listen = listen
        self._shown_as = url
        self._system = system
        self._check: WebhookCheck | None = None
        self._url = ""
        self.knocked: Final = asyncio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """The URL, while it stands open. Raises UsageError."""
        host, _, port = self._listen.rpartition(":")
        try:
            server = await asyncio.start_server(self._take, host.strip("[]"), int(port), limit=MAX_HEAD_BYTES)
        except (OSError, ValueError, OverflowError) as error:
            raise UsageError(f"--wake-listen {self._listen}: cannot be listened on: {error}") from error
        async with server:
            shown = f"{host}:{server.sockets[0].getsockname()[1]}"
            # Whoever does not know the path knocks in vain, and so does whoever cannot sign as the relay.
            path = encode_bytes(self._system.random(16))
            self._url = f"{(self._shown_as or f'http://{shown}').rstrip('/')}/{path}"
            yield self._url

    async def register(self, wakeups: Wakeups) -> None:
        """Be woken here. Raises what Wakeups.register raises."""
        self._check = None
        token = await wakeups.register("webhook", self._url)
        self._check = wakeups.webhook(self._url, token)

    async def heard(self) -> None:
        """Return once the relay knocked."""
        await self.knocked.wait()

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
        now_ms = self._system.now_ms()
        if self._check is None:
            return "503 Service Unavailable"  # the relay knows the token before this does
        if not self._check.is_wakeup(body, time_ms, signature, now_ms=now_ms):
            return "404 Not Found"  # what is registered no more is told so, and removed
        self.knocked.set()
        return "204 No Content"
