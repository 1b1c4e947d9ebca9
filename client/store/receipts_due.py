"""Which receipts are to be given, and when each account gets its next ones."""

from collections.abc import Iterable

from .database import Transaction


def add(tx: Transaction, message_n: int, account_id: bytes, *, is_read: bool) -> bool:
    """This account is to be told of its message; False if that is due already."""
    changed = tx.run(
        "INSERT INTO receipts_due (message_n, account_id, is_read) VALUES (?, ?, ?)"
        " ON CONFLICT (message_n) DO UPDATE SET is_read = 1 WHERE is_read = 0 AND excluded.is_read = 1",
        message_n,
        account_id,
        is_read,
    )
    return changed > 0


def share(tx: Transaction, message_n: int) -> None:
    """The own other devices are to be told that this was read here."""
    tx.run("INSERT OR IGNORE INTO reads_to_share (message_n) VALUES (?)", message_n)


def take_shared(tx: Transaction, limit: int) -> list[int]:
    """The oldest of those; they are due no more."""
    rows = tx.all(
        "DELETE FROM reads_to_share WHERE message_n IN (SELECT message_n FROM reads_to_share"
        " ORDER BY message_n LIMIT ?) RETURNING message_n",
        limit,
    )
    return sorted(row[0] for row in rows)


def are_shared_left(tx: Transaction) -> bool:
    """Whether more of those are due."""
    return tx.one("SELECT 1 FROM reads_to_share LIMIT 1") is not None


def due_at(tx: Transaction, account_id: bytes) -> tuple[int | None, int]:
    """(When the next ones for this account are due, when the last ones were given; 0: never)."""
    row = tx.one("SELECT due_at_ms, sent_at_ms FROM receipt_times WHERE account_id = ?", account_id)
    return (None, 0) if row is None else (row[0], row[1])


def set_due(tx: Transaction, account_id: bytes, due_at_ms: int) -> None:
    """The next ones for this account are due then."""
    tx.run(
        "INSERT INTO receipt_times (account_id, due_at_ms) VALUES (?, ?)"
        " ON CONFLICT (account_id) DO UPDATE SET due_at_ms = excluded.due_at_ms",
        account_id,
        due_at_ms,
    )


def first_due(tx: Transaction) -> int | None:
    """When the next ones of all are due."""
    found: int | None = tx.one("SELECT min(due_at_ms) FROM receipt_times")[0]
    return found


def accounts_due(tx: Transaction, now_ms: int) -> list[bytes]:
    """The accounts whose receipts are due."""
    rows = tx.all("SELECT account_id FROM receipt_times WHERE due_at_ms <= ?", now_ms)
    return [row[0] for row in rows]


def take(tx: Transaction, account_id: bytes, limit: int) -> list[tuple[int, bool]]:
    """(Message number, whether it was read) of the oldest ones for this account; they are due no more."""
    rows = tx.all(
        "DELETE FROM receipts_due WHERE message_n IN (SELECT message_n FROM receipts_due WHERE account_id = ?"
        " ORDER BY message_n LIMIT ?) RETURNING message_n, is_read",
        account_id,
        limit,
    )
    return sorted((n, bool(is_read)) for n, is_read in rows)


def are_left(tx: Transaction, account_id: bytes) -> bool:
    """Whether more are due to this account."""
    return tx.one("SELECT 1 FROM receipts_due WHERE account_id = ? LIMIT 1", account_id) is not None


def note_given(tx: Transaction, account_id: bytes, now_ms: int, next_at_ms: int | None) -> None:
    """Some were given just now; the next ones go then, if there are any."""
    tx.run(
        "UPDATE receipt_times SET sent_at_ms = ?, due_at_ms = ? WHERE account_id = ?",
        now_ms,
        next_at_ms,
        account_id,
    )


def forget(tx: Transaction, accounts: Iterable[bytes]) -> None:
    """These are told nothing after all."""
    for account_id in accounts:
        tx.run("DELETE FROM receipts_due WHERE account_id = ?", account_id)
        tx.run("UPDATE receipt_times SET due_at_ms = NULL WHERE account_id = ?", account_id)
