"""Mailboxes: what was accepted is there until it is acknowledged or has expired, in order; docs/protocol.md, "Delivery".

Knows no sender and no sockets. Each mailbox has its own sequence, 1, 2, 3 … by commit; nothing leaves it without an
acknowledgement or a missed range in its place.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

import msgspec

from relay.wire.frames import MissedReason, Outcome

RESTORE_GAP = 2**32
"""Added to every sequence when the relay comes back from a backup."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """How much one mailbox holds; a copy that several share counts for each."""

    envelopes: int
    bytes: int
    nearly_full_percent: int


class Submission(msgspec.Struct, frozen=True, gc=False):
    """One durable submit, with those targets only that its sender may write to.

    `targets` are (16 B device id, index into `ciphertexts`); targets of one ciphertext share one stored copy.
    `urgent` is for who wakes devices; it is not stored.
    (A struct, like Appended: one is made for each envelope, and a frozen dataclass takes six times as long.)
    """

    envelope_id: bytes
    ttl_seconds: int
    ciphertexts: tuple[bytes, ...]
    targets: tuple[tuple[bytes, int], ...]
    urgent: bool = False


class Appended(msgspec.Struct, frozen=True, gc=False):
    """The answer to one Submission, both tuples in the order of its targets.

    `sequences` holds the sequence an envelope got by this very call, 0 where nothing new was stored (a repeated submit
    is STORED with 0). Outcomes: STORED, MAILBOX_FULL, UNKNOWN_DEVICE, CONFLICT.
    """

    outcomes: tuple[Outcome, ...]
    sequences: tuple[int, ...]
    received_at_ms: int


@dataclass(frozen=True, slots=True)
class MailboxLevel:
    """How full a mailbox is; `full` if an envelope was refused, else it has just passed `nearly_full_percent`."""

    device_id: bytes
    envelopes: int
    bytes: int
    full: bool


@dataclass(frozen=True, slots=True)
class AppendResult:
    """Answers in the order of the submissions, and the mailboxes whose owner should get a notice (mostly none)."""

    appended: tuple[Appended, ...]
    levels: tuple[MailboxLevel, ...] = ()


class StoredEnvelope(NamedTuple):
    """One envelope of a mailbox, as `deliver` carries it. A tuple: there is one for each envelope that is read."""

    sequence: int
    envelope_id: bytes
    received_at_ms: int
    ciphertext: bytes

    def __repr__(self) -> str:
        return f"StoredEnvelope(sequence={self.sequence}, envelope_id={self.envelope_id!r})"


@dataclass(frozen=True, slots=True)
class MissedRange:
    """Sequences that will never come, both ends included; kept until they are acknowledged."""

    from_sequence: int
    to_sequence: int
    reason: MissedReason


MailboxItem: TypeAlias = StoredEnvelope | MissedRange


@dataclass(frozen=True, slots=True)
class Page:
    """What stands next in a mailbox, in order of sequences; `more` if something stands behind it."""

    items: tuple[MailboxItem, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class MailboxState:
    """`next_sequence` is what the next envelope gets; `lowest` the lowest one unacknowledged (missed ranges count, quarantined
    envelopes do not), or `next_sequence` if there is none; counts and bytes include quarantined envelopes."""

    next_sequence: int
    lowest: int
    envelopes: int
    bytes: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class QuarantinedEnvelope:
    """An envelope that was delivered too often without an acknowledgement; skipped, kept, fetched on request."""

    sequence: int
    envelope_id: bytes
    received_at_ms: int
    bytes: int


class MailboxStore(Protocol):
    """Every change is durable when the method returns. Unknown devices raise NotFound, except in `append`.

    If the store cannot commit, methods raise Unavailable and nothing was accepted; with a full disk `append` raises
    StorageFull, and `ack`, `expire` and `remove` still work.
    """

    def change_quotas(self, quotas: Quotas) -> None:
        """Other quotas for each `append` from now on. What is there stays, if it is more."""

    async def append(self, submissions: Sequence[Submission], *, now_ms: int) -> AppendResult:
        """Store what all of these say, in their order, in one commit; the hot path: one call for a WebSocket message.

        Idempotent by (target device, envelope id): the same ciphertext again is STORED and changes nothing (its time to
        live either), another one CONFLICT; so for IDEMPOTENCY_SECONDS after it was acknowledged or expired. A refused
        target leaves no record. Calls that overlap are ordered one after another; so are their sequences.
        """

    async def read(
        self, device_id: bytes, *, after: int, max_envelopes: int, max_bytes: int, now_ms: int
    ) -> Page:
        """What stands above `after`: at most `max_envelopes` items, ciphertexts of at most `max_bytes` (but at least one item).

        Sees everything that was accepted before the call. Expired envelopes come as missed ranges, quarantined ones not at
        all. A damaged ciphertext is never given out: it becomes a missed range with reason REMOVED.
        """

    async def ack(self, device_id: bytes, *, up_to: int, also: Sequence[int] = ()) -> None:
        """Delete everything up to and including `up_to`, and the single ones in `also`; missed ranges too.

        A quarantined envelope goes only if `also` names it. Raises SequenceAhead if a sequence was never given.
        """

    async def state(self, device_id: bytes) -> MailboxState:
        """Where the mailbox stands."""

    async def newest(self, device_ids: Collection[bytes]) -> Mapping[bytes, int]:
        """The highest sequence that each of these mailboxes has given; nothing of devices that are no more."""

    async def count_attempt(self, device_id: bytes, sequence: int) -> bool:
        """Note one more delivery of the lowest unacknowledged envelope; True if it is quarantined now.

        It is, when this would be more than MAX_DELIVERY_ATTEMPTS. Without effect (False) if `sequence` is not the
        lowest unacknowledged one any more.
        """

    async def quarantined(self, device_id: bytes) -> tuple[QuarantinedEnvelope, ...]:
        """All quarantined ones, ascending."""

    async def fetch_quarantined(self, device_id: bytes, sequence: int) -> StoredEnvelope:
        """One of them; raises NotFound."""

    async def remove(self, device_id: bytes, *, up_to: int) -> None:
        """On the owner's request: replace every envelope up to `up_to` by missed ranges with reason REMOVED."""

    async def expire(self, *, now_ms: int, limit: int) -> int:
        """Look at the next `limit` envelopes, in turns through the whole store, and replace expired ones by missed ranges.

        How many it were. Quarantined envelopes expire by this alone: a reader passes them over.
        """

    async def remove_old_records(self, *, now_ms: int, limit: int) -> int:
        """Forget at most `limit` idempotency records whose time is over; how many it were."""

    async def begin_epoch(self) -> None:
        """After a restore: every sequence jumps by RESTORE_GAP, and the gap is a missed range with reason RESTORED."""
