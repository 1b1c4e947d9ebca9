"""The sessions with each peer device as rows: a versioned snapshot each, written in the transaction that changed them."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from client.errors import StoreDamaged
from crypto.double_ratchet import AssociatedData
from crypto.errors import CryptoError
from crypto.pqxdh import SetupValues
from crypto.prekeys import KeyClass, KeyKind, SignedKey
from crypto.sessions import PeerSessions, PendingSetup, ReplayEntry, Session, SessionFacts
from crypto.snapshots import decode_state, encode_state

from .database import Transaction

_VERSION: Final = 1
_ALL: Final = "sessions"

_Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]


class _Array(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class _Pending(_Array, frozen=True):
    values: bytes
    sealing: bytes
    fetched_at_ms: int


class _Session(_Array, frozen=True):
    session_id: _Hash
    setup_number: int
    initiated: bool
    sent: bool
    received: bool
    archived_at_ms: int | None
    pending: _Pending | None
    ratchet: bytes


class _Replay(_Array, frozen=True):
    values_digest: _Hash
    session_id: _Hash
    signed_id: int


class _Peer(_Array, frozen=True):
    version: int
    active: _Session | None
    archived: list[_Session]
    highest_setup_number: int
    replays: list[_Replay]
    seen_keys: list[tuple[int, int, int]]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Peer)


def _encode_session(session: Session) -> _Session:
    facts, pending = session.facts, session.pending
    return _Session(
        facts.session_id,
        facts.setup_number,
        facts.initiated,
        session.sent,
        session.received,
        session.archived_at_ms,
        None
        if pending is None
        else _Pending(pending.values.encode(), pending.sealing.encode(), pending.fetched_at_ms),
        encode_state(session.ratchet),
    )


def encode_sessions(peer: PeerSessions) -> bytes:
    """The snapshot of all sessions with one device."""
    return _encoder.encode(
        _Peer(
            _VERSION,
            None if peer.active is None else _encode_session(peer.active),
            [_encode_session(session) for session in peer.archived],
            peer.highest_setup_number,
            [_Replay(entry.values_digest, entry.session_id, entry.signed_id) for entry in peer.replays],
            [(kind, key_class, made_at_ms) for (kind, key_class), made_at_ms in peer.seen_keys.items()],
        )
    )


def decode_sessions(
    own: tuple[bytes, bytes], account_id: bytes, device_id: bytes, snapshot: bytes
) -> PeerSessions:
    """The sessions of `own` (account id, device id) with a device; raises StoreDamaged."""
    try:
        fields = _decoder.decode(snapshot)
        if fields.version != _VERSION:
            raise StoreDamaged("the sessions in the store are of an unknown version")

        def session(row: _Session) -> Session:
            sending = AssociatedData(row.session_id, *own, account_id, device_id)
            facts = SessionFacts(row.setup_number, row.initiated, sending, sending.reversed())
            pending = row.pending
            return Session(
                facts,
                decode_state(row.ratchet),
                None
                if pending is None
                else PendingSetup(
                    SetupValues.parse(pending.values), SignedKey.parse(pending.sealing), pending.fetched_at_ms
                ),
                sent=row.sent,
                received=row.received,
                archived_at_ms=row.archived_at_ms,
            )

        return PeerSessions(
            account_id,
            device_id,
            None if fields.active is None else session(fields.active),
            tuple(session(row) for row in fields.archived),
            fields.highest_setup_number,
            tuple(
                ReplayEntry(entry.values_digest, entry.session_id, entry.signed_id)
                for entry in fields.replays
            ),
            {(KeyKind(kind), KeyClass(key_class)): made_at for kind, key_class, made_at in fields.seen_keys},
        )
    except (msgspec.DecodeError, CryptoError, ValueError) as error:
        raise StoreDamaged("the sessions in the store are damaged") from error


def all_sessions(tx: Transaction, own: tuple[bytes, bytes]) -> dict[tuple[bytes, bytes], PeerSessions]:
    """Every peer device's sessions by (account id, device id), the one used last comes first. For reading only."""
    cached = tx.cache.get(_ALL)
    if isinstance(cached, dict):
        return cached
    rows = tx.all("SELECT account_id, device_id, state FROM sessions ORDER BY changed_at_ms DESC")
    found = {
        (account, device): decode_sessions(own, account, device, state) for account, device, state in rows
    }
    tx.cache[_ALL] = found
    return found


def save_sessions(
    tx: Transaction, own: tuple[bytes, bytes], changed: dict[tuple[bytes, bytes], PeerSessions], now_ms: int
) -> None:
    """Write what changed; from here on they are the ones used last."""
    known = all_sessions(tx, own)
    tx.many(
        "INSERT INTO sessions (account_id, device_id, state, changed_at_ms) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (account_id, device_id) DO UPDATE SET state = excluded.state,"
        " changed_at_ms = excluded.changed_at_ms",
        [(*key, encode_sessions(peer), now_ms) for key, peer in changed.items()],
    )
    tx.cache[_ALL] = changed | {key: peer for key, peer in known.items() if key not in changed}
