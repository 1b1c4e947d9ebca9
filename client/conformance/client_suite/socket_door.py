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
    SUBPROTOCOL,
    pack_frames,
    told,
    transcript,
    unpack_frames,
)

from .bodies import check_frame
from .checks import verify
from .house import Account, House, Submit, acknowledge, take_mailbox
from .limits import LIMITS, digest
from .submits import behind, take

_LIMITS_DIGEST: Final = digest(LIMITS)
REPLACED, MALFORMED, REMOVED, DEFECT, GOING_DOWN = 4001, 4000, 4004, 1011, 1012


class Connection:
    """One of them. `account` is None for nobody, until it has proved who it is, and for ever if it is anonymous."""

    def __init__(self, house: House, connection: web.WebSocketResponse, others: "list[Connection]") -> None:
        """`others` are all that are open."""
        self.house, self.connection, self.others = house, connection, others
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
        except Exception as error:  # noqa: BLE001  # whatever it is: aiohttp would end the connection and tell nobody
            self.house.defect("WebSocket", error)
            await self.end(DEFECT, "internal")
        finally:
            if self.delivering is not None:
                self.delivering.cancel()
            self.house.tell()

    async def _take(self, frame: list[Any], challenge: bytes) -> None:
        kind, fields = frame[0], frame[1:]
        try:
            check_frame(kind, fields)
        except Failed as failure:
            raise Failed(f"no frame of a client has this shape: {told(frame)}: {failure}") from None
        if (kind in (AUTHENTICATE, ANONYMOUS)) == self.is_open or (kind == ACK and not self.resumed):
            raise Failed(f"this frame is out of turn: {told(frame)}")
        if kind == AUTHENTICATE:
            await self._prove(fields, challenge)
        elif kind == ANONYMOUS:
            self.is_open = True
            await self.send([READY, _LIMITS_DIGEST, 0])
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
        await self.send([READY, _LIMITS_DIGEST, account.mailbox.last + 1])

    async def _resume(self, after: int) -> None:
        if self.account is None or self.resumed:
            raise Failed("resume comes once, on a connection of a device")
        await replace(self.others, self.account)
        take_mailbox(self.house, self.account, after)
        self.resumed, self.upto = True, self.account.mailbox.last
        self.delivering = asyncio.create_task(self._deliver_or_tell(self.account))

    async def _deliver_or_tell(self, account: Account) -> None:
        try:
            await self._deliver(account)
        except Exception as error:  # noqa: BLE001  # nobody awaits this task
            self.house.defect("deliver", error)

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
        acknowledge(self.house, self.account, fields)

    async def _submit(self, fields: list[Any]) -> None:
        asker = None if self.account is None else self.account.manifest.account_id
        sent = Submit(fields, asker)
        outcomes = take(self.house, sent)
        if self.house.script.lose_accepted:
            self.house.script.lose_accepted -= 1
            await self.connection.close(code=1001)
            return
        await self.send([ACCEPTED, fields[0], outcomes, [list(one) for one in behind(self.house, sent)]])

    async def notice(self, kind: int, *data: Any) -> None:
        """Something that the device should know."""
        await self.send([NOTICE, kind, list(data)])


async def replace(connections: list[Connection], account: Account) -> None:
    """One mailbox, one reader: whoever has it of this account has it no more."""
    for one in list(connections):
        if one.account is account and one.resumed:
            one.resumed = False
            if one.delivering is not None:
                one.delivering.cancel()
            await one.end(REPLACED, "replaced")


async def connect(house: House, connections: list[Connection], request: web.Request) -> web.StreamResponse:
    """`GET /v1/connect`."""
    if request.headers.get("Sec-WebSocket-Protocol", "") != SUBPROTOCOL:
        house.breach(f"the subprotocol of the WebSocket is {SUBPROTOCOL}")
    socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,), compress=False, max_msg_size=0)
    if not socket.can_prepare(request):
        house.breach("GET /v1/connect is asked for by the handshake of RFC 6455")
    await socket.prepare(request)
    connection = Connection(house, socket, connections)
    connections.append(connection)
    try:
        await connection.serve()
    finally:
        connections.remove(connection)
    return socket
