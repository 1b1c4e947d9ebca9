"""Messages that disappear: when each goes, and the names of those that went. docs/protocol.md, "Disappearing messages"."""

from . import sent_contents
from .database import Transaction
from .history import COLUMNS, MessageRow, rows_of


def start_timer(tx: Transaction, n: int, from_ms: int) -> None:
    """A message that disappears goes its time after `from_ms`, or when it would go already, if that is sooner."""
    tx.run(
        "UPDATE messages SET expires_at_ms = min(coalesce(expires_at_ms, 9e18), ? + expires_after_seconds * 1000)"
        " WHERE n = ? AND expires_after_seconds > 0",
        from_ms,
        n,
    )


def next_expiry(tx: Transaction) -> int | None:
    """When the next one goes."""
    found: int | None = tx.one("SELECT min(expires_at_ms) FROM messages WHERE expires_at_ms IS NOT NULL")[0]
    return found


def due(tx: Transaction, now_ms: int, limit: int) -> list[MessageRow]:
    """Messages whose time is over."""
    return rows_of(
        tx.all(
            f"SELECT {COLUMNS} FROM messages m WHERE m.expires_at_ms <= ? ORDER BY m.expires_at_ms LIMIT ?",  # noqa: S608
            now_ms,
            limit,
        )
    )


def remove(tx: Transaction, row: MessageRow, now_ms: int) -> None:
    """The message goes with all that hangs on it; its name stays for a while."""
    tx.run(
        "INSERT INTO expired (account_id, message_id, at_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        row.account_id,
        row.message_id,
        now_ms,
    )
    sent_contents.forget_message(tx, row.n)
    tx.run("DELETE FROM messages WHERE n = ?", row.n)


def is_expired(tx: Transaction, account_id: bytes, message_id: bytes) -> bool:
    """Whether this message was here, and its time is over."""
    found = tx.one("SELECT 1 FROM expired WHERE account_id = ? AND message_id = ?", account_id, message_id)
    return found is not None


def forget_names(tx: Transaction, before_ms: int) -> None:
    """Names of messages that went before then."""
    tx.run("DELETE FROM expired WHERE at_ms < ?", before_ms)
