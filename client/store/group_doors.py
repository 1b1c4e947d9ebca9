"""Ways into groups: those that this device gave out, who waits to be let in, and where this account wants in itself."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from crypto.group_rights import Role

from .database import Transaction

MAX_OPEN_INVITATIONS = 100
"""Invitations of others that wait for an answer; the oldest go first."""
MAX_WAITING = 1_000
"""Accounts that wait to be let into one group."""


class JoinState(StrEnum):
    """How far this account is on its way into a group."""

    INVITED = "invited"  # somebody invited it, and the user has not answered
    WANTED = "wanted"  # the user wants in; the own token for the group goes to the relay first
    ASKED = "asked"  # the request is on its way, or waits at the inviter


@dataclass(frozen=True, slots=True)
class Join:
    """A group that this account is invited to, or wants to be in."""

    group_id: bytes
    inviter: bytes
    secret: bytes = field(repr=False)
    name: str
    state: JoinState


@dataclass(frozen=True, slots=True)
class Invite:
    """A way in that this device gave out. `for_account`: for nobody else; `asks`: who comes by it waits to be let in."""

    secret_hash: bytes
    group_id: bytes
    token: bytes | None = field(repr=False)
    """The delivery token in its link; None for an invitation by message."""
    role: Role
    uses_left: int
    expires_at_ms: int
    for_account: bytes | None
    asks: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """An account that asked to be let in, and waits for somebody's yes."""

    group_id: bytes
    account_id: bytes
    manifest_version: int
    wants: int
    role: Role
    asked_at_ms: int
    returning: bool = False
    """It is in the group until its leave is committed, and let in then: nobody is asked."""


_INVITE = "secret_hash, group_id, token, role, uses_left, expires_at_ms, for_account, asks"


def _invite(row: tuple[bytes, bytes, bytes | None, int, int, int, bytes | None, int]) -> Invite:
    secret_hash, group_id, token, role, uses_left, expires_at_ms, for_account, asks = row
    return Invite(secret_hash, group_id, token, Role(role), uses_left, expires_at_ms, for_account, bool(asks))


def add_invite(tx: Transaction, invite: Invite) -> None:
    """Give a way in out."""
    tx.run(
        f"INSERT INTO group_invites ({_INVITE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        invite.secret_hash,
        invite.group_id,
        invite.token,
        int(invite.role),
        invite.uses_left,
        invite.expires_at_ms,
        invite.for_account,
        invite.asks,
    )


def find_invite(tx: Transaction, secret_hash: bytes) -> Invite | None:
    """The way in of this 32 B hash of its secret."""
    row = tx.one(f"SELECT {_INVITE} FROM group_invites WHERE secret_hash = ?", secret_hash)  # noqa: S608
    return None if row is None else _invite(row)


def invites_of(tx: Transaction, group_id: bytes) -> list[Invite]:
    """All ways into a group that this device gave out, by when they end."""
    rows = tx.all(f"SELECT {_INVITE} FROM group_invites WHERE group_id = ? ORDER BY expires_at_ms", group_id)  # noqa: S608
    return [_invite(row) for row in rows]


def use_invite(tx: Transaction, invite: Invite, account_id: bytes) -> bool:
    """Let one account in by it, each once; False if it is used up, or shut to this one.

    Again for the same account costs no further use: its request may have come twice.
    """
    row = tx.one(
        "SELECT shut FROM group_invite_uses WHERE secret_hash = ? AND account_id = ?",
        invite.secret_hash,
        account_id,
    )
    if row is not None and row[0]:
        return False
    is_new = tx.run(
        "INSERT INTO group_invite_uses (secret_hash, account_id) VALUES (?, ?) ON CONFLICT DO NOTHING",
        invite.secret_hash,
        account_id,
    )
    if not is_new:
        return True
    used = tx.run(
        "UPDATE group_invites SET uses_left = uses_left - 1 WHERE secret_hash = ? AND uses_left > 0",
        invite.secret_hash,
    )
    if not used:
        tx.run(
            "DELETE FROM group_invite_uses WHERE secret_hash = ? AND account_id = ?",
            invite.secret_hash,
            account_id,
        )
    return bool(used)


def shut_to(tx: Transaction, group_id: bytes, accounts: Iterable[bytes]) -> None:
    """These were taken out of the group or banned: no way in that was given out before lets them in."""
    tx.many(
        "INSERT INTO group_invite_uses (secret_hash, account_id, shut)"
        " SELECT secret_hash, ?, 1 FROM group_invites WHERE group_id = ?"
        " ON CONFLICT (secret_hash, account_id) DO UPDATE SET shut = 1",
        [(account_id, group_id) for account_id in accounts],
    )
    tx.many(
        "DELETE FROM group_waiting WHERE group_id = ? AND account_id = ?",
        [(group_id, account_id) for account_id in accounts],
    )


