"""Snapshots of sessions, prekeys and verified manifests: as bytes and back, in one encoding, versions refused.

Layout: version byte ‖ one MessagePack array (nested arrays, no maps), as in `snapshots`. Sessions and prekeys are
secret: they go into an encrypted store and nowhere else, never into a backup. What is decoded is checked for shape;
manifests are not verified again, for they were before they were stored.
"""

from typing import Annotated, Final, TypeVar

import msgspec

from . import limits
from .errors import InvalidEncoding
from .keys import LocalDevice
from .local_prekeys import SEED_BYTES, LocalPrekey, LocalPrekeys
from .manifest import SignedManifest
from .manifest_chain import VerifiedManifest
from .pqxdh import SetupValues
from .prekeys import CLASSES, KeyClass, KeyKind, SignedKey
from .ratchet_state import AssociatedData
from .sessions import PeerSessions, PendingSetup, ReplayEntry, Session, SessionFacts
from .snapshots import decode_state, encode_state

__all__ = [
    "SNAPSHOT_VERSION",
    "decode_manifests",
    "decode_prekeys",
    "decode_sessions",
    "encode_manifests",
    "encode_prekeys",
    "encode_sessions",
]

SNAPSHOT_VERSION: Final = 1
_VERSION_BYTE: Final = bytes((SNAPSHOT_VERSION,))

