"""A WebSocket of the kit."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from .device import Device
from .report import Failed
from .wire import (
    ANONYMOUS,
    AUTHENTICATE,
    CHALLENGE,
    FRAME_NAMES,
    NOTICE,
    READY,
    REFUSED,
    RESUME,
    SUBPROTOCOL,
    pack_frames,
    told,
    transcript,
    unpack_frames,
)

PATIENCE_SECONDS: Final = 10.0
"""A frame that is due comes within this, or the case fails."""


@dataclass
class Socket:
    """One connection. Notices are kept apart: they may come between any two frames."""

    connection: aiohttp.ClientWebSocketResponse
    waiting: deque[list[Any]] = field(default_factory=deque)
    notices: list[list[Any]] = field(default_factory=list)

    async def send(self, *frames: list[Any]) -> None:
        """In one message."""
        await self.connection.send_bytes(pack_frames(*frames))

    async def send_message(self, message: bytes) -> None:
        """Bytes as they are."""
        await self.connection.send_bytes(message)

    async def next(self, within: float = PATIENCE_SECONDS) -> list[Any]:
        """The next frame that is no notice; raises Failed if none comes, or the connection ends."""
        try:
            return await self._next(within)
        except TimeoutError:
            raise Failed(f"no frame came within {within:g} s") from None

    async def _next(self, within: float) -> list[Any]:
        async with asyncio.timeout(within):
            while not self.waiting:
                if not await self._receive():
                    raise Failed(f"the relay closed with {self.connection.close_code} where a frame was due")
        return self.waiting.popleft()

    async def expect(self, kind: int, within: float = PATIENCE_SECONDS) -> list[Any]:
        """The fields of the next frame, which is of this type."""
        frame = await self.next(within)
        if frame[0] != kind:
            raise Failed(f"expected {FRAME_NAMES[kind]}, got {told(frame)}")
        return frame[1:]

    async def quiet(self, seconds: float) -> None:
        """Nothing but notices comes for so long."""
        try:
            async with asyncio.timeout(seconds):
                while not self.waiting:
                    if not await self._receive():
                        raise Failed(f"the relay closed with {self.connection.close_code}")
        except TimeoutError:
            return
        raise Failed(f"expected nothing, got {told(self.waiting[0])}")

    async def until_quiet(self, seconds: float) -> list[list[Any]]:
        """The frames that are no notices, until none came for so long."""
        came: list[list[Any]] = []
        while True:
            try:
                came.append(await self._next(seconds))
            except TimeoutError:
                return came

    async def notice(
        self, kind: int, begins: Sequence[Any] = (), within: float = PATIENCE_SECONDS
    ) -> list[Any]:
        """The data of a notice of this kind that came or comes; of one whose data begin so, if that is given."""
        try:
            async with asyncio.timeout(within):
                while True:
                    for frame in self.notices:
                        data = list(frame[2]) if len(frame) > 2 else []
                        if frame[1] == kind and data[: len(begins)] == list(begins):
                            return data
                    if not await self._receive():
                        raise Failed(f"the relay closed with {self.connection.close_code}")
        except TimeoutError:
            wanted = f"{kind} {list(begins) or ''}".rstrip()
            raise Failed(f"no notice {wanted} came, of {[told(frame) for frame in self.notices]}") from None

    async def closed(self, code: int, *, refusal: str = "", within: float = PATIENCE_SECONDS) -> None:
        """The relay closes with this code; before it, it sends `refused` with request id 0 and `refusal`, if that is given."""
        try:
            async with asyncio.timeout(within):
                while await self._receive():
                    pass
        except TimeoutError:
            raise Failed(f"the relay did not close the connection within {within:g} s, with {code}") from None
        if self.connection.close_code != code:
            raise Failed(f"expected close code {code}, got {self.connection.close_code}")
        if refusal:
            last = self.waiting[-1] if self.waiting else None
            if last is None or last[0] != REFUSED or last[1:3] != [0, refusal]:
                raise Failed(
                    f"expected refused(0, {refusal!r}) before the end, got {told(last) if last else 'nothing'}"
                )

    async def _receive(self) -> bool:
        message = await self.connection.receive()
        if message.type is not aiohttp.WSMsgType.BINARY:
            return False
        try:
            frames = unpack_frames(message.data)
        except ValueError as error:
            raise Failed(f"the relay sent a message that breaks the rules: {error}") from error
        for frame in frames:
            (self.notices if frame[0] == NOTICE else self.waiting).append(frame)
        return True


@asynccontextmanager
async def silent(device: Device, **options: Any) -> AsyncIterator[Socket]:
    """A connection to the device's relay on which nothing was said."""
    async with device.session.ws_connect(
        f"{device.origin}/v1/connect", protocols=(SUBPROTOCOL,), max_msg_size=0, **options
    ) as connection:
        if connection.protocol != SUBPROTOCOL:
            raise Failed(f"expected the subprotocol {SUBPROTOCOL}, got {connection.protocol}")
        yield Socket(connection)


@asynccontextmanager
async def anonymous(device: Device) -> AsyncIterator[Socket]:
    """A connection of nobody, `ready`."""
    async with silent(device) as socket:
        await socket.expect(CHALLENGE)
        await socket.send([ANONYMOUS])
        await socket.expect(READY)
        yield socket


@asynccontextmanager
async def authenticated(device: Device) -> AsyncIterator[Socket]:
    """A connection of the device, `ready`, without its mailbox."""
    async with silent(device) as socket:
        challenge = (await socket.expect(CHALLENGE))[0]
        await socket.send([AUTHENTICATE, device.device_id, signature(device, challenge)])
        await socket.expect(READY)
        yield socket


@asynccontextmanager
async def resumed(device: Device, after: int = 0) -> AsyncIterator[Socket]:
    """A connection of the device that has its mailbox."""
    async with authenticated(device) as socket:
        await socket.send([RESUME, after])
        yield socket


def signature(device: Device, challenge: bytes) -> bytes:
    """64 B: what `authenticate` shows."""
    signed = transcript("tokenim/v1 websocket", device.origin.encode(), device.device_id, challenge)
    return device.signing.sign(signed).signature
