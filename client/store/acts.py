"""What was done to messages, as rows: reactions, edits, deletes, receipts, and acts whose message is not here yet."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from client.message_acts import ActKind

from . import facts, sent_contents
from .database import Transaction
from .history import MessageRow

MAX_WAITING_OF_ONE: Final = 500
MAX_WAITING: Final = 5_000  # of all actors; the oldest go first
MAX_EDITS: Final = 100  # of a message; of later ones the newest takes the place of the one before


@dataclass(frozen=True, slots=True)
class StoredAct:
    """One act on one message. `conversation_id`: where it came in; None for a receipt, which comes in between two."""

    kind: ActKind
    target_account: bytes
    message_id: bytes
    reference: bytes
    """32 B: what the actor takes the message for."""
    conversation_id: bytes | None
    actor: bytes
    act_id: bytes
    """16 B: with the time it decides between two acts of one account."""
    at_ms: int
    text: str | None = None


def hold(tx: Transaction, act: StoredAct) -> None:
    """Keep an act until its message comes."""
    tx.run(
        "INSERT INTO waiting_acts (kind, target_account, message_id, reference, conversation_id, actor, act_id, at_ms,"
        " text) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        act.kind,
        act.target_account,
        act.message_id,
        act.reference,
        act.conversation_id,
        act.actor,
        act.act_id,
        act.at_ms,
        act.text,
    )
    tx.run(
        "DELETE FROM waiting_acts WHERE n IN (SELECT n FROM waiting_acts WHERE actor = ? ORDER BY n DESC"
        " LIMIT -1 OFFSET ?)",
        act.actor,
        MAX_WAITING_OF_ONE,
    )
    tx.run(
        "DELETE FROM waiting_acts WHERE n IN (SELECT n FROM waiting_acts ORDER BY n DESC LIMIT -1 OFFSET ?)",
        MAX_WAITING,
    )


def take_waiting(tx: Transaction, target_account: bytes, message_id: bytes) -> list[StoredAct]:
    """The acts that waited for this message, in the order of their coming; they wait no more."""
    rows = tx.all(
        "DELETE FROM waiting_acts WHERE target_account = ? AND message_id = ? RETURNING n, kind, target_account,"
        " message_id, reference, conversation_id, actor, act_id, at_ms, text",
        target_account,
        message_id,
    )
    return [StoredAct(ActKind(kind), *rest) for _, kind, *rest in sorted(rows, key=lambda row: int(row[0]))]


def put_reaction(tx: Transaction, n: int, act: StoredAct) -> bool:
    """The actor's newest reaction counts; False if this one is not it."""
    changed = tx.run(
        "INSERT INTO reactions (message_n, account_id, act_id, at_ms, text) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (message_n, account_id) DO UPDATE SET act_id = excluded.act_id, at_ms = excluded.at_ms,"
        " text = excluded.text WHERE (excluded.at_ms, excluded.act_id) > (at_ms, act_id)",
        n,
        act.actor,
        act.act_id,
        act.at_ms,
        act.text or "",
    )
    return _note(tx, n, changed)


def put_edit(tx: Transaction, n: int, act: StoredAct) -> bool:
    """A later form of a text; False if it is here already."""
    changed = tx.run(
        "INSERT INTO edits (message_n, at_ms, act_id, text) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        n,
        act.at_ms,
        act.act_id,
        act.text or "",
    )
    tx.run(
        "DELETE FROM edits WHERE message_n = ?1 AND (at_ms, act_id) IN (SELECT at_ms, act_id FROM edits"
        " WHERE message_n = ?1 ORDER BY at_ms DESC, act_id DESC LIMIT -1 OFFSET ?2)",
        n,
        MAX_EDITS,
    )
    return _note(tx, n, changed)


def put_receipt(tx: Transaction, n: int, account_id: bytes, at_ms: int, *, is_read: bool) -> bool:
    """This account has the message, or has read it, since then; False if that was known."""
    changed = tx.run(
        "INSERT INTO receipts (message_n, account_id, delivered_at_ms, read_at_ms) VALUES (?1, ?2, ?3, ?4)"
        " ON CONFLICT (message_n, account_id) DO UPDATE SET"
        " delivered_at_ms = coalesce(delivered_at_ms, excluded.delivered_at_ms),"
        " read_at_ms = coalesce(read_at_ms, excluded.read_at_ms)"
        " WHERE (delivered_at_ms IS NULL AND excluded.delivered_at_ms IS NOT NULL)"
        " OR (read_at_ms IS NULL AND excluded.read_at_ms IS NOT NULL)",
        n,
        account_id,
        at_ms,
        at_ms if is_read else None,
    )
    return _note(tx, n, changed)


