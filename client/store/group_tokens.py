"""Delivery tokens of class `group`: those that reach other members, and the own one of each group."""

from crypto.primitives import RandomBytes
from relay.wire.limits import DELIVERY_TOKEN_BYTES

from .database import Transaction
from .peers import ensure_peer, forget_cached


def learn_group_token(tx: Transaction, group_id: bytes, account_id: bytes, token: bytes) -> None:
    """This 16 B token of class `group` reaches the member."""
    ensure_peer(tx, account_id)
    tx.run(
        "INSERT INTO group_tokens (group_id, account_id, token) VALUES (?, ?, ?)"
        " ON CONFLICT (group_id, account_id) DO UPDATE SET token = excluded.token",
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


def forget_tokens_of_strangers(tx: Transaction, group_id: bytes) -> None:
    """Tokens of who is in the group no more."""
    gone = tx.all(
        "DELETE FROM group_tokens WHERE group_id = ? AND account_id NOT IN"
        " (SELECT account_id FROM group_members WHERE group_id = ?) RETURNING account_id",
        group_id,
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


def own_token_removed(tx: Transaction, group_id: bytes) -> None:
    """The relay has it no more."""
    tx.run("DELETE FROM group_own_tokens WHERE group_id = ?", group_id)
