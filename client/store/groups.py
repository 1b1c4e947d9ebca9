"""Groups as rows: what this device knows of each, and when it is to be looked at next.

Views are snapshots of crypto, decoded once and cached. Knows nothing of what is in a state but who its members are.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from client.errors import StoreDamaged
from crypto.errors import CryptoError
from crypto.group_epoch import EpochKeys
from crypto.group_log import GroupView
from crypto.group_snapshots import decode_view, encode_view
from crypto.group_state import GroupState
from crypto.limits import MAX_KEPT_STEPS

from .database import Transaction
from .peers import AUDIENCES
from .shared import group_key, note_changed

NEVER_MS: Final = 2**53
_EPOCHS: Final = "group epochs"
_IDS: Final = "group ids"
_EARLIER: Final = "earlier epochs"
_MAX_DERIVED: Final = 2 * MAX_KEPT_STEPS  # keys that stay derived


class Status(StrEnum):
    """Where this device stands in a group."""

    CREATING = "creating"  # the log is not at the relay yet
    MEMBER = "member"
    BEHIND = "behind"  # the log no longer has the entry to read next: a welcome is needed
    TOO_NEW = "too_new"  # the group uses what this build does not know
    OUT = "out"  # removed, or left


@dataclass(frozen=True, slots=True, eq=False)
class GroupRow:
    """One group."""

    group_id: bytes
    status: Status
    view: GroupView = field(repr=False)
    read_token: bytes = field(repr=False)
    """32 B: what the log asks of readers in the present epoch, as far as it is known."""
    due_at_ms: int
    read_at_ms: int
    """When the log was last read to its end."""
    missing_since_ms: int | None
    """Since when the present epoch's secret has not come."""
    secret_at_ms: int
    """When a secret came last."""
    cut_read_at_ms: int
    """When this device read the cut of the present epoch."""
    cut_is_own: bool
    """This device made it."""
    asked_at_ms: int
    """When it last asked others for what it lacks."""
    list_told: int
    """The version of the own device list that those who may commit were told of."""
    left_since: int
    """Of a group that this account is out of: the epoch since which it had been in; 0 if that is not known."""


_COLUMNS: Final = (
    "status, read_token, due_at_ms, read_at_ms, missing_since_ms, secret_at_ms, cut_read_at_ms, cut_is_own, asked_at_ms,"
    " list_told, left_since"
)


def find_group(tx: Transaction, group_id: bytes) -> GroupRow | None:
    """The group of this id. Raises StoreDamaged."""
    row = tx.one(f"SELECT {_COLUMNS} FROM groups WHERE id = ?", group_id)  # noqa: S608
    if row is None:
        return None
    (
        status,
        read_token,
        due,
        read_at,
        missing_since,
        secret_at,
        cut_at,
        cut_is_own,
        asked_at,
        list_told,
        left_since,
    ) = row
    return GroupRow(
        group_id,
        Status(status),
        _view(tx, group_id),
        read_token,
        due,
        read_at,
        missing_since,
        secret_at,
        cut_at,
        bool(cut_is_own),
        asked_at,
        list_told,
        left_since,
    )


def _view(tx: Transaction, group_id: bytes) -> GroupView:
    cached = tx.cache.get((GroupView, group_id))
    if isinstance(cached, GroupView):
        return cached
    snapshot = tx.one("SELECT view FROM groups WHERE id = ?", group_id)[0]
    try:
        view = decode_view(snapshot)
    except CryptoError as error:
        raise StoreDamaged("a group in the store is damaged") from error
    tx.cache[GroupView, group_id] = view
    return view


def group_ids(tx: Transaction) -> tuple[bytes, ...]:
    """All groups that are known here, also those that this account has left."""
    cached = tx.cache.get(_IDS)
    if not isinstance(cached, tuple):
        cached = tx.cache[_IDS] = tuple(row[0] for row in tx.all("SELECT id FROM groups ORDER BY rowid"))
    return cached


def is_group(tx: Transaction, group_id: bytes) -> bool:
    """Whether this id is a group that is known here."""
    return group_id in group_ids(tx)


