"""Conversations and their messages: what the user said and was told, and what each sending device counted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from client.contents import Content
from client.message import State

from .database import Transaction

COLUMNS = (
    "m.n, m.conversation_id, m.message_id, m.account_id, m.outgoing, m.type, m.body, m.sent_at_ms,"
    " m.received_at_ms, m.state, m.refusal, m.file_path, m.file_sha256, m.hidden, m.device_id, m.content_hash,"
    " m.acted, m.deleted_at_ms, m.expires_after_seconds, m.expires_at_ms"
)
MAX_ABSENT_NOTED = 1_000  # of one device: counters that jump by a billion cost no more


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A message as it is kept."""

    n: int
    conversation_id: bytes | None
    message_id: bytes
    account_id: bytes
    outgoing: bool
    type: int
    body: bytes
    sent_at_ms: int
    received_at_ms: int | None
    state: State
    refusal: str | None
    file_path: str | None
    file_sha256: bytes | None
    hidden: bool
    device_id: bytes | None
    """16 B: its author's device. With `content_hash`, what acts on it name; None in rows from before that was kept."""
    content_hash: bytes | None
    acted: bool
    """Something was done to it."""
    deleted_at_ms: int | None
    expires_after_seconds: int
    """0: never."""
    expires_at_ms: int | None


def rows_of(rows: Iterable[Sequence[Any]]) -> list[MessageRow]:
    """Rows of COLUMNS."""
    found = []
    for row in rows:
        n, conversation, message_id, author, outgoing, kind, body, sent_at, received_at, state, *rest = row
        fields = conversation, message_id, author, bool(outgoing), kind, body, sent_at, received_at
        refusal, path, sha256, hidden, device_id, content_hash, acted, *times = rest
        found.append(
            MessageRow(
                n,
                *fields,
                State(state),
                refusal,
                path,
                sha256,
                bool(hidden),
                device_id,
                content_hash,
                bool(acted),
                *times,
            )
        )
    return found


def add_outgoing(
    tx: Transaction,
    *,
    account_id: bytes,
    message_id: bytes,
    content_type: int,
    body: bytes,
    sent_at_ms: int,
    file_path: str | None = None,
    file_sha256: bytes | None = None,
    hidden: bool = False,
    expires_after_seconds: int = 0,
) -> int:
    """A message that the user just sent, or something that no history shows; its row number."""
    return tx.insert(
        "INSERT INTO messages (message_id, account_id, outgoing, type, body, sent_at_ms, state, given, file_path,"
        " file_sha256, hidden, expires_after_seconds) VALUES (?, ?, 1, ?, ?, ?, ?, 1, ?, ?, ?, ?)",
        message_id,
        account_id,
        content_type,
        body,
        sent_at_ms,
        State.QUEUED,
        file_path,
        file_sha256,
        hidden,
        expires_after_seconds,
    )


def add_incoming(
    tx: Transaction,
    account_id: bytes,
    device_id: bytes,
    content: Content,
    hash_: bytes,
    received_at_ms: int,
    *,
    was_absent: bool,
) -> bool:
    """A message that was opened; False if it is here already (its author sent it in another envelope before).

    `hash_`: 32 B SHA-256 of the encoded content.

    One that `was_absent` stands before those that its device sent after it.
    """
    later = None
    if was_absent:
        later = tx.one(
            "SELECT coalesce(place, n) FROM messages WHERE conversation_id = ? AND device_id = ? AND counter > ?"
            " ORDER BY counter LIMIT 1",
            content.conversation_id,
            device_id,
            content.counter,
        )
    return (
        tx.run(
            "INSERT INTO messages (conversation_id, message_id, account_id, outgoing, type, body, sent_at_ms,"
            " received_at_ms, state, given, device_id, counter, place, content_hash, expires_after_seconds)"
            " VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            content.conversation_id,
            content.message_id,
            account_id,
            content.type,
            bytes(content.body),
            content.sent_at_ms,
            received_at_ms,
            State.RECEIVED,
            device_id,
            content.counter,
            None if later is None else later[0],
            hash_,
            content.expires_after_seconds,
        )
        > 0
    )


