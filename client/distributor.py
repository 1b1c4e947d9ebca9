"""A UnifiedPush push server at which this device listens for itself, by the stream of ntfy. Knows no account, no relay.

On a phone another application, the distributor, keeps the one connection of the device. A command on a server has
none: so it is its own. What comes is opened here; it says that there is something at the relay, and nothing else.
docs.ntfy.sh/subscribe/api, unifiedpush.org/developers/spec/server
"""

import base64
import binascii
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec
from yarl import URL

from crypto.errors import Undecryptable
from crypto.web_push import PushReceiver
from relay.wire.links import encode_bytes

from .errors import DistributorUnreachable, UsageError
from .system import System

CONNECT_SECONDS: Final = 10
QUIET_SECONDS: Final = 150
"""Without a word so long the stream is dead: ntfy says each 45 s that it is there."""
_TOPIC_BYTES: Final = 9  # `up` and 12 characters: by that length ntfy knows a topic of UnifiedPush


class _Event(msgspec.Struct):
    event: str
    message: str = ""
    encoding: str = ""


class Distributor:
    """One topic at `server`, which nobody else knows, with keys of its own; enter to be able to ask, leave to hang up."""

    def __init__(self, server: str, system: System, *, access_token: str | None = None) -> None:
        """`server`: where it is, with a path if it has one; `access_token`: what it gives who may read. Raises UsageError."""
        self._server = server.strip().rstrip("/")
        try:
            url = URL(self._server)
            is_good = url.scheme in ("http", "https") and bool(url.host) and not url.query_string
        except ValueError:
            is_good = False
        if not is_good:
            raise UsageError("a push server is given by its address, as in https://ntfy.example")
        self._topic = f"up{encode_bytes(system.random(_TOPIC_BYTES))}"
        self._headers = {"Authorization": f"Bearer {access_token}"} if access_token else {}
        self.receiver: Final = PushReceiver.make(system.random)
        self._session: aiohttp.ClientSession | None = None

    @property
    def endpoint(self) -> str:
        """What a relay posts to."""
        return f"{self._server}/{self._topic}?up=1"

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS, sock_read=QUIET_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def messages(self) -> AsyncGenerator[bytes | None, None]:
        """One connection: None once it stands, then each message, opened; what nobody with the keys sealed is passed over.

        Raises DistributorUnreachable where it ends, UsageError where no stream can be, or not by this access token.
        """
        try:
            async with self._get(f"{self._topic}/json") as response:
                if response.status in (401, 403):
                    raise UsageError(
                        f"{self._server} lets nobody read there without an access token that it knows"
                    )
                if 300 <= response.status < 500 and response.status != 429:
                    raise UsageError(
                        f"{self._server} has no stream as ntfy has: it answers {response.status}"
                    )
                if response.status != 200:
                    raise DistributorUnreachable(f"the push server {self._server} answers {response.status}")
                async with aclosing(self._events(response)) as events:
                    async for event in events:
                        if event.event == "open":
                            yield None
                        elif event.event == "message" and (opened := self._opened(event)) is not None:
                            yield opened
        except ValueError as error:
            raise DistributorUnreachable(f"{self._server} says what no push server says") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise DistributorUnreachable(f"the push server {self._server} was not reached") from error
        raise DistributorUnreachable(f"the push server {self._server} hung up")

    def _get(self, path: str) -> "aiohttp.client._RequestContextManager":
        if self._session is None:
            raise RuntimeError("the distributor is closed")
        return self._session.get(f"{self._server}/{path}", allow_redirects=False)

    async def _events(self, response: aiohttp.ClientResponse) -> AsyncGenerator[_Event, None]:
        """An object a line. Raises ValueError (of msgspec, too) for what is none, or too long a line."""
        async for line in response.content:
            yield msgspec.json.decode(line, type=_Event)

    def _opened(self, event: _Event) -> bytes | None:
        """What the message holds. Bytes that happen to be text come as text."""
        try:
            sealed = base64.b64decode(event.message) if event.encoding == "base64" else event.message.encode()
            return self.receiver.open(sealed)
        except (binascii.Error, ValueError, Undecryptable):
            return None
