"""The chains of each sending device of a group as rows, a versioned snapshot each: secret."""

from collections.abc import Iterable

from client.errors import StoreDamaged
from crypto.errors import CryptoError
from crypto.group_snapshots import decode_sender, encode_sender
from crypto.sender_chains import SenderChains

from .database import Transaction


def find_sender(tx: Transaction, group_id: bytes, device_id: bytes) -> SenderChains | None:
    """The chains of a sending device. Raises StoreDamaged."""
    key = SenderChains, group_id, device_id
    cached = tx.cache.get(key)
    if isinstance(cached, SenderChains):
        return cached
    row = tx.one("SELECT state FROM group_senders WHERE group_id = ? AND device_id = ?", group_id, device_id)
    if row is None:
        return None
    try:
        sender = decode_sender(row[0])
    except CryptoError as error:
        raise StoreDamaged("the chains of a sender in the store are damaged") from error
    tx.cache[key] = sender
    return sender


def save_sender(tx: Transaction, group_id: bytes, sender: SenderChains) -> None:
    """Its chains as they stand now."""
    tx.run(
        "INSERT INTO group_senders (group_id, device_id, account_id, state) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (group_id, device_id) DO UPDATE SET state = excluded.state",
        group_id,
        sender.device,
        sender.account,
        encode_sender(sender),
    )
    tx.cache[SenderChains, group_id, sender.device] = sender


def forget_chains(tx: Transaction, group_id: bytes, accounts: Iterable[bytes]) -> None:
    """The chains of accounts that are out open nothing any more; whose their devices are stays known."""
    for account in accounts:
        rows = tx.all(
            "SELECT device_id FROM group_senders WHERE group_id = ? AND account_id = ?", group_id, account
        )
        for (device,) in rows:
            save_sender(tx, group_id, SenderChains(account, device))
