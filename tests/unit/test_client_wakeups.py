"""Who knocks is believed only if the relay signed it, for this registration, not long ago."""

import aiohttp
import pytest
from nacl.signing import SigningKey

from client.cli.webhook_door import Door
from client.system import this_machine
from client.wakeups import MAX_AGE_MS, WebhookCheck
from relay.wire.links import encode_bytes
from relay.wire.transcripts import webhook_transcript

RELAY = SigningKey(bytes(32))
ORIGIN, TARGET, TOKEN, NOW_MS = "https://chat.example", "https://me.example/x", bytes(range(16)), 10**12


def signed(**changed: object) -> bytes:
    fields = {"origin": ORIGIN, "target": TARGET, "time_ms": NOW_MS, "token": TOKEN, **changed}
    return RELAY.sign(webhook_transcript(**fields)).signature  # type: ignore[arg-type]


CHECK = WebhookCheck(ORIGIN, bytes(RELAY.verify_key), TARGET, TOKEN)


def test_what_the_relay_signed_is_a_wakeup() -> None:
    assert CHECK.is_wakeup(TOKEN, NOW_MS, signed(), now_ms=NOW_MS + MAX_AGE_MS)


@pytest.mark.parametrize(
    ("body", "signature", "now_ms"),
    [
        (bytes(16), signed(token=bytes(16)), NOW_MS),  # of another registration
        (b"", signed(token=b""), NOW_MS),
        (TOKEN, signed(target="https://other.example/"), NOW_MS),
        (TOKEN, signed(origin="https://other.example"), NOW_MS),
        (TOKEN, signed(time_ms=NOW_MS + 1), NOW_MS),
        (TOKEN, signed(), NOW_MS + MAX_AGE_MS + 1),
        (TOKEN, signed(), NOW_MS - MAX_AGE_MS - 1),
        (TOKEN, bytes(64), NOW_MS),
        (TOKEN, b"", NOW_MS),
    ],
)
def test_anything_else_is_none(body: bytes, signature: bytes, now_ms: int) -> None:
    assert not CHECK.is_wakeup(body, NOW_MS, signature, now_ms=now_ms)


class Registrar:
    """The relay knows the target, and the token, before the client hears it."""

    def __init__(self) -> None:
        self.while_asked: list[int] = []

    async def register(self, kind: str, target: str) -> bytes:
        assert kind == "webhook"
        self.while_asked.append(await knock(target))
        return TOKEN

    def webhook(self, target: str, token: bytes) -> WebhookCheck:
        return WebhookCheck(ORIGIN, bytes(RELAY.verify_key), target, token)


async def knock(target: str, **changed: object) -> int:
    now_ms = this_machine().now_ms()
    headers = {
        "TokenIM-Time": str(now_ms),
        "TokenIM-Signature": encode_bytes(signed(target=target, time_ms=now_ms, **changed)),
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(target, data=TOKEN, headers=headers) as answer,
    ):
        return answer.status


async def test_a_door_lets_the_relay_in_alone_and_what_comes_too_early_comes_again() -> None:
    door, registrar = Door("127.0.0.1:0", None, this_machine()), Registrar()
    async with door.open() as url:
        for _ in range(2):
            await door.register(registrar)  # type: ignore[arg-type]
            assert not door.knocked.is_set()
            assert await knock(url, origin="https://other.example") == 404
            assert not door.knocked.is_set()
            assert await knock(url) == 204
            assert door.knocked.is_set()
            door.knocked.clear()
        # By 404 the relay would have dropped the registration that it was about to make.
        assert registrar.while_asked == [503, 503]
        async with aiohttp.ClientSession() as session:
            for method, target in (("GET", url), ("POST", url.rpartition("/")[0] + "/elsewhere")):
                async with session.request(method, target, data=TOKEN) as answer:
                    assert answer.status in (404, 405)
        assert not door.knocked.is_set()
