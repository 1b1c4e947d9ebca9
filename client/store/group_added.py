"""Who came into a group in the present epoch by which device: a device that has left its account lets nobody in."""

from collections.abc import Iterable

from .database import Transaction
from .peers import find_peer


def note_added(
    tx: Transaction, group_id: bytes, accounts: Iterable[bytes], by_account: bytes, by_device: bytes
) -> None:
    """A commit of this device added these."""
    tx.many(
        "INSERT INTO group_added (group_id, account_id, by_account, by_device) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (group_id, account_id) DO UPDATE SET by_account = excluded.by_account,"
        " by_device = excluded.by_device",
        [(group_id, account, by_account, by_device) for account in accounts],
    )


def forget_added(tx: Transaction, group_id: bytes) -> None:
    """There was a cut by a device that is in: whoever it left in the group is in."""
    tx.run("DELETE FROM group_added WHERE group_id = ?", group_id)


def withheld(tx: Transaction, group_id: bytes) -> frozenset[bytes]:
    """Accounts that get no chain, secret or message until the next cut: the device that added them has left its account."""
    found: set[bytes] = set()
    for by_account, by_device in tx.all(
        "SELECT DISTINCT by_account, by_device FROM group_added WHERE group_id = ?", group_id
    ):
        peer = find_peer(tx, by_account)
        if peer is None or peer.chain is None:
            continue
        if all(entry.device_id != by_device for entry in peer.chain.manifest.devices):
            rows = tx.all(
                "SELECT account_id FROM group_added WHERE group_id = ? AND by_account = ? AND by_device = ?",
                group_id,
                by_account,
                by_device,
            )
            found.update(row[0] for row in rows)
    return frozenset(found)
