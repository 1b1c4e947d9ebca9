"""Contents that a device's count says are missing: which of them to ask for, when, and which are gone for good."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from client.contents import Content

from .database import Transaction

ASK_EVERY_MS: Final = 600_000
ANSWER_EVERY_MS: Final = 60_000
MAX_ASKED: Final = 3  # times, for one content
MAX_COUNTERS: Final = 256  # in one request


@dataclass(frozen=True, slots=True)
class Lacking:
    """What is missing of one device in one conversation."""

    conversation_id: bytes
    account_id: bytes
    device_id: bytes
    counters: tuple[int, ...]


def times_asked(tx: Transaction, device_id: bytes, content: Content) -> int | None:
    """How often this content was asked for; None if it was not missing."""
    row = tx.one(
        "SELECT asked FROM absent WHERE conversation_id = ? AND device_id = ? AND counter = ?",
        content.conversation_id,
        device_id,
        content.counter,
    )
    return None if row is None else row[0]


_TO_ASK: Final = (
    " FROM absent a JOIN counters c ON c.conversation_id = a.conversation_id AND c.device_id = a.device_id"
    # Of conversations of two: in groups nothing is given again.
    " JOIN conversations v ON v.id = a.conversation_id AND v.account_id = c.account_id"
    " LEFT JOIN peers p ON p.account_id = c.account_id"
    " LEFT JOIN resend_times t ON t.account_id = c.account_id AND t.device_id = a.device_id"
    " WHERE a.told = 1 AND a.gone = 0 AND a.asked < ? AND (c.account_id = ?"
    " OR (p.accepted = 1 AND p.token IS NOT NULL AND p.fork IS NULL))"
)


def next_ask(tx: Transaction, own_account: bytes) -> int | None:
    """When a device of a contact (or an own one) may be asked next for what was told as missing; None: nothing is to be."""
    found: int | None = tx.one(
        f"SELECT min(CASE WHEN t.asked_at_ms > 0 THEN t.asked_at_ms + ? ELSE 0 END){_TO_ASK}",
        ASK_EVERY_MS,
        MAX_ASKED,
        own_account,
    )[0]
    return found


def to_ask(tx: Transaction, own_account: bytes, now_ms: int) -> list[Lacking]:
    """What to ask for now, the newest of each conversation and device; it counts as asked."""
    places = tx.all(
        f"SELECT DISTINCT a.conversation_id, c.account_id, a.device_id{_TO_ASK}"
        " AND coalesce(t.asked_at_ms, 0) + ? <= ?",
        MAX_ASKED,
        own_account,
        ASK_EVERY_MS,
        now_ms,
    )
    found = []
    for conversation_id, account_id, device_id in places:
        rows = tx.all(
            "UPDATE absent SET asked = asked + 1 WHERE conversation_id = ?1 AND device_id = ?2 AND counter IN"
            " (SELECT counter FROM absent WHERE conversation_id = ?1 AND device_id = ?2 AND told = 1 AND gone = 0"
            " AND asked < ?3 ORDER BY counter DESC LIMIT ?4) RETURNING counter",
            conversation_id,
            device_id,
            MAX_ASKED,
            MAX_COUNTERS,
        )
        _note(tx, account_id, device_id, "asked_at_ms", now_ms)
        found.append(Lacking(conversation_id, account_id, device_id, tuple(sorted(row[0] for row in rows))))
    return found


def may_answer(tx: Transaction, account_id: bytes, device_id: bytes, now_ms: int) -> bool:
    """Whether this device may be answered now; if so, it counts as answered."""
    row = tx.one(
        "SELECT answered_at_ms FROM resend_times WHERE account_id = ? AND device_id = ?",
        account_id,
        device_id,
    )
    if row is not None and row[0] <= now_ms < row[0] + ANSWER_EVERY_MS:
        return False
    _note(tx, account_id, device_id, "answered_at_ms", now_ms)
    return True


def _note(tx: Transaction, account_id: bytes, device_id: bytes, column: str, now_ms: int) -> None:
    tx.run(
        f"INSERT INTO resend_times (account_id, device_id, {column}) VALUES (?, ?, ?)"  # noqa: S608  # names of this file
        f" ON CONFLICT (account_id, device_id) DO UPDATE SET {column} = excluded.{column}",
        account_id,
        device_id,
        now_ms,
    )


def mark_gone(tx: Transaction, conversation_id: bytes, device_id: bytes, counters: Iterable[int]) -> int:
    """The device says that it cannot give these any more; how many of them were missing and not known to be gone."""
    return sum(
        tx.run(
            "UPDATE absent SET gone = 1, told = 1 WHERE conversation_id = ? AND device_id = ? AND counter = ?"
            " AND gone = 0",
            conversation_id,
            device_id,
            counter,
        )
        for counter in set(counters)
    )
