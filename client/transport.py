"""HTTP with one relay: signed by the device or anonymous, errors as values of the client's tree. Knows no meaning.

Signed and anonymous requests never share a connection, so that the relay cannot tie the one to the other by it.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from io import BytesIO
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError
from yarl import URL

from crypto.errors import CryptoError
from crypto.primitives import ed25519_verify
from relay.wire.limits import MAX_CLOCK_SKEW_MS, NONCE_BYTES
from relay.wire.links import decode_bytes, encode_bytes, encode_id
from relay.wire.resources import Problem, RelayDocument
from relay.wire.transcripts import STREAMED, http_request_transcript, relay_document_transcript

from .errors import Refused, RelayKeyChanged, RelayMisbehaved, RelayUnreachable, UsageError
from .system import System

Model = TypeVar("Model", bound=BaseModel)
TOKEN_HEADER: Final = "TokenIM-Delivery-Token"  # noqa: S105  # a header's name
_CONNECT_SECONDS: Final = 10
_ANSWER_SECONDS: Final = 60
_LARGE_BYTES: Final = 65_536
_RETRY_AFTER_DIGITS: Final = 6  # of seconds: 11 days
_MAX_ANSWER_BYTES: Final = 4_194_304
_ELSEWHERE: Final = range(300, 400)
_SENT_AWAY: Final = "what answers there sends to another place"


class Signer(Protocol):
    """The device that signs."""

    @property
    def device_id(self) -> bytes:
        """16 B."""

    def sign(self, message: bytes) -> bytes:
        """64 B Ed25519."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def read(self, model: type[Model]) -> Model:
        """The body as `model`; raises RelayMisbehaved."""
        try:
            return model.model_validate_json(self.body)
        except ValidationError as error:
            raise RelayMisbehaved("the relay's answer does not fit the protocol") from error


def parse_origin(text: str) -> str:
    """A relay's origin as links have it: scheme, host and, unless it is the scheme's own, port. Raises UsageError."""
    origin = text.strip().rstrip("/")
    try:
        url = URL(origin)
        is_origin = url.scheme in ("http", "https") and str(url.origin()) == origin
    except ValueError:
        is_origin = False
    if not is_origin:
        raise UsageError("a relay is given by its origin, as in https://relay.example (`whoami` tells it)")
    return origin


