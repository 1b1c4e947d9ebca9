"""The frames of the WebSocket protocol as typed values; docs/protocol.md, "Frames". Encoded by codec.py.

Each frame is a MessagePack array `[type, fields…]`. Lengths are checked when a frame is decoded; what a frame may ask
for, and when, is the business of `relay.session` and `relay.services`.
"""

from enum import IntEnum
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from . import limits

RequestId: TypeAlias = Annotated[int, Meta(ge=0, le=2**32 - 1)]
AccountId: TypeAlias = Annotated[bytes, Meta(min_length=32, max_length=32)]
DeviceId: TypeAlias = Annotated[bytes, Meta(min_length=16, max_length=16)]
EnvelopeId: TypeAlias = Annotated[bytes, Meta(min_length=16, max_length=16)]
Sequence: TypeAlias = Annotated[int, Meta(ge=0, le=limits.MAX_SEQUENCE)]
TimeMs: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]
Index: TypeAlias = Annotated[int, Meta(ge=0, le=limits.MAX_TARGETS_PER_SUBMIT - 1)]
Ciphertext: TypeAlias = Annotated[bytes, Meta(min_length=1, max_length=limits.MAX_ENVELOPE_BYTES)]
Token: TypeAlias = Annotated[bytes, Meta(max_length=limits.DELIVERY_TOKEN_BYTES)]
Work: TypeAlias = Annotated[bytes, Meta(max_length=limits.WORK_BYTES)]


class EnvelopeClass(IntEnum):
    """How an envelope is kept."""

    DURABLE = 1  # stored before `accepted`, until acknowledged or expired
    EPHEMERAL = 2  # handed to a connected device, never stored


class Outcome(IntEnum):
    """What became of an envelope for one target device."""

    STORED = 1  # durable from here on; also the answer to the same submit again
    MAILBOX_FULL = 2
    UNKNOWN_DEVICE = 3  # the grant is good, the account has no such device: fetch its manifest
    NOT_ALLOWED = 4  # no valid grant
    CONFLICT = 5  # another ciphertext came under this envelope id before
    RELAYED = 6  # ephemeral: handed on if the device is connected; never says whether it is
    BUDGET_SPENT = 7  # the grant is good, but too much came by tokens of its class: again later
    WORK_REQUIRED = 8  # a grant of class `public` without a proof of work that is enough for this relay


class NoticeKind(IntEnum):
    """What a `notice` is about, and its data."""

    UNKNOWN = 0  # never sent: what a client takes a kind for that it does not know
    PREKEYS_LOW = 1  # data: kind (2 or 3), left
    MANIFEST_CHANGED = 2  # data: version
    DEVICE_REVOKED = 3  # data: device_id
    MAILBOX_NEARLY_FULL = 4  # data: envelopes, bytes
    MAILBOX_FULL = 5  # data: envelopes, bytes; an envelope was refused
    LOG_ADVANCED = 6  # data: name of an account log, next index
    QUARANTINED = 7  # data: sequence
    RESTORED = 8  # data: –; the relay came back from a backup
    SHUTTING_DOWN = 9  # data: –
    LIMITS_CHANGED = 10  # data: limits_digest; `/.well-known/tokenim` tells other limits now

    @classmethod
    def _missing_(cls, value: object) -> "NoticeKind":
        """Kinds may be added within a version; docs/protocol.md, "Versions"."""
        return cls.UNKNOWN


class MissedReason(IntEnum):
    """Why sequences will never be delivered."""

    EXPIRED = 1
    REMOVED = 2  # on the owner's request
    RESTORED = 3  # lost with the time between a backup and its restore


