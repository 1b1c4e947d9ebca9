"""Chapter Push wakeups: what can be seen of it without a push service but a webhook on this machine."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from client.conformance.relay import Relay
from client.conformance.report import Failed, NotClaimed
from client.conformance.socket import PATIENCE_SECONDS, resumed
from client.conformance.wire import ACK, CAUGHT_UP, DELIVER, from_base64, transcript, u64

from .delivery import store
from .suite import SUITE

_PUSH = "/v1/push"
_WEB = {
    "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    "auth": "BTBZMqHH6r4Tts7J_aSIgg",
}
"""Key and secret of RFC 8291, section 5."""


def _body(relay: Relay, target: str) -> dict[str, str]:
    kind = relay.document["push"]["kinds"][0]
    if kind in ("apns", "fcm"):
        return {"kind": kind, "target": "00" * 32}
    return {"kind": kind, "target": target, **(_WEB if kind in ("web", "unifiedpush") else {})}


@SUITE.case("push-register", level="push")
async def register(relay: Relay) -> None:
    """Each registration gets another token of 16 B; it can be taken back, also twice."""
    device = await relay.member()
    body = _body(relay, "https://push.example/one")
    tokens = [from_base64((await device.ask("PUT", _PUSH, body)).must(200).json["token"]) for _ in range(2)]
    if tokens[0] == tokens[1] or {len(token) for token in tokens} != {16}:
        raise Failed("expected two tokens of 16 B that differ")
    (await device.ask("DELETE", _PUSH)).must(204)
    (await device.ask("DELETE", _PUSH)).must(204)


@SUITE.case("push-signed", level="push")
async def signed(relay: Relay) -> None:
    """Only the device itself registers, and only for a kind that the relay offers."""
    device = await relay.member()
    body = _body(relay, "https://push.example/one")
    (await device.say("PUT", _PUSH, body)).must(401, "unauthenticated")
    (await device.ask("PUT", _PUSH, {**body, "kind": "pigeon"})).must_refuse("a kind that there is not")


@SUITE.case("push-https-alone", level="push")
async def https_alone(relay: Relay) -> None:
    """A URL is taken by https alone."""
    if relay.document["push"]["kinds"][0] in ("apns", "fcm"):
        raise NotClaimed("the first kind of wakeups that its document offers goes to no URL")
    device = await relay.member()
    for target in ("ftp://push.example/one", "push.example"):
        answer = await device.ask("PUT", _PUSH, _body(relay, target))
        answer.must_refuse(f"a registration with target {target}")


_AGAIN_WITHIN = 25.0
"""Seconds: 20 of them for a connection that the relay takes for alive a moment longer."""


@dataclass(frozen=True)
class _Wakeup:
    """What a webhook was sent."""

    body: bytes
    time_ms: str
    signature: str


@dataclass
class _Webhook:
    """One that listens on this machine."""

    url: str
    came: asyncio.Queue[_Wakeup]

    async def take(self, request: web.Request) -> web.Response:
        """Of anybody."""
        headers = request.headers
        wakeup = _Wakeup(
            await request.read(), headers.get("TokenIM-Time", ""), headers.get("TokenIM-Signature", "")
        )
        self.came.put_nowait(wakeup)
        return web.Response(status=204)

    async def next(self, relay: Relay, target: str, token: bytes, within: float = PATIENCE_SECONDS) -> None:
        """Raises Failed unless a wakeup comes that is the token, signed by the relay for this target."""
        try:
            wakeup = await asyncio.wait_for(self.came.get(), within)
        except TimeoutError:
            raise Failed(f"a device that is away: expected a wakeup within {within:g} s") from None
        if wakeup.body != token:
            raise Failed(f"a wakeup: expected the token of the registration alone, got {wakeup.body[:64]!r}")
        signed = transcript(
            "tokenim/v1 push webhook",
            relay.origin.encode(),
            target.encode(),
            u64(int(wakeup.time_ms)),
            wakeup.body,
        )
        try:
            VerifyKey(relay.invite.relay_key).verify(signed, from_base64(wakeup.signature))
        except BadSignatureError:
            raise Failed(
                "a wakeup: expected that the relay's key signed it for its target and time"
            ) from None


@asynccontextmanager
async def _listening() -> AsyncIterator[_Webhook]:
    webhook = _Webhook("", asyncio.Queue())
    application = web.Application()
    application.router.add_post("/{name}", webhook.take)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        webhook.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield webhook
    finally:
        await runner.cleanup()


@SUITE.case("push-webhook-wakes", level="push", proves=("M-PUSH-01",))
async def wakes(relay: Relay) -> None:
    """A device that is away is woken once, by its token alone, which the relay signs; and again after it took its mailbox."""
    if "webhook" not in relay.document["push"]["kinds"]:
        raise NotClaimed("its document offers no webhooks (of our relay: push.webhook)")
    device = await relay.member()
    async with _listening() as webhook:
        target = f"{webhook.url}/{os.urandom(8).hex()}"
        answer = await device.ask("PUT", _PUSH, {"kind": "webhook", "target": target})
        if answer.code == "malformed_request":
            raise NotClaimed(
                "it wakes nobody on this machine: its operator may allow the host 127.0.0.1 (of our relay: push.allow_hosts)"
            )
        token = from_base64(answer.must(200).json["token"])
        await store(relay, device, os.urandom(256))
        await webhook.next(relay, target, token)
        await store(relay, device, os.urandom(256))
        await asyncio.sleep(0.5)
        if not webhook.came.empty():
            raise Failed("a device that was woken, and has not come since: expected no wakeup more")
        async with resumed(device) as reader:
            for _ in range(2):
                await reader.expect(DELIVER)
            await reader.send([ACK, 2])
            await reader.expect(CAUGHT_UP)
        await store(relay, device, os.urandom(256))
        await webhook.next(relay, target, token, _AGAIN_WITHIN)
