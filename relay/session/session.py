"""One connection as the relay's rooms see it: where it stands, who it is, and what is on its way out. Knows no socket."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Final, Protocol

from relay.wire import limits
from relay.wire.codec import encode_frame
from relay.wire.frames import Frame, Refused

from .machine import State
from .outbox import Outbox
from .proof import KnownDevice

MAX_IN_FLIGHT_FRAMES: Final = 256
MAX_IN_FLIGHT_BYTES: Final = 4 * limits.MAX_MESSAGE_BYTES
"""Submits of one connection that wait for their commit; beyond, the relay reads no further from it."""


class Line(Protocol):
    """What carries a session: a WebSocket, or a list in a test."""

    def ready(self) -> None:
        """Frames came into an empty outbox: take and send them once this turn of the event loop is over."""

    def unsent_bytes(self) -> int:
        """Bytes handed to the network that the peer has not read yet."""

    def end(self, code: str) -> None:
        """Send what is in the outbox, then close with the close code of this error code. Without effect the second time."""


class Feed(Protocol):
    """What brings a mailbox to a session that has it."""

    def ack(self, up_to: int, also: Collection[int] = ()) -> None:
        """The client has these sequences safely; raises SequenceAhead."""

    def has_read(self) -> None:
        """The peer took bytes that waited for it."""

    def stop(self) -> None:
        """Deliver no more."""


class Meter(Protocol):
    """What bounds how much a connection submits."""

    def take_together(self, targets: Sequence[int]) -> bool:
        """Take for these submits at once and return True; False if there is not enough for all: then nothing is taken."""

    def take(self, targets: int) -> None:
        """Raise RateLimited if these are too many now."""


class Session:
    """Written by the connection's own handler and, from the event loop's thread only, by deliveries to it."""

    __slots__ = (
        "_relief",
        "challenge",
        "connection_id",
        "delivery",
        "in_flight_bytes",
        "in_flight_frames",
        "last_answer",
        "line",
        "meter",
        "outbox",
        "signer",
        "state",
    )

    def __init__(self, line: Line, *, connection_id: bytes, challenge: bytes, meter: Meter) -> None:
        self.line = line
        self.meter = meter
        self.connection_id = connection_id  # 16 B random; names it on the bus, never in a log
        self.challenge = challenge
        self.state = State.CHALLENGED
        self.signer: KnownDevice | None = None  # None until authenticated, and on an anonymous connection
        self.delivery: Feed | None = None  # from `resume` on
        self.outbox = Outbox(line.ready)
        self.in_flight_frames = 0
        self.in_flight_bytes = 0
        self.last_answer: asyncio.Task[None] | None = None  # answers go out in the order of the submits
        self._relief: asyncio.Future[None] | None = None

    @property
    def device_id(self) -> bytes:
        """16 B, empty until authenticated."""
        return b"" if self.signer is None else self.signer.device_id

    @property
    def account_id(self) -> bytes:
        """32 B, empty until authenticated."""
        return b"" if self.signer is None else self.signer.account_id

    def put(self, frame: bytes) -> None:
        """Queue an encoded frame; without effect on a session that is closed."""
        if self.state is not State.CLOSED:
            self.outbox.put(frame)

    def put_all(self, frames: Sequence[bytes]) -> None:
        """Queue encoded frames, in order."""
        if self.state is not State.CLOSED:
            self.outbox.put_all(frames)

    def send(self, frame: Frame) -> None:
        """Queue a frame."""
        self.put(encode_frame(frame))

    def notify(self, frame: bytes) -> None:
        """Queue an encoded notice; dropped if the peer has not read what was there before."""
        if self.unread_bytes() + len(frame) <= limits.MAX_UNREAD_BYTES:
            self.put(frame)

    def unread_bytes(self) -> int:
        """What is held in memory for the peer to read."""
        return self.outbox.waiting_bytes + self.line.unsent_bytes()

    def is_congested(self) -> bool:
        """Whether reading on would let memory grow: too much waits for its commit, or for the peer to read."""
        return (
            self.in_flight_frames >= MAX_IN_FLIGHT_FRAMES
            or self.in_flight_bytes >= MAX_IN_FLIGHT_BYTES
            or self.unread_bytes() >= limits.MAX_UNREAD_BYTES
        )

    async def relief(self) -> None:
        """Return when the session is not congested, or closed; `relieve` tells."""
        while self.is_congested() and self.state is not State.CLOSED:
            self._relief = asyncio.get_running_loop().create_future()
            try:
                await self._relief
            finally:
                self._relief = None

    def relieve(self) -> None:
        """Something was answered or read: whoever waits for relief looks again."""
        if self._relief is not None and not self._relief.done():
            self._relief.set_result(None)

    def has_read(self) -> None:
        """The peer took bytes that waited for it."""
        if self.delivery is not None:
            self.delivery.has_read()
        self.relieve()

    def end(self, code: str, retry_after_ms: int = 0) -> None:
        """Tell why, and close; without effect on a session that is closed."""
        if self.state is not State.CLOSED:
            self.send(Refused(request_id=0, code=code, retry_after_ms=retry_after_ms))
            self.close(code)

    def close(self, code: str) -> None:
        """Send what waits and close, with the close code of this error code and no `refused`."""
        if self.state is not State.CLOSED:
            self.state = State.CLOSED
            self.relieve()
            self.line.end(code)
