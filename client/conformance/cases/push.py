"""Chapter Push wakeups: what can be seen of it without a push service."""

from client.conformance.relay import Relay
from client.conformance.report import Failed
from client.conformance.wire import from_base64

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
        return
    device = await relay.member()
    for target in ("ftp://push.example/one", "push.example"):
        answer = await device.ask("PUT", _PUSH, _body(relay, target))
        answer.must_refuse(f"a registration with target {target}")
