"""Groups that the account is in, or was, by what another own device or a backup says; this device is not in them."""

from dataclasses import dataclass

from .database import Transaction
from .shared import group_key, note_changed


@dataclass(frozen=True, slots=True)
class Return:
    """A group to come back into. `since`: the epoch in which the account came in."""

    group_id: bytes
    since: int
    is_out: bool
    """The account is not in it any more: nobody asks."""
    noted_at_ms: int
    """When this was first looked at; 0: not yet."""
    asked_at_ms: int
    times_asked: int
    told: bool
    """The user knows that nobody can let it in."""
    refused: bool
    """A welcome came, and the relay does not open the group's log by it."""


_COLUMNS = "group_id, since, is_out, noted_at_ms, asked_at_ms, times_asked, told, refused"


def _of(row: tuple[bytes, int, int, int, int, int, int, int]) -> Return:
    group_id, since, is_out, noted_at_ms, asked_at_ms, times, told, refused = row
    return Return(group_id, since, bool(is_out), noted_at_ms, asked_at_ms, times, bool(told), bool(refused))


def find_return(tx: Transaction, group_id: bytes) -> Return | None:
    """What is noted of this group."""
    row = tx.one(f"SELECT {_COLUMNS} FROM group_returns WHERE group_id = ?", group_id)  # noqa: S608
    return None if row is None else _of(row)


def returns(tx: Transaction) -> list[Return]:
    """All that are noted, oldest first."""
    return [_of(row) for row in tx.all(f"SELECT {_COLUMNS} FROM group_returns ORDER BY rowid")]  # noqa: S608


def note_return(tx: Transaction, group_id: bytes, since: int) -> None:
    """The account is in this group, since this epoch; an older word is overruled, the same one changes nothing."""
    tx.run(
        "INSERT INTO group_returns (group_id, since) VALUES (?, ?) ON CONFLICT (group_id) DO UPDATE SET"
        " since = excluded.since, is_out = 0, noted_at_ms = 0, asked_at_ms = 0, times_asked = 0, told = 0, refused = 0"
        " WHERE excluded.since > since",
        group_id,
        since,
    )


def note_out(tx: Transaction, group_id: bytes) -> None:
    """The user does not want back in: the account is out of the group."""
    tx.run("UPDATE group_returns SET is_out = 1 WHERE group_id = ?", group_id)
    note_changed(tx, group_key(group_id))


def given_up(tx: Transaction) -> list[bytes]:
    """Groups that the user does not want back into, whose own token is at the relay still."""
    rows = tx.all(
        "SELECT r.group_id FROM group_returns r JOIN group_own_tokens t ON t.group_id = r.group_id"
        " LEFT JOIN groups g ON g.id = r.group_id WHERE r.is_out = 1 AND (g.id IS NULL OR g.status = 'out')"
    )
    return [row[0] for row in rows]


def note_looked(tx: Transaction, group_id: bytes, now_ms: int) -> None:
    """It is waited for from now on."""
    tx.run("UPDATE group_returns SET noted_at_ms = ? WHERE group_id = ?", now_ms, group_id)


def note_return_asked(tx: Transaction, group_id: bytes, now_ms: int) -> None:
    """Somebody was asked to let this device in."""
    tx.run(
        "UPDATE group_returns SET asked_at_ms = ?, times_asked = times_asked + 1 WHERE group_id = ?",
        now_ms,
        group_id,
    )


def note_return_told(tx: Transaction, group_id: bytes) -> None:
    """The user knows that nobody can let this device in."""
    tx.run("UPDATE group_returns SET told = 1 WHERE group_id = ?", group_id)


def note_refused(tx: Transaction, group_id: bytes, refused: bool) -> None:
    """Whether the relay was seen not to open the log by the welcome that was taken last."""
    tx.run("UPDATE group_returns SET refused = ? WHERE group_id = ?", refused, group_id)


def forget_return(tx: Transaction, group_id: bytes) -> None:
    """This device is in: it has read the log to its end."""
    tx.run("DELETE FROM group_returns WHERE group_id = ?", group_id)