def _note(tx: Transaction, n: int, changed: int) -> bool:
    if changed:
        tx.run("UPDATE messages SET acted = 1 WHERE n = ?", n)
    return changed > 0


def wipe(tx: Transaction, n: int, at_ms: int, by: bytes) -> bool:
    """What a message said goes from the store; that there was one stays. False if it was gone before.

    This is the one place where a shown message loses its content: whatever is made from contents goes here too.
    """
    with_file = tx.one("SELECT 1 FROM messages WHERE n = ? AND outgoing = 0 AND file_path IS NOT NULL", n)
    if with_file is not None:
        facts.set_number(tx, facts.FILES_ARE_LEFT, 1)
    changed = tx.run(
        "UPDATE messages SET body = x'', file_path = NULL, file_sha256 = NULL, deleted_at_ms = ?, deleted_by = ?, acted = 1"
        " WHERE n = ? AND deleted_at_ms IS NULL",
        at_ms,
        by,
        n,
    )
    sent_contents.forget_message(tx, n)
    tx.run("DELETE FROM edits WHERE message_n = ?", n)
    tx.run("DELETE FROM reactions WHERE message_n = ?", n)
    return changed > 0


def reactions(tx: Transaction, n: int) -> list[tuple[bytes, str, int]]:
    """(Account, emoji, since when) of the reactions that were not taken back, the oldest first."""
    return [
        (account, text, at_ms)
        for account, text, at_ms in tx.all(
            "SELECT account_id, text, at_ms FROM reactions WHERE message_n = ? AND text <> ''"
            " ORDER BY at_ms, account_id",
            n,
        )
    ]


def edits(tx: Transaction, n: int) -> list[tuple[str, int]]:
    """(Text, when) of the later forms, the newest last: that one counts."""
    return [
        (text, at_ms)
        for text, at_ms in tx.all(
            "SELECT text, at_ms FROM edits WHERE message_n = ? ORDER BY at_ms, act_id", n
        )
    ]


def receipts(tx: Transaction, n: int) -> list[tuple[bytes, int | None, int | None]]:
    """(Account, delivered since, read since) of a message."""
    return [
        (account, delivered, read)
        for account, delivered, read in tx.all(
            "SELECT account_id, delivered_at_ms, read_at_ms FROM receipts WHERE message_n = ?"
            " ORDER BY delivered_at_ms, account_id",
            n,
        )
    ]


def is_read_by(tx: Transaction, n: int, account_id: bytes) -> bool:
    """Whether this account has read the message."""
    found = tx.one(
        "SELECT 1 FROM receipts WHERE message_n = ? AND account_id = ? AND read_at_ms IS NOT NULL",
        n,
        account_id,
    )
    return found is not None


def next_act_ms(tx: Transaction, row: MessageRow, actor: bytes, now_ms: int) -> int:
    """The time for a new act of this account on the message: after all of its earlier ones, whatever the clock says."""
    last = tx.one(
        "SELECT max(at_ms) FROM (SELECT at_ms FROM reactions WHERE message_n = ?1 AND account_id = ?2"
        " UNION ALL SELECT at_ms FROM edits WHERE message_n = ?1)",
        row.n,
        actor,
    )[0]
    return now_ms if last is None else max(now_ms, last + 1)


def count_refused(tx: Transaction) -> None:
    """An act of the wrong hand, or on something else than it says."""
    facts.add_one(tx, facts.REFUSED_ACTS)


def without_content(tx: Transaction, numbers: Iterable[int]) -> set[int]:
    """Those of these row numbers whose message was deleted, or is not here at all."""
    asked = set(numbers)
    there = tx.all(
        "SELECT n FROM messages WHERE deleted_at_ms IS NULL AND n IN (SELECT value FROM json_each(?))",
        msgspec.json.encode(sorted(asked)).decode(),
    )
    return asked - {row[0] for row in there}
