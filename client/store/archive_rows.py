"""Messages on their way into the history archive and out of it, as rows; how far its log was read; its keys."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from client.message import State
from crypto.history_archive import HistoryKey
from crypto.limits import MAX_HISTORY_KEYS

from .database import Transaction

_DUE: Final = (
    "FROM messages m WHERE m.archived_index < ? AND m.hidden = 0 AND m.expires_after_seconds = 0"
    f" AND m.state IN ('{State.ACCEPTED}', '{State.RECEIVED}') AND m.conversation_id IS NOT NULL"
)
_SINCE: Final = f"SELECT max(coalesce(m.received_at_ms, m.sent_at_ms), m.acted_at_ms) AS since {_DUE}"
_IMPORTED: Final = -(2**54)
"""`counter` of what came from the archive is its order from here on: below all that devices count."""


@dataclass(frozen=True, slots=True)
class DueRow:
    """A message that the archive does not have as it is now."""

    n: int
    conversation_id: bytes
    account_id: bytes
    message_id: bytes
    device_id: bytes | None
    content_hash: bytes | None
    type: int
    body: bytes = field(repr=False)
    sent_at_ms: int
    received_at_ms: int | None
    deleted_at_ms: int | None
    deleted_by: bytes | None
    acted: int
    acted_at_ms: int
    order_ms: int | None


_DUE_COLUMNS: Final = (
    "m.n, m.conversation_id, m.account_id, m.message_id, m.device_id, m.content_hash, m.type, m.body, m.sent_at_ms,"
    " m.received_at_ms, m.deleted_at_ms, m.deleted_by, m.acted, m.acted_at_ms, m.order_ms"
)


@dataclass(frozen=True, slots=True)
class LogPosition:
    """What this device knows of the archive's log."""

    next_index: int
    """Read up to here, or written."""
    last_hash: bytes
    """SHA-256 of the entry before; empty: not known."""
    begins_at: int
    floor: int
    """What was archived below this is due again."""
    rewriting_from: int | None = None
    rewritten_at_ms: int = 0
    emptied: int = 0
    """How many messages were deleted whose content older entries hold."""
    lacks_key: bool = False
    """Some entry was sealed with a key that was not here."""
    restored: int = 0
    """How many messages came from the log that the user was not told of yet."""
    newest_ms: int = 0


# Messages to be written


def due(tx: Transaction, floor: int, limit: int) -> list[DueRow]:
    """Messages that the log does not have from `floor` on, as they are now; each with its order in its conversation."""
    rows = tx.all(f"SELECT {_DUE_COLUMNS} {_DUE} ORDER BY m.archived_index, m.n LIMIT ?", floor, limit)
    return [_ordered(tx, DueRow(*row)) for row in rows]


def oldest_due_ms(tx: Transaction, floor: int, limit: int, now_ms: int) -> int | None:
    """Since when the message waits that waits longest, of the first `limit`; None if nothing is due.

    When one came is what the relay says: one from the future waits since ever, or a lie would keep it out for good.
    """
    found: int | None = tx.one(
        f"SELECT min(CASE WHEN since > ? THEN 0 ELSE since END)"  # noqa: S608
        f" FROM ({_SINCE} ORDER BY m.archived_index, m.n LIMIT ?)",
        now_ms,
        floor,
        limit,
    )[0]
    return found


def _ordered(tx: Transaction, row: DueRow) -> DueRow:
    """Its order: its time, but never before the message that stands before it. Clocks of two sides may differ."""
    if row.order_ms is not None:
        return row
    before = tx.one(
        "SELECT coalesce(order_ms, received_at_ms, sent_at_ms) FROM messages WHERE conversation_id = ?1 AND hidden = 0"
        " AND coalesce(place, n) < (SELECT coalesce(place, n) FROM messages WHERE n = ?2)"
        " ORDER BY coalesce(place, n) DESC, coalesce(counter, 0) DESC, n DESC LIMIT 1",
        row.conversation_id,
        row.n,
    )
    own_ms = row.sent_at_ms if row.received_at_ms is None else row.received_at_ms
    order_ms = own_ms if before is None else max(own_ms, before[0])
    tx.run("UPDATE messages SET order_ms = ? WHERE n = ?", order_ms, row.n)
    return replace(row, order_ms=order_ms)


def edits_of(tx: Transaction, n: int) -> list[tuple[bytes, int, str]]:
    """(Act id, when, text) of the later forms."""
    return [
        (act_id, at_ms, text)
        for act_id, at_ms, text in tx.all(
            "SELECT act_id, at_ms, text FROM edits WHERE message_n = ? ORDER BY at_ms, act_id", n
        )
    ]


def reactions_of(tx: Transaction, n: int) -> list[tuple[bytes, bytes, int, str]]:
    """(Account, act id, when, text) of the newest reaction of each, also those that were taken back."""
    return [
        (account_id, act_id, at_ms, text)
        for account_id, act_id, at_ms, text in tx.all(
            "SELECT account_id, act_id, at_ms, text FROM reactions WHERE message_n = ? ORDER BY account_id", n
        )
    ]


def note_archived(tx: Transaction, index: int, messages: Iterable[tuple[int, int]]) -> None:
    """The entry of this index has all of these, as they were: (row number, `acted_at_ms`)."""
    tx.many(
        "UPDATE messages SET archived_index = ? WHERE n = ? AND acted_at_ms = ?",
        [(index, n, acted_at_ms) for n, acted_at_ms in messages],
    )


