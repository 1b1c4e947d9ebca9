"""F8: a peer that sends, reads nothing, and leaves: nothing of it stays."""

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from relay.wire import limits
from relay.wire.codec import SUBPROTOCOL, batches, encode_frame
from relay.wire.frames import Anonymous
from tests.raw_socket import submit_to
from tests.running_relay import open_world

_UPGRADE = (
    "GET /v1/connect HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
)
_SMALL_BYTES = 65_536


def masked(message: bytes) -> bytes:
    """A binary frame of a client, masked with zeros; RFC 6455 section 5.2."""
    return struct.pack("!BBHI", 0x82, 0x80 | 126, len(message), 0) + message


async def until(condition: Callable[[], bool]) -> None:
    """Look until it holds; the test's own time limit ends one that never does."""
    while not condition():  # noqa: ASYNC110  (what it waits for tells nobody)
        await asyncio.sleep(0.02)


async def flood(peer: socket.socket, message: bytes) -> None:
    """Send it again and again, and read nothing."""
    while True:
        await asyncio.get_running_loop().sock_sendall(peer, message)


@pytest.mark.parametrize("reset", [True, False])
async def test_f8_of_a_peer_that_left_while_its_answers_waited_nothing_stays(
    reset: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "MAX_UNREAD_BYTES", _SMALL_BYTES)
    async with open_world() as world:
        loop, stranger, address = asyncio.get_running_loop(), world.device(), urlsplit(world.relay.url)
        sessions = world.relay.services.connections.sessions
        with socket.socket() as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            peer.setblocking(False)
            await loop.sock_connect(peer, (address.hostname, address.port))
            await loop.sock_sendall(peer, _UPGRADE.encode())
            await until(lambda: len(sessions()) == 1)
            (session,) = sessions()
            # The kernel would hold megabytes for the peer before the relay has to.
            sending = session.line._transport.get_extra_info("socket")  # type: ignore[attr-defined]
            sending.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
            (hello,) = batches([encode_frame(Anonymous())])
            await loop.sock_sendall(peer, masked(hello))
            submits = [submit_to(stranger, os.urandom(16)) for _ in range(limits.MAX_FRAMES_PER_MESSAGE)]
            (message,) = batches([encode_frame(submit) for submit in submits])
            flooding = asyncio.create_task(flood(peer, masked(message)))
            await until(lambda: session.unread_bytes() >= _SMALL_BYTES)
            flooding.cancel()
            await asyncio.wait([flooding])
            if reset:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await until(lambda: not sessions())
        assert session.outbox.waiting_bytes < _SMALL_BYTES + limits.MAX_MESSAGE_BYTES
