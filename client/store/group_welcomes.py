"""Whom this device owes a welcome to a group, because that waits for a blob of the group's state."""

from collections.abc import Iterable

from .database import Transaction


def owe_welcomes(tx: Transaction, group_id: bytes, accounts: Iterable[bytes]) -> None:
    """These (32 B each) get one as soon as the blob is there."""
    tx.many(
        "INSERT INTO group_welcomes (group_id, account_id) VALUES (?, ?) ON CONFLICT DO NOTHING",
        [(group_id, account) for account in accounts],
    )


def owed_welcomes(tx: Transaction, group_id: bytes, limit: int) -> list[bytes]:
    """Some of those who wait, ascending."""
    rows = tx.all(
        "SELECT account_id FROM group_welcomes WHERE group_id = ? ORDER BY account_id LIMIT ?",
        group_id,
        limit,
    )
    return [row[0] for row in rows]


def forget_welcomes(tx: Transaction, group_id: bytes) -> None:
    """Nobody gets one to this group any more."""
    tx.run("DELETE FROM group_welcomes WHERE group_id = ?", group_id)


def settle_welcomes(tx: Transaction, group_id: bytes, accounts: Iterable[bytes]) -> None:
    """They have one on its way, or are to get none any more."""
    tx.many(
        "DELETE FROM group_welcomes WHERE group_id = ? AND account_id = ?",
        [(group_id, account) for account in accounts],
    )
