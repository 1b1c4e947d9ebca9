"""What a memory store holds, and the gate through which every change is committed."""

import copy
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from relay.ports.accounts import Device, HandleBinding
from relay.ports.blobs import Blob
from relay.ports.delivery_tokens import DeliveryToken
from relay.ports.guests import Guest
from relay.ports.holds import Hold
from relay.ports.invites import Invite
from relay.ports.mailboxes import MissedRange, StoredEnvelope
from relay.ports.profiles import Profile
from relay.ports.pushes import PendingWakeup, PushRegistration
from relay.ports.reserved_handles import ReservedHandle
from relay.ports.sealed_logs import LogEntry
from relay.ports.usage import UsageDay
from relay.wire.audit_rows import AuditRow, Tip
from relay.wire.errors import Unavailable
from relay.wire.log_leaves import Leaf
from relay.wire.manifests import SignedManifest
from relay.wire.prekeys import PrekeyKind, SignedPrekey

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class AccountRow:
    """An account; its devices are in `Image.devices`."""

    role: str
    created_at_ms: int
    manifest_hash: bytes
    manifests: list[SignedManifest]
    suspended: bool = False


@dataclass(slots=True, eq=False)
class Shelf:
    """A device's prekeys."""

    keys: list[SignedPrekey] = field(default_factory=list)
    highest: dict[PrekeyKind, int] = field(default_factory=lambda: dict.fromkeys(PrekeyKind, 0))


@dataclass(slots=True, eq=False)
class Waiting:
    """One envelope of a mailbox."""

    envelope: StoredEnvelope
    expires_at_ms: int
    quarantined: bool = False


@dataclass(slots=True, eq=False)
class Record:
    """An idempotency record: 16 B digest; `settled_at_ms` once the envelope was acknowledged or has expired."""

    digest: bytes
    settled_at_ms: int | None = None


@dataclass(slots=True, eq=False)
class Mailbox:
    """A device's mailbox; `waiting` in ascending order of sequences."""

    given_up_to: int = 0
    waiting: dict[int, Waiting] = field(default_factory=dict)
    missed: list[MissedRange] = field(default_factory=list)
    records: dict[bytes, Record] = field(default_factory=dict)
    attempt_sequence: int = 0
    attempts: int = 0


@dataclass(slots=True, eq=False)
class AccountLog:
    """A log of an account; `entries` in ascending order of their indices."""

    entries: dict[int, LogEntry] = field(default_factory=dict)
    first_index: int = 0
    next_index: int = 0


@dataclass(frozen=True, slots=True)
class SignedEntry:
    """An entry of a group log, the 32 B write key of that time, and SHA-256 of what was signed."""

    entry: LogEntry
    signed_by: bytes
    digest: bytes


@dataclass(slots=True, eq=False)
class GroupLog:
    """A group log; `entries` in ascending order of their indices."""

    write_key: bytes
    read_token_hash: bytes
    entries: dict[int, SignedEntry] = field(default_factory=dict)
    first_index: int = 0
    next_index: int = 0
    used_day: int = 0


@dataclass(frozen=True, slots=True)
class HeldEnvelope:
    """One that expired while its account was held."""

    account_id: bytes
    device_id: bytes
    received_at_ms: int
    expired_at_ms: int
    ciphertext: bytes


@dataclass(slots=True, eq=False)
class PushRows:
    """Registrations at push services and the outbox of wakeups, by device id."""

    registrations: dict[bytes, PushRegistration] = field(default_factory=dict)
    wakeups: dict[bytes, PendingWakeup] = field(default_factory=dict)

    def forget(self, device_id: bytes) -> None:
        """The device has none any more."""
        self.registrations.pop(device_id, None)
        self.wakeups.pop(device_id, None)


@dataclass(slots=True, eq=False)
class Image:
    """Everything that is committed."""

    accounts: dict[bytes, AccountRow] = field(default_factory=dict)
    devices: dict[bytes, Device] = field(default_factory=dict)
    seen_days: dict[bytes, int] = field(default_factory=dict)
    handles: dict[str, HandleBinding] = field(default_factory=dict)
    invites: dict[bytes, Invite] = field(default_factory=dict)
    guests: dict[bytes, Guest] = field(default_factory=dict)
    reserved_handles: dict[str, ReservedHandle] = field(default_factory=dict)
    tokens: dict[bytes, dict[bytes, DeliveryToken]] = field(default_factory=dict)
    nonces: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    shelves: dict[bytes, Shelf] = field(default_factory=dict)
    mailboxes: dict[bytes, Mailbox] = field(default_factory=dict)
    blobs: dict[bytes, Blob] = field(default_factory=dict)
    account_logs: dict[tuple[bytes, str], AccountLog] = field(default_factory=dict)
    deletions: set[bytes] = field(default_factory=set)
    group_logs: dict[bytes, GroupLog] = field(default_factory=dict)
    kept_handles: dict[str, tuple[bytes | None, int]] = field(default_factory=dict)
    """Handle → who may take it again, and until when (ms) nobody else may."""
    profiles: dict[bytes, Profile] = field(default_factory=dict)
    pushes: PushRows = field(default_factory=PushRows)
    usage: dict[int, UsageDay] = field(default_factory=dict)
    holds: dict[bytes, Hold] = field(default_factory=dict)
    held_envelopes: list[HeldEnvelope] = field(default_factory=list)
    log_id: bytes = b""
    handle_key: bytes = b""
    head_time_ms: int = 0
    leaves: list[Leaf] = field(default_factory=list)
    nodes: list[bytes] = field(default_factory=list)
    audit_rows: list[AuditRow] = field(default_factory=list)
    audit_tip: Tip = field(default_factory=Tip)


async def _no_delay() -> None:
    """Commit at once."""


class Gate:
    """A change happens whole, at one moment, between `before` and `after`; a crash at either loses or keeps it whole.

    `before` and `after` stand for the time of a commit and of its answer; a simulation gives its own, with delays and
    crashes. A change checks first and raises before it has changed anything.
    """

    def __init__(
        self,
        image: Image,
        before: Callable[[], Awaitable[None]] = _no_delay,
        after: Callable[[], Awaitable[None]] = _no_delay,
    ) -> None:
        self.image = image
        self._before = before
        self._after = after
        self.closed = False

    async def commit(self, change: Callable[[], T]) -> T:
        """The change's result once it is committed; raises what it raises, or Unavailable after a crash."""
        self.check()
        await self._before()
        self.check()
        result = change()
        await self._after()
        self.check()
        return result

    def check(self) -> None:
        """Raise Unavailable after a crash or closing."""
        if self.closed:
            raise Unavailable

    def crash(self) -> Image:
        """End here: whoever waits gets Unavailable. What was committed, to open again."""
        self.closed = True
        return copy.deepcopy(self.image)
