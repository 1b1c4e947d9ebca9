"""A proxy between real clients and a real relay that understands the protocol: a test reads and changes what passes.

Answers over HTTP are changed after the relay gave them; frames are decoded by `relay.wire`, changed, and encoded again.
What no rule of a test touches passes as it is, byte for byte. Signatures hold, because the relay's public origin is the
address of this proxy.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from socket import socket
from typing import Any

import aiohttp
from aiohttp import WSMsgType, web
from multidict import CIMultiDict
from yarl import URL

from relay.wire import codec
from relay.wire.frames import Authenticate, ClientFrame, RelayFrame, Resume
from relay.wire.limits import MAX_MESSAGE_BYTES

_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "upgrade", "content-length", "host"}
)
_MAX_BODY_BYTES = 64 << 20


@dataclass
class Exchange:
    """One request over HTTP and the relay's answer to it, which a rule may change in place."""

    method: str
    target: str
    asked: bytes
    signed: bool
    status: int
    headers: CIMultiDict[str]
    body: bytes
    connection: object = None
    """On which the client asked: the same object for all of one connection."""

    @property
    def json(self) -> Any:
        """The answer's body."""
        return json.loads(self.body)

    @json.setter
    def json(self, value: Any) -> None:
        self.body = json.dumps(value).encode()

    def is_of(self, method: str, path: str) -> bool:
        """Whether method and path are of these patterns, as in `fnmatch`; the query does not count."""
        return fnmatchcase(self.method, method) and fnmatchcase(self.target.partition("?")[0], path)

    def refuse(self, status: int, code: str) -> None:
        """A refusal in the place of the answer."""
        self.status = status
        self.headers["Content-Type"] = "application/problem+json"
        self.json = {
            "type": "about:blank", "title": code, "status": status, "code": code, "detail": "said so", "request_id": ""
        }  # fmt: skip


@dataclass(eq=False)
class Line:
    """One WebSocket of a client; `device_id` once it has said who it is, None for an anonymous one."""

    client: web.WebSocketResponse
    relay: aiohttp.ClientWebSocketResponse
    middleman: "Middleman"
    connection: object
    """As of an exchange."""
    device_id: bytes | None = None
    has_mailbox: bool = False
    _to_relay: list[ClientFrame] = field(default_factory=list)
    _to_client: list[RelayFrame] = field(default_factory=list)

    def tells_relay(self, *frames: ClientFrame) -> None:
        """Send the relay frames that the client never sent, after what passes now."""
        self._to_relay += frames

    def tells_client(self, *frames: RelayFrame) -> None:
        """Send the client frames that the relay never sent, after what passes now."""
        self._to_client += frames

    async def flush(self) -> None:
        """Send both."""
        if self._to_client:
            told, self._to_client = self._to_client, []
            await self.push(*told)
        frames, self._to_relay = self._to_relay, []
        for message in codec.batches([codec.encode_frame(frame) for frame in frames]):
            await self.relay.send_bytes(message)

    async def push(self, *frames: RelayFrame) -> None:
        """Send the client frames that the relay never sent."""
        self.middleman.changes += 1
        for message in codec.batches([codec.encode_frame(frame) for frame in frames]):
            await self.client.send_bytes(message)

    async def cut(self) -> None:
        """The connection breaks."""
        await self.client.close(code=1012)


Answers = Callable[[Exchange], None]
ToClient = Callable[[Line, Sequence[RelayFrame]], Iterable[RelayFrame]]
ToRelay = Callable[[Line, Sequence[ClientFrame]], Iterable[ClientFrame]]