def save_view(tx: Transaction, view: GroupView, *, status: Status | None = None) -> None:
    """What is known of the group now; a group that was not known becomes known."""
    group_id = view.state.group_id
    before = find_group(tx, group_id)
    snapshot = encode_view(view)
    if before is None:
        tx.run(
            "INSERT INTO groups (id, status, view, due_at_ms) VALUES (?, ?, ?, 0)",
            group_id,
            status or Status.MEMBER,
            snapshot,
        )
        tx.cache.pop(_IDS, None)
    else:
        tx.run(
            "UPDATE groups SET view = ?, status = ? WHERE id = ?", snapshot, status or before.status, group_id
        )
    tx.cache[GroupView, group_id] = view
    tx.cache.pop(_EPOCHS, None)
    for keys in view.epochs:
        if (keys.epoch, keys.step) == (view.state.epoch, 0):
            note_read_token(tx, group_id, keys.read_token)
    if before is None or before.view.state is not view.state:
        _save_members(tx, None if before is None else before.view.state, view.state)
        note_changed(tx, group_key(group_id))  # its name, and who may commit
        tx.cache.pop(AUDIENCES, None)


def _save_members(tx: Transaction, before: GroupState | None, now: GroupState) -> None:
    """Bring the members' rows from one state to the next: what is the same is neither read nor written."""
    known = before.by_account if before else {}
    tx.many(
        "DELETE FROM group_members WHERE group_id = ? AND account_id = ?",
        [(now.group_id, account) for account in known.keys() - now.by_account.keys()],
    )
    changed = [member for member in now.members if known.get(member.account) is not member]
    tx.many(
        "INSERT INTO group_members (group_id, account_id, hears) VALUES (?, ?, ?)"
        " ON CONFLICT (group_id, account_id) DO UPDATE SET hears = excluded.hears",
        [(now.group_id, member.account, member.hears) for member in changed],
    )


def set_status(tx: Transaction, group_id: bytes, status: Status) -> None:
    """Where this device stands there."""
    tx.run("UPDATE groups SET status = ? WHERE id = ?", status, group_id)


def note_left(tx: Transaction, group_id: bytes, since: int) -> None:
    """This account, in since this epoch, is out."""
    tx.run(
        "UPDATE groups SET status = ?, left_since = max(left_since, ?) WHERE id = ?",
        Status.OUT,
        since,
        group_id,
    )


def names_of_members(tx: Transaction, group_id: bytes) -> dict[bytes, str]:
    """How to call the members that have a name here, by account: as `Peer.name` says it."""
    rows = tx.all(
        "SELECT m.account_id, coalesce(nullif(p.handle, ''), p.claimed) AS name FROM group_members m JOIN peers p"
        " ON p.account_id = m.account_id WHERE m.group_id = ? AND nullif(name, '') IS NOT NULL",
        group_id,
    )
    return dict(rows)


def groups_of(tx: Transaction, account_id: bytes) -> list[bytes]:
    """The groups whose newest state lists this account."""
    return [row[0] for row in tx.all("SELECT group_id FROM group_members WHERE account_id = ?", account_id)]


def all_epochs(tx: Transaction) -> list[EpochKeys]:
    """The keys of all epochs of all groups: the newest of each group first, then the second newest, and so on."""
    cached = tx.cache.get(_EPOCHS)
    if isinstance(cached, list):
        return cached
    ranked = [
        (rank, keys) for group_id in group_ids(tx) for rank, keys in enumerate(_view(tx, group_id).epochs)
    ]
    found = [keys for _, keys in sorted(ranked, key=lambda one: one[0])]
    tx.cache[_EPOCHS] = found
    return found


def earlier_epochs(tx: Transaction) -> Iterator[EpochKeys]:
    """After those, of broadcast groups: keys of steps, the newest of each group first; derived when they are asked for."""
    kept: dict[tuple[bytes, int], EpochKeys] = tx.cache.setdefault(_EARLIER, {})
    for group_id in group_ids(tx):
        for steps in _view(tx, group_id).earlier:
            for given in steps.hand_outs():
                place = given.cut_hash, given.step
                if place not in kept:
                    if len(kept) >= _MAX_DERIVED:
                        kept.clear()
                    kept[place] = given.keys()
                yield kept[place]


