"""A WebSocket that speaks frames and nothing else: what odd and hostile clients of the tests are made of."""

import json
import os
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp

from relay.wire.codec import SUBPROTOCOL, batches, decode_from_relay, encode_frame
from relay.wire.frames import (
    Accepted,
    Ack,
    Anonymous,
    Authenticate,
    CaughtUp,
    Challenge,
    Deliver,
    EnvelopeClass,
    Frame,
    Grant,
    Outcome,
    Ready,
    Refused,
    Resume,
    Submit,
    Target,
)
from relay.wire.links import encode_bytes
from tests.raw_device import JSON, Answered, RawDevice, send

Kind = TypeVar("Kind", bound=Frame)


@dataclass
class RawSocket:
    """One connection; `messages` counts the WebSocket messages that came."""

    socket: aiohttp.ClientWebSocketResponse
    messages: int = 0
    waiting: deque[Frame] = field(default_factory=deque)

    async def send(self, *frames: Frame) -> None:
        """As few messages as possible."""
        for message in batches([encode_frame(frame) for frame in frames]):
            await self.socket.send_bytes(message)

    async def send_raw(self, message: bytes) -> None:
        await self.socket.send_bytes(message)

    async def next(self) -> Frame:
        """The next frame; a closed connection is an error that names the code."""
        while not self.waiting:
            message = await self.socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                raise ConnectionError(f"closed with {self.socket.close_code}")
            self.messages += 1
            self.waiting += decode_from_relay(message.data)
        return self.waiting.popleft()

    async def expect(self, kind: type[Kind]) -> Kind:
        """The next frame, which is of this kind."""
        frame = await self.next()
        assert isinstance(frame, kind), frame
        return frame

    async def deliveries(self, count: int) -> list[Deliver]:
        """The next frames, all of them envelopes."""
        return [await self.expect(Deliver) for _ in range(count)]

    async def closed(self) -> int:
        """Read until the connection ends; its close code."""
        while True:
            message = await self.socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                return self.socket.close_code or 0
            self.waiting += decode_from_relay(message.data)

    async def refused(self) -> tuple[str, int]:
        """The code of the next frame, a `refused`, and the close code after it."""
        code = (await self.expect(Refused)).code
        return code, await self.closed()


@asynccontextmanager
async def open_socket(session: aiohttp.ClientSession, url: str, **options: Any) -> AsyncIterator[RawSocket]:
    """A connection on which nothing was said."""
    async with session.ws_connect(
        f"{url}/v1/connect", protocols=(SUBPROTOCOL,), max_msg_size=0, **options
    ) as socket:
        yield RawSocket(socket)


@asynccontextmanager
async def anonymous(device: RawDevice, **options: Any) -> AsyncIterator[RawSocket]:
    """An anonymous connection to this device's relay."""
    async with open_socket(device.session, device.base or device.origin, **options) as socket:
        await socket.expect(Challenge)
        await socket.send(Anonymous())
        assert (await socket.expect(Ready)).next_sequence == 0
        yield socket


@asynccontextmanager
async def authenticated(device: RawDevice, **options: Any) -> AsyncIterator[RawSocket]:
    """A connection of the device, `ready`, without its mailbox."""
    async with open_socket(device.session, device.base or device.origin, **options) as socket:
        challenge = (await socket.expect(Challenge)).challenge
        await socket.send(Authenticate(device.device_id, device.socket_signature(challenge)))
        await socket.expect(Ready)
        yield socket


@asynccontextmanager
async def resumed(device: RawDevice, after: int = 0, **options: Any) -> AsyncIterator[RawSocket]:
    """A connection of the device with its mailbox."""
    async with authenticated(device, **options) as socket:
        await socket.send(Resume(after))
        yield socket


async def caught_up(socket: RawSocket) -> int:
    """Read and acknowledge until `caught_up`; how many envelopes came."""
    count = 0
    while True:
        frame = await socket.next()
        if isinstance(frame, CaughtUp):
            return count
        if isinstance(frame, Deliver):
            count += 1
            await socket.send(Ack(frame.sequence))


def submit_to(
    device: RawDevice,
    token: bytes,
    *bodies: bytes,
    request_id: int = 1,
    envelope_id: bytes | None = None,
    envelope_class: EnvelopeClass = EnvelopeClass.DURABLE,
    ttl_seconds: int | None = None,
    urgent: bool = False,
    manifest_version: int = 1,
) -> Submit:
    """A submit of one ciphertext to one device."""
    durable = envelope_class is EnvelopeClass.DURABLE
    return Submit(
        request_id,
        envelope_id or os.urandom(16),
        envelope_class,
        urgent,
        (3_600 if durable else 0) if ttl_seconds is None else ttl_seconds,
        bodies or (os.urandom(32),),
        (Target(device.device_id, 0, 0),),
        (Grant(device.account_id, token, manifest_version),),
    )


async def stored(sender: RawSocket, *submits: Submit) -> None:
    """Submit these and see each stored."""
    await sender.send(*submits)
    for submit in submits:
        assert await sender.expect(Accepted) == Accepted(
            submit.request_id, (Outcome.STORED,) * len(submit.targets)
        )


async def over_http(
    device: RawDevice, submit: Submit, *, signer: RawDevice | None = None, address: str | None = None
) -> Answered:
    """The same submit by one request: unsigned, or signed."""
    body: dict[str, Any] = {
        "envelope_id": encode_bytes(submit.envelope_id),
        "envelope_class": submit.envelope_class,
        "urgent": submit.urgent,
        "ttl_seconds": submit.ttl_seconds,
        "ciphertexts": [encode_bytes(one) for one in submit.ciphertexts],
        "targets": [
            {"device_id": encode_bytes(one.device_id), "ciphertext": one.ciphertext, "grant": one.grant}
            for one in submit.targets
        ],
        "grants": [
            {
                "account_id": encode_bytes(one.account_id),
                "token": encode_bytes(one.token),
                "manifest_version": one.manifest_version,
            }
            for one in submit.grants
        ],
        "work": [encode_bytes(one) for one in submit.work],
    }
    if signer is not None:
        return await signer.call("POST", "/v1/envelopes", body)
    return await send(
        device.session,
        "POST",
        device.url("/v1/envelopes"),
        data=json.dumps(body).encode(),
        headers=JSON if address is None else {**JSON, "X-Forwarded-For": address},
    )