@dataclass
class Middleman:
    """The rules of one attack, and what has passed. Rules apply in the order in which they were made."""

    upstream: str
    origin: str
    exchanges: list[Exchange] = field(default_factory=list)
    """As the relay answered."""
    lines: list[Line] = field(default_factory=list)
    delivered: list[tuple[Line, RelayFrame]] = field(default_factory=list)
    """As the relay sent them."""
    changes: int = 0
    """How often something was changed, added or left out: an attack that never came to it proves nothing."""
    failures: list[BaseException] = field(default_factory=list)
    """Of the rules themselves."""
    _answers: list[tuple[str, str, Answers, bool]] = field(default_factory=list)
    _instead: list[tuple[str, str, Answers]] = field(default_factory=list)
    _to_client: list[ToClient] = field(default_factory=list)
    _to_relay: list[ToRelay] = field(default_factory=list)

    def changes_answers(
        self, method: str, path: str, change: Answers, *, also_refusals: bool = False
    ) -> None:
        """From now on `change` sees each answer to such requests, unless the relay refused, before the client does."""
        self._answers.append((method, path, change, also_refusals))

    def answers_itself(self, method: str, path: str, answer: Answers) -> None:
        """From now on the relay hears nothing of such requests; the answer is what `answer` makes of an empty one with 200."""
        self._instead.append((method, path, answer))

    def changes_frames(self, change: ToClient) -> None:
        """From now on the client gets what `change` gives for what the relay sent in one message."""
        self._to_client.append(change)

    def changes_submits(self, change: ToRelay) -> None:
        """From now on the relay gets what `change` gives for what a client sent in one message."""
        self._to_relay.append(change)

    def stops(self) -> None:
        """From now on the relay is honest."""
        self._answers.clear()
        self._instead.clear()
        self._to_client.clear()
        self._to_relay.clear()

    def answer_to(self, method: str, path: str) -> Exchange:
        """The newest answer to such a request, as the relay gave it."""
        return next(one for one in reversed(self.exchanges) if one.status < 400 and one.is_of(method, path))

    def line_of(self, device_id: bytes) -> Line | None:
        """The WebSocket by which a device has its mailbox at this moment."""
        open_ones = (line for line in reversed(self.lines) if line.has_mailbox and not line.client.closed)
        return next((line for line in open_ones if line.device_id == device_id), None)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request of a client."""
        session = request.app[_SESSION]
        if request.headers.get("Upgrade", "").lower() == "websocket":
            try:
                return await self._carry_socket(request, session)
            except (ConnectionError, aiohttp.ClientConnectionError):
                return web.Response(status=502)  # one of the two is gone before they met
        exchange = Exchange(
            request.method,
            request.raw_path,
            await request.read(),
            "Authorization" in request.headers,
            200,
            CIMultiDict(),
            b"",
            request.protocol,
        )
        instead = [answer for method, path, answer in self._instead if exchange.is_of(method, path)]
        if not instead:
            await self._ask_relay(request, exchange, session)
            self.exchanges.append(replace(exchange, headers=exchange.headers.copy()))
        before = exchange.status, exchange.headers.copy(), exchange.body
        for method, path, change, also_refusals in self._answers:
            if (also_refusals or exchange.status < 400) and exchange.is_of(method, path):
                instead.append(change)
        for change in instead:
            with self._noting_failures():
                change(exchange)
        self.changes += before != (exchange.status, exchange.headers, exchange.body)
        return web.Response(status=exchange.status, headers=exchange.headers, body=exchange.body)

    async def _ask_relay(
        self, request: web.Request, exchange: Exchange, session: aiohttp.ClientSession
    ) -> None:
        """Fill in what the relay answers."""
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        async with session.request(
            request.method,
            URL(self.upstream + request.raw_path, encoded=True),
            data=exchange.asked,
            headers=headers,
            allow_redirects=False,
            skip_auto_headers=("Content-Type", "User-Agent", "Accept", "Accept-Encoding"),
        ) as answered:
            exchange.status = answered.status
            exchange.body = await answered.read()
            exchange.headers.extend(
                (name, value) for name, value in answered.headers.items() if name.lower() not in _HOP_BY_HOP
            )

    async def _carry_socket(
        self, request: web.Request, session: aiohttp.ClientSession
    ) -> web.WebSocketResponse:
        """Raises ConnectionError or aiohttp.ClientConnectionError if client and relay do not come together."""
        client = web.WebSocketResponse(
            protocols=(codec.SUBPROTOCOL,), compress=False, max_msg_size=MAX_MESSAGE_BYTES
        )
        async with session.ws_connect(
            self.upstream + request.raw_path,
            protocols=(codec.SUBPROTOCOL,),
            max_msg_size=MAX_MESSAGE_BYTES,
            compress=0,
        ) as relay:
            await client.prepare(request)
            line = Line(client, relay, self, request.protocol)
            self.lines.append(line)
            directions = [asyncio.create_task(one) for one in (self._up(line), self._down(line))]
            try:
                await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for direction in directions:
                    direction.cancel()
                results = await asyncio.gather(*directions, return_exceptions=True)
                await client.close(code=relay.close_code or 1001)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, ConnectionError):
                raise result
        return client

    async def _up(self, line: Line) -> None:
        async for message in line.client:
            if message.type is not WSMsgType.BINARY:
                return
            frames = codec.decode_from_client(message.data)
            for frame in frames:
                if isinstance(frame, Authenticate):
                    line.device_id = frame.device_id
                line.has_mailbox |= isinstance(frame, Resume)
            changed: Sequence[ClientFrame] = frames
            for change in self._to_relay:
                with self._noting_failures():
                    changed = tuple(change(line, changed))
            if changed == frames:
                await line.relay.send_bytes(message.data)
            else:
                self.changes += 1
                for batch in codec.batches([codec.encode_frame(frame) for frame in changed]):
                    await line.relay.send_bytes(batch)
            await line.flush()

    async def _down(self, line: Line) -> None:
        async for message in line.relay:
            if message.type is not WSMsgType.BINARY:
                return
            frames = codec.decode_from_relay(message.data)
            self.delivered += ((line, frame) for frame in frames)
            changed: Sequence[RelayFrame] = frames
            for change in self._to_client:
                with self._noting_failures():
                    changed = tuple(change(line, changed))
            if changed == frames:
                await line.client.send_bytes(message.data)
            else:
                await line.push(*changed)
            await line.flush()

    @contextmanager
    def _noting_failures(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.failures.append(error)
            raise


_SESSION = web.AppKey("session", aiohttp.ClientSession)


@asynccontextmanager
async def open_middleman(upstream: str, listening: socket) -> AsyncIterator[Middleman]:
    """A proxy on a socket that listens already (it stays open afterwards), without a rule yet."""
    host, port = listening.getsockname()
    middleman = Middleman(upstream, f"http://{host}:{port}")
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app[_SESSION] = session
        app.router.add_route("*", "/{anything:.*}", middleman.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.SockSite(runner, listening.dup()).start()
            yield middleman
        finally:
            await runner.cleanup()
