"""F13: who opens connections and says nothing holds them for seconds, not for ever."""

import asyncio

import aiohttp

from relay.adapters.system_clock import SystemClock
from relay.composition import Machine
from relay.testing import open_test_relay
from relay.wire import limits
from relay.wire.codec import SUBPROTOCOL

CONNECTIONS = 200


class HurriedClock(SystemClock):
    """Timers come a hundred times sooner."""

    def call_later(self, seconds, callback):  # type: ignore[no-untyped-def]
        return super().call_later(seconds / 100, callback)


async def ends(reader: asyncio.StreamReader) -> bytes:
    """What came until the relay closed the connection."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def test_f13_slow_openers_are_cut():
    async with open_test_relay(machine=Machine(clock=HurriedClock())) as relay:
        host, port = relay.url.removeprefix("http://").split(":")
        openers = [await asyncio.open_connection(host, int(port)) for _ in range(CONNECTIONS)]
        for number, (_, writer) in enumerate(openers):
            writer.write((b"", b"GET /health HTTP/1.1\r\nHost: x\r\n", b"G")[number % 3])
        answers = await asyncio.gather(*(ends(reader) for reader, _ in openers))
        assert set(answers) == {b""}
        for _, writer in openers:
            writer.close()
        async with aiohttp.ClientSession() as session, session.get(f"{relay.url}/health") as answer:
            assert answer.status == 200


async def test_f13_a_socket_that_does_not_answer_the_challenge_is_closed_and_a_working_one_stays():
    async with (
        open_test_relay(machine=Machine(clock=HurriedClock())) as relay,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{relay.url}/v1/connect", protocols=(SUBPROTOCOL,)) as silent,
        session.ws_connect(f"{relay.url}/v1/connect", protocols=(SUBPROTOCOL,)) as working,
    ):
        await working.receive_bytes()
        await working.send_bytes(b"\x91\x91\x05")  # [[anonymous]]
        await working.receive_bytes()
        await silent.receive_bytes()
        refused = await silent.receive_bytes()
        assert b"unauthenticated" in refused
        assert (await silent.receive()).type is aiohttp.WSMsgType.CLOSE
        assert silent.close_code == 4002
        assert limits.AUTHENTICATE_WITHIN_SECONDS == 10
        assert not working.closed