_Id32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
_Id16 = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
_U32 = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
_NextId = Annotated[int, msgspec.Meta(ge=1, le=2**32)]
_Time = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Array(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, eq=False):
    """One array of the encoding; its elements in this order."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class _Pending(_Array, frozen=True, eq=False):
    values: bytes
    sealing: bytes
    fetched_at_ms: _Time


class _Session(_Array, frozen=True, eq=False):
    setup_number: _U32
    initiated: bool
    ratchet: bytes
    pending: _Pending | None
    sent: bool
    received: bool
    archived_at_ms: _Time | None


class _Replay(_Array, frozen=True, eq=False):
    values_digest: _Id32
    session_id: _Id32
    signed_id: _U32


class _Seen(_Array, frozen=True, eq=False):
    kind: KeyKind
    key_class: KeyClass
    made_at_ms: _Time


class _Peer(_Array, frozen=True, eq=False):
    account_id: _Id32
    device_id: _Id16
    active: _Session | None
    archived: Annotated[tuple[_Session, ...], msgspec.Meta(max_length=limits.MAX_ARCHIVED_SESSIONS)]
    highest_setup_number: _U32
    replays: tuple[_Replay, ...]
    seen_keys: tuple[_Seen, ...]


class _Prekey(_Array, frozen=True, eq=False):
    kind: KeyKind
    key_class: KeyClass
    key_id: _U32
    made_at_ms: _Time
    seed: bytes
    uploaded: bool
    retired_at_ms: _Time | None


class _Prekeys(_Array, frozen=True, eq=False):
    keys: tuple[_Prekey, ...]
    next_ids: tuple[_NextId, _NextId, _NextId, _NextId]


class _Manifests(_Array, frozen=True, eq=False):
    account_id: _Id32
    chain: Annotated[tuple[bytes, ...], msgspec.Meta(min_length=1)]


_T = TypeVar("_T", bound=_Array)
_ENCODER: Final = msgspec.msgpack.Encoder()


def _decode(snapshot: bytes, shape: type[_T]) -> _T:
    if snapshot[:1] != _VERSION_BYTE:
        version = snapshot[0] if snapshot else "none"
        raise InvalidEncoding(f"snapshot of version {version}; this build reads {SNAPSHOT_VERSION}")
    try:
        return msgspec.msgpack.decode(snapshot[1:], type=shape)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidEncoding("damaged snapshot") from error


def encode_sessions(peer: PeerSessions) -> bytes:
    """The snapshot of all that is kept about one peer device: secret."""
    seen = sorted((kind, key_class, at_ms) for (kind, key_class), at_ms in peer.seen_keys.items())
    return _VERSION_BYTE + _ENCODER.encode(
        (
            peer.account_id,
            peer.device_id,
            None if peer.active is None else _session_fields(peer.active),
            [_session_fields(session) for session in peer.archived],
            peer.highest_setup_number,
            [(entry.values_digest, entry.session_id, entry.signed_id) for entry in peer.replays],
            seen,
        )
    )


def decode_sessions(snapshot: bytes, local: LocalDevice) -> PeerSessions:
    """The value of a snapshot that this device made; InvalidEncoding for another version or a damaged one."""
    fields = _decode(snapshot, _Peer)
    names = fields.account_id, fields.device_id
    return PeerSessions(
        *names,
        active=None if fields.active is None else _session(fields.active, names, local),
        archived=tuple(_session(session, names, local) for session in fields.archived),
        highest_setup_number=fields.highest_setup_number,
        replays=tuple(
            ReplayEntry(entry.values_digest, entry.session_id, entry.signed_id) for entry in fields.replays
        ),
        seen_keys={(seen.kind, seen.key_class): seen.made_at_ms for seen in fields.seen_keys},
    )


def _session_fields(session: Session) -> tuple[object, ...]:
    pending = session.pending
    return (
        session.facts.setup_number,
        session.facts.initiated,
        encode_state(session.ratchet),
        None
        if pending is None
        else (pending.values.encode(), pending.sealing.encode(), pending.fetched_at_ms),
        session.sent,
        session.received,
        session.archived_at_ms,
    )


def _session(fields: _Session, peer: tuple[bytes, bytes], local: LocalDevice) -> Session:
    ratchet = decode_state(fields.ratchet)
    sending = AssociatedData(ratchet.session_id, local.account_id, local.device_id, *peer)
    pending = fields.pending
    return Session(
        SessionFacts(fields.setup_number, fields.initiated, sending, sending.reversed()),
        ratchet,
        None
        if pending is None
        else PendingSetup(
            SetupValues.parse(pending.values), SignedKey.parse(pending.sealing), pending.fetched_at_ms
        ),
        fields.sent,
        fields.received,
        fields.archived_at_ms,
    )


def encode_prekeys(prekeys: LocalPrekeys) -> bytes:
    """The snapshot of all own prekeys: secret."""
    keys = [
        (
            key.kind,
            key.key_class,
            key.key_id,
            key.made_at_ms,
            key.secret.seed,
            key.uploaded,
            key.retired_at_ms,
        )
        for key in prekeys.keys
    ]
    return _VERSION_BYTE + _ENCODER.encode((keys, prekeys.next_ids))


def decode_prekeys(snapshot: bytes) -> LocalPrekeys:
    """The value of a snapshot; InvalidEncoding for another version or a damaged one."""
    fields = _decode(snapshot, _Prekeys)
    keys = []
    for key in fields.keys:
        if key.key_class not in CLASSES[key.kind] or len(key.seed) != SEED_BYTES[key.kind]:
            raise InvalidEncoding("a prekey with a class or seed that its kind cannot have")
        keys.append(
            LocalPrekey.load(
                key.kind,
                key.key_class,
                key.key_id,
                key.made_at_ms,
                key.seed,
                uploaded=key.uploaded,
                retired_at_ms=key.retired_at_ms,
            )
        )
    return LocalPrekeys(tuple(keys), fields.next_ids)


def encode_manifests(verified: VerifiedManifest) -> bytes:
    """The snapshot of a verified chain: public."""
    return _VERSION_BYTE + _ENCODER.encode(
        (verified.account_id, [signed.encode() for signed in verified.chain])
    )


def decode_manifests(snapshot: bytes) -> VerifiedManifest:
    """The chain of a snapshot, not verified again; InvalidEncoding for another version or a damaged one."""
    fields = _decode(snapshot, _Manifests)
    chain = tuple(SignedManifest.parse(signed) for signed in fields.chain)
    return VerifiedManifest(fields.account_id, chain)
