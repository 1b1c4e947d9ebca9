"""Delivery tokens of class `group`: those that reach other members, and the own one of each group."""

from collections.abc import Iterable

from crypto.limits import DAY_MS
from crypto.primitives import RandomBytes
from relay.wire.limits import DELIVERY_TOKEN_BYTES

from .database import Transaction
from .peers import ensure_peer, forget_cached


def learn_group_token(tx: Transaction, group_id: bytes, account_id: bytes, token: bytes) -> None:
    """This 16 B token of class `group` reaches the member."""
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
        "UPDATE group_own_tokens SET rotate_at_ms = ? WHERE group_id = ? AND rotate_at_ms IS NULL",
        at_ms,
        group_id,
    )


def due_rotations(tx: Transaction, now_ms: int) -> list[bytes]:
    """Groups whose own token is to be made anew now."""
    return [
        row[0]
        for row in tx.all(
            "SELECT group_id FROM group_own_tokens WHERE registered = 1 AND rotate_at_ms <= ? ORDER BY group_id",
            now_ms,
        )
    ]


def next_own_token(tx: Transaction, group_id: bytes, random: RandomBytes) -> tuple[bytes, bytes]:
    """(The own token, the one that takes its place): the same two until `rotated`."""
    token, following = tx.one("SELECT token, next_token FROM group_own_tokens WHERE group_id = ?", group_id)
    if following is None:
        following = random(DELIVERY_TOKEN_BYTES)
        tx.run("UPDATE group_own_tokens SET next_token = ? WHERE group_id = ?", following, group_id)
    return token, following


def rotated(tx: Transaction, group_id: bytes, token: bytes) -> None:
    """This token has taken the place of the one before it."""
    tx.run(
        "UPDATE group_own_tokens SET token = ?, next_token = NULL, rotate_at_ms = NULL WHERE group_id = ?",
        token,
        group_id,
    )
