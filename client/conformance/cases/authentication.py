"""Chapter Authentication."""

import json
import os
from typing import Any

from client.conformance.device import Answer
from client.conformance.relay import Relay
from client.conformance.report import Failed
from client.conformance.socket import anonymous, authenticated, signature, silent
from client.conformance.wire import ANONYMOUS, AUTHENTICATE, CHALLENGE, RESUME, to_base64

from .suite import SUITE

_SELF = "/v1/accounts/self"


def _refused(answer: Answer) -> None:
    answer.must(401, "unauthenticated")
    if "Date" not in answer.headers:
        raise Failed(f"{answer.asked}: expected a Date header beside unauthenticated")


@SUITE.case("auth-signed")
async def signed(relay: Relay) -> None:
    """A request that a known device signed is answered, by its role and its account."""
    device = await relay.member()
    told = (await device.ask("GET", _SELF)).must(200).json
    if told["account_id"] != to_base64(device.account_id) or told["manifest_version"] != 1:
        raise Failed(f"expected the own account at version 1, got {told}")


@SUITE.case("auth-every-field-counts", proves=("M-AUTH-03",))
async def every_field(relay: Relay) -> None:
    """A signature over another method, target, body, origin, device, time or nonce proves nothing."""
    device = await relay.member()
    changes: dict[str, bytes] = {
        "method": b"POST",
        "target": b"/v1/prekeys",
        "body": bytes(32),
        "origin": b"https://other.example",
        "device": bytes(16),
        "time": bytes(8),
        "nonce": bytes(16),
        "offset": bytes(8),
    }
    for name, other in changes.items():

        def change(fields: dict[str, Any], name: str = name, other: bytes = other) -> None:
            fields[name] = other

        _refused(await device.ask("GET", _SELF, change=change))


@SUITE.case("auth-query-is-signed", proves=("M-AUTH-03",))
async def query(relay: Relay) -> None:
    """The query is a part of what is signed."""
    device = await relay.member()

    def change(fields: dict[str, Any]) -> None:
        fields["target"] = b"/v1/mailbox?after=0&wait_seconds=0"

    _refused(await device.ask("GET", "/v1/mailbox?after=0&wait_seconds=1", change=change))


@SUITE.case("auth-nonce-once", proves=("M-AUTH-05",))
async def nonce(relay: Relay) -> None:
    """A nonce is good once, for the same request and for another one."""
    device, used = await relay.member(), os.urandom(16)
    (await device.ask("GET", _SELF, nonce=used)).must(200)
    _refused(await device.ask("GET", _SELF, nonce=used))
    _refused(await device.ask("GET", "/v1/prekeys", nonce=used))


@SUITE.case("auth-time-window", proves=("M-AUTH-04",))
async def window(relay: Relay) -> None:
    """The time of a request may be 90 s away from the relay's, and no more."""
    device = await relay.member()
    for shift, good in ((-80, True), (80, True), (-100, False), (100, False)):
        device.shift_ms = shift * 1_000
        answer = await device.ask("GET", _SELF)
        if good:
            answer.must(200)
        else:
            _refused(answer)


@SUITE.case("auth-unknown-device-same-answer", proves=("M-AUTH-06",))
async def unknown(relay: Relay) -> None:
    """An unknown device, a wrong signature, a used nonce and a stale time get one answer."""
    device, late, used = await relay.member(), await relay.member(), os.urandom(16)
    late.shift_ms = -100_000

    def change(fields: dict[str, Any]) -> None:
        fields["nonce"] = bytes(16)

    (await device.ask("GET", _SELF, nonce=used)).must(200)
    answers = {
        "an unknown device": await relay.stranger().ask("GET", _SELF),
        "a wrong signature": await device.ask("GET", _SELF, change=change),
        "a used nonce": await device.ask("GET", _SELF, nonce=used),
        "a stale time": await late.ask("GET", _SELF),
    }
    told = {}
    for name, answer in answers.items():
        _refused(answer)
        told[name] = ({**answer.json, "request_id": ""}, sorted(map(str.lower, answer.headers)))
    for name, one in told.items():
        if one != told["an unknown device"]:
            raise Failed(
                f"expected for {name} the answer of an unknown device, got {one}, not {told['an unknown device']}"
            )