def note_acted(tx: Transaction, n: int, now_ms: int, *, is_deleted: bool) -> None:
    """Something was done to a message: what the archive has of it is not all any more."""
    if is_deleted:
        tx.run(
            "UPDATE history_log SET emptied = emptied + 1 WHERE EXISTS"
            " (SELECT 1 FROM messages WHERE n = ? AND archived_index >= floor)",
            n,
        )
    tx.run(
        "UPDATE messages SET archived_index = -1, acted_at_ms = max(acted_at_ms + 1, ?) WHERE n = ?",
        now_ms,
        n,
    )


def note_lost(tx: Transaction, from_index: int) -> None:
    """The log does not have the entries from here on, though it had."""
    tx.run(
        "UPDATE messages SET archived_index = -1 WHERE archived_index >= ? AND hidden = 0 AND expires_after_seconds = 0",
        from_index,
    )


def counts(tx: Transaction, floor: int) -> tuple[int, int]:
    """(How many messages the log has, how many wait for it)."""
    archived = tx.one(
        "SELECT count(*) FROM messages WHERE archived_index >= ? AND hidden = 0 AND expires_after_seconds = 0",
        floor,
    )[0]
    return int(archived), int(tx.one(f"SELECT count(*) {_DUE}", floor)[0])


# Messages that come from the log


def add_archived(
    tx: Transaction,
    *,
    conversation_id: bytes,
    account_id: bytes,
    message_id: bytes,
    device_id: bytes | None,
    content_hash: bytes | None,
    content_type: int,
    body: bytes,
    sent_at_ms: int,
    received_at_ms: int | None,
    order_ms: int,
    is_own: bool,
) -> int | None:
    """A message of before, which is not given out as new; its row number, None if it is here already.

    It stands where its order says: before the first message of its conversation that has a later one.
    """
    later = tx.one(
        "SELECT coalesce(place, n) FROM messages WHERE conversation_id = ? AND hidden = 0"
        " AND coalesce(order_ms, received_at_ms, sent_at_ms) > ?"
        " ORDER BY coalesce(order_ms, received_at_ms, sent_at_ms) LIMIT 1",
        conversation_id,
        order_ms,
    )
    changed = tx.run(
        "INSERT INTO messages (conversation_id, message_id, account_id, outgoing, type, body, sent_at_ms,"
        " received_at_ms, state, given, device_id, counter, place, content_hash, order_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        conversation_id,
        message_id,
        account_id,
        is_own,
        content_type,
        body,
        sent_at_ms,
        received_at_ms,
        State.ACCEPTED if is_own else State.RECEIVED,
        device_id,
        _IMPORTED + order_ms,
        None if later is None else later[0],
        content_hash,
        order_ms,
    )
    if not changed:
        return None
    return int(
        tx.one("SELECT n FROM messages WHERE account_id = ? AND message_id = ?", account_id, message_id)[0]
    )


# The log


def log_position(tx: Transaction) -> LogPosition | None:
    """How far the log was read; None before the first look."""
    row = tx.one(
        "SELECT next_index, last_hash, begins_at, floor, rewriting_from, rewritten_at_ms, emptied, lacks_key, restored, newest_ms"
        " FROM history_log"
    )
    if row is None:
        return None
    at = LogPosition(*row)
    return replace(at, lacks_key=bool(at.lacks_key))


def save_position(tx: Transaction, at: LogPosition) -> None:
    """Keep it."""
    tx.run(
        "INSERT OR REPLACE INTO history_log (only_one, next_index, last_hash, begins_at, floor, rewriting_from, rewritten_at_ms,"
        " emptied, lacks_key, restored, newest_ms) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        at.next_index,
        at.last_hash,
        at.begins_at,
        at.floor,
        at.rewriting_from,
        at.rewritten_at_ms,
        at.emptied,
        at.lacks_key,
        at.restored,
        at.newest_ms,
    )


def read_anew(tx: Transaction) -> None:
    """A key has come: what was passed over for the lack of one is read again."""
    tx.run(
        "UPDATE history_log SET next_index = begins_at, last_hash = x'', lacks_key = 0 WHERE lacks_key = 1"
    )


def forget_log(tx: Transaction) -> None:
    """The archive is off: nothing is known of its log, and no key of it."""
    tx.run("DELETE FROM history_log")
    tx.run("DELETE FROM history_keys")


# Keys


def history_keys(tx: Transaction) -> list[HistoryKey]:
    """The keys, the newest first: that one seals."""
    rows = tx.all("SELECT key, made_at_ms FROM history_keys ORDER BY made_at_ms DESC, key DESC")
    return [HistoryKey(*row) for row in rows]


def save_history_keys(tx: Transaction, keys: Iterable[HistoryKey]) -> bool:
    """Keep these too; whether one is new. Beyond a number the oldest go."""
    before = tx.one("SELECT count(*) FROM history_keys")[0]
    tx.many(
        "INSERT INTO history_keys (key, made_at_ms) VALUES (?, ?) ON CONFLICT DO NOTHING",
        [(one.key, one.made_at_ms) for one in keys],
    )
    is_new = bool(tx.one("SELECT count(*) FROM history_keys")[0] > before)
    tx.run(
        "DELETE FROM history_keys WHERE key IN (SELECT key FROM history_keys ORDER BY made_at_ms DESC, key DESC"
        " LIMIT -1 OFFSET ?)",
        MAX_HISTORY_KEYS,
    )
    return is_new
