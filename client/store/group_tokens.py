"""Delivery tokens of class `group`: those that reach other members, and the own one of each group."""

from collections.abc import Iterable

from crypto.limits import DAY_MS
from crypto.primitives import RandomBytes
from relay.wire.limits import DELIVERY_TOKEN_BYTES

from .database import Transaction
from .peers import REACH, ensure_peer, forget_cached


def learn_group_token(tx: Transaction, group_id: bytes, account_id: bytes, token: bytes) -> None:
    """This 16 B token of class `group` reaches the member."""
    tx.said.add(REACH)
    ensure_peer(tx, account_id)
    tx.run(
        "INSERT INTO group_tokens (group_id, account_id, token) VALUES (?, ?, ?)"
        " ON CONFLICT (group_id, account_id) DO UPDATE SET token = excluded.token, is_gone = 0",
        group_id,
        account_id,
        token,
    )
    forget_cached(tx, account_id)


def group_token(tx: Transaction, group_id: bytes, account_id: bytes) -> bytes | None:
    """The token of a member for this group."""
    row = tx.one("SELECT token FROM group_tokens WHERE group_id = ? AND account_id = ?", group_id, account_id)
    return None if row is None else row[0]


def group_tokens(tx: Transaction, group_id: bytes) -> dict[bytes, bytes]:
    """Account → token, of all members whose token is known."""
    return dict(tx.all("SELECT account_id, token FROM group_tokens WHERE group_id = ?", group_id))


def forget_group_token(tx: Transaction, account_id: bytes, token: bytes) -> None:
    """The relay takes this token no more."""
    tx.run("DELETE FROM group_tokens WHERE account_id = ? AND token = ?", account_id, token)
    forget_cached(tx, account_id)


def note_gone(tx: Transaction, group_id: bytes, accounts: Iterable[bytes]) -> None:
    """These are out: their tokens go when they have been told."""
    tx.many(
        "UPDATE group_tokens SET is_gone = 1 WHERE group_id = ? AND account_id = ?",
        [(group_id, account) for account in accounts],
    )


def note_back(tx: Transaction, group_id: bytes, account_id: bytes) -> None:
    """It comes back in: the token that it told with its request is its token still."""
    tx.run("UPDATE group_tokens SET is_gone = 0 WHERE group_id = ? AND account_id = ?", group_id, account_id)


def forget_gone(tx: Transaction, group_id: bytes) -> None:
    """Forget the tokens of who is out, and to whom nothing is on its way any more."""
    gone = tx.all(
        "DELETE FROM group_tokens WHERE group_id = ? AND is_gone = 1 AND account_id NOT IN"
        " (SELECT account_id FROM drafts WHERE account_id IS NOT NULL UNION SELECT account_id FROM outbox)"
        " RETURNING account_id",
        group_id,
    )
    for (account_id,) in gone:
        forget_cached(tx, account_id)


def own_group_token(tx: Transaction, group_id: bytes, random: RandomBytes) -> tuple[bytes, bool]:
    """(The own 16 B token of this group, made now if need be; whether the relay has it)."""
    row = tx.one("SELECT token, registered FROM group_own_tokens WHERE group_id = ?", group_id)
    if row is not None:
        return row[0], bool(row[1])
    token = random(DELIVERY_TOKEN_BYTES)
    tx.run("INSERT INTO group_own_tokens (group_id, token, registered) VALUES (?, ?, 0)", group_id, token)
    return token, False


def known_own_token(tx: Transaction, group_id: bytes) -> tuple[bytes, bool] | None:
    """(The own token of this group, whether the relay has it), if one was made."""
    row = tx.one("SELECT token, registered FROM group_own_tokens WHERE group_id = ?", group_id)
    return None if row is None else (row[0], bool(row[1]))


def own_token_registered(tx: Transaction, group_id: bytes) -> None:
    """The relay has it."""
    tx.run("UPDATE group_own_tokens SET registered = 1 WHERE group_id = ?", group_id)


def take_over_token(tx: Transaction, group_id: bytes, token: bytes, made_at_ms: int, ends_at_ms: int) -> None:
    """Another own device registered this token, then: it is that of the account. One of this device's own making, which
    others may know, gives way to it: it ends at `ends_at_ms`, and the group is to be told (`untold_groups`).
    """
    row = tx.one(
        "SELECT token, registered, next_token, made_here, rotate_asked_ms FROM group_own_tokens WHERE group_id = ?",
        group_id,
    )
    before, is_registered, following, is_own, asked_ms = row or (b"", 0, None, 0, 0)
    if before == token:
        own_token_registered(tx, group_id)
        return
    token_ended(tx, token)
    gives_way = bool(is_registered and is_own)
    tx.run(
        "INSERT INTO group_own_tokens (group_id, token, registered, made_here) VALUES (?, ?, 1, 0)"
        " ON CONFLICT (group_id) DO UPDATE SET token = excluded.token, registered = 1, next_token = NULL, made_here = 0,"
        " to_tell = max(to_tell, ?)",
        group_id,
        token,
        gives_way,
    )
    if made_at_ms >= asked_ms:  # made after somebody left: it is the new one that was to be made
        tx.run("UPDATE group_own_tokens SET rotate_at_ms = NULL WHERE group_id = ?", group_id)
    if following is not None and following != token:
        end_token(tx, following, ends_at_ms)  # begun here, and perhaps at the relay
    if gives_way:
        end_token(tx, before, ends_at_ms)