@SUITE.case("auth-canonical-text", proves=("M-TEXT-01",))
async def canonical(relay: Relay) -> None:
    """Padding, other alphabets and unused bits that are not zero are refused in base64url."""
    device = await relay.member()
    good = to_base64(os.urandom(31) + b"\0")  # ends in a character with two unused bits
    changed = good[:-1] + chr(ord(good[-1]) + 1)
    for text in (good + "=", changed, good[:-1] + "+"):
        body = {"token_hash": text, "token_class": "group"}
        answer = await device.ask("POST", "/v1/delivery-tokens", body)
        if answer.status < 400 or answer.status >= 500:
            raise Failed(f"{answer.asked} with token_hash {text!r}: expected a refusal, got {answer.status}")
    (await device.ask("POST", "/v1/delivery-tokens", {"token_hash": good, "token_class": "group"})).must(204)


@SUITE.case("auth-socket-signature", proves=("M-AUTH-08",))
async def socket_signature(relay: Relay) -> None:
    """A WebSocket is the device's after a signature over the challenge, and closed with 4002 after another one."""
    device = await relay.member()
    async with authenticated(device):
        pass
    async with silent(device) as socket:
        await socket.expect(CHALLENGE)
        await socket.send([AUTHENTICATE, device.device_id, signature(device, bytes(32))])
        await socket.closed(4002, refusal="unauthenticated")


@SUITE.case("auth-socket-challenge-is-new")
async def fresh_challenge(relay: Relay) -> None:
    """Each connection has a challenge of its own: what was signed for one opens no other."""
    device = await relay.member()
    async with silent(device) as first, silent(device) as second:
        old = (await first.expect(CHALLENGE))[0]
        if old == (await second.expect(CHALLENGE))[0] or len(old) != 32:
            raise Failed("expected another challenge of 32 B on each connection")
        await second.send([AUTHENTICATE, device.device_id, signature(device, old)])
        await second.closed(4002, refusal="unauthenticated")


@SUITE.case("auth-socket-within-ten-seconds", proves=("M-AUTH-08",))
async def in_time(relay: Relay) -> None:
    """Who says nothing for 10 s after the challenge is closed."""
    async with silent(relay.stranger()) as socket:
        await socket.expect(CHALLENGE)
        await socket.closed(4002, within=15.0)


@SUITE.case("auth-socket-turns", proves=("M-FRAME-03",))
async def turns(relay: Relay) -> None:
    """A frame out of its turn is answered by refused, and 4003."""
    device = await relay.member()
    async with silent(device) as socket:
        await socket.expect(CHALLENGE)
        await socket.send([RESUME, 0])
        await socket.closed(4003, refusal="out_of_turn")
    async with anonymous(device) as socket:
        await socket.send([RESUME, 0])
        await socket.closed(4003, refusal="out_of_turn")
    async with authenticated(device) as socket:
        await socket.send([ANONYMOUS])
        await socket.closed(4003, refusal="out_of_turn")


@SUITE.case("auth-nobody-signs-for-others")
async def anonymous_rights(relay: Relay) -> None:
    """What only a device may do is refused to who does not sign."""
    device = await relay.member()
    for method, path in (
        ("GET", _SELF),
        ("DELETE", _SELF),
        ("GET", "/v1/mailbox?after=0"),
        ("GET", "/v1/prekeys"),
    ):
        _refused(await device.say(method, path))
    bundles = await device.say(
        "POST", f"/v1/accounts/{device.account}/bundles", {"token": to_base64(device.token)}
    )
    _refused(bundles)


@SUITE.case("auth-origin-of-a-web-page", proves=("M-AUTH-09",))
async def origin(relay: Relay) -> None:
    """A WebSocket of a web page of another origin is refused, unless the operator named it; one of the relay's own is not."""
    url = f"{relay.origin}/v1/connect"
    headers = {"Origin": "https://somewhere-else.example", "Sec-WebSocket-Protocol": "tokenim.v1"}
    headers |= {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    headers["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAAAA=="
    async with relay.session.get(url, headers=headers) as answer:
        if answer.status != 403 or json.loads(await answer.read())["code"] != "not_allowed":
            raise Failed(
                f"GET /v1/connect with another Origin: expected 403 not_allowed, got {answer.status}"
            )
    async with silent(relay.stranger(), origin=relay.origin) as socket:
        await socket.expect(CHALLENGE)
