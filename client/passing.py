"""Tells contacts that the user types, or is here: at once or never, and no more often than it is of use.

Nothing of it is kept, retried or waited for: what does not reach the relay now is dropped.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from relay.wire.frames import EnvelopeClass
from relay.wire.limits import ENVELOPE_ID_BYTES
from relay.wire.resources import GrantObject, SubmitRequest, TargetObject

from .contents import ContentType, direct_conversation
from .errors import Refused, RelayMisbehaved, RelayUnreachable
from .passing_contents import PresenceBody, Sealed, TypingBody, seal_passing
from .passing_events import Passing
from .privacy import find_privacy
from .relay_terms import find_terms
from .store.database import Database, Transaction
from .store.peers import PUBLIC, find_peer
from .system import System
from .transport import Transport

SAME_AGAIN_SECONDS: Final = 3.0
"""So soon the same is not told to the same account again."""
_MAX_REMEMBERED: Final = 1_000
_MAX_WAITING: Final = 64
_FRESH_SECONDS: Final = 30.0


class PassingEvents:
    """What came and was not given yet; what nobody took for 30 s is of no use any more. In memory only."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._waiting: deque[tuple[float, Passing]] = deque(maxlen=_MAX_WAITING)

    def put(self, events: Iterable[Passing]) -> None:
        """These came just now."""
        now = self._system.monotonic_seconds()
        self._waiting.extend((now, event) for event in events)

    def take(self) -> Passing | None:
        """The oldest that is still of use."""
        oldest = self._system.monotonic_seconds() - _FRESH_SECONDS
        while self._waiting:
            came_at, event = self._waiting.popleft()
            if came_at >= oldest:
                return event
        return None


class PassingSender:
    """The sending side."""

    def __init__(
        self,
        own_account: bytes,
        transport: Transport,
        database: Database,
        system: System,
        *,
        is_connected: Callable[[], bool],
    ) -> None:
        self._own_account = own_account
        self._transport = transport
        self._database = database
        self._system = system
        self._is_connected = is_connected
        self._told: dict[tuple[bytes, int], tuple[float, bytes]] = {}
        """When each account was told what last, by type."""

    async def typing(self, account_id: bytes, *, is_typing: bool) -> bool:
        """Tell one account; whether it went out."""
        conversation_id = direct_conversation(self._own_account, account_id)
        return await self._tell(account_id, ContentType.TYPING, TypingBody(conversation_id, is_typing))

    async def presence(self, account_id: bytes, *, is_here: bool) -> bool:
        """Tell one account; whether it went out."""
        return await self._tell(account_id, ContentType.PRESENCE, PresenceBody(is_here))

    async def _tell(self, account_id: bytes, content_type: ContentType, body: msgspec.Struct) -> bool:
        if not self._is_connected() or self._is_known(account_id, content_type, body):
            return False

        def seal(tx: Transaction) -> tuple[Sealed | None, bool]:
            privacy, peer = find_privacy(tx), find_peer(tx, account_id)
            is_on = privacy.typing if content_type is ContentType.TYPING else privacy.presence
            # A public token asks for work, which takes longer than this is of use.
            if not is_on or peer is None or peer.token_class == PUBLIC:
                return None, False
            sealed = seal_passing(tx, account_id, content_type, body, self._system)
            return sealed, find_terms(tx).anonymous_submit

        sealed, anonymous = await self._database.run(seal)
        if sealed is None:
            return False
        try:
            await self._transport.ask(
                "POST", "/v1/envelopes", body=self._request(account_id, sealed), signed=not anonymous
            )
        except (RelayUnreachable, Refused, RelayMisbehaved):
            return False
        return True

    def _is_known(self, account_id: bytes, content_type: int, body: msgspec.Struct) -> bool:
        """Whether the very same was told a moment ago; if not, it counts as told now."""
        now, encoded = self._system.monotonic_seconds(), msgspec.msgpack.encode(body)
        at, last = self._told.get((account_id, content_type), (now - SAME_AGAIN_SECONDS, b""))
        if last == encoded and now - at < SAME_AGAIN_SECONDS:
            return True
        if len(self._told) >= _MAX_REMEMBERED:
            self._told.clear()
        self._told[account_id, content_type] = now, encoded
        return False

    def _request(self, account_id: bytes, sealed: Sealed) -> SubmitRequest:
        grant = GrantObject(
            account_id=account_id, token=sealed.token, manifest_version=sealed.manifest_version
        )
        return SubmitRequest(
            envelope_id=self._system.random(ENVELOPE_ID_BYTES),
            envelope_class=EnvelopeClass.EPHEMERAL,
            urgent=False,
            ttl_seconds=0,
            ciphertexts=[envelope for _, envelope in sealed.envelopes],
            targets=[
                TargetObject(device_id=device_id, ciphertext=index, grant=0)
                for index, (device_id, _) in enumerate(sealed.envelopes)
            ],
            grants=[grant],
        )
