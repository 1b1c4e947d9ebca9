"""The load on a relay: raw WebSockets and frames, not the client library. Checks order and completeness itself.

A sender keeps a window of submits unanswered and sends as many new ones as were answered, in one message; a receiver
acknowledges each message by one `ack`. Ciphertexts begin with a number: it must come up by one each time.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import ClientWebSocketResponse, WSMsgType

from bench.served import Served, invite_link
from relay.wire.codec import SUBPROTOCOL, decode_from_relay, encode_frame, join_frames
from relay.wire.frames import (
    Accepted,
    Ack,
    Anonymous,
    Authenticate,
    Challenge,
    Deliver,
    EnvelopeClass,
    Frame,
    Grant,
    Outcome,
    Ready,
    Resume,
    Submit,
    Target,
)
from tests.raw_device import RawDevice

WINDOW = 16
BODY_BYTES = 1_024
_NUMBER_BYTES = 8


@dataclass
class Mailbox:
    """A device to write to, and the token that allows it."""

    device: RawDevice
    token: bytes


class BrokenPromise(Exception):
    """The server lost, repeated or reordered an envelope, or refused one."""


@asynccontextmanager
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client without a limit of connections (the default holds 100)."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


async def register(served: Served, session: aiohttp.ClientSession, count: int) -> list[Mailbox]:
    """So many accounts of one device, each with one token."""
    link = await asyncio.to_thread(invite_link, served, count)
    mailboxes = []
    for _ in range(count):
        device = RawDevice(served.url, session, clock=lambda: time.time_ns() // 1_000_000)
        token = os.urandom(16)
        if (registered := await device.register(link)).status != 201:
            raise BrokenPromise(f"registration answered {registered.status}")
        if (added := await device.add_token(token)).status != 204:
            raise BrokenPromise(f"a delivery token was answered by {added.status}")
        mailboxes.append(Mailbox(device, token))
    return mailboxes


async def open_socket(session: aiohttp.ClientSession, url: str) -> ClientWebSocketResponse:
    """A WebSocket without compression."""
    return await session.ws_connect(url, protocols=(SUBPROTOCOL,), compress=0, max_msg_size=0, autoping=True)


async def frames_of(socket: ClientWebSocketResponse) -> Sequence[Frame]:
    """The frames of the next message."""
    message = await socket.receive()
    if message.type is not WSMsgType.BINARY:
        raise BrokenPromise(f"the connection ended: {message.type.name} {socket.close_code}")
    return decode_from_relay(message.data)


async def send(socket: ClientWebSocketResponse, *frames: Frame) -> None:
    """One message."""
    await socket.send_bytes(join_frames([encode_frame(frame) for frame in frames]))


async def expect(socket: ClientWebSocketResponse, kind: type[Frame]) -> Frame:
    """The only frame of the next message."""
    (frame,) = await frames_of(socket)
    if not isinstance(frame, kind):
        raise BrokenPromise(f"{type(frame).__name__} instead of {kind.__name__}")
    return frame


async def connect_anonymous(session: aiohttp.ClientSession, served: Served) -> ClientWebSocketResponse:
    """A connection that can submit."""
    socket = await open_socket(session, f"{served.url}/v1/connect")
    await expect(socket, Challenge)
    await send(socket, Anonymous())
    await expect(socket, Ready)
    return socket


async def connect_device(
    session: aiohttp.ClientSession, served: Served, mailbox: Mailbox
) -> ClientWebSocketResponse:
    """A connection that has the (empty) mailbox."""
    device = mailbox.device
    socket = await open_socket(session, f"{served.url}/v1/connect")
    challenge = await expect(socket, Challenge)
    assert isinstance(challenge, Challenge)
    await send(
        socket, Authenticate(device.device_id, device.socket_signature(challenge.challenge)), Resume(0)
    )
    seen: list[Frame] = []
    while len(seen) < 2:  # ready, caught_up
        seen += await frames_of(socket)
    return socket


@dataclass
class Pair:
    """A sender and a receiver, and what they counted."""

    mailbox: Mailbox
    sender: ClientWebSocketResponse
    receiver: ClientWebSocketResponse
    sent: int = 0
    accepted: int = 0
    delivered: int = 0
    stopping: bool = False
    _filler: bytes = field(default_factory=lambda: os.urandom(BODY_BYTES - _NUMBER_BYTES))
    _prefix: bytes = field(default_factory=lambda: os.urandom(8))

    def next_submit(self) -> Submit:
        """One more envelope: unique id, ciphertext of BODY_BYTES with its number."""
        number = self.sent
        self.sent += 1
        return Submit(
            number & 0xFFFFFFFF,
            self._prefix + number.to_bytes(8, "big"),
            EnvelopeClass.DURABLE,
            False,
            3_600,
            (number.to_bytes(_NUMBER_BYTES, "big") + self._filler,),
            (Target(self.mailbox.device.device_id, 0, 0),),
            (Grant(self.mailbox.device.account_id, self.mailbox.token, 1),),
        )

    async def send_window(self) -> None:
        """Keep WINDOW submits under way until told to stop, then until all are answered."""
        await send(self.sender, *(self.next_submit() for _ in range(WINDOW)))
        while self.accepted < self.sent:
            answers = await frames_of(self.sender)
            for answer in answers:
                if not isinstance(answer, Accepted) or answer.outcomes != (Outcome.STORED,):
                    raise BrokenPromise(f"not stored: {answer}")
            self.accepted += len(answers)
            if not self.stopping:
                await send(self.sender, *(self.next_submit() for _ in answers))

    async def receive(self) -> None:
        """Acknowledge what comes, until told to stop and everything that was sent is here."""
        while not self.stopping or self.delivered < self.sent:
            last = 0
            for frame in await frames_of(self.receiver):
                if not isinstance(frame, Deliver):
                    raise BrokenPromise(f"not an envelope: {frame}")
                number = int.from_bytes(frame.ciphertext[:_NUMBER_BYTES], "big")
                if number != self.delivered:
                    raise BrokenPromise(f"envelope {number} instead of {self.delivered}")
                self.delivered += 1
                last = frame.sequence
            await send(self.receiver, Ack(last))


@dataclass(frozen=True, slots=True)
class Load:
    """Of the time that was measured: envelopes that were delivered, seconds, and what `used` grew by."""

    delivered: int
    seconds: float
    used: tuple[float, ...]


async def talk(
    pairs: Sequence[Pair], used: Callable[[], tuple[float, ...]], *, warm_up: float, seconds: float
) -> Load:
    """All pairs talk; measured once warm, for so long. Their connections are closed then. Raises BrokenPromise."""
    async with asyncio.TaskGroup() as tasks:
        for pair in pairs:
            tasks.create_task(pair.send_window())
            tasks.create_task(pair.receive())
        await asyncio.sleep(warm_up)
        before, first, began = sum(pair.delivered for pair in pairs), used(), time.perf_counter()
        await asyncio.sleep(seconds)
        took, last = time.perf_counter() - began, used()
        count = sum(pair.delivered for pair in pairs) - before
        for pair in pairs:
            pair.stopping = True
    for pair in pairs:
        if not pair.sent == pair.accepted == pair.delivered:
            raise BrokenPromise(f"{pair.sent} sent, {pair.accepted} accepted, {pair.delivered} delivered")
        await pair.sender.close()
        await pair.receiver.close()
    return Load(count, took, tuple(end - begin for begin, end in zip(first, last, strict=True)))


async def open_pairs(
    session: aiohttp.ClientSession, served: Served, count: int, *, is_floor: bool
) -> list[Pair]:
    """Pairs with both connections open."""
    if is_floor:
        mailboxes = [Mailbox(RawDevice(served.url, session), os.urandom(16)) for _ in range(count)]
        return [
            Pair(
                mailbox,
                await open_socket(session, f"{served.url}/v1/connect"),
                await open_socket(
                    session, f"{served.url}/v1/connect?device={mailbox.device.device_id.hex()}"
                ),
            )
            for mailbox in mailboxes
        ]
    return [
        Pair(
            mailbox, await connect_anonymous(session, served), await connect_device(session, served, mailbox)
        )
        for mailbox in await register(served, session, count)
    ]
