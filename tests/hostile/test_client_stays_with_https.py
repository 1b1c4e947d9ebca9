"""A client whose relay's origin says https says nothing in the clear, whoever sends it there, and whatever does not answer."""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from client.connection import open_connection
from client.errors import RelayMisbehaved, RelayUnreachable
from client.transport import Transport
from tests.certificates import Authority
from tests.lying_relay import MACHINE, person

SENDS_AWAY = (301, 302, 303, 307, 308)


@dataclass
class Doors:
    """One place that speaks https, and one that speaks http; who came to each."""

    secure: str = ""
    plain: str = ""
    status: int = 307
    asked: list[str] = field(default_factory=list)
    in_the_clear: list[str] = field(default_factory=list)

    async def send_away(self, request: web.Request) -> web.Response:
        """The same path, by http."""
        self.asked.append(f"{request.method} {request.path}")
        return web.Response(status=self.status, headers={"Location": self.plain + request.raw_path})

    async def take(self, request: web.Request) -> web.StreamResponse:
        """By http everything is well."""
        self.in_the_clear.append(f"{request.method} {request.path}")
        return web.json_response({})


@asynccontextmanager
async def serving(handler, **options) -> AsyncIterator[int]:
    """On a free port of this machine."""
    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, **options).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.fixture
async def doors(tmp_path, monkeypatch) -> AsyncIterator[Doors]:
    authority, both = Authority(), Doors()
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", authority.trusting())
    context = authority.serving(tmp_path)
    async with serving(both.take) as plain, serving(both.send_away, ssl_context=context) as secure:
        both.secure, both.plain = f"https://127.0.0.1:{secure}", f"http://127.0.0.1:{plain}"
        yield both


@contextmanager
def refused() -> Iterator[None]:
    with pytest.raises((RelayMisbehaved, RelayUnreachable), match="sends to another place"):
        yield


@pytest.mark.proves("M-AUTH-02")
@pytest.mark.parametrize("status", SENDS_AWAY)
async def test_e7_a_client_that_is_sent_from_https_to_http_does_not_go(doors: Doors, status: int):
    doors.status = status
    device = person()
    async with Transport(doors.secure, MACHINE, device) as transport:
        for method, path, signed in (
            ("GET", "/v1/accounts/self", True),
            ("POST", "/v1/delivery-tokens", True),
            ("GET", "/v1/transparency/head", False),
        ):
            with refused():
                await transport.ask(method, path, signed=signed)
        with refused():
            await transport.relay_document(None)
        with refused():
            async with transport.stream("PATCH", "/v1/blobs/x", content=b"x", signed=True, upload_offset=0):
                pass
        for signer in (device, None):
            with refused():
                async with open_connection(transport, signer):
                    pass
    assert len(doors.asked) == 7, "each was sent away"
    assert doors.in_the_clear == []


@pytest.mark.proves("M-AUTH-02")
async def test_e7_a_client_that_gets_no_tls_does_not_try_without(doors: Doors):
    """A port that speaks http alone, and one at which nobody listens; beside both, http would be answered."""
    by_tls = doors.plain.replace("http://", "https://")
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = f"https://127.0.0.1:{free.getsockname()[1]}"
    device = person()
    for origin in (by_tls, closed):
        async with Transport(origin, MACHINE, device) as transport:
            with pytest.raises(RelayUnreachable):
                await transport.ask("GET", "/v1/accounts/self", signed=True)
            with pytest.raises(RelayUnreachable):
                async with open_connection(transport, device):
                    pass
    assert doors.in_the_clear == []