def untold_groups(tx: Transaction) -> list[bytes]:
    """Groups that this device is in, whose members may know an own token that gave way to another one."""
    rows = tx.all(
        "SELECT t.group_id FROM group_own_tokens t JOIN groups g ON g.id = t.group_id"
        " WHERE t.to_tell = 1 AND t.registered = 1 AND g.status <> 'out' ORDER BY t.group_id"
    )
    return [row[0] for row in rows]


def own_token_told(tx: Transaction, group_id: bytes) -> None:
    """The members are on their way to hear of the own token."""
    tx.run("UPDATE group_own_tokens SET to_tell = 0 WHERE group_id = ?", group_id)


def end_token(tx: Transaction, token: bytes, ends_at_ms: int) -> None:
    """The relay is to be told that this own token is good until then."""
    tx.run(
        "INSERT INTO group_ended_tokens (token, ends_at_ms) VALUES (?, ?) ON CONFLICT DO NOTHING",
        token,
        ends_at_ms,
    )


def ended_tokens(tx: Transaction) -> list[tuple[bytes, int]]:
    """(Own token, when it ends) of those of which the relay does not know it yet."""
    return [(token, at_ms) for token, at_ms in tx.all("SELECT token, ends_at_ms FROM group_ended_tokens")]


def token_ended(tx: Transaction, token: bytes) -> None:
    """The relay knows."""
    tx.run("DELETE FROM group_ended_tokens WHERE token = ?", token)


def own_tokens_unregistered(tx: Transaction) -> None:
    """The relay may have lost some: each is told to it once more."""
    tx.run("UPDATE group_own_tokens SET registered = 0")


def own_token_removed(tx: Transaction, group_id: bytes) -> None:
    """The relay has it no more."""
    tx.run("DELETE FROM group_own_tokens WHERE group_id = ?", group_id)


def rotate_within_a_day(tx: Transaction, group_id: bytes, now_ms: int, random: RandomBytes) -> None:
    """Somebody is out: the own token is to be made anew, at a random time within 24 h; a time that is set stays."""
    at_ms = now_ms + int.from_bytes(random(8), "big") % DAY_MS
    tx.run(
        "UPDATE group_own_tokens SET rotate_at_ms = ?, rotate_asked_ms = ? WHERE group_id = ? AND rotate_at_ms IS NULL",
        at_ms,
        now_ms,
        group_id,
    )


def rotate_all_now(tx: Transaction, now_ms: int) -> None:
    """A device that knew them is out of the account: all own tokens are to be made anew, at once."""
    tx.run("UPDATE group_own_tokens SET rotate_at_ms = ?, rotate_asked_ms = ?", now_ms, now_ms)


def due_rotations(tx: Transaction, now_ms: int) -> list[bytes]:
    """Groups whose own token is to be made anew now: only where this device is in, and can tell the others."""
    return [
        row[0]
        for row in tx.all(
            "SELECT t.group_id FROM group_own_tokens t JOIN groups g ON g.id = t.group_id"
            " WHERE t.registered = 1 AND t.rotate_at_ms <= ? AND g.status <> 'out' ORDER BY t.group_id",
            now_ms,
        )
    ]


def next_own_token(tx: Transaction, group_id: bytes, random: RandomBytes) -> bytes | None:
    """The token that takes the place of the own one: the same until `rotated`; None if there is none any more."""
    row = tx.one("SELECT next_token FROM group_own_tokens WHERE group_id = ?", group_id)
    if row is None:
        return None
    if row[0] is not None:
        return bytes(row[0])
    following = random(DELIVERY_TOKEN_BYTES)
    tx.run("UPDATE group_own_tokens SET next_token = ? WHERE group_id = ?", following, group_id)
    return following


def rotated(tx: Transaction, group_id: bytes, token: bytes, ends_at_ms: int) -> bool:
    """This token, begun as the next one, takes the place of the one before it, which ends then; False if another own
    device was faster and its token is the account's.
    """
    row = tx.one("SELECT token, next_token FROM group_own_tokens WHERE group_id = ?", group_id)
    if row is None or row[1] != token:
        return False
    tx.run(
        "UPDATE group_own_tokens SET token = ?, next_token = NULL, rotate_at_ms = NULL, made_here = 1 WHERE group_id = ?",
        token,
        group_id,
    )
    end_token(tx, row[0], ends_at_ms)
    return True
