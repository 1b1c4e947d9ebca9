"""A push service on loopback that is not the relay's code: keeps what it was sent, and answers as the test says.

Subscriptions are opened by http-ece and VAPID is checked by py-vapid, both by others.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import http_ece
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02

ANSWERS = {
    "taken": (201, {}),
    "gone": (410, {}),
    "not found": (404, {}),
    "busy": (429, {"Retry-After": "7"}),
    "failing": (500, {}),
    "too slow": (408, {}),
    "refusing": (403, {}),
    "no such form": (400, {}),
    "redirect": (307, {}),
    "with a cookie": (201, {"Set-Cookie": "who=you; Path=/"}),
}


@dataclass
class Received:
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class PushService:
    """`answer` is a name of ANSWERS, or `nothing`: then nobody answers at all."""

    url: str = ""
    answer: str = "taken"
    received: list[Received] = field(default_factory=list)
    trapped: list[str] = field(default_factory=list)
    """Who followed a redirect."""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/inside"):
            self.trapped.append(request.path)
            return web.Response(status=201)
        headers = {
            name: value for name, value in request.headers.items() if name not in ("Host", "User-Agent")
        }
        self.received.append(Received(request.path, headers, await request.read()))
        self.news.set()
        if self.answer == "nothing":
            await asyncio.Event().wait()
        status, more = ANSWERS[self.answer]
        if status == 307:
            more = {"Location": f"{self.url}/inside"}
        return web.Response(status=status, headers=more)

    async def wait_for(self, count: int, seconds: float = 10) -> list[Received]:
        """So many, or more, came."""
        async with asyncio.timeout(seconds):
            while len(self.received) < count:
                self.news.clear()
                await self.news.wait()
        return self.received

    @property
    def host(self) -> str:
        return str(urlsplit(self.url).netloc)


@asynccontextmanager
async def open_push_service() -> AsyncIterator[PushService]:
    """On a free port."""
    service = PushService()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", service.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    service.url = f"http://127.0.0.1:{port}"
    try:
        yield service
    finally:
        await runner.cleanup()


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Subscription:
    """What a browser or a distributor gives its application."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = b"sixteen bytes ok"

    @property
    def p256dh(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def open(self, body: bytes) -> bytes:
        """By http-ece."""
        return bytes(http_ece.decrypt(body, private_key=self.key, auth_secret=self.auth, version="aes128gcm"))

    def registration(self, kind: str, target: str) -> dict[str, str]:
        """The body of PUT /v1/push."""
        return {"kind": kind, "target": target, "p256dh": encoded(self.p256dh), "auth": encoded(self.auth)}


def vapid_claims(received: Received, vapid_key: str) -> dict[str, Any]:
    """The claims, once py-vapid has found the signature good, by the key that clients subscribe with."""
    header = received.headers["Authorization"]
    assert Vapid02.verify(header)
    parts = dict(part.split("=", 1) for part in header.removeprefix("vapid ").split(","))
    assert parts["k"] == vapid_key
    return dict(json.loads(decoded(parts["t"].split(".")[1])))
