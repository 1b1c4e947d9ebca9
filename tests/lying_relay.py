"""A server that answers a client with whatever a test wants."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from client.account import Account, as_registered, new_account
from client.system import this_machine
from client.transport import Transport
from relay.wire.links import InviteLink

INVITE = InviteLink("http://relay.example", bytes(32), bytes(16))
MACHINE = this_machine()


def person() -> Account:
    return as_registered(new_account(INVITE, None, now_ms=0, random=MACHINE.random), "member")


@asynccontextmanager
async def lying_relay(handler) -> AsyncIterator[Transport]:
    """A server of this test, and a client's transport to it."""
    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    account = person()
    try:
        async with Transport(f"http://127.0.0.1:{port}", MACHINE, account) as transport:
            yield transport
    finally:
        await runner.cleanup()


def refused(status: int, code: str, **headers: str) -> web.Response:
    problem = {
        "type": "about:blank", "title": "x", "status": status, "code": code, "detail": "said so", "request_id": "r"
    }  # fmt: skip
    return web.json_response(problem, status=status, headers=headers, content_type="application/problem+json")
