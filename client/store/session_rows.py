"""The sessions with each peer device as rows: a versioned snapshot each, written in the transaction that changed them.

What one message costs does not grow with the contacts: nothing here walks through all sessions but the first reading, and
who has to try one after the other (`Trial`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from client.errors import StoreDamaged
from crypto.errors import CryptoError
from crypto.session_snapshots import decode_sessions, encode_sessions
from crypto.sessions import PeerSessions

from .database import Transaction

Key = tuple[bytes, bytes]
"""Account id 32 B and device id 16 B."""
_ALL: Final = "sessions"
_DEVICES: Final = "devices with sessions"


def all_sessions(tx: Transaction, own: Key) -> dict[Key, PeerSessions]:
    """Every peer device's sessions by (account id, device id), the one used last comes last. For reading only, and only
    until the next `save_sessions`, which changes this very dict.

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


def sessions_of(tx: Transaction, own: Key, account_id: bytes) -> dict[Key, PeerSessions]:
    """Those with the devices of one account. Raises StoreDamaged."""
    known, devices = all_sessions(tx, own), _devices(tx, own)
    return {(account_id, device): known[account_id, device] for device in devices.get(account_id, ())}


def _devices(tx: Transaction, own: Key) -> dict[bytes, tuple[bytes, ...]]:
    """Of each account the devices with sessions."""
    cached = tx.cache.get(_DEVICES)
    if isinstance(cached, dict):
        return cached
    found: dict[bytes, tuple[bytes, ...]] = {}
    for account, device in all_sessions(tx, own):
        found[account] = (*found.get(account, ()), device)
    tx.cache[_DEVICES] = found
    return found


def save_sessions(tx: Transaction, own: Key, changed: Mapping[Key, PeerSessions], now_ms: int) -> None:
    """Write what changed; from here on they are the ones used last."""
    known, devices = all_sessions(tx, own), _devices(tx, own)
    tx.many(
        "INSERT INTO sessions (account_id, device_id, state, changed_at_ms) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (account_id, device_id) DO UPDATE SET state = excluded.state,"
        " changed_at_ms = excluded.changed_at_ms",
        [(*key, encode_sessions(peer), now_ms) for key, peer in changed.items()],
    )
    for key, peer in changed.items():
        if known.pop(key, None) is None:
            devices[key[0]] = (*devices.get(key[0], ()), key[1])
        known[key] = peer


@dataclass(slots=True)
class Trial:
    """The sessions that one transaction opens envelopes with: those kept, and what it changed, which is written at its end."""

    known: dict[Key, PeerSessions]
    """As `all_sessions` gives them: for reading only."""
    changed: dict[Key, PeerSessions] = field(default_factory=dict)

    def find(self, key: Key) -> PeerSessions | None:
        """The sessions with this device, as they are now."""
        return self.changed.get(key) or self.known.get(key)

    def existing(self, key: Key) -> PeerSessions:
        """The sessions with a device that has some."""
        return self.changed.get(key) or self.known[key]

    def put(self, key: Key, sessions: PeerSessions) -> None:
        """They changed; they are tried first from here on."""
        self.changed.pop(key, None)
        self.changed[key] = sessions

    def newest_first(self) -> Iterator[tuple[Key, PeerSessions]]:
        """All of them, the ones used last first: who wrote last writes next."""
        yield from reversed(self.changed.items())
        for key, sessions in reversed(self.known.items()):
            if key not in self.changed:
                yield key, sessions
