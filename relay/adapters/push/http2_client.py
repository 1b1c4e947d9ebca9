"""Requests to one service over HTTP/2: one connection for all of them, made when it is needed and again when it is gone.

h2 speaks the protocol; here are the connection, what becomes of requests when it ends, and the limits of either side.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import urlsplit

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import H2Error, NoAvailableStreamIDError
from h2.settings import SettingCodes, Settings

from .http_answers import MOST_BODY_BYTES, ServiceAnswer, ServiceUnreachable

_MOST_AT_ONCE: Final = 100
_SOCKET_OPTIONS: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 20),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (
        socket.IPPROTO_TCP,
        socket.TCP_USER_TIMEOUT,
        20_000,
    ),  # ms that what was sent may stay unanswered by the kernel there
)


@dataclass(slots=True)
class _Exchange:
    """One request that waits for its answer."""

    answered: asyncio.Future[ServiceAnswer]
    status: int = 0
    retry_after: str | None = None
    body: bytearray = field(default_factory=bytearray)

    def settle(self) -> None:
        """What has come is the answer."""
        if not self.answered.done():
            body = bytes(self.body[:MOST_BODY_BYTES])
            self.answered.set_result(ServiceAnswer(self.status, self.retry_after, body))

    def fail(self) -> None:
        """There will be none."""
        if not self.answered.done():
            self.answered.set_exception(ServiceUnreachable())


class _Connection(asyncio.Protocol):
    """One connection. `is_open`: it takes requests; when it does so no more, it closes with its last answer."""

    def __init__(self, authority: str) -> None:
        self._authority = authority
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        initial = {SettingCodes.ENABLE_PUSH: 0, SettingCodes.MAX_HEADER_LIST_SIZE: MOST_BODY_BYTES}
        self._h2.local_settings = Settings(client=True, initial_values=initial)
        self._exchanges: dict[int, _Exchange] = {}
        self._changed = asyncio.Event()
        self.is_open = True
        self.has_answered = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # of create_connection it is one
        for option in _SOCKET_OPTIONS:
            transport.get_extra_info("socket").setsockopt(*option)
        self._h2.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        try:
            for event in self._h2.receive_data(data):
                self._take(event)
        except H2Error:
            self.abort()
            return
        self._flush()
        self._change()

    def connection_lost(self, _: Exception | None) -> None:
        self.is_open = False
        for exchange in self._exchanges.values():
            exchange.fail()
        self._change()
        self.ended.set_result(None)

    async def post(self, path: str, headers: Mapping[str, str], body: bytes) -> ServiceAnswer:
        """Raises ServiceUnreachable. Cancelled, it takes the request back, and the connection takes no more."""
        stream = await self._send(path, headers, body)
        exchange = self._exchanges[stream]
        try:
            answer = await exchange.answered
        except asyncio.CancelledError:  # no answer in time: the connection may be dead
            self.is_open = False
            with suppress(H2Error):
                self._h2.reset_stream(stream, ErrorCodes.CANCEL)
            raise
        finally:
            del self._exchanges[stream]
            self._flush()
            self._change()
        self.has_answered = True
        return answer

    async def _send(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        """Wait until both sides have room for one more; the stream's number."""
        while self.is_open and not self._has_room(len(body)):
            await self._changed.wait()
        if not self.is_open:
            raise ServiceUnreachable
        try:
            stream = self._h2.get_next_available_stream_id()
        except NoAvailableStreamIDError:
            self.is_open = False
            raise ServiceUnreachable from None
        pseudo = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", self._authority),
            (":path", path),
        ]
        self._h2.send_headers(stream, [*pseudo, *headers.items()])
        self._h2.send_data(stream, body, end_stream=True)
        self._exchanges[stream] = _Exchange(asyncio.get_running_loop().create_future())
        self._flush()
        return stream

    def _has_room(self, body_bytes: int) -> bool:
        theirs = self._h2.remote_settings
        window = min(self._h2.outbound_flow_control_window, theirs.initial_window_size)
        return (
            len(self._exchanges) < min(theirs.max_concurrent_streams, _MOST_AT_ONCE) and window >= body_bytes
        )

    def _take(self, event: events.Event) -> None:
        match event:
            case events.ConnectionTerminated():
                self.abort()  # h2 reads nothing after that: who has no answer asks again on the next connection
            case events.DataReceived():
                self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
                self._take_body(event.stream_id, event.data or b"")
            case events.ResponseReceived():
                if exchange := self._exchanges.get(event.stream_id):
                    found = {bytes(name): bytes(value) for name, value in event.headers or ()}
                    status = found[b":status"]
                    exchange.status = int(status) if status.isdigit() else 0
                    exchange.retry_after = found.get(b"retry-after", b"").decode("latin-1") or None
            case events.StreamEnded():
                if exchange := self._exchanges.get(event.stream_id):
                    exchange.settle()
            case events.StreamReset():
                if exchange := self._exchanges.get(event.stream_id):
                    exchange.fail()

    def _take_body(self, stream: int, data: bytes) -> None:
        exchange = self._exchanges.get(stream)
        if exchange is None or exchange.answered.done():
            return
        exchange.body += data
        if len(exchange.body) > MOST_BODY_BYTES:  # nobody reads on
            exchange.settle()
            self._h2.reset_stream(stream, ErrorCodes.CANCEL)

    def _flush(self) -> None:
        if not self._transport.is_closing() and (data := self._h2.data_to_send()):
            self._transport.write(data)

    def _change(self) -> None:
        """Whoever waits for room looks again; without any use left, this ends."""
        self._changed.set()
        self._changed = asyncio.Event()
        if not self.is_open and not self._exchanges:
            self._transport.close()

    def abort(self) -> None:
        """End at once."""
        self.is_open = False
        self._transport.abort()


class Http2Client:
    """POSTs to `origin`, an https one, many at once. Follows no redirect, and asks no proxy of the environment."""

    def __init__(self, origin: str, *, trust: ssl.SSLContext | None = None) -> None:
        """`trust`: whose certificates are believed; default: those of the machine's authorities."""
        parts = urlsplit(origin)
        self._host, self._port = parts.hostname or "", parts.port or 443
        self._authority = parts.netloc
        self._trust = trust or ssl.create_default_context()
        self._trust.set_alpn_protocols(["h2"])
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()

    async def post(self, path: str, headers: Mapping[str, str], body: bytes) -> ServiceAnswer:
        """Raises ServiceUnreachable. Has no end of its own: the caller's timeout cancels it, and the connection is given up.

        What goes wrong on a connection that was good before is tried again on a new one: the service had closed it meanwhile.
        """
        connection = await self._open()
        was_good = connection.has_answered
        try:
            return await connection.post(path, headers, body)
        except ServiceUnreachable:
            if not was_good or connection.is_open:
                raise
        return await (await self._open()).post(path, headers, body)

    async def _open(self) -> _Connection:
        async with self._connecting:
            if self._connection is None or not self._connection.is_open:
                self._connection = await self._connect()
            return self._connection

    async def _connect(self) -> _Connection:
        try:
            transport, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self._authority),
                self._host,
                self._port,
                ssl=self._trust,
                happy_eyeballs_delay=0.25,
            )
        except OSError as error:  # ssl.SSLError is one
            raise ServiceUnreachable from error
        spoken = transport.get_extra_info("ssl_object").selected_alpn_protocol()
        if spoken != "h2":
            connection.abort()
            raise ServiceUnreachable
        return connection

    async def close(self) -> None:
        """Give the connection back; what is under way ends as unreachable."""
        if self._connection is not None:
            self._connection.abort()
            await self._connection.ended
            self._connection = None
