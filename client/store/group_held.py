"""What came for a group too early: envelopes without their chain or secret, and hand-outs of groups not known yet.

Bounded in number, bytes and time: docs/protocol.md, "Groups", "Messages".
"""

import hashlib
from dataclasses import dataclass, field
from typing import Final

from crypto.limits import HELD_MESSAGE_LIFETIME_MS, MAX_HELD_BYTES, MAX_HELD_MESSAGES

from .database import Transaction

MAX_PARKED: Final = 64  # of one device, for groups that are not known here
PARKED_LIFETIME_MS: Final = HELD_MESSAGE_LIFETIME_MS


def hold(
    tx: Transaction,
    envelope: bytes,
    *,
    group_id: bytes | None,
    device_id: bytes | None,
    chain_id: bytes | None,
    received_at_ms: int,
    now_ms: int,
) -> int:
    """Keep an envelope until what opens it comes; how many others had to give way (1,000 or 64 MiB of a group)."""
    tx.run(
        "INSERT INTO group_held (group_id, device_id, chain_id, digest, envelope, size_bytes, received_at_ms, held_at_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE SET group_id = excluded.group_id,"
        " device_id = excluded.device_id, chain_id = excluded.chain_id",
        group_id,
        device_id,
        chain_id,
        hashlib.sha256(envelope).digest(),
        envelope,
        len(envelope),
        received_at_ms,
        now_ms,
    )
    dropped = 0
    while True:
        count, size_bytes, oldest = tx.one(
            "SELECT count(*), coalesce(sum(size_bytes), 0), min(n) FROM group_held WHERE group_id IS ?",
            group_id,
        )
        if count <= MAX_HELD_MESSAGES and size_bytes <= MAX_HELD_BYTES:
            return dropped
        tx.run("DELETE FROM group_held WHERE n = ?", oldest)
        dropped += 1


def held_for(tx: Transaction, group_id: bytes, *, chain_id: bytes | None = None) -> list[tuple[bytes, int]]:
    """(Envelope, when it came) of what waits for this chain; without one, for anything of the group or of no known one.

    They stay until they are opened or refused: `forget_held`.
    """
    if chain_id is not None:
        where, values = "group_id = ? AND chain_id = ?", [group_id, chain_id]
    else:
        where, values = "group_id = ? OR group_id IS NULL", [group_id]
    rows = tx.all(f"SELECT envelope, received_at_ms FROM group_held WHERE {where} ORDER BY n", *values)  # noqa: S608
    return [(row[0], row[1]) for row in rows]


def last_held(tx: Transaction) -> int:
    """The number of the newest envelope that is held; 0 if none is."""
    return int(tx.one("SELECT coalesce(max(n), 0) FROM group_held")[0])


def held_for_log(tx: Transaction, group_id: bytes, up_to: int) -> list[tuple[bytes, int, bytes | None]]:
    """(Envelope, when it came, sending device) of what waits for this group's log, or any, up to a number."""
    return [
        (row[0], row[1], row[2])
        for row in tx.all(
            "SELECT envelope, received_at_ms, device_id FROM group_held WHERE chain_id IS NULL AND n <= ?"
            " AND (group_id = ? OR group_id IS NULL) ORDER BY n",
            up_to,
            group_id,
        )
    ]


def forget_held(tx: Transaction, envelope: bytes) -> None:
    """It is opened, or refused for good."""
    tx.run("DELETE FROM group_held WHERE digest = ?", hashlib.sha256(envelope).digest())


def forget_old_held(tx: Transaction, now_ms: int) -> int:
    """Give up what was held for 7 days; how many."""
    tx.run("DELETE FROM group_parked WHERE parked_at_ms <= ?", now_ms - PARKED_LIFETIME_MS)
    return tx.run("DELETE FROM group_held WHERE held_at_ms <= ?", now_ms - HELD_MESSAGE_LIFETIME_MS)


def held_count(tx: Transaction, group_id: bytes | None) -> int:
    """How many envelopes are held for a group, or of no known one."""
    return int(tx.one("SELECT count(*) FROM group_held WHERE group_id IS ?", group_id)[0])


def lacking_chains(tx: Transaction, group_id: bytes, before_ms: int) -> list[tuple[bytes, bytes]]:
    """(Device, chain) of envelopes held since before then and not asked about since: they count as asked about now."""
    rows = tx.all(
        "SELECT DISTINCT device_id, chain_id FROM group_held WHERE group_id = ? AND chain_id IS NOT NULL"
        " AND held_at_ms <= ? AND asked_at_ms <= ?",
        group_id,
        before_ms,
        before_ms,
    )
    return [(row[0], row[1]) for row in rows]


def note_chain_asked(tx: Transaction, group_id: bytes, chain_id: bytes, now_ms: int) -> None:
    """Its sender was asked for this chain."""
    tx.run(
        "UPDATE group_held SET asked_at_ms = ? WHERE group_id = ? AND chain_id = ?",
        now_ms,
        group_id,
        chain_id,
    )


@dataclass(frozen=True, slots=True)
class Parked:
    """A content that waits for its group."""

    account_id: bytes
    device_id: bytes
    content_type: int
    body: bytes = field(repr=False)


def park(tx: Transaction, group_id: bytes, parked: Parked, now_ms: int) -> None:
    """Keep it until the group is known; the oldest of a device give way."""
    tx.run(
        "INSERT INTO group_parked (group_id, account_id, device_id, type, body, parked_at_ms) VALUES (?, ?, ?, ?, ?, ?)",
        group_id,
        parked.account_id,
        parked.device_id,
        parked.content_type,
        parked.body,
        now_ms,
    )
    tx.run(
        "DELETE FROM group_parked WHERE device_id = ? AND n NOT IN"
        " (SELECT n FROM group_parked WHERE device_id = ? ORDER BY n DESC LIMIT ?)",
        parked.device_id,
        parked.device_id,
        MAX_PARKED,
    )


def take_parked(tx: Transaction, group_id: bytes, *, but: int) -> list[Parked]:
    """What waited for this group, in order; contents of the type `but` wait on."""
    rows = tx.all(
        "SELECT account_id, device_id, type, body FROM group_parked WHERE group_id = ? AND type <> ? ORDER BY n",
        group_id,
        but,
    )
    tx.run("DELETE FROM group_parked WHERE group_id = ? AND type <> ?", group_id, but)
    return [Parked(*row) for row in rows]


def parked_of_type(tx: Transaction, content_type: int) -> list[tuple[int, bytes, Parked]]:
    """(Number, group, content) of all that waits and is of this type."""
    rows = tx.all(
        "SELECT n, group_id, account_id, device_id, type, body FROM group_parked WHERE type = ? ORDER BY n",
        content_type,
    )
    return [(n, group_id, Parked(*rest)) for n, group_id, *rest in rows]


def forget_parked(tx: Transaction, n: int) -> None:
    """It waits no more."""
    tx.run("DELETE FROM group_parked WHERE n = ?", n)