class Target(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One device of a fan-out: which ciphertext it gets and which grant speaks for it (indices into the submit)."""

    device_id: DeviceId
    ciphertext: Index
    grant: Index


class Grant(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The right to write to one account: its delivery token (16 B; empty for the own account on an authenticated connection)."""

    account_id: AccountId
    token: Token
    manifest_version: Annotated[int, Meta(ge=0, le=2**53)]  # the newest the sender has verified


class Frame(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Base of all frames."""


class Submit(Frame, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=1):
    """Store these ciphertexts for these devices."""

    request_id: RequestId
    envelope_id: EnvelopeId
    envelope_class: EnvelopeClass
    urgent: bool
    ttl_seconds: Annotated[int, Meta(ge=0, le=limits.MAX_TTL_SECONDS)]  # 0 for ephemeral
    ciphertexts: Annotated[
        tuple[Ciphertext, ...], Meta(min_length=1, max_length=limits.MAX_CIPHERTEXTS_PER_SUBMIT)
    ]
    targets: Annotated[tuple[Target, ...], Meta(min_length=1, max_length=limits.MAX_TARGETS_PER_SUBMIT)]
    grants: Annotated[tuple[Grant, ...], Meta(min_length=1, max_length=limits.MAX_GRANTS_PER_SUBMIT)]
    work: Annotated[tuple[Work, ...], Meta(max_length=limits.MAX_GRANTS_PER_SUBMIT)] = ()
    """In the order of the grants: 8 B for one of class `public`, else empty; what is empty at the end may be left out."""


class Ack(Frame, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=2):
    """The client has stored everything up to and including `up_to` safely, and the single ones above it in `also`."""

    up_to: Sequence
    also: Annotated[tuple[Sequence, ...], Meta(max_length=limits.MAX_ACK_ALSO)] = ()


class Resume(Frame, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=3):
    """Take the mailbox, from the client's committed sequence on (which acknowledges up to it)."""

    after: Sequence


class Authenticate(Frame, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=4):
    """The device's signature over the challenge transcript."""

    device_id: DeviceId
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


class Anonymous(Frame, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=5):
    """No identity: then only `submit` with delivery tokens."""


class ManifestVersion(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The sender's view of this account is behind: fetch its manifests up to `version`."""

    account_id: AccountId
    version: Annotated[int, Meta(ge=1)]


class Accepted(Frame, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=10):
    """Sent after the commit. `outcomes` is in the order of the submit's targets."""

    request_id: RequestId
    outcomes: tuple[Outcome, ...]
    manifest_behind: tuple[ManifestVersion, ...] = ()


class Deliver(Frame, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=11):
    """One envelope of the mailbox; an ephemeral one has sequence 0 and is not acknowledged."""

    sequence: Sequence
    envelope_id: EnvelopeId
    received_at_ms: TimeMs
    envelope_class: EnvelopeClass
    ciphertext: Ciphertext


class CaughtUp(Frame, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=12):
    """What waited when the mailbox was taken is acknowledged, up to `sequence`."""

    sequence: Sequence


class Missed(Frame, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=13):
    """These sequences will never come; acknowledge them like envelopes."""

    from_sequence: Sequence
    to_sequence: Sequence
    reason: MissedReason


class Refused(Frame, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=14):
    """A request failed as a whole; `request_id` 0 if it was not a submit. `code` as in "Errors"."""

    request_id: RequestId
    code: Annotated[str, Meta(max_length=64)]
    retry_after_ms: Annotated[int, Meta(ge=0)]


class Notice(Frame, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=15):
    """Something the device should know; see NoticeKind for the data."""

    kind: NoticeKind
    data: tuple[int | bytes, ...] = ()


class Challenge(Frame, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=16):
    """The relay speaks first: sign this within AUTHENTICATE_WITHIN_SECONDS."""

    challenge: Annotated[bytes, Meta(min_length=32, max_length=32)]
    relay_time_ms: TimeMs


class Ready(Frame, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=17):
    """The connection is open. `next_sequence` is what the mailbox gives next (0 on an anonymous connection)."""

    limits_digest: Annotated[bytes, Meta(min_length=32, max_length=32)]
    next_sequence: Sequence


ClientFrame: TypeAlias = Submit | Ack | Resume | Authenticate | Anonymous
RelayFrame: TypeAlias = Accepted | Deliver | CaughtUp | Missed | Refused | Notice | Challenge | Ready

CLIENT_FRAMES: Final = (Submit, Ack, Resume, Authenticate, Anonymous)
RELAY_FRAMES: Final = (Accepted, Deliver, CaughtUp, Missed, Refused, Notice, Challenge, Ready)