def add_copied(
    tx: Transaction, account_id: bytes, device_id: bytes, content: Content, hash_: bytes, received_at_ms: int
) -> bool:
    """A message that another own device sent; False if it is here already. `hash_` as in `add_incoming`."""
    changed = tx.run(
        "INSERT INTO messages (conversation_id, message_id, account_id, outgoing, type, body, sent_at_ms,"
        " received_at_ms, state, given, device_id, counter, content_hash, expires_after_seconds)"
        " VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        content.conversation_id,
        content.message_id,
        account_id,
        content.type,
        bytes(content.body),
        content.sent_at_ms,
        received_at_ms,
        State.ACCEPTED,
        device_id,
        content.counter,
        hash_,
        content.expires_after_seconds,
    )
    return changed > 0


def note_conversation(tx: Transaction, conversation_id: bytes, account_id: bytes) -> None:
    """There is a conversation with this account."""
    tx.run(
        "INSERT INTO conversations (id, account_id) VALUES (?, ?) ON CONFLICT DO NOTHING",
        conversation_id,
        account_id,
    )


def find(tx: Transaction, n: int) -> MessageRow | None:
    """One message by its row number."""
    rows = rows_of(tx.all(f"SELECT {COLUMNS} FROM messages m WHERE m.n = ?", n))  # noqa: S608
    return rows[0] if rows else None


def is_hidden(tx: Transaction, n: int) -> bool:
    """Whether no history shows it."""
    return tx.one("SELECT 1 FROM messages WHERE n = ? AND hidden = 1", n) is not None


def find_by_id(tx: Transaction, account_id: bytes, message_id: bytes) -> MessageRow | None:
    """One message by its author and id."""
    rows = rows_of(
        tx.all(
            f"SELECT {COLUMNS} FROM messages m WHERE m.account_id = ? AND m.message_id = ?",  # noqa: S608
            account_id,
            message_id,
        )
    )
    return rows[0] if rows else None


def find_by_message_id(tx: Transaction, message_id: bytes) -> list[MessageRow]:
    """All shown messages of this id: authors choose ids, so two may have one."""
    return rows_of(
        tx.all(f"SELECT {COLUMNS} FROM messages m WHERE m.message_id = ? AND m.hidden = 0", message_id)  # noqa: S608
    )


def of_conversation(tx: Transaction, conversation_id: bytes, limit: int | None) -> list[MessageRow]:
    """Its messages in order, each device's as it sent them; the newest `limit`."""
    rows = rows_of(
        tx.all(
            f"SELECT {COLUMNS} FROM messages m WHERE m.conversation_id = ? AND m.hidden = 0"  # noqa: S608
            " ORDER BY coalesce(m.place, m.n) DESC, coalesce(m.counter, 0) DESC, m.n DESC LIMIT ?",
            conversation_id,
            -1 if limit is None else limit,
        )
    )
    return rows[::-1]


def not_given(tx: Transaction, after: int, limit: int) -> list[MessageRow]:
    """Messages of others that no application took yet, oldest first."""
    return rows_of(
        tx.all(
            f"SELECT {COLUMNS} FROM messages m WHERE m.given = 0 AND m.n > ? ORDER BY m.n LIMIT ?",  # noqa: S608
            after,
            limit,
        )
    )


def mark_given(tx: Transaction, numbers: Iterable[int]) -> None:
    """An application took these."""
    tx.many("UPDATE messages SET given = 1 WHERE n = ?", [(n,) for n in numbers])


def set_state(tx: Transaction, numbers: Iterable[int], state: State, refusal: str | None = None) -> None:
    """Where these messages stand now."""
    tx.many("UPDATE messages SET state = ?, refusal = ? WHERE n = ?", [(state, refusal, n) for n in numbers])


def decided(tx: Transaction, numbers: Iterable[int]) -> dict[int, tuple[State, str | None]]:
    """Of these messages, (state, refusal) of those for which nothing waits any more."""
    rows = tx.all(
        "SELECT n, state, refusal FROM messages WHERE n IN (SELECT value FROM json_each(?))"
        " AND n NOT IN (SELECT message_n FROM drafts)"
        " AND n NOT IN (SELECT message_n FROM outbox WHERE NOT (is_group AND is_stuck))",
        msgspec.json.encode(list(numbers)).decode(),
    )
    return {n: (State(state), refusal) for n, state, refusal in rows}


def forget_settled_signals(tx: Transaction) -> None:
    """What no history shows, and the relay has answered for, goes."""
    tx.run(
        "DELETE FROM messages WHERE hidden = 1 AND outgoing = 1 AND n NOT IN (SELECT message_n FROM drafts)"
        " AND n NOT IN (SELECT message_n FROM outbox)"
    )


