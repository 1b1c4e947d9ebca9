"""A client at the level of the wire, for drivers: accounts, signed requests, frames. Its envelopes hold noise, not messages.

Written from docs/protocol.md with PyNaCl and the shared codec; it uses nothing of the client package, so a fault test
sees the relay alone.
"""

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import aiohttp
from nacl.signing import SigningKey
from yarl import URL

from relay.wire import codec
from relay.wire.frames import (
    Anonymous,
    Authenticate,
    Challenge,
    ClientFrame,
    EnvelopeClass,
    Grant,
    Notice,
    NoticeKind,
    Ready,
    Refused,
    RelayFrame,
    Submit,
    Target,
)
from relay.wire.links import encode_bytes, encode_id, parse_invite
from relay.wire.manifests import FLAG_MANAGER, account_id_of
from relay.wire.prekeys import KEY_BYTES, PrekeyClass, PrekeyKind
from relay.wire.transcripts import (
    DEVICE_LABEL,
    MANIFEST_LABEL,
    PREKEY_LABEL,
    http_request_transcript,
    transcript,
    websocket_transcript,
)

GONE = (aiohttp.ClientError, ConnectionError, asyncio.TimeoutError, asyncio.IncompleteReadError)
"""How a relay that was killed shows itself to a client."""


class Disconnected(ConnectionError):
    """The WebSocket ended; `code` is the close code, 1006 if there was none."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"closed with {code}")
        self.code = code or 1006


class Refusal(Exception):
    """An HTTP request was refused; `code` is the problem document's."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Device:
    """An account with one device, on one relay."""

    origin: str
    account_id: bytes
    device_id: bytes
    signing_key: SigningKey = field(repr=False)
    token: bytes = field(repr=False)

    @property
    def grant(self) -> Grant:
        """What lets others write to it."""
        return Grant(self.account_id, self.token, 1)

    def authorization(self, method: str, target: str, body: bytes, nonce: bytes) -> str:
        """The header that signs a request now."""
        time_ms = time.time_ns() // 1_000_000
        signed = http_request_transcript(
            method=method,
            target=target,
            body_hash=hashlib.sha256(body).digest(),
            origin=self.origin,
            device_id=self.device_id,
            time_ms=time_ms,
            nonce=nonce,
        )
        signature = self.signing_key.sign(signed).signature
        return (
            f'TokenIM-Ed25519 device="{encode_id(self.device_id)}", time="{time_ms}", '
            f'nonce="{encode_bytes(nonce)}", signature="{encode_bytes(signature)}"'
        )

    def prekey(self, kind: PrekeyKind, key_class: PrekeyClass, key_id: int, random: Random) -> bytes:
        """A signed prekey, whose key is noise."""
        key = (
            random.randbytes(KEY_BYTES[kind] - 1) + b"\x40"
        )  # below 2^255 - 19, little-endian: a canonical X25519 key
        made_at = (time.time_ns() // 1_000_000).to_bytes(8, "big")
        head = bytes((kind, key_class)), key_id.to_bytes(4, "big")
        signed = transcript(
            PREKEY_LABEL,
            self.account_id,
            self.device_id,
            bytes((kind,)),
            bytes((key_class,)),
            head[1],
            made_at,
            key,
        )
        return b"".join((*head, made_at, self.signing_key.sign(signed).signature, key))


async def request(
    http: aiohttp.ClientSession,
    method: str,
    target: str,
    body: bytes = b"",
    *,
    origin: str,
    device: Device | None = None,
    nonce: bytes = b"",
) -> Any:
    """The JSON of an answer (None if empty); raises Refusal with the code of a problem document."""
    headers = {"Content-Type": "application/json"} if body else {}
    if device is not None:
        headers["Authorization"] = device.authorization(method, target, body, nonce)
    url = URL(origin + target, encoded=True)
    async with http.request(method, url, data=body or None, headers=headers) as answer:
        content = await answer.read()
        if answer.status >= 400:
            problem = await answer.json(content_type=None) if content else {}
            raise Refusal(answer.status, problem.get("code", "?"))
        return await answer.json() if content else None


def _manifest(random: Random) -> tuple[bytes, bytes, bytes, bytes, SigningKey]:
    root = SigningKey(random.randbytes(32))
    signing = SigningKey(random.randbytes(32))
    account_id = account_id_of(bytes(root.verify_key))
    device_id = random.randbytes(16)
    keys = (
        bytes(signing.verify_key),
        bytes(SigningKey(random.randbytes(32)).to_curve25519_private_key().public_key),
    )
    own = signing.sign(transcript(DEVICE_LABEL, account_id, device_id, *keys)).signature
    added_at = (time.time_ns() // 1_000_000).to_bytes(8, "big")
    listed = device_id + keys[0] + keys[1] + bytes((FLAG_MANAGER,)) + added_at + own
    body = transcript(MANIFEST_LABEL, bytes(root.verify_key), (1).to_bytes(8, "big"), None, listed)
    return body, root.sign(body).signature, account_id, device_id, signing


async def register(http: aiohttp.ClientSession, link: str, random: Random) -> Device:
    """A new account from an invite, with one delivery token of class `contact`."""
    invite = parse_invite(link)
    body, signature, account_id, device_id, signing = _manifest(random)
    manifest = f'{{"body":"{encode_bytes(body)}","signer":"","signature":"{encode_bytes(signature)}"}}'
    registration = f'{{"invite":"{encode_bytes(invite.secret)}","manifest":{manifest}}}'
    await request(http, "POST", "/v1/accounts", registration.encode(), origin=invite.origin)
    device = Device(invite.origin, account_id, device_id, signing, random.randbytes(16))
    token_hash = encode_bytes(hashlib.sha256(device.token).digest())
    await request(
        http,
        "POST",
        "/v1/delivery-tokens",
        f'{{"token_hash":"{token_hash}","token_class":"contact"}}'.encode(),
        origin=invite.origin,
        device=device,
        nonce=random.randbytes(16),
    )
    return device


class Socket:
    """One connection that is `ready`: frames out, frames in."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self._websocket = websocket
        self._received: deque[RelayFrame] = deque()
        self.next_sequence = 0

    async def send(self, frames: Sequence[ClientFrame]) -> None:
        """All of them, in as few messages as they fit."""
        for message in codec.batches([codec.encode_frame(frame) for frame in frames]):
            await self._websocket.send_bytes(message)

    @property
    def more_at_hand(self) -> bool:
        """Whether the next frame came with the last one."""
        return bool(self._received)

    async def receive(self) -> RelayFrame:
        """The next frame; raises Disconnected."""
        while not self._received:
            message = await self._websocket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                raise Disconnected(self._websocket.close_code)
            self._received.extend(codec.decode_from_relay(message.data))
        return self._received.popleft()


@asynccontextmanager
async def connected(
    http: aiohttp.ClientSession, origin: str, device: Device | None = None
) -> AsyncIterator[Socket]:
    """A connection of the device, or an anonymous one."""
    async with http.ws_connect(
        origin + "/v1/connect",
        protocols=[codec.SUBPROTOCOL],
        max_msg_size=0,
        timeout=aiohttp.ClientWSTimeout(ws_close=2),
    ) as websocket:
        socket = Socket(websocket)
        challenge = await socket.receive()
        if not isinstance(challenge, Challenge):
            raise TypeError(f"the relay opened with {type(challenge).__name__}")
        if device is None:
            await socket.send([Anonymous()])
        else:
            signed = websocket_transcript(
                origin=device.origin, device_id=device.device_id, challenge=challenge.challenge
            )
            await socket.send([Authenticate(device.device_id, device.signing_key.sign(signed).signature)])
        ready = await socket.receive()
        if isinstance(ready, Refused) and ready.code == "unavailable":
            raise Disconnected(None)
        if isinstance(ready, Notice) and ready.kind is NoticeKind.SHUTTING_DOWN:
            raise Disconnected(None)
        if not isinstance(ready, Ready):
            raise TypeError(f"the relay answered with {ready}")
        socket.next_sequence = ready.next_sequence
        yield socket


def noise(envelope_id: bytes, size: int) -> bytes:
    """The ciphertext of an envelope in a fault test: made from its id, so that nobody has to keep it."""
    return hashlib.shake_128(envelope_id).digest(size)


def submit_of(request_id: int, envelope_id: bytes, ciphertext: bytes, targets: Sequence[Device]) -> Submit:
    """One durable envelope for one or many devices."""
    return Submit(
        request_id,
        envelope_id,
        EnvelopeClass.DURABLE,
        False,
        86_400,
        (ciphertext,),
        tuple(Target(device.device_id, 0, number) for number, device in enumerate(targets)),
        tuple(device.grant for device in targets),
    )
