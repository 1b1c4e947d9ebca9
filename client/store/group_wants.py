"""What this device shall commit in its groups, and the one commit of a group that is under way."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import msgspec

from client.errors import StoreDamaged
from crypto.errors import CryptoError
from crypto.group_changes import Change, encode_change, parse_change
from crypto.group_epoch import EpochHandOut

from .database import Transaction

_CUT: Final = b""
"""A want without a change: nothing but a fresh epoch."""


@dataclass(frozen=True, slots=True)
class Want:
    """One change that this device shall commit; None: a cut, whatever else."""

    n: int
    change: Change | None
    not_before_ms: int


class Stage(StrEnum):
    """How far a commit is."""

    CREATING = "creating"  # the log is to be made with it
    HANDING_OUT = "handing_out"  # its secret is on the way to the devices that may commit
    SPREADING = "spreading"  # the log has it; the others get the secret, and who was added a welcome


@dataclass(frozen=True, slots=True)
class Pending:
    """A commit under way: what goes into the log, and whom it still has to be told."""

    group_id: bytes
    stage: Stage
    entry_index: int
    entry: bytes = field(repr=False)
    hand_out: EpochHandOut | None = field(repr=False)
    """Of a cut."""
    newcomers: bytes
    """Accounts (32 B each, ascending) that get a welcome: added, new to the audience, or with new devices."""
    removed: bytes
    """Accounts (32 B each) that are told that they are out."""
    before: tuple[int, ...]
    """The hidden messages that have to be with the relay before the append."""
    after: bytes
    """Of the accounts that are told in ascending order, the last one that was (32 B; empty: none)."""
    raised: bytes = b""
    """Of a broadcast group, accounts (32 B each) that listened and speak from now on."""


def add_wants(
    tx: Transaction, group_id: bytes, changes: Iterable[Change | None], not_before_ms: int = 0
) -> list[int]:
    """To be committed, not before then (ms); None: a cut. Their numbers."""
    return [
        tx.insert(
            "INSERT INTO group_wants (group_id, change, not_before_ms) VALUES (?, ?, ?)",
            group_id,
            _CUT if change is None else encode_change(change),
            not_before_ms,
        )
        for change in changes
    ]


def wants(tx: Transaction, group_id: bytes) -> list[Want]:
    """What waits to be committed, in order. Raises StoreDamaged."""
    rows = tx.all(
        "SELECT n, change, not_before_ms FROM group_wants WHERE group_id = ? AND refusal IS NULL ORDER BY n",
        group_id,
    )
    try:
        return [Want(n, parse_change(change) if change else None, at_ms) for n, change, at_ms in rows]
    except CryptoError as error:
        raise StoreDamaged("a change in the store is damaged") from error


def find_want(tx: Transaction, group_id: bytes, change: Change | None) -> int | None:
    """The number of this change (None: of the cut) if it waits to be committed."""
    row = tx.one(
        "SELECT n FROM group_wants WHERE group_id = ? AND change = ? AND refusal IS NULL",
        group_id,
        _CUT if change is None else encode_change(change),
    )
    return None if row is None else int(row[0])


def hurry_wants(tx: Transaction, numbers: Iterable[int]) -> None:
    """These wait for nothing any more."""
    tx.many("UPDATE group_wants SET not_before_ms = 0 WHERE n = ?", [(n,) for n in numbers])


def remove_wants(tx: Transaction, numbers: Iterable[int]) -> None:
    """They are committed, by whomever, or nobody needs them."""
    tx.many("DELETE FROM group_wants WHERE n = ?", [(n,) for n in numbers])


def refuse_want(tx: Transaction, n: int, reason: str) -> None:
    """It cannot be committed; kept until somebody has heard."""
    tx.run("UPDATE group_wants SET refusal = ? WHERE n = ?", reason, n)


def undecided(tx: Transaction, numbers: Iterable[int]) -> tuple[set[int], str | None]:
    """(Which of these wait still, why one of them was refused); refused ones are forgotten by that."""
    waiting: set[int] = set()
    reason = None
    for n in numbers:
        row = tx.one("SELECT refusal FROM group_wants WHERE n = ?", n)
        if row is None:
            continue
        if row[0] is None:
            waiting.add(n)
        else:
            reason = row[0]
            tx.run("DELETE FROM group_wants WHERE n = ?", n)
    return waiting, reason


def find_pending(tx: Transaction, group_id: bytes) -> Pending | None:
    """The commit under way. Raises StoreDamaged."""
    row = tx.one(
        "SELECT stage, entry_index, entry, hand_out, newcomers, removed, before, after, raised"
        " FROM group_proposals WHERE group_id = ?",
        group_id,
    )
    if row is None:
        return None
    stage, index, entry, hand_out, newcomers, removed, before, after, raised = row
    try:
        return Pending(
            group_id,
            Stage(stage),
            index,
            entry,
            None if hand_out is None else EpochHandOut.parse(hand_out),
            newcomers,
            removed,
            msgspec.msgpack.decode(before, type=tuple[int, ...]),
            after,
            raised,
        )
    except (CryptoError, msgspec.DecodeError) as error:
        raise StoreDamaged("a commit in the store is damaged") from error


def save_pending(tx: Transaction, pending: Pending) -> None:
    """This commit is under way; there is one of a group."""
    tx.run(
        "INSERT INTO group_proposals (group_id, stage, entry_index, entry, hand_out, newcomers, removed, before, after,"
        " raised) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (group_id) DO UPDATE SET stage = excluded.stage,"
        " entry_index = excluded.entry_index, entry = excluded.entry, hand_out = excluded.hand_out,"
        " newcomers = excluded.newcomers, removed = excluded.removed, before = excluded.before, after = excluded.after,"
        " raised = excluded.raised",
        pending.group_id,
        pending.stage,
        pending.entry_index,
        pending.entry,
        None if pending.hand_out is None else pending.hand_out.encode(),
        pending.newcomers,
        pending.removed,
        msgspec.msgpack.encode(pending.before),
        pending.after,
        pending.raised,
    )


def remove_pending(tx: Transaction, group_id: bytes) -> None:
    """It is done, or lost the race."""
    tx.run("DELETE FROM group_proposals WHERE group_id = ?", group_id)
