"""How the relay proves to Google who it is: a key signs a JWT, which buys an access token for an hour (RFC 7523)."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlencode

import msgspec

from relay.ports.clock import Clock
from relay.ports.pusher import Outcome, PushAnswer

from . import http_answers as answers
from .http_answers import ServiceAnswer
from .signed_tokens import PushKeyUnusable, Sign, read_secret, rs256, rsa_key, signed_token

Post: TypeAlias = Callable[[str, Mapping[str, str], bytes], Awaitable[ServiceAnswer]]
SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTED_SECONDS: Final = 3_600
EARLY_SECONDS: Final = 300
"""A token is replaced so long before its end."""
LEAST_SECONDS: Final = 60
"""One that is refused although it is younger than that is not replaced: the next would be refused, too."""
_PROJECT: Final = re.compile(r"[a-z0-9.:-]{1,64}")
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,4096}")


class NoAccess(Exception):
    """Google gives out no token; `answer` is what becomes of the wakeup that needed one."""

    def __init__(self, answer: PushAnswer) -> None:
        super().__init__(answer.detail)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """What the relay is at Google."""

    email: str
    project: str
    key_id: str
    sign: Sign = field(repr=False)


class _AccountFile(msgspec.Struct):
    client_email: str
    private_key: str
    private_key_id: str
    project_id: str


class _Granted(msgspec.Struct):
    access_token: str
    expires_in: float = 3_600


def read_account(path: Path) -> ServiceAccount:
    """From the JSON file that Google's console gives out; raises PushKeyUnusable."""
    try:
        found = msgspec.json.decode(read_secret(path), type=_AccountFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise PushKeyUnusable(f"{path}: no service account's key, in JSON as Google gives it out") from None
    if not _PROJECT.fullmatch(found.project_id):
        raise PushKeyUnusable(f"{path}: `project_id` is none of a project")
    sign = rs256(rsa_key(found.private_key.encode(), path))
    return ServiceAccount(found.client_email, found.project_id, found.private_key_id, sign)


class AccessTokens:
    """One account's tokens, each used until shortly before its end; whoever comes while one is fetched waits for the same."""

    def __init__(self, account: ServiceAccount, url: str, post: Post, clock: Clock) -> None:
        self._account = account
        self._url = url
        self._post = post
        self._clock = clock
        self._token = ""
        self._got_ms = 0
        self._until_ms = 0
        self._fetching: asyncio.Task[str] | None = None

    async def current(self) -> str:
        """Raises NoAccess, or ServiceUnreachable."""
        if self._token and self._clock.monotonic_ms() < self._until_ms:
            return self._token
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch())
            self._fetching.add_done_callback(self._fetched)
        return await asyncio.shield(self._fetching)  # who gives up leaves it to the others

    def _fetched(self, task: "asyncio.Task[str]") -> None:
        self._fetching = None
        if not task.cancelled():
            task.exception()  # told to those who wait, if there still are any

    def drop(self, refused: str) -> bool:
        """Forget a token that was refused, unless it is too young for that; whether `current` is another now."""
        if self._token == refused:
            if self._clock.monotonic_ms() - self._got_ms < LEAST_SECONDS * 1_000:
                return False
            self._token = ""
        return True

    async def _fetch(self) -> str:
        try:
            async with self._clock.timeout(answers.ANSWER_SECONDS):
                answer = await self._post(
                    self._url, {"Content-Type": "application/x-www-form-urlencoded"}, self._asking()
                )
        except TimeoutError:
            raise NoAccess(answers.SILENT) from None
        if answer.status != 200:
            raise NoAccess(_meaning(answer, self._clock.now_ms()))
        try:
            granted = msgspec.json.decode(answer.body, type=_Granted)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise NoAccess(answers.FAILING) from None
        if not _TOKEN.fullmatch(granted.access_token):
            raise NoAccess(answers.FAILING)
        self._token, self._got_ms = granted.access_token, self._clock.monotonic_ms()
        seconds = min(max(granted.expires_in - EARLY_SECONDS, 0), ASSERTED_SECONDS)
        self._until_ms = self._got_ms + round(seconds * 1_000)
        return self._token

    def _asking(self) -> bytes:
        now = self._clock.now_ms() // 1_000
        account = self._account
        assertion = signed_token(
            {"alg": "RS256", "typ": "JWT", "kid": account.key_id},
            {
                "iss": account.email,
                "scope": SCOPE,
                "aud": self._url,
                "iat": now,
                "exp": now + ASSERTED_SECONDS,
            },
            account.sign,
        )
        return urlencode({"grant_type": _GRANT, "assertion": assertion}).encode()

    async def close(self) -> None:
        """Give up what is being fetched."""
        if self._fetching is not None:
            self._fetching.cancel()
            with suppress(asyncio.CancelledError, NoAccess, answers.ServiceUnreachable):
                await self._fetching


def _meaning(answer: ServiceAnswer, now_ms: int) -> PushAnswer:
    """Of what is no token. Whatever it is, no registration goes by it."""
    if answer.status == 400:  # account, key or clock are not taken (RFC 6749, 5.2)
        return answers.NOT_ALLOWED
    found = answers.answer_of(answer.status, answer.retry_after, now_ms)
    return answers.FAILING if found.outcome in (Outcome.SENT, Outcome.GONE) else found
