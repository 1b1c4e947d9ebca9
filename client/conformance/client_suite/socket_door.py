"""The WebSocket of the scripted relay: it reads every frame by its exact shape, and stores, delivers and forgets."""

import asyncio
import contextlib
import os
from typing import Any, Final

from aiohttp import WSMsgType, web

from client.conformance.report import Failed
from client.conformance.wire import (
    ACCEPTED,
    ACK,
    ANONYMOUS,
    AUTHENTICATE,
    CAUGHT_UP,
    CHALLENGE,
    NOTICE,
    READY,
    REFUSED,
    RESUME,
    SUBMIT,
    SUBPROTOCOL,
    leading_zero_bits,
    pack_frames,
    sha256,
    told,
    transcript,
    unpack_frames,
)

from .checks import verify
from .house import LIMITS, WORK_BITS, Account, House, Submit

# Fields of a frame: fewest and most.
_SIZES: Final = {SUBMIT: (8, 9), ACK: (1, 2), RESUME: (1, 1), AUTHENTICATE: (2, 2), ANONYMOUS: (0, 0)}
REPLACED, MALFORMED, OUT_OF_TURN, REMOVED, GOING_DOWN = 4001, 4000, 4003, 4004, 1012


def is_bucket(size: int) -> bool:
    """Whether an envelope may have this size (Envelopes and padding)."""
    if size <= 1024:
        return size in (256, 512, 1024)
    exponent = size.bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    return size & mask == 0 and size <= 262_144


