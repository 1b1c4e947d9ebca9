"""Own delivery tokens on their way in and out, so that a change goes on where it was after any crash."""

import hashlib
from dataclasses import dataclass

from crypto.primitives import RandomBytes
from relay.wire.limits import DELIVERY_TOKEN_BYTES

from .database import Transaction


@dataclass(frozen=True, slots=True)
class Retired:
    """SHA-256 of an own token that others may still use; `signal_n`: the message that tells them the new one."""

    token_hash: bytes
    token_class: str
    signal_n: int | None
    since_ms: int


def begin_change(tx: Transaction, token_class: str, random: RandomBytes) -> None:
    """The own token of this class is to be changed; without effect while it is."""
    tx.run(
        "INSERT INTO next_tokens (class, token) VALUES (?, ?) ON CONFLICT DO NOTHING",
        token_class,
        random(DELIVERY_TOKEN_BYTES),
    )


def next_tokens(tx: Transaction) -> list[tuple[str, bytes]]:
    """(Class, the 16 B token that is to be the own one) of all changes under way."""
    return [(token_class, token) for token_class, token in tx.all("SELECT class, token FROM next_tokens")]


def take_over(tx: Transaction, token_class: str, token: bytes, signal_n: int | None, now_ms: int) -> None:
    """The relay has `token`: it is the own one now, and the one before is retired."""
    before = tx.one("SELECT token FROM tokens WHERE class = ?", token_class)
    if before is not None:
        tx.run(
            "INSERT INTO retired_tokens (token_hash, class, signal_n, since_ms) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            hashlib.sha256(before[0]).digest(),
            token_class,
            signal_n,
            now_ms,
        )
    tx.run(
        "INSERT INTO tokens (class, token, registered) VALUES (?, ?, 1)"
        " ON CONFLICT (class) DO UPDATE SET token = excluded.token, registered = 1",
        token_class,
        token,
    )
    tx.run("DELETE FROM next_tokens WHERE class = ? AND token = ?", token_class, token)


def retired_tokens(tx: Transaction) -> list[Retired]:
    """Own tokens of which the relay does not know yet that they end."""
    return [
        Retired(*row) for row in tx.all("SELECT token_hash, class, signal_n, since_ms FROM retired_tokens")
    ]


def forget_retired(tx: Transaction, token_hash: bytes) -> None:
    """The relay knows."""
    tx.run("DELETE FROM retired_tokens WHERE token_hash = ?", token_hash)