def forget_uses(tx: Transaction, group_id: bytes, accounts: Iterable[bytes]) -> None:
    """These left by themselves: to come back costs a further use of a way in."""
    tx.many(
        "DELETE FROM group_invite_uses WHERE account_id = ? AND shut = 0"
        " AND secret_hash IN (SELECT secret_hash FROM group_invites WHERE group_id = ?)",
        [(account_id, group_id) for account_id in accounts],
    )


def remove_invite(tx: Transaction, secret_hash: bytes) -> None:
    """It lets nobody in any more."""
    tx.run("DELETE FROM group_invites WHERE secret_hash = ?", secret_hash)
    tx.run("DELETE FROM group_invite_uses WHERE secret_hash = ?", secret_hash)


def keep_waiting(tx: Transaction, one: Waiting) -> bool:
    """Somebody waits to be let in; False if too many do, or it waits already."""
    count = tx.one("SELECT count(*) FROM group_waiting WHERE group_id = ?", one.group_id)[0]
    if count >= MAX_WAITING:
        return False
    return bool(
        tx.run(
            "INSERT INTO group_waiting (group_id, account_id, manifest_version, wants, role, asked_at_ms, comes_back)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            one.group_id,
            one.account_id,
            one.manifest_version,
            one.wants,
            int(one.role),
            one.asked_at_ms,
            one.returning,
        )
    )


def waiting_in(tx: Transaction, group_id: bytes) -> list[Waiting]:
    """Who waits for somebody's yes, longest first."""
    return _waiting(tx, group_id, returning=False)


def returning_to(tx: Transaction, group_id: bytes) -> list[Waiting]:
    """Who is let in as soon as its leave is committed."""
    return _waiting(tx, group_id, returning=True)


def _waiting(tx: Transaction, group_id: bytes, *, returning: bool) -> list[Waiting]:
    return [
        Waiting(group, account, version, wants, Role(role), at_ms, returning)
        for group, account, version, wants, role, at_ms in tx.all(
            "SELECT group_id, account_id, manifest_version, wants, role, asked_at_ms FROM group_waiting"
            " WHERE group_id = ? AND comes_back = ? ORDER BY asked_at_ms, account_id",
            group_id,
            returning,
        )
    ]


def stop_waiting(tx: Transaction, group_id: bytes, account_id: bytes) -> None:
    """It was let in, or sent away."""
    tx.run("DELETE FROM group_waiting WHERE group_id = ? AND account_id = ?", group_id, account_id)


def keep_join(tx: Transaction, join: Join) -> None:
    """An invitation, or what the user wants; a later state takes the place of an earlier one."""
    tx.run(
        "INSERT INTO group_joins (group_id, inviter, secret, name, state) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (group_id) DO UPDATE SET inviter = excluded.inviter, secret = excluded.secret,"
        " name = excluded.name, state = excluded.state",
        join.group_id,
        join.inviter,
        join.secret,
        join.name,
        join.state,
    )
    tx.run(
        "DELETE FROM group_joins WHERE state = ? AND rowid <= (SELECT max(rowid) FROM group_joins) - ?",
        JoinState.INVITED,
        MAX_OPEN_INVITATIONS,
    )


def _join(row: tuple[bytes, bytes, bytes, str, str]) -> Join:
    group_id, inviter, secret, name, state = row
    return Join(group_id, inviter, secret, name, JoinState(state))


def find_join(tx: Transaction, group_id: bytes) -> Join | None:
    """The invitation to this group, or the way into it."""
    row = tx.one(
        "SELECT group_id, inviter, secret, name, state FROM group_joins WHERE group_id = ?", group_id
    )
    return None if row is None else _join(row)


def is_on_way_in(tx: Transaction, group_id: bytes) -> bool:
    """Whether the user wants into this group, and it is not decided yet."""
    join = find_join(tx, group_id)
    return join is not None and join.state is not JoinState.INVITED


def joins(tx: Transaction, state: JoinState) -> list[Join]:
    """All that are as far as this."""
    rows = tx.all(
        "SELECT group_id, inviter, secret, name, state FROM group_joins WHERE state = ? ORDER BY rowid", state
    )
    return [_join(row) for row in rows]


def forget_join(tx: Transaction, group_id: bytes) -> None:
    """This account is in, or does not want to be any more."""
    tx.run("DELETE FROM group_joins WHERE group_id = ?", group_id)