def note_read_token(tx: Transaction, group_id: bytes, token: bytes) -> None:
    """This 32 B token reads the log in the present epoch."""
    tx.run("UPDATE groups SET read_token = ?1 WHERE id = ?2 AND read_token <> ?1", token, group_id)


# When to look at a group. A row holds the whole state: what is so already is not written again.


def make_due(tx: Transaction, group_id: bytes, at_ms: int = 0) -> None:
    """Look at it no later than then (ms); at once by default."""
    tx.run("UPDATE groups SET due_at_ms = ?1 WHERE id = ?2 AND due_at_ms > ?1", at_ms, group_id)


def due_groups(tx: Transaction, now_ms: int) -> list[bytes]:
    """Those to be looked at now."""
    return [row[0] for row in tx.all("SELECT id FROM groups WHERE due_at_ms <= ? ORDER BY rowid", now_ms)]


def take_due(tx: Transaction, now_ms: int, handing_out: bool) -> list[bytes]:
    """Those to be looked at now, also those whose commit waits to be handed out; they are due no more until somebody says so."""
    found = due_groups(tx, now_ms)
    if handing_out:
        waiting = tx.all("SELECT group_id FROM group_proposals")
        found += [group_id for (group_id,) in waiting if group_id not in found]
    tx.many("UPDATE groups SET due_at_ms = ? WHERE id = ?", [(NEVER_MS, group_id) for group_id in found])
    return found


def all_due(tx: Transaction) -> None:
    """Look at all of them: what was not done when the client ended goes on."""
    tx.run("UPDATE groups SET due_at_ms = 0")


def next_due_ms(tx: Transaction) -> int:
    """When the next one is due (ms)."""
    found = tx.one("SELECT min(due_at_ms) FROM groups")[0]
    return NEVER_MS if found is None else int(found)


def note_read(tx: Transaction, group_id: bytes, now_ms: int) -> None:
    """Its log was read to the end."""
    tx.run("UPDATE groups SET read_at_ms = ?, told_entry = x'' WHERE id = ?", now_ms, group_id)


def note_told_entry(tx: Transaction, group_id: bytes, index: int, account_id: bytes, entry: bytes) -> None:
    """Somebody (32 B account) told of this entry of the log, which lies past what was read; empty: that this account is out."""
    told = index.to_bytes(8, "big") + account_id + entry
    tx.run("UPDATE groups SET told_entry = ? WHERE id = ?", told, group_id)


def told_entry(tx: Transaction, group_id: bytes) -> tuple[int, bytes, bytes] | None:
    """Its index, the 32 B account that told of it, and the entry, if it told one; None if nothing was told."""
    row = tx.one("SELECT told_entry FROM groups WHERE id = ?", group_id)
    if row is None or not row[0]:
        return None
    return int.from_bytes(row[0][:8], "big"), row[0][8:40], row[0][40:]


def note_missing(tx: Transaction, group_id: bytes, since_ms: int | None) -> None:
    """Since when the present secret has not come; None: it is here."""
    tx.run(
        "UPDATE groups SET missing_since_ms = ?1 WHERE id = ?2 AND missing_since_ms IS NOT ?1",
        since_ms,
        group_id,
    )


def note_secret(tx: Transaction, group_id: bytes, now_ms: int) -> None:
    """A secret has come."""
    tx.run("UPDATE groups SET secret_at_ms = ? WHERE id = ?", now_ms, group_id)


def note_asked(tx: Transaction, group_id: bytes, now_ms: int) -> None:
    """Others were asked for what this device lacks."""
    tx.run("UPDATE groups SET asked_at_ms = ? WHERE id = ?", now_ms, group_id)


def note_list_told(tx: Transaction, group_id: bytes, version: int) -> None:
    """Those who may commit were told of this version of the own device list."""
    tx.run("UPDATE groups SET list_told = ? WHERE id = ?", version, group_id)


def note_cut(tx: Transaction, group_id: bytes, now_ms: int, *, is_own: bool) -> None:
    """A cut was read."""
    tx.run(
        "UPDATE groups SET cut_read_at_ms = ?, cut_is_own = ? WHERE id = ?",
        now_ms,
        is_own,
        group_id,
    )