class Transport:
    """HTTP with the relay at `origin`; enter to open its two pools of connections, leave to close them."""

    def __init__(self, origin: str, system: System, signer: Signer | None = None) -> None:
        self.origin: Final = origin
        self._system = system
        self._signer = signer
        self._clock_shift_ms = 0
        self._signed: aiohttp.ClientSession | None = None
        self._anonymous: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, connect=_CONNECT_SECONDS, sock_read=_ANSWER_SECONDS)
        jar = aiohttp.DummyCookieJar()
        # A WebSocket's handshake has no argument for this, as requests have: aiohttp would follow.
        staying = aiohttp.TraceConfig()
        staying.on_request_redirect.append(_follow_nobody)
        self._signed, self._anonymous = (
            aiohttp.ClientSession(
                timeout=timeout, cookie_jar=jar, auto_decompress=False, trace_configs=[staying]
            )
            for _ in range(2)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in (self._signed, self._anonymous):
            if session is not None:
                await session.close()
        self._signed = self._anonymous = None

    def now_ms(self) -> int:
        """This machine's time: for what is noted of an answer."""
        return self._system.now_ms()

    def pool(self, *, signed: bool) -> aiohttp.ClientSession:
        """The connections for signed or for anonymous use; also for the WebSocket."""
        session = self._signed if signed else self._anonymous
        if session is None:
            raise RuntimeError("the transport is closed")
        return session

    async def relay_document(self, pinned_key: bytes | None) -> RelayDocument:
        """What the relay says of itself; raises RelayKeyChanged unless the pinned 32 B key signed it.

        None, for who has pinned none yet: the key that it names itself.
        """
        answered = await self.ask("GET", "/.well-known/tokenim")
        document = answered.read(RelayDocument)
        pinned_key = document.signing_key if pinned_key is None else pinned_key
        signature = answered.headers.get("TokenIM-Signature", "")
        if document.signing_key != pinned_key or document.origin != self.origin:
            raise RelayKeyChanged(f"{self.origin} is not the relay that made this invite: ask for a new one")
        try:
            ed25519_verify(pinned_key, relay_document_transcript(answered.body), decode_bytes(signature))
        except (CryptoError, ValueError) as error:
            raise RelayKeyChanged(f"{self.origin} does not prove that it made this invite") from error
        return document

    async def ask(
        self,
        method: str,
        target: str,
        *,
        body: BaseModel | None = None,
        token: bytes | None = None,
        signed: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Answered:
        """One request and its whole answer.

        `target` is path and query, ASCII, sent exactly so. `token` is a delivery token. Raises RelayUnreachable, Refused,
        RelayMisbehaved.
        """
        content = b"" if body is None else body.model_dump_json().encode()
        more = dict(headers or {})
        if body is not None:
            more["Content-Type"] = "application/json"
        if token is not None:
            more[TOKEN_HEADER] = encode_bytes(token)
        async with self.stream(method, target, content=content, headers=more, signed=signed) as response:
            received = bytearray()
            async for chunk in response.content.iter_chunked(65_536):
                received += chunk
                if len(received) > _MAX_ANSWER_BYTES:
                    raise RelayMisbehaved("the relay's answer has no end")
            return Answered(response.status, response.headers, bytes(received))

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        target: str,
        *,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        signed: bool = False,
        upload_offset: int | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request whose answer the caller reads; a refusal is raised as in `ask`.

        With `upload_offset` it is the PATCH of an upload: the offset is signed in the place of the content.
        """
        body_hash = hashlib.sha256(content).digest() if upload_offset is None else STREAMED
        for is_last in (False, True):
            more = dict(headers or {})
            signed_with_ms = self._clock_shift_ms
            if signed:
                more["Authorization"] = self._authorization(method, target, body_hash, upload_offset)
            try:
                async with self.pool(signed=signed).request(
                    method,
                    URL(self.origin + target, encoded=True),
                    data=BytesIO(content) if len(content) > _LARGE_BYTES else content,
                    headers=more,
                    allow_redirects=False,
                ) as response:
                    if response.status in _ELSEWHERE:
                        raise RelayMisbehaved(f"{self.origin} gives no answer: {_SENT_AWAY}")
                    if response.status < 400:
                        yield response
                        return
                    refused = await _refusal(response)
                    may_shift = signed and not is_last and refused.reason == "unauthenticated"
                    if not (may_shift and self._shift_clock(response.headers.get("Date"), signed_with_ms)):
                        raise refused
            except (aiohttp.ClientError, TimeoutError) as error:
                raise RelayUnreachable(f"{self.origin} is not reached: {_reason(error)}") from error

    def _authorization(self, method: str, target: str, body_hash: bytes, offset: int | None) -> str:
        if self._signer is None:
            raise RuntimeError("no device to sign with")
        time_ms = self._system.now_ms() + self._clock_shift_ms
        nonce = self._system.random(NONCE_BYTES)
        signature = self._signer.sign(
            http_request_transcript(
                method=method,
                target=target,
                body_hash=body_hash,
                origin=self.origin,
                device_id=self._signer.device_id,
                time_ms=time_ms,
                nonce=nonce,
                upload_offset=offset,
            )
        )
        device = encode_id(self._signer.device_id)
        return (
            f'TokenIM-Ed25519 device="{device}", time="{time_ms}", '
            f'nonce="{encode_bytes(nonce)}", signature="{encode_bytes(signature)}"'
        )

    def _shift_clock(self, date: str | None, signed_with_ms: int) -> bool:
        """Take over the relay's time for signing, and for nothing else; False if that changes nothing.

        `signed_with_ms` is the shift of the refused request: another one may have changed it since.
        """
        try:
            relay_ms = int(parsedate_to_datetime(date or "").timestamp() * 1_000)
        except (TypeError, ValueError):
            return False
        shift_ms = relay_ms - self._system.now_ms()
        # `Date` has whole seconds: a difference well within the relay's tolerance is no reason to try again.
        if abs(shift_ms - signed_with_ms) < MAX_CLOCK_SKEW_MS // 2:
            return False
        self._clock_shift_ms = shift_ms
        return True


def _reason(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or type(error.os_error).__name__
    return str(error) or type(error).__name__


async def _follow_nobody(*_: object) -> None:
    """What was meant for the relay goes nowhere else, and from https never to http."""
    raise aiohttp.ClientError(_SENT_AWAY)


async def _refusal(response: aiohttp.ClientResponse) -> Refused:
    """What the relay's problem document says; a proxy in front of it may answer something else."""
    body = await response.content.read(65_536)
    retry_after = response.headers.get("Retry-After", "")
    is_number = retry_after.isascii() and retry_after.isdigit() and len(retry_after) <= _RETRY_AFTER_DIGITS
    retry_after_ms = int(retry_after) * 1_000 if is_number else 0
    try:
        problem = Problem.model_validate_json(body)
    except ValidationError:
        if response.status >= 500:
            raise RelayUnreachable(f"the relay is not there: HTTP {response.status}") from None
        return Refused(f"http_{response.status}", "the relay refused", retry_after_ms=retry_after_ms)
    return Refused(problem.code, problem.detail, retryable=problem.retryable, retry_after_ms=retry_after_ms)
