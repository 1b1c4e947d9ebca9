"""Google's push service (FCM, HTTP v1): a wakeup is one POST by an access token, of one size whatever it is for.

docs/protocol.md, "Push wakeups". It is a data message: whether the app shows something is its own.
"""

import json
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from relay.ports.clock import Clock
from relay.ports.pusher import Outcome, PushAddress, PushAnswer, PusherCheck
from relay.wire.links import encode_bytes
from relay.wire.push_resources import PushKind

from . import http_answers as answers
from .google_access import AccessTokens, NoAccess, read_account
from .http1_client import Http1Client
from .http_answers import ServiceAnswer, ServiceUnreachable

KEPT: Final = "86400s"
"""How long Google tries to reach a device that is off; after that the relay has another wakeup for it."""
BODY_BYTES: Final = 2_304
"""Of each request: a registration token has no length of its own, and `high` is shorter than `normal`."""
_COLLAPSE: Final = "wake"
_TARGET: Final = re.compile(r"[A-Za-z0-9_:.=-]{1,2048}")
_NOBODY: Final = "nobody"


@dataclass(frozen=True, slots=True)
class FcmAccount:
    """Who the relay is to Google: the file of a service account's key; and where Google is."""

    file: Path
    url: str
    token_url: str


class _Violation(msgspec.Struct):
    field: str = ""


class _Detail(msgspec.Struct, rename={"error_code": "errorCode", "violations": "fieldViolations"}):
    error_code: str = ""
    violations: tuple[_Violation, ...] = ()


class _Error(msgspec.Struct):
    status: str = ""
    details: tuple[_Detail, ...] = ()


class _Words(msgspec.Struct):
    error: _Error = msgspec.field(default_factory=_Error)


class Fcm:
    """The push service of one project's apps."""

    kind: PushKind = "fcm"

    def __init__(self, account: FcmAccount, *, clock: Clock, trust: ssl.SSLContext | None = None) -> None:
        """Reads the key; raises PushKeyUnusable. `trust`: whose certificates are believed; default: the machine's authorities."""
        found = read_account(account.file)
        self._account = account
        self._project = found.project
        self._clock = clock
        self._client = Http1Client(trust=trust)
        self._access = AccessTokens(found, account.token_url, self._client.post, clock)

    def takes(self, address: PushAddress) -> bool:
        """What a registration token is made of."""
        return _TARGET.fullmatch(address.target) is not None

    async def push(self, address: PushAddress, token: bytes, urgent: bool) -> PushAnswer:
        """One wakeup. A registration token that can be none is answered as Google would: it is known to nobody."""
        if not self.takes(address):
            return answers.UNREGISTERED
        try:
            answer = await self._ask(_body(address.target, token, urgent))
        except TimeoutError:
            return answers.SILENT
        except ServiceUnreachable:
            return answers.UNREACHABLE
        except NoAccess as error:
            return error.answer
        return self._meaning(answer)

    async def _ask(self, body: bytes) -> ServiceAnswer:
        """Google's answer; a second time with a new access token, if the first was not taken any more."""
        url = f"{self._account.url}/v1/projects/{self._project}/messages:send"
        async with self._clock.timeout(answers.ANSWER_SECONDS):
            bearer = await self._access.current()
            answer = await self._client.post(url, _headers(bearer), body)
            if answer.status == 401 and self._access.drop(bearer):
                bearer = await self._access.current()
                answer = await self._client.post(url, _headers(bearer), body)
            return answer

    def _meaning(self, answer: ServiceAnswer) -> PushAnswer:
        """404 alone can be a project that is not there; what is no token of a device, Google says in other words."""
        code = _error_code(answer)
        told = (answer.status, code)
        # Of all that the request says, the registration token alone is not the relay's own.
        if told in ((404, "UNREGISTERED"), (403, "SENDER_ID_MISMATCH"), (400, "INVALID_ARGUMENT")):
            return answers.UNREGISTERED
        return answers.answer_of(answer.status, answer.retry_after, self._clock.now_ms())

    async def check(self) -> PusherCheck:
        """Sends to nobody, for validation only: what Google says to that tells whether it takes the account and the project."""
        url = self._account.url
        try:
            answer = await self._ask(_body(_NOBODY, bytes(16), urgent=False, validate_only=True))
        except TimeoutError:
            return PusherCheck("failed", f"{url}: no answer", _REACH)
        except ServiceUnreachable:
            return PusherCheck("failed", f"{url} or {self._account.token_url}: no connection", _REACH)
        except NoAccess as error:
            detail = error.answer.detail.replace("_", " ")
            return PusherCheck("failed", f"{self._account.token_url}: no access token ({detail})", _CORRECT)
        code = _error_code(answer)
        if answer.status == 200 or (answer.status, code) == (400, "INVALID_ARGUMENT"):
            return PusherCheck("ok", f"{url} takes the account for {self._project}")
        told = f"{url}: {answer.status} {code}".rstrip()
        if self._meaning(answer).outcome is Outcome.RETRY:
            return PusherCheck("warning", told, "look again in a while")
        return PusherCheck("failed", told, _CORRECT)

    async def close(self) -> None:
        """Give connections back."""
        await self._access.close()
        await self._client.close()


_REACH: Final = "see that this machine may reach it, or correct `push.fcm.url` and `push.fcm.token_url`"
_CORRECT: Final = "correct `push.fcm.account_file`, or let the account send messages in its project"


def _headers(bearer: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}


def _body(target: str, token: bytes, urgent: bool, *, validate_only: bool = False) -> bytes:
    """The request as JSON, with spaces at its end up to BODY_BYTES."""
    message = {
        "token": target,
        "data": {"wake": encode_bytes(token)},
        "android": {"priority": "high" if urgent else "normal", "ttl": KEPT, "collapse_key": _COLLAPSE},
    }
    request = {"message": message, **({"validate_only": True} if validate_only else {})}
    return json.dumps(request, separators=(",", ":")).encode().ljust(BODY_BYTES)


def _error_code(answer: ServiceAnswer) -> str:
    """FCM's own word for it; empty if it says none, or finds fault with another field than the token."""
    try:
        details = msgspec.json.decode(answer.body, type=_Words).error.details
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    if any(each.field != "message.token" for detail in details for each in detail.violations):
        return ""
    code = next((detail.error_code for detail in details if detail.error_code), "")
    return code if re.fullmatch(r"[A-Z_]{1,64}", code) else ""
