"""Snapshots of all sessions with a peer device: as bytes and back; an unknown version is refused.

Layout: version byte ‖ one MessagePack array (nested arrays, no maps), as in `snapshots`, whose ratchet states it
holds. Secret: snapshots go into an encrypted store and nowhere else, never into a backup.
"""

from typing import Annotated, Final

import msgspec

from . import limits
from .errors import InvalidEncoding
from .pqxdh import SetupValues
from .prekeys import SEEN_PLACES, KeyClass, KeyKind, SignedKey
from .ratchet_state import AssociatedData
from .sessions import PeerSessions, PendingSetup, ReplayEntry, Session, SessionFacts
from .snapshots import decode_state, encode_state

__all__ = [
    "SNAPSHOT_VERSION",
    "decode_sessions",
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


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Peer)


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


def decode_sessions(snapshot: bytes, own: tuple[bytes, bytes]) -> PeerSessions:
    """The value of a snapshot that `own` made: account id 32 B, device id 16 B of this device.

    Raises InvalidEncoding for another version, and for what no value encodes to.
    """
    if snapshot[:1] != _VERSION_BYTE:
        version = snapshot[0] if snapshot else "none"
        raise InvalidEncoding(f"session snapshot of version {version}; this build reads {SNAPSHOT_VERSION}")
    try:
        fields = _DECODER.decode(snapshot[1:])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidEncoding("damaged session snapshot") from error
    peer = fields.account_id, fields.device_id
    return PeerSessions(
        *peer,
        active=None if fields.active is None else _session(fields.active, own, peer),
        archived=tuple(_session(session, own, peer) for session in fields.archived),
        highest_setup_number=fields.highest_setup_number,
        replays=tuple(
            ReplayEntry(entry.values_digest, entry.session_id, entry.signed_id) for entry in fields.replays
        ),
        seen_keys={SEEN_PLACES[seen.kind, seen.key_class]: seen.made_at_ms for seen in fields.seen_keys},
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


def _session(fields: _Session, own: tuple[bytes, bytes], peer: tuple[bytes, bytes]) -> Session:
    ratchet = decode_state(fields.ratchet)
    sending = AssociatedData(ratchet.session_id, *own, *peer)
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
