"""A link's two sides as rows: the keys of a device on its way in, and what a manager has answered and still owes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from crypto.keys import IdentityKeyPair, LocalDevice, SigningKeyPair

from .database import Transaction


@dataclass(frozen=True, slots=True, eq=False)
class Joining:
    """A device that its user has confirmed, until the account's list has it; it signs its requests already."""

    origin: str
    relay_key: bytes
    local: LocalDevice = field(repr=False)
    manager_id: bytes
    """16 B: who answered."""
    made_at_ms: int

    @property
    def device_id(self) -> bytes:
        """16 B."""
        return self.local.device_id

    def sign(self, message: bytes) -> bytes:
        """64 B by the device's signing key."""
        return self.local.signing.sign(message)


def keep_joining(tx: Transaction, joining: Joining) -> None:
    """Keep it; there is one."""
    tx.run(
        "INSERT INTO joining (only_one, origin, relay_key, account_id, device_id, signing_seed, identity_seed,"
        " manager_id, made_at_ms) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)",
        joining.origin,
        joining.relay_key,
        joining.local.account_id,
        joining.device_id,
        joining.local.signing.seed,
        joining.local.identity.seed,
        joining.manager_id,
        joining.made_at_ms,
    )


def find_joining(tx: Transaction) -> Joining | None:
    """The device on its way in, if there is one."""
    row = tx.one(
        "SELECT origin, relay_key, account_id, device_id, signing_seed, identity_seed, manager_id, made_at_ms"
        " FROM joining"
    )
    if row is None:
        return None
    origin, relay_key, account_id, device_id, signing_seed, identity_seed, manager_id, made_at_ms = row
    local = LocalDevice(
        account_id=account_id,
        device_id=device_id,
        signing=SigningKeyPair.from_seed(signing_seed),
        identity=IdentityKeyPair.from_seed(identity_seed),
    )
    return Joining(origin, relay_key, local, manager_id, made_at_ms)


def forget_joining(tx: Transaction) -> None:
    """It is in, or will never be."""
    tx.run("DELETE FROM joining")


def answered_links(tx: Transaction) -> tuple[tuple[bytes, int], ...]:
    """(Hash of the request, scanned at) of what this manager answered."""
    return tuple((row[0], row[1]) for row in tx.all("SELECT request_hash, scanned_at_ms FROM answered_links"))


def keep_answered_links(tx: Transaction, answered: Sequence[tuple[bytes, int]]) -> None:
    """These and no others."""
    tx.run("DELETE FROM answered_links")
    tx.many("INSERT INTO answered_links (request_hash, scanned_at_ms) VALUES (?, ?)", answered)


def owe_hand_over(tx: Transaction, device_id: bytes, *, with_history: bool) -> None:
    """This device is linked from here and gets all that is known, and the history if the owner says so."""
    tx.run(
        "INSERT INTO hand_overs (device_id, history_due) VALUES (?, ?) ON CONFLICT (device_id) DO UPDATE SET"
        " given_at_ms = NULL, history_due = excluded.history_due",
        device_id,
        with_history,
    )


def history_is_due(tx: Transaction, device_id: bytes) -> bool:
    """Whether this device shall have the history, and was not given its keys yet."""
    return tx.one("SELECT 1 FROM hand_overs WHERE device_id = ? AND history_due = 1", device_id) is not None


def note_history_given(tx: Transaction, device_id: bytes) -> None:
    """It was given the keys."""
    tx.run("UPDATE hand_overs SET history_due = 0 WHERE device_id = ?", device_id)


def handed_over_at_ms(tx: Transaction, device_id: bytes) -> int | None:
    """When this device was last given all that is known here."""
    row = tx.one("SELECT given_at_ms FROM hand_overs WHERE device_id = ?", device_id)
    return None if row is None else row[0]


def note_hand_over(tx: Transaction, device_id: bytes, now_ms: int) -> None:
    """It was given all that is known."""
    tx.run(
        "INSERT INTO hand_overs (device_id, given_at_ms, history_due) VALUES (?, ?, 0)"
        " ON CONFLICT (device_id) DO UPDATE SET given_at_ms = excluded.given_at_ms",
        device_id,
        now_ms,
    )
