"""One WebSocket with the relay, past its handshake: whole batches of frames in and out. Knows no meaning of them."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp

from relay.wire import codec
from relay.wire.errors import CLOSE_CODES, RelayError, every_error
from relay.wire.frames import (
    Anonymous,
    Authenticate,
    Challenge,
    ClientFrame,
    Ready,
    RelayFrame,
)
from relay.wire.frames import (
    Refused as RefusedFrame,
)
from relay.wire.limits import AUTHENTICATE_WITHIN_SECONDS, MAX_MESSAGE_BYTES, PING_SECONDS
from relay.wire.transcripts import websocket_transcript

from .errors import ClientError, Refused, RelayMisbehaved, RelayUnreachable, Replaced
from .transport import Signer, Transport

_TARGET: Final = "/v1/connect"
_CODES: Final = {number: code for code, number in CLOSE_CODES.items()}
_ERRORS: Final[dict[str, type[RelayError]]] = {error.code: error for error in every_error()}


def refusal(code: str, retry_after_ms: int = 0) -> Refused:
    """A refusal by the relay's code, in its own words."""
    known = _ERRORS.get(code, RelayError)
    return Refused(code, known.detail, retryable=known.retryable, retry_after_ms=retry_after_ms)


def ending(code: str, retry_after_ms: int = 0) -> ClientError:
    """Why the relay ended a connection: the same by its frame and by the close code, whichever is read first."""
    if code == "replaced":
        return Replaced("another program took this account's mailbox; this one stops listening")
    if code == "internal":  # a defect of the relay: the next connection may go well
        return RelayUnreachable("the relay closed the connection")
    return refusal(code, retry_after_ms)


class Connection:
    """An open connection; `ready` is what the relay said when it opened."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, ready: Ready) -> None:
        self._socket = socket
        self.ready = ready

    async def send(self, frames: Sequence[ClientFrame]) -> None:
        """Send frames in order, in as few messages as they fit; raises RelayUnreachable."""
        try:
            for message in codec.batches([codec.encode_frame(frame) for frame in frames]):
                await self._socket.send_bytes(message)
        except (aiohttp.ClientError, ConnectionError) as error:
            raise RelayUnreachable("the connection to the relay broke") from error

    async def receive(self) -> tuple[RelayFrame, ...]:
        """The next batch of frames.

        Raises RelayUnreachable when the connection ends, Replaced when a newer one of this device has the mailbox,
        Refused for another reason that the relay gives, RelayMisbehaved.
        """
        return await _receive(self._socket)


async def _receive(socket: aiohttp.ClientWebSocketResponse) -> tuple[RelayFrame, ...]:
    try:
        message = await socket.receive()
    except (aiohttp.ClientError, ConnectionError) as error:
        raise RelayUnreachable("the connection to the relay broke") from error
    if message.type is aiohttp.WSMsgType.BINARY:
        try:
            return codec.decode_from_relay(message.data)
        except RelayError as error:
            raise RelayMisbehaved("the relay sent frames that are not of the protocol") from error
    if message.type is aiohttp.WSMsgType.TEXT:
        raise RelayMisbehaved("the relay sent text where frames belong")
    code = _CODES.get(socket.close_code or 0)
    if code is None or _ERRORS.get(code, RelayError).retryable:
        raise RelayUnreachable("the relay closed the connection")
    raise ending(code)


@asynccontextmanager
async def open_connection(transport: Transport, signer: Signer | None) -> AsyncIterator[Connection]:
    """A connection that `signer` proved, or an anonymous one; closed at the end.

    Raises RelayUnreachable, Refused (`unauthenticated`: the relay does not know the device), RelayMisbehaved.
    """
    try:
        socket = await transport.pool(signed=signer is not None).ws_connect(
            transport.origin + _TARGET,
            protocols=(codec.SUBPROTOCOL,),
            max_msg_size=MAX_MESSAGE_BYTES,
            heartbeat=PING_SECONDS,
            compress=0,
            timeout=aiohttp.ClientWSTimeout(ws_close=5),
        )
    except aiohttp.WSServerHandshakeError as error:
        raise RelayUnreachable(f"{transport.origin} opens no connection: HTTP {error.status}") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise RelayUnreachable(f"{transport.origin} is not reached: {error}") from error
    try:
        if socket.protocol != codec.SUBPROTOCOL:
            raise RelayMisbehaved(f"{transport.origin} does not speak {codec.SUBPROTOCOL}")
        try:
            async with asyncio.timeout(AUTHENTICATE_WITHIN_SECONDS):
                ready = await _shake_hands(socket, transport.origin, signer)
        except TimeoutError as error:
            raise RelayUnreachable(f"{transport.origin} does not go on with the connection") from error
        yield Connection(socket, ready)
    finally:
        await socket.close()


async def _shake_hands(socket: aiohttp.ClientWebSocketResponse, origin: str, signer: Signer | None) -> Ready:
    match await _receive(socket):
        case (Challenge() as challenge,):
            answer: ClientFrame = Anonymous()
        case _:
            raise RelayMisbehaved("the relay did not begin with a challenge")
    if signer is not None:
        signed = websocket_transcript(
            origin=origin, device_id=signer.device_id, challenge=challenge.challenge
        )
        answer = Authenticate(signer.device_id, signer.sign(signed))
    try:
        await socket.send_bytes(codec.encode_message([answer]))
    except (aiohttp.ClientError, ConnectionError) as error:
        raise RelayUnreachable("the connection to the relay broke") from error
    match await _receive(socket):
        case (Ready() as ready,):
            return ready
        case (RefusedFrame(code=code, retry_after_ms=retry_after_ms), *_):
            raise refusal(code, retry_after_ms)
        case _:
            raise RelayMisbehaved("the relay did not say that it is ready")


async def run_together(*directions: Coroutine[Any, Any, None]) -> None:
    """Run all until one returns or raises; the others are cancelled and awaited. Raises that one's error as it is."""
    tasks = [asyncio.create_task(direction) for direction in directions]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    errors = [task.exception() for task in tasks if task in done]
    errors += [result for result in results if isinstance(result, BaseException)]
    for error in errors:
        if error is not None and not isinstance(error, asyncio.CancelledError):
            raise error
