"""Contents that this device sent, as they were encrypted, and for which devices; bounded in number, bytes and age."""

from collections.abc import Iterable
from typing import Final

from crypto.limits import DAY_MS
from relay.wire.limits import DEVICE_ID_BYTES

from .database import Transaction

KEPT_MS: Final = 30 * DAY_MS
"""As long as an envelope waits in a mailbox."""
MAX_KEPT: Final = 1_000  # of a conversation, the newest
MAX_KEPT_BYTES: Final = 67_108_864  # of all; the oldest go first
MAX_RESENT: Final = 8  # times that one content goes out again


def keep(
    tx: Transaction,
    conversation_id: bytes,
    counter: int,
    hash_: bytes,
    content: bytes,
    message_n: int,
    now_ms: int,
) -> None:
    """A content that was just counted; `add_devices` says for whom it is."""
    tx.run(
        "INSERT INTO sent_contents (conversation_id, counter, hash, message_n, content, devices, made_at_ms)"
        " VALUES (?, ?, ?, ?, ?, x'', ?)",
        conversation_id,
        counter,
        hash_,
        message_n,
        content,
        now_ms,
    )
    tx.run(
        "DELETE FROM sent_contents WHERE conversation_id = ? AND counter <= ?",
        conversation_id,
        counter - MAX_KEPT,
    )


def add_devices(tx: Transaction, hash_: bytes, devices: Iterable[bytes]) -> None:
    """The content was encrypted for these devices too."""
    tx.run(
        "UPDATE sent_contents SET devices = CAST(devices || ? AS BLOB) WHERE hash = ?",
        b"".join(devices),
        hash_,
    )


def find_for(tx: Transaction, conversation_id: bytes, counter: int, device_id: bytes) -> bytes | None:
    """The content of this number, if it is here and was for this device, and did not go out again too often."""
    row = tx.one(
        "SELECT content, devices FROM sent_contents WHERE conversation_id = ? AND counter = ? AND resent < ?",
        conversation_id,
        counter,
        MAX_RESENT,
    )
    if row is None:
        return None
    content, devices = row
    addressed = {devices[at : at + DEVICE_ID_BYTES] for at in range(0, len(devices), DEVICE_ID_BYTES)}
    return content if device_id in addressed else None


def note_resent(tx: Transaction, conversation_id: bytes, counter: int) -> None:
    """It goes out once more."""
    tx.run(
        "UPDATE sent_contents SET resent = resent + 1 WHERE conversation_id = ? AND counter = ?",
        conversation_id,
        counter,
    )


def forget_message(tx: Transaction, message_n: int) -> None:
    """What a message said goes here, too."""
    tx.run("DELETE FROM sent_contents WHERE message_n = ?", message_n)


def forget_old(tx: Transaction, now_ms: int) -> None:
    """Remove what is too old, and the oldest of what is too much."""
    tx.run("DELETE FROM sent_contents WHERE made_at_ms < ?", now_ms - KEPT_MS)
    kept = tx.one("SELECT coalesce(sum(length(content)), 0) FROM sent_contents")[0]
    if kept <= MAX_KEPT_BYTES:
        return
    tx.run(
        "DELETE FROM sent_contents WHERE rowid IN (SELECT rowid FROM (SELECT rowid, sum(length(content))"
        " OVER (ORDER BY made_at_ms DESC, rowid DESC) AS newer FROM sent_contents) WHERE newer > ?)",
        MAX_KEPT_BYTES,
    )
