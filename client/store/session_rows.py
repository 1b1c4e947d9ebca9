"""The sessions with each peer device as rows: a versioned snapshot each, written in the transaction that changed them."""

from typing import Final

from client.errors import StoreDamaged
from crypto.errors import CryptoError
from crypto.session_snapshots import decode_sessions, encode_sessions
from crypto.sessions import PeerSessions

from .database import Transaction

_ALL: Final = "sessions"


def all_sessions(tx: Transaction, own: tuple[bytes, bytes]) -> dict[tuple[bytes, bytes], PeerSessions]:
    """Every peer device's sessions by (account id, device id), the one used last comes last. For reading only, and only
    until the next `save_sessions`, which changes this very dict: what a message costs does not grow with the contacts.

    `own` are account id and device id of this device. Raises StoreDamaged.
    """
    cached = tx.cache.get(_ALL)
    if isinstance(cached, dict):
        return cached
    found = {}
    for account, device, state in tx.all(
        "SELECT account_id, device_id, state FROM sessions ORDER BY changed_at_ms"
    ):
        try:
            sessions = decode_sessions(state, own)
        except CryptoError as error:
            raise StoreDamaged("the sessions in the store are damaged") from error
        if (sessions.account_id, sessions.device_id) != (account, device):
            raise StoreDamaged("the sessions in the store are those of another device")
        found[account, device] = sessions
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
    for key, peer in changed.items():
        known.pop(key, None)
        known[key] = peer
