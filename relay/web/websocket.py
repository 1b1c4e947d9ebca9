"""GET /v1/connect: bytes in, bytes out, size-capped and nothing understood; docs/protocol.md, "The WebSocket protocol".

What is ready at the end of a turn of the event loop goes out as one WebSocket message. Frames are written to the
transport here, not by aiohttp's `send_bytes`: that is a coroutine, and with a task for each message it would be a third of
the work. What the peer does not read stays bounded: deliveries pause, and nothing more is read from it.
"""

import asyncio
import struct
from typing import Final

from aiohttp import WSMsgType, web

from relay.flow import Flow
from relay.ports.clock import Clock, Timer
from relay.services.load import Shed
from relay.session.session import Session
from relay.wire import limits
from relay.wire.codec import SUBPROTOCOL
from relay.wire.errors import CLOSE_CODES, MalformedFrame, MalformedRequest, RelayError

from .call import Call
from .cors import refuse_page
from .forwarded import client_address

FLOW: Final = web.AppKey("flow", Flow)

CLOSE_WITHIN_SECONDS: Final = 5
LOOK_EVERY_SECONDS: Final = 0.1
"""How often a connection with unsent bytes is looked at."""

_BINARY: Final = 0x82  # RFC 6455 section 5.2: FIN, opcode 2; a server does not mask
_CLOSE: Final = 0x88  # FIN, opcode 8; a reason of at most 123 bytes


def frame_head(size: int) -> bytes:
    """The head of a whole, unmasked binary frame of `size` bytes; RFC 6455 section 5.2."""
    if size < 126:
        return bytes((_BINARY, size))
    if size < 65_536:
        return struct.pack("!BBH", _BINARY, 126, size)
    return struct.pack("!BBQ", _BINARY, 127, size)


class WebSocketLine:
    """Writes a session's outbox to its WebSocket."""

    __slots__ = (
        "_clock",
        "_closing",
        "_loop",
        "_response",
        "_session",
        "_stuck",
        "_timer",
        "_transport",
    )

    def __init__(
        self, response: web.WebSocketResponse, transport: asyncio.Transport, *, clock: Clock
    ) -> None:
        self._response = response
        self._transport = transport
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._session: Session | None = None
        self._closing = False
        self._timer: Timer | None = None  # while the peer has something to read
        self._stuck = (0, 0)  # unsent bytes when last looked at, and since when they are as many

    def carry(self, session: Session) -> None:
        """The session whose frames go out here."""
        self._session = session

    def ready(self) -> None:
        """Send at the end of this turn of the loop."""
        self._loop.call_soon(self._flush)

    def unsent_bytes(self) -> int:
        """What the kernel has not taken yet. With TLS, not counted: the last message that began before it took no more."""
        return self._transport.get_write_buffer_size()

    def _flush(self) -> None:
        transport = self._transport
        if self._session is None or self._closing or self._response.closed or self._is_gone(self._session):
            return
        for parts, size in self._session.outbox.take():
            transport.write(b"".join((frame_head(size), *parts)))
        if self._timer is None and (unsent := transport.get_write_buffer_size()):
            self._stuck = (unsent, self._clock.monotonic_ms())
            self._timer = self._clock.call_later(LOOK_EVERY_SECONDS, self._look)

    def _is_gone(self, session: Session) -> bool:
        """Whether the peer has gone: then the session is closed, for whoever waits until something is read."""
        if self._transport.is_closing():
            session.close("gone")
            return True
        return False

    def _look(self) -> None:
        """Something was unsent: go on if the peer reads, end a connection that does not."""
        self._timer = None
        if self._session is None or self._closing or self._is_gone(self._session):
            return
        unsent, now_ms = self._transport.get_write_buffer_size(), self._clock.monotonic_ms()
        if unsent != self._stuck[0]:
            self._stuck = (unsent, now_ms)
        elif now_ms - self._stuck[1] >= limits.NOT_READING_SECONDS * 1_000:
            self._session.end("not_reading")
            return
        if unsent:
            self._timer = self._clock.call_later(LOOK_EVERY_SECONDS, self._look)
        self._session.has_read()

    def end(self, code: str) -> None:
        """Send what waits and a close frame. Reading goes on until the peer has answered it, or is too slow.

        (aiohttp's `close`, called while the handler reads, does not wait: the peer's next bytes would meet a closed
        socket, and the reset can cost it the close frame.)
        """
        if self._closing or self._transport.is_closing() or self._response.closed:
            return
        self._flush()
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_later(CLOSE_WITHIN_SECONDS, self._transport.abort)
        reason = code.encode()
        close_code = CLOSE_CODES.get(code, CLOSE_CODES["internal"])
        self._transport.write(struct.pack("!BBH", _CLOSE, 2 + len(reason), close_code) + reason)

    def detach(self) -> None:
        """Nothing more comes from the peer: whoever began to close, it is closed now."""
        if self._timer is not None:
            self._timer.cancel()
        if self._closing:
            self._transport.close()
        self._closing = True


async def connect(call: Call) -> web.WebSocketResponse:
    """Serve one connection until it ends."""
    request, services, connections = call.request, call.services, call.services.connections
    refuse_page(request, services)
    asked = request.headers.get("Sec-WebSocket-Protocol", "")
    if SUBPROTOCOL not in (word.strip() for word in asked.split(",")):
        raise MalformedRequest(f"connect by WebSocket with the subprotocol {SUBPROTOCOL}")
    address = client_address(request, services.settings.proxy.trusted)
    services.load.admit(Shed.CONNECTIONS)
    with connections.caps.place(services.rates.prefix(address)):
        return await _serve(call, address)


async def _serve(call: Call, address: str | None) -> web.WebSocketResponse:
    request, services = call.request, call.services
    clock, connections, flow = services.clock, services.connections, request.app[FLOW]
    response = web.WebSocketResponse(
        timeout=CLOSE_WITHIN_SECONDS,
        heartbeat=limits.PING_SECONDS,
        autoclose=False,
        protocols=(SUBPROTOCOL,),
        compress=False,
        max_msg_size=limits.MAX_MESSAGE_BYTES + 1,  # aiohttp refuses what has as many bytes
    )
    await response.prepare(request)
    transport = request.transport
    if transport is None:
        return response
    line = WebSocketLine(response, transport, clock=clock)
    session = connections.open(line, services.rates.submit_meter(address))
    line.carry(session)
    deadline = clock.call_later(limits.AUTHENTICATE_WITHIN_SECONDS, lambda: connections.expire(session))
    try:
        async for message in response:
            if message.type is WSMsgType.BINARY:
                await flow.receive(message.data, session)
            else:
                session.end(MalformedFrame.code)
    except Exception:
        # Whatever it is, it is a bug of ours, which the middleware logs; its problem document does not fit in here.
        session.end(RelayError.code)
        raise
    finally:
        deadline.cancel()
        line.detach()
        connections.close(session)
    return response
