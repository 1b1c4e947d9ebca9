"""What is kept of backups: the newest that each contact tells of, and the one that this device came back from."""

from dataclasses import dataclass, field

from .database import Transaction


@dataclass(frozen=True, slots=True)
class RestoredFrom:
    """The backup that the relay gave when this device came back from the words. `counter` 0: it had none."""

    counter: int
    made_at_ms: int
    head: bytes = field(repr=False)
    """Signed, 201 B; empty if there was no backup."""
    at_ms: int
    """When the relay was asked for it."""
    heard: int = 0
    """The highest counter of those that were heard of since."""


def keep_restored_from(tx: Transaction, restored: RestoredFrom) -> None:
    """This device came back from this one."""
    tx.run(
        "INSERT INTO restored (only_one, counter, made_at_ms, head, at_ms, heard) VALUES (1, ?, ?, ?, ?, ?)",
        restored.counter,
        restored.made_at_ms,
        restored.head,
        restored.at_ms,
        restored.heard,
    )


def find_restored_from(tx: Transaction) -> RestoredFrom | None:
    """The backup that this device came back from; None for a device that never did."""
    row = tx.one("SELECT counter, made_at_ms, head, at_ms, heard FROM restored")
    return None if row is None else RestoredFrom(*row)


def note_backup_heard(tx: Transaction, counter: int) -> None:
    """A newer one was heard of."""
    tx.run("UPDATE restored SET heard = max(heard, ?)", counter)


def backup_of(tx: Transaction, account_id: bytes) -> bytes:
    """The signed head (201 B) of the newest backup that this contact told of; empty if it told of none."""
    row = tx.one("SELECT backup FROM peers WHERE account_id = ?", account_id)
    return b"" if row is None or row[0] is None else bytes(row[0])


def keep_backup_of(tx: Transaction, account_id: bytes, head: bytes) -> None:
    """This contact told of it."""
    tx.run("UPDATE peers SET backup = ? WHERE account_id = ?", head, account_id)
