"""Where the relay wakes this device while it has no connection. docs/protocol.md, "Push wakeups".

A wakeup says that something may be there, and nothing else: whoever is woken opens the client, and looks.
"""

import hmac
from typing import Final

from crypto.errors import CryptoError
from crypto.primitives import ed25519_verify
from relay.wire.limits import SIGNATURE_BYTES
from relay.wire.push_resources import PushKind, PushRegistered, PushRequest
from relay.wire.transcripts import webhook_transcript

from .account import Account
from .transport import Transport

MAX_AGE_MS: Final = 300_000


class Wakeups:
    """Of one account's device."""

    def __init__(self, transport: Transport, account: Account) -> None:
        self._transport = transport
        self._account = account

    async def register(self, kind: PushKind, target: str, *, p256dh: bytes = b"", auth: bytes = b"") -> bytes:
        """Be woken there from now on, and nowhere else; the token (16 B) that each wakeup carries.

        Raises Refused (`malformed_request`: the relay does not wake that way, `rate_limited`), RelayUnreachable.
        """
        asked = PushRequest(kind=kind, target=target, p256dh=p256dh, auth=auth)
        answered = await self._transport.ask("PUT", "/v1/push", body=asked, signed=True)
        return answered.read(PushRegistered).token

    async def unregister(self) -> None:
        """Be woken no more. Raises RelayUnreachable, Refused."""
        await self._transport.ask("DELETE", "/v1/push", signed=True)

    def webhook(self, target: str, token: bytes) -> "WebhookCheck":
        """What tells the wakeups of this registration from what others send to the same URL."""
        return WebhookCheck(self._account.origin, self._account.relay_key, target, token)


class WebhookCheck:
    """Good while no client is open."""

    def __init__(self, origin: str, relay_key: bytes, target: str, token: bytes) -> None:
        self._origin = origin
        self._relay_key = relay_key
        self._target = target
        self._token = token

    def is_wakeup(self, body: bytes, time_ms: int, signature: bytes, *, now_ms: int) -> bool:
        """Whether the relay sent this, for this registration and not long ago."""
        if len(signature) != SIGNATURE_BYTES or abs(now_ms - time_ms) > MAX_AGE_MS:
            return False
        if not hmac.compare_digest(body, self._token):
            return False
        signed = webhook_transcript(origin=self._origin, target=self._target, time_ms=time_ms, token=body)
        try:
            ed25519_verify(self._relay_key, signed, signature)
        except CryptoError:
            return False
        return True
