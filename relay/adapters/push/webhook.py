"""A URL of the user's own, which gets the token in a request that the relay signs; docs/protocol.md, "Push wakeups"."""

from collections.abc import Callable

from relay.ports.clock import Clock
from relay.ports.pusher import PushAddress, PushAnswer, PusherCheck
from relay.wire.links import encode_bytes
from relay.wire.push_resources import PushKind
from relay.wire.transcripts import webhook_transcript

from .outward import Outward


class Webhook:
    """Pusher of the kind `webhook`. Urgent or not, it looks the same. `sign`: by the relay's key."""

    kind: PushKind = "webhook"

    def __init__(self, outward: Outward, sign: Callable[[bytes], bytes], origin: str, clock: Clock) -> None:
        self._outward = outward
        self._sign = sign
        self._origin = origin
        self._clock = clock

    def takes(self, address: PushAddress) -> bool:
        """By its URL."""
        return self._outward.takes(address.target)

    async def push(self, address: PushAddress, token: bytes, urgent: bool) -> PushAnswer:
        """The 16 B token as body."""
        time_ms = self._clock.now_ms()
        signed = webhook_transcript(origin=self._origin, target=address.target, time_ms=time_ms, token=token)
        headers = {
            "Content-Type": "application/octet-stream",
            "TokenIM-Time": str(time_ms),
            "TokenIM-Signature": encode_bytes(self._sign(signed)),
        }
        return await self._outward.post(address.target, headers, token)

    async def check(self) -> PusherCheck:
        """Nobody to ask before a device registers."""
        return PusherCheck("ok", "on")

    async def close(self) -> None:
        """Connections are those of `outward`."""
