"""Apple's push service (APNs): a wakeup is one POST over HTTP/2, by a token that the key of the app's team signed.

docs/protocol.md, "Push wakeups". Whether an app shows something is its own: the payload says the same whatever woke it.
"""

import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from relay.ports.clock import Clock
from relay.ports.pusher import Outcome, PushAddress, PushAnswer, PusherCheck
from relay.wire.links import encode_bytes
from relay.wire.push_resources import PushKind

from . import http_answers as answers
from .http2_client import Http2Client
from .http_answers import ServiceAnswer, ServiceUnreachable
from .provider_token import ProviderToken
from .signed_tokens import es256, p256_key, read_secret

ApnsPushType: TypeAlias = Literal["alert", "background"]
KEPT_SECONDS: Final = 86_400
"""How long Apple tries to reach a phone that is off; after that the relay has another wakeup for it."""
_COLLAPSE: Final = "wake"
_DEVICE_TOKEN: Final = re.compile(r"[0-9a-fA-F]{16,512}")
_NOBODY: Final = "0" * 64
_PAYLOADS: Final[dict[ApnsPushType, bytes]] = {
    "alert": b'{"aps":{"alert":{"loc-key":"TOKENIM_WAKE"},"mutable-content":1},"wake":"%b"}',
    "background": b'{"aps":{"content-available":1},"wake":"%b"}',
}
_GONE: Final = frozenset({"BadDeviceToken", "DeviceTokenNotForTopic", "ExpiredToken", "Unregistered"})
_NOT_ALLOWED: Final = frozenset({"TopicDisallowed", "BadCertificate", "BadCertificateEnvironment"})


@dataclass(frozen=True, slots=True)
class ApnsAccount:
    """Who the relay is to Apple: the .p8 file of a key, the id of it, of its team, and the app that is woken."""

    key_file: Path
    key_id: str
    team_id: str
    topic: str
    url: str
    push_type: ApnsPushType


class _Words(msgspec.Struct):
    reason: str = ""


class Apns:
    """The push service of one app."""

    kind: PushKind = "apns"

    def __init__(self, account: ApnsAccount, *, clock: Clock, trust: ssl.SSLContext | None = None) -> None:
        """Reads the key; raises PushKeyUnusable. `trust`: whose certificates are believed; default: the machine's authorities."""
        key = p256_key(read_secret(account.key_file), account.key_file)
        self._account = account
        self._clock = clock
        self._tokens = ProviderToken(es256(key), key_id=account.key_id, team_id=account.team_id, clock=clock)
        self._client = Http2Client(account.url, trust=trust)

    def takes(self, address: PushAddress) -> bool:
        """Hexadecimal of a likely length."""
        return _DEVICE_TOKEN.fullmatch(address.target) is not None

    async def push(self, address: PushAddress, token: bytes, urgent: bool) -> PushAnswer:
        """One wakeup. A device token that can be none is answered as Apple would: it is known to nobody."""
        if not self.takes(address):
            return answers.UNREGISTERED
        try:
            answer, reason = await self._ask(address.target, token, urgent)
        except TimeoutError:
            return answers.SILENT
        except ServiceUnreachable:
            return answers.UNREACHABLE
        return self._meaning(answer, reason)

    def _meaning(self, answer: ServiceAnswer, reason: str) -> PushAnswer:
        if answer.status in (400, 410) and reason in _GONE:
            return answers.UNREGISTERED
        if answer.status in (400, 403) and reason in _NOT_ALLOWED:
            return answers.NOT_ALLOWED
        return answers.answer_of(answer.status, answer.retry_after, self._clock.now_ms())

    async def _ask(self, target: str, token: bytes, urgent: bool) -> tuple[ServiceAnswer, str]:
        """Apple's answer, and its reason in one word; a second time with a new token of the team, if the first was too old."""
        async with self._clock.timeout(answers.ANSWER_SECONDS):
            bearer = self._tokens.current()
            answer = await self._post(target, token, urgent, bearer)
            reason = _reason_of(answer)
            if answer.status == 403 and reason == "ExpiredProviderToken" and self._tokens.renew(bearer):
                answer = await self._post(target, token, urgent, self._tokens.current())
                reason = _reason_of(answer)
            return answer, reason

    async def _post(self, target: str, token: bytes, urgent: bool, bearer: str) -> ServiceAnswer:
        account = self._account
        # Apple takes no other priority than 5 for what stays in the background.
        priority = "10" if urgent and account.push_type == "alert" else "5"
        headers = {
            "authorization": f"bearer {bearer}",
            "apns-topic": account.topic,
            "apns-push-type": account.push_type,
            "apns-priority": priority,
            "apns-expiration": str(self._clock.now_ms() // 1_000 + KEPT_SECONDS),
            "apns-collapse-id": _COLLAPSE,
            "content-type": "application/json",
            "user-agent": "tokenim-relay",
        }
        body = _PAYLOADS[account.push_type] % encode_bytes(token).encode()
        return await self._client.post(f"/3/device/{target}", headers, body)

    async def check(self) -> PusherCheck:
        """Asks for a device that nobody has: what Apple says to that tells whether it takes the key and the topic."""
        try:
            answer, reason = await self._ask(_NOBODY, bytes(16), urgent=False)
        except TimeoutError:
            return PusherCheck("failed", f"{self._account.url}: no answer", _REACH)
        except ServiceUnreachable:
            return PusherCheck("failed", f"{self._account.url}: no connection over HTTP/2", _REACH)
        told = f"{self._account.url}: {answer.status} {reason}".rstrip()
        if answer.status == 400 and reason == "BadDeviceToken":
            return PusherCheck("ok", f"{self._account.url} takes the key")
        if self._meaning(answer, reason).outcome is Outcome.RETRY:
            return PusherCheck("warning", told, "look again in a while")
        return PusherCheck("failed", told, _CORRECT)

    async def close(self) -> None:
        """Give the connection back."""
        await self._client.close()


_REACH: Final = "see that this machine may reach it, or correct `push.apns.url`"
_CORRECT: Final = "correct `push.apns.key_id`, `team_id`, `topic` and `url`, or take another key"


def _reason_of(answer: ServiceAnswer) -> str:
    """Apple's word for it; empty if it is none."""
    try:
        reason = msgspec.json.decode(answer.body, type=_Words).reason
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return reason if re.fullmatch(r"[A-Za-z]{1,64}", reason) else ""
