"""What this device put into the logs of groups, for a relay that comes back from a backup without it."""

from typing import Final

from crypto.limits import DAY_MS

from .database import Transaction

KEPT_MS: Final = 30 * DAY_MS
MOST_KEPT: Final = 1_000


def keep_append(tx: Transaction, log_id: bytes, index: int, request: bytes, now_ms: int) -> None:
    """The relay took this request (JSON); what is older than 30 days, or more than the newest 1,000, is forgotten."""
    tx.run(
        "INSERT INTO own_appends (log_id, log_index, request, sent_at_ms) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (log_id, log_index) DO UPDATE SET request = excluded.request",
        log_id,
        index,
        request,
        now_ms,
    )
    tx.run("DELETE FROM own_appends WHERE sent_at_ms < ?", now_ms - KEPT_MS)
    tx.run(
        "DELETE FROM own_appends WHERE rowid IN"
        " (SELECT rowid FROM own_appends ORDER BY sent_at_ms DESC, rowid DESC LIMIT -1 OFFSET ?)",
        MOST_KEPT,
    )


def own_appends(tx: Transaction) -> list[tuple[bytes, int, bytes]]:
    """(Log id, index, request), the entries of a log in their order."""
    return tx.all("SELECT log_id, log_index, request FROM own_appends ORDER BY log_id, log_index")
