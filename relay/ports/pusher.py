"""One push service: wakes a device that is not connected, by an opaque token and nothing else. Knows no envelope, no account.

docs/protocol.md, "Push wakeups". Each kind is an adapter, off until it is configured.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Literal, Protocol, TypeAlias

from relay.wire.push_resources import PushKind

PushDetail: TypeAlias = Literal[
    "accepted",  # SENT
    "unregistered",  # GONE: 404, 410, or what the service says instead
    "busy",  # RETRY: 429
    "failing",  # RETRY: 5xx
    "unreachable",  # RETRY: no connection, no name
    "silent",  # RETRY: no answer in time
    "not_allowed",  # REFUSED: the service does not take the relay's credentials
    "bad_request",  # REFUSED: any other 4xx
    "redirected",  # REFUSED: 3xx is never followed
    "forbidden_address",  # REFUSED: the target is on a network that the relay does not reach out to
]
"""What came back, in one word of this list: neither the endpoint nor the service's own words."""


class Outcome(Enum):
    """What becomes of a wakeup."""

    SENT = "sent"
    GONE = "gone"
    """The service knows the registration no more: it is removed."""
    RETRY = "retry"
    """Later, by the relay's own back-off, or when the service said."""
    REFUSED = "refused"
    """It will not do better the next time: dropped, and told to the operator."""


@dataclass(frozen=True, slots=True)
class PushAddress:
    """Where a device is woken, as it registered it; `target` is a URL, or the token of its app at APNs or FCM.

    `p256dh` (65 B, an uncompressed point) and `auth` (16 B) are of Web Push and of UnifiedPush; empty elsewhere.
    """

    kind: PushKind
    target: str
    p256dh: bytes = b""
    auth: bytes = b""

    def __repr__(self) -> str:
        return f"PushAddress({self.kind!r})"  # a target in a log would be a leak


@dataclass(frozen=True, slots=True)
class PushAnswer:
    """How it went; `retry_after_s` as the service asked for, of RETRY alone."""

    outcome: Outcome
    detail: PushDetail
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class PusherCheck:
    """What `doctor` tells of a push service: what was found, and what to do about it (None where all is well)."""

    state: Literal["ok", "warning", "failed"]
    found: str
    mend: str | None = None


class Pusher(Protocol):
    """One push service, used by many tasks at once."""

    @property
    def kind(self) -> PushKind:
        """Which one."""

    def takes(self, address: PushAddress) -> bool:
        """Whether a device could be woken there, as far as the address itself shows; asks nobody."""

    async def push(self, address: PushAddress, token: bytes, urgent: bool) -> PushAnswer:
        """Send one wakeup with this token (16 B). Never raises for what the service does, and ends within 30 s.

        `urgent` changes the service's own priority field, if it has one, and nothing else.
        """

    async def check(self) -> PusherCheck:
        """Whether its settings can be used: keys fit, the service is reached. Wakes nobody."""

    async def close(self) -> None:
        """Give connections back."""


@dataclass(frozen=True, slots=True)
class PushServices:
    """Those that are switched on, and the relay's key at them (65 B, VAPID), which clients subscribe with; empty: none."""

    pushers: tuple[Pusher, ...] = ()
    vapid_key: bytes = b""
