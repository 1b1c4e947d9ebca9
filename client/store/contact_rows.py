"""Who is a contact, who asks to be one, and who was cut off: what the user decided about other accounts."""

from collections.abc import Iterable

from client.contents import direct_conversation
from crypto.limits import DAY_MS

from .database import Transaction
from .peers import Peer, accepted_peers, ensure_peer, find_peer, forget_cached


def accept_peer(tx: Transaction, account_id: bytes) -> None:
    """The user wants to hear from them."""
    ensure_peer(tx, account_id)
    tx.run("UPDATE peers SET accepted = 1, blocked = 0 WHERE account_id = ?", account_id)
    forget_cached(tx, account_id)


def block_peer(tx: Transaction, account_id: bytes) -> None:
    """The user does not: nothing of theirs is shown from here on."""
    ensure_peer(tx, account_id)
    tx.run(
        "UPDATE peers SET accepted = 0, blocked = 1, dropped = 0, tell_token = 0 WHERE account_id = ?",
        account_id,
    )
    forget_cached(tx, account_id)


def unblock_peer(tx: Transaction, account_id: bytes) -> None:
    """They are somebody who may ask again."""
    tx.run("UPDATE peers SET blocked = 0 WHERE account_id = ?", account_id)
    forget_cached(tx, account_id)


def count_dropped(tx: Transaction, account_id: bytes) -> None:
    """One more content of somebody who is blocked came, and went."""
    tx.run("UPDATE peers SET dropped = dropped + 1 WHERE account_id = ?", account_id)


def dropped_of(tx: Transaction, account_id: bytes) -> int:
    """How many contents were dropped since they were blocked."""
    row = tx.one("SELECT dropped FROM peers WHERE account_id = ?", account_id)
    return 0 if row is None else int(row[0])


def note_introduced(tx: Transaction, account_id: bytes, now_ms: int) -> None:
    """They said how to answer, so they may not know how to reach this account: the next content tells them.

    Not if it did so within a day: two who introduce themselves at the same time would never come to an end.
    """
    changed = tx.run(
        "UPDATE peers SET tell_token = 1 WHERE account_id = ? AND accepted = 1 AND last_sent_at_ms > 0"
        " AND token_told_at_ms NOT BETWEEN ? AND ?",
        account_id,
        now_ms - DAY_MS,
        now_ms,
    )
    if changed:
        forget_cached(tx, account_id)


def note_token_told(tx: Transaction, account_id: bytes, now_ms: int) -> None:
    """The own contact token is on its way to them."""
    tx.run("UPDATE peers SET tell_token = 0, token_told_at_ms = ? WHERE account_id = ?", now_ms, account_id)
    forget_cached(tx, account_id)


def reachable_contacts(tx: Transaction) -> list[Peer]:
    """Accepted contacts to whom something can be sent now."""
    return [peer for peer in accepted_peers(tx) if peer.token is not None and not peer.forked]


def shown_peers(tx: Transaction, own_account_id: bytes) -> Iterable[Peer]:
    """Accepted and blocked ones, and those who wrote and wait for an answer; not members of groups who never did."""
    for (account_id,) in tx.all("SELECT account_id FROM peers ORDER BY rowid"):
        peer = find_peer(tx, account_id)
        if peer is None or account_id == own_account_id:
            continue
        if peer.accepted or peer.blocked or _has_written(tx, own_account_id, account_id):
            yield peer


def _has_written(tx: Transaction, own_account_id: bytes, account_id: bytes) -> bool:
    row = tx.one(
        "SELECT 1 FROM messages WHERE conversation_id = ? AND account_id = ? AND hidden = 0 LIMIT 1",
        direct_conversation(own_account_id, account_id),
        account_id,
    )
    return row is not None