class Connection:
    """One of them. `account` is None for nobody, until it has proved who it is, and for ever if it is anonymous."""

    def __init__(self, house: House, connection: web.WebSocketResponse) -> None:
        self.house, self.connection = house, connection
        self.account: Account | None = None
        self.is_open = False
        self.resumed = False
        self.upto = 0
        self.delivering: asyncio.Task[None] | None = None

    async def send(self, *frames: list[Any]) -> None:
        """In one message; what is gone hears nothing."""
        with contextlib.suppress(ConnectionError):
            await self.connection.send_bytes(pack_frames(*frames))

    async def end(self, code: int, refusal: str = "") -> None:
        """As a relay closes: `refused`, then the close frame."""
        if refusal:
            await self.send([REFUSED, 0, refusal, 0])
        await self.connection.close(code=code)

    async def serve(self) -> None:
        """Until it ends."""
        challenge = os.urandom(32)
        await self.send([CHALLENGE, challenge, self.house.now_ms])
        try:
            async for message in self.connection:
                if message.type is not WSMsgType.BINARY:
                    raise Failed("a client sends binary messages alone")
                if len(message.data) > LIMITS["max_message_bytes"]:
                    raise Failed(f"a message of {len(message.data)} B is above 1 MiB")
                for frame in unpack_frames(message.data):
                    await self._take(frame, challenge)
        except (Failed, ValueError) as error:
            self.house.breach(f"WebSocket: {error}")
            await self.end(MALFORMED, "malformed_frame")
        finally:
            if self.delivering is not None:
                self.delivering.cancel()
            self.house.tell()

    async def _take(self, frame: list[Any], challenge: bytes) -> None:
        kind, fields = frame[0], frame[1:]
        fewest, most = _SIZES.get(kind, (-1, -1))
        if not fewest <= len(fields) <= most:
            raise Failed(f"no frame of a client has this shape: {told(frame)}")
        if (kind in (AUTHENTICATE, ANONYMOUS)) == self.is_open or (kind == ACK and not self.resumed):
            raise Failed(f"this frame is out of turn: {told(frame)}")
        if kind == AUTHENTICATE:
            await self._prove(fields, challenge)
        elif kind == ANONYMOUS:
            self.is_open = True
            await self.send([READY, bytes(32), 0])
        elif kind == RESUME:
            await self._resume(fields[0])
        elif kind == ACK:
            self._ack(fields)
        else:
            await self._submit(fields)
        self.house.tell()

    async def _prove(self, fields: list[Any], challenge: bytes) -> None:
        if fields[0] in self.house.removed:
            await self.end(REMOVED, "device_revoked")
            return
        account = self.house.of_device(fields[0])
        if account is None:
            raise Failed("authenticate names a device that nobody registered")
        signed = transcript("tokenim/v1 websocket", self.house.origin.encode(), fields[0], challenge)
        verify(account.device.signing_key, signed, fields[1], "authenticate")
        self.account, self.is_open = account, True
        await self.send([READY, bytes(32), account.mailbox.last + 1])

    async def _resume(self, after: int) -> None:
        if self.account is None or self.resumed:
            raise Failed("resume comes once, on a connection of a device")
        box = self.account.mailbox
        if after > box.delivered:
            raise Failed(f"resume({after}) is above what was ever delivered, {box.delivered}")
        self.house.resumes.append((self.account.manifest.account_id, after))
        for sequence in [one for one in box.waiting if one <= after]:
            del box.waiting[sequence]
        self.resumed, self.upto = True, box.last
        self.delivering = asyncio.create_task(self._deliver(self.account))

    async def _deliver(self, account: Account) -> None:
        box, sent, is_caught_up = account.mailbox, 0, False
        while True:
            box.came.clear()
            frames = [box.waiting[one] for one in sorted(box.waiting) if one > sent]
            for frame in frames:
                sent = box.delivered = max(sent, frame[1])
                await self.send(frame)
            if not is_caught_up and not any(one <= self.upto for one in box.waiting):
                is_caught_up = True
                await self.send([CAUGHT_UP, self.upto])
            await box.came.wait()

    def _ack(self, fields: list[Any]) -> None:
        if self.account is None:
            raise Failed("an ack of nobody")
        box, also = self.account.mailbox, fields[1] if len(fields) > 1 else []
        if max([fields[0], *also]) > box.delivered:
            raise Failed(f"ack({fields}) is above what was delivered, {box.delivered}")
        self.house.script.acked(self.account, fields)
        self.house.acks.append((self.account.manifest.account_id, fields))
        for sequence in [one for one in box.waiting if one <= fields[0] or one in also]:
            del box.waiting[sequence]
        box.came.set()

    async def _submit(self, fields: list[Any]) -> None:
        asker = None if self.account is None else self.account.manifest.account_id
        sent = Submit(fields, asker)
        self.house.submits.append(sent)
        if not self.house.script.anonymous_submit and asker is None:
            raise Failed("an anonymous submit, where the document says anonymous_submit: false")
        outcomes = [self._outcome(sent, target) for target in fields[6]]
        if self.house.script.lose_accepted:
            self.house.script.lose_accepted -= 1
            await self.connection.close(code=1001)
            return
        await self.send([ACCEPTED, fields[0], outcomes, []])

    def _outcome(self, sent: Submit, target: list[Any]) -> int:
        device_id, ciphertext_at, grant_at = target
        owner, token, _version = sent.fields[7][grant_at]
        account = self.house.accounts.get(owner)
        if account is None or all(one.device_id != device_id for one in account.manifest.devices):
            self.house.breach("a submit to a device that no manifest of its account lists")
            return 3
        if sent.fields[2] == 1 and owner in self.house.closed_to:
            self.house.breach("an envelope to an account whose keys do not verify")
        if sent.asker is not None and sent.asker != owner and self.house.script.anonymous_submit:
            self.house.breach("a submit to somebody else on an authenticated connection")
        by = self.house.token_class(account, token)
        if by is None and not (sent.asker == owner and not token):
            self.house.breach("a submit with a token that the account has not")
            return 4
        if by == "public" and not self._has_work(sent, grant_at, owner, token):
            self.house.breach("a submit by a public token without the work that the document asks for")
            return 8
        data = bytes(sent.fields[5][ciphertext_at])
        if not is_bucket(len(data)):
            self.house.breach(f"an envelope of {len(data)} B: no bucket has this size")
        outcome = self.house.script.outcome(sent)
        if outcome != 1:
            return outcome
        return self._store(account, sent, data)

    def _store(self, account: Account, sent: Submit, data: bytes) -> int:
        box = account.mailbox
        if sent.fields[2] == 2:
            if sent.fields[4]:
                self.house.breach("an ephemeral envelope has ttl_seconds 0")
            return 6
        known = box.stored.get(sent.envelope_id)
        if known is not None:
            if known != sha256(data):
                self.house.breach("another ciphertext under an envelope id that was used")
            return 1 if known == sha256(data) else 5
        box.stored[sent.envelope_id] = sha256(data)
        self.house.script.put(box, sent.envelope_id, data)
        return 1

    def _has_work(self, sent: Submit, grant_at: int, owner: bytes, token: bytes) -> bool:
        works = sent.fields[8] if len(sent.fields) > 8 else []
        work = works[grant_at] if grant_at < len(works) else b""
        signed = transcript("tokenim/v1 work", sent.envelope_id, owner, sha256(token), work)
        return len(work) == 8 and leading_zero_bits(sha256(signed)) >= WORK_BITS

    async def notice(self, kind: int, *data: Any) -> None:
        """Something that the device should know."""
        await self.send([NOTICE, kind, list(data)])


async def connect(house: House, connections: list[Connection], request: web.Request) -> web.StreamResponse:
    """`GET /v1/connect`."""
    if request.headers.get("Sec-WebSocket-Protocol", "") != SUBPROTOCOL:
        house.breach(f"the subprotocol of the WebSocket is {SUBPROTOCOL}")
    socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,), compress=False, max_msg_size=0)
    await socket.prepare(request)
    connection = Connection(house, socket)
    connections.append(connection)
    try:
        await connection.serve()
    finally:
        connections.remove(connection)
    return socket