def set_encrypted(tx: Transaction, n: int, conversation_id: bytes, device_id: bytes, hash_: bytes) -> None:
    """A message that is finished for the network, by this device; its conversation and its content are known by now."""
    tx.run(
        "UPDATE messages SET conversation_id = ?, state = CASE WHEN state = ? THEN ? ELSE state END,"
        " device_id = ?, content_hash = ? WHERE n = ?",
        conversation_id,
        State.QUEUED,
        State.ENCRYPTED,
        device_id,
        hash_,
        n,
    )


def set_body(tx: Transaction, n: int, body: bytes) -> None:
    """The body of a message that is not encrypted yet."""
    tx.run("UPDATE messages SET body = ? WHERE n = ?", body, n)


def keep_file(tx: Transaction, n: int, path: str, sha256: bytes) -> None:
    """The file of this message lies here now."""
    tx.run("UPDATE messages SET file_path = ?, file_sha256 = ? WHERE n = ?", path, sha256, n)


def conversation_with(tx: Transaction, conversation_id: bytes) -> bytes | None:
    """The other account of a conversation."""
    row = tx.one("SELECT account_id FROM conversations WHERE id = ?", conversation_id)
    return None if row is None else row[0]


def own_counter(tx: Transaction, conversation_id: bytes, account_id: bytes) -> tuple[int, bytes]:
    """(Number, hash) of the last content that this device sent to this conversation; (0, b"") before the first."""
    row = tx.one("SELECT own_counter, own_hash FROM conversations WHERE id = ?", conversation_id)
    if row is None:
        tx.run("INSERT INTO conversations (id, account_id) VALUES (?, ?)", conversation_id, account_id)
        return 0, b""
    return row[0], row[1]


def set_own_counter(tx: Transaction, conversation_id: bytes, counter: int, hash_: bytes) -> None:
    """This device's last content there."""
    tx.run(
        "UPDATE conversations SET own_counter = ?, own_hash = ? WHERE id = ?", counter, hash_, conversation_id
    )


def count_incoming(
    tx: Transaction,
    account_id: bytes,
    device_id: bytes,
    content: Content,
    hash_: bytes,
    *,
    from_first: bool,
) -> bool:
    """Note the counter of a content that was opened; False if it does not follow its device's previous one.

    Numbers that were jumped over are noted as absent until they come. `from_first`: everything that the device ever
    sent to this conversation was for this device too; else the first content that is seen is the base.
    """
    place = content.conversation_id, device_id
    row = tx.one("SELECT counter, hash FROM counters WHERE conversation_id = ? AND device_id = ?", *place)
    if row is not None:
        last, last_hash = row
    elif from_first:
        last, last_hash = 0, b""
    else:
        last, last_hash = content.counter - 1, content.previous_hash
    if content.counter <= last:
        tx.run(
            "DELETE FROM absent WHERE conversation_id = ? AND device_id = ? AND counter = ?",
            *place,
            content.counter,
        )
        return True
    if content.counter > last + 1:
        noted = tx.one("SELECT count(*) FROM absent WHERE conversation_id = ? AND device_id = ?", *place)[0]
        first = max(last + 1, content.counter - (MAX_ABSENT_NOTED - noted))
        tx.many(
            "INSERT INTO absent (conversation_id, device_id, counter) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            [(*place, counter) for counter in range(first, content.counter)],
        )
    tx.run(
        "INSERT INTO counters (conversation_id, device_id, account_id, counter, hash) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (conversation_id, device_id) DO UPDATE SET counter = excluded.counter, hash = excluded.hash",
        *place,
        account_id,
        content.counter,
        hash_,
    )
    return bool(content.counter > last + 1 or content.previous_hash == last_hash)


def untold_absent(tx: Transaction) -> frozenset[object]:
    """What is absent and was not told, to be compared with what it is later."""
    return frozenset(tx.all("SELECT conversation_id, device_id, counter FROM absent WHERE told = 0"))


def tell_absent(tx: Transaction) -> list[tuple[bytes, bytes, int]]:
    """(Conversation, author, how many) of what is absent and was not told before; it counts as told now."""
    found = tx.all(
        "SELECT a.conversation_id, c.account_id, count(*) FROM absent a"
        " JOIN counters c ON c.conversation_id = a.conversation_id AND c.device_id = a.device_id"
        " WHERE a.told = 0 GROUP BY a.conversation_id, c.account_id"
    )
    if found:
        tx.run("UPDATE absent SET told = 1 WHERE told = 0")
    return [(row[0], row[1], row[2]) for row in found]
