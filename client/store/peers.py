"""Other accounts as this client knows them: names, the token that reaches them, their verified chain of manifests."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from client.account import Account, decode_chain, encode_chain, find_account, save_account
from crypto.errors import SignedObject
from crypto.limits import DAY_MS
from crypto.manifest_chain import VerifiedManifest
from relay.wire.links import encode_id

from . import facts
from .database import Transaction

_COLUMNS = (
    "account_id, chain, handle, claimed, coalesce(token, (SELECT g.token FROM group_tokens g"
    " WHERE g.account_id = peers.account_id ORDER BY g.rowid DESC LIMIT 1)), token_class, accepted, heard_since_send,"
    " received_since_send,"
    " last_sent_at_ms, stale, fork IS NOT NULL, blocked, tell_token"
)
AUDIENCES = "audiences"
"""Where what groups know of their members is cached."""
REACH = "reach"
"""Said when members of groups may be reached who could not be."""
GROUPS_DUE = "groups_due"
"""Said when groups are to be looked at because of a newer device list."""
_MAX_CACHED = 1_024  # peers with their lists: of a group of thousands, the ones looked at last
LEFT_OUT_MS = DAY_MS
"""So long a device whose keys were no good is left out without asking again."""
PUBLIC: Final = "public"
LINK: Final = "link"
CONTACT: Final = "contact"
_TOKEN_RANK = {PUBLIC: 1, LINK: 2, CONTACT: 3}
"""A token that was given for longer is not replaced by one that was given to everybody."""


@dataclass(frozen=True, slots=True, eq=False)
class Peer:
    """One other account."""

    account_id: bytes
    chain: VerifiedManifest | None
    handle: str | None
    claimed: str | None
    token: bytes | None = field(repr=False)
    """The best that reaches them; of a group that both are in, if there is no other."""
    token_class: str | None
    accepted: bool
    """The user has written to them."""
    heard_since_send: bool
    received_since_send: int
    last_sent_at_ms: int
    stale: bool
    """The relay named a newer manifest than `chain` has."""
    forked: bool
    blocked: bool = False
    """The user cut them off."""
    tell_token: bool = False
    """They are told the own contact token with the next content."""

    @property
    def name(self) -> str:
        """How to call them: what was looked up, else what they claim, else the id."""
        return self.handle or self.claimed or encode_id(self.account_id)


def find_peer(tx: Transaction, account_id: bytes) -> Peer | None:
    """The account of this id; the own one is a peer too, whose other devices are written to."""
    own = find_account(tx)
    if own is not None and own.account_id == account_id:
        return _own_account(tx, own)
    cached = _cached(tx).get(account_id)
    if cached is not None:
        return cached
    return _of(tx, tx.one(f"SELECT {_COLUMNS} FROM peers WHERE account_id = ?", account_id))  # noqa: S608


def name_of(tx: Transaction, account_id: bytes) -> str:
    """How to call this account, the own one too; its id if nothing better is known."""
    peer = find_peer(tx, account_id)
    return encode_id(account_id) if peer is None else peer.name


def _own_account(tx: Transaction, own: Account) -> Peer:
    return Peer(
        account_id=own.account_id,
        chain=own.own,
        handle=own.handle,
        claimed=None,
        token=facts.known_token(tx, CONTACT),
        token_class=CONTACT,
        accepted=True,
        heard_since_send=True,
        received_since_send=0,
        last_sent_at_ms=1,
        stale=bool(facts.number(tx, facts.OWN_LIST_IS_STALE)),
        forked=False,
    )


def find_by_handle(tx: Transaction, handle: str) -> Peer | None:
    """The account that the relay's directory named for this handle, when it was last asked."""
    return _of(tx, tx.one(f"SELECT {_COLUMNS} FROM peers WHERE handle = ?", handle))  # noqa: S608


def find_by_claim(tx: Transaction, claimed: str) -> Peer | None:
    """The account that calls itself so, if exactly one does."""
    rows = tx.all(f"SELECT {_COLUMNS} FROM peers WHERE claimed = ? LIMIT 2", claimed)  # noqa: S608
    return _of(tx, rows[0]) if len(rows) == 1 else None


def accepted_peers(tx: Transaction) -> list[Peer]:
    """Whom the user has written to."""
    rows = tx.all(f"SELECT {_COLUMNS} FROM peers WHERE accepted = 1")  # noqa: S608
    return [peer for peer in (_of(tx, row) for row in rows) if peer is not None]


def _of(tx: Transaction, row: Sequence[Any] | None) -> Peer | None:
    if row is None:
        return None
    account_id, chain, handle, claimed, token, token_class, accepted, heard, received, *rest = row
    sent_at, stale, forked, blocked, tell_token = rest
    peer = Peer(
        account_id=account_id,
        chain=None if chain is None else decode_chain(account_id, chain),
        handle=handle,
        claimed=claimed,
        token=token,
        token_class=token_class,
        accepted=bool(accepted),
        heard_since_send=bool(heard),
        received_since_send=received,
        last_sent_at_ms=sent_at,
        stale=bool(stale),
        forked=bool(forked),
        blocked=bool(blocked),
        tell_token=bool(tell_token),
    )
    cached = _cached(tx)
    if len(cached) >= _MAX_CACHED:
        del cached[next(iter(cached))]
    cached[account_id] = peer
    return peer


def _cached(tx: Transaction) -> dict[bytes, Peer]:
    found: dict[bytes, Peer] = tx.cache.setdefault(Peer, {})
    return found


def forget_cached(tx: Transaction, account_id: bytes) -> None:
    """Something about this account changed in the store: perhaps how it is reached."""
    _forget_peer(tx, account_id)
    tx.cache.pop(AUDIENCES, None)


def _forget_peer(tx: Transaction, account_id: bytes) -> None:
    """Something changed that is nothing to groups: neither its devices nor its tokens."""
    _cached(tx).pop(account_id, None)


def ensure_peer(tx: Transaction, account_id: bytes) -> None:
    """Make the row if there is none."""
    tx.run("INSERT INTO peers (account_id) VALUES (?) ON CONFLICT DO NOTHING", account_id)


def learn_token(tx: Transaction, account_id: bytes, token: bytes, token_class: str) -> None:
    """This token reaches them; it takes the place of one of a lower class or the same. The other one is kept in reserve."""
    ensure_peer(tx, account_id)
    known, known_class = tx.one("SELECT token, token_class FROM peers WHERE account_id = ?", account_id)
    if known_class is not None and _TOKEN_RANK[known_class] > _TOKEN_RANK[token_class]:
        _keep_spare(tx, account_id, token, token_class)
        return
    if known_class is not None and known_class != token_class:
        _keep_spare(tx, account_id, known, known_class)
    tx.run("UPDATE peers SET token = ?, token_class = ? WHERE account_id = ?", token, token_class, account_id)
    forget_cached(tx, account_id)


def _keep_spare(tx: Transaction, account_id: bytes, token: bytes, token_class: str) -> None:
    tx.run(
        "INSERT INTO spare_tokens (account_id, class, token) VALUES (?, ?, ?)"
        " ON CONFLICT (account_id, class) DO UPDATE SET token = excluded.token",
        account_id,
        token_class,
        token,
    )


def drop_token(tx: Transaction, account_id: bytes, token: bytes) -> bool:
    """The relay takes this token of theirs no more: the best that is left is theirs now. Whether it was theirs."""
    tx.run("DELETE FROM spare_tokens WHERE account_id = ? AND token = ?", account_id, token)
    tx.run("DELETE FROM group_tokens WHERE account_id = ? AND token = ?", account_id, token)
    was_theirs = tx.run(
        "UPDATE peers SET token = NULL, token_class = NULL WHERE account_id = ? AND token = ?",
        account_id,
        token,
    )
    forget_cached(tx, account_id)
    if tx.one("SELECT 1 FROM peers WHERE account_id = ? AND token IS NULL", account_id) is None:
        return False
    spares = tx.all("SELECT class, token FROM spare_tokens WHERE account_id = ?", account_id)
    if spares:
        token_class, best = max(spares, key=lambda row: _TOKEN_RANK[row[0]])
        tx.run("DELETE FROM spare_tokens WHERE account_id = ? AND class = ?", account_id, token_class)
        learn_token(tx, account_id, best, token_class)
    return was_theirs > 0


def learn_handle(tx: Transaction, account_id: bytes, handle: str) -> None:
    """The relay's directory says that this handle is theirs; whoever had it before has it no more."""
    ensure_peer(tx, account_id)
    for (other,) in tx.all("SELECT account_id FROM peers WHERE handle = ?", handle):
        _forget_peer(tx, other)
    tx.run("UPDATE peers SET handle = NULL WHERE handle = ? AND account_id <> ?", handle, account_id)
    tx.run("UPDATE peers SET handle = ? WHERE account_id = ?", handle, account_id)
    for (other,) in tx.all("SELECT account_id FROM peers WHERE claimed = ?", handle):
        learn_claim(tx, other, None)
    _forget_peer(tx, account_id)


def learn_claim(tx: Transaction, account_id: bytes, claimed: str | None) -> None:
    """They call themselves so; None takes it back."""
    tx.run("UPDATE peers SET claimed = ? WHERE account_id = ?", claimed, account_id)
    _forget_peer(tx, account_id)


def save_chain(tx: Transaction, chain: VerifiedManifest) -> None:
    """Keep what was verified, of another account or the own one; it is the newest now."""
    own = find_account(tx)
    if own is not None and own.account_id == chain.account_id:
        facts.set_number(tx, facts.OWN_LIST_IS_STALE, 0)
        if chain.version > own.own.version:
            _note_newer_list(tx, chain.account_id)
            save_account(tx, own.with_chain(chain))
            tx.cache.pop(AUDIENCES, None)
        return
    known = find_peer(tx, chain.account_id)
    if known is None or known.chain is None or known.chain.version < chain.version:
        _note_newer_list(tx, chain.account_id)
    ensure_peer(tx, chain.account_id)
    tx.run(
        "UPDATE peers SET chain = ?, devices = ?, version = ?, stale = 0 WHERE account_id = ?",
        encode_chain(chain),
        b"".join(entry.device_id for entry in chain.manifest.devices),
        chain.version,
        chain.account_id,
    )
    forget_cached(tx, chain.account_id)


SharedPart = tuple[str | None, str | None, bytes | None, str | None, bool, bool]
"""Of a contact what all own devices share: handle, claimed, token, its class, accepted, blocked."""


def shared_part(tx: Transaction, account_id: bytes) -> SharedPart | None:
    """What is to be shared of a contact; None if it is none."""
    row = tx.one(
        "SELECT handle, claimed, token, token_class, accepted, blocked FROM peers WHERE account_id = ?",
        account_id,
    )
    if row is None:
        return None
    handle, claimed, token, token_class, accepted, blocked = row
    return handle, claimed, token, token_class, bool(accepted), bool(blocked)


def put_shared(tx: Transaction, account_id: bytes, part: SharedPart) -> None:
    """Another own device says so. What it lacks and is known here stays: a token, and that the user wrote to them."""
    handle, claimed, token, token_class, accepted, blocked = part
    ensure_peer(tx, account_id)
    if handle is not None:
        learn_handle(tx, account_id, handle)
    learn_claim(tx, account_id, claimed)
    if token is not None and token_class is not None:
        tx.run(
            "UPDATE peers SET token = ?, token_class = ? WHERE account_id = ?", token, token_class, account_id
        )
    tx.run(
        "UPDATE peers SET blocked = ?, accepted = accepted AND NOT ? WHERE account_id = ?",
        blocked,
        blocked,
        account_id,
    )
    if accepted:
        accept(tx, account_id)
    forget_cached(tx, account_id)


def _note_newer_list(tx: Transaction, account_id: bytes) -> None:
    """What depends on lists compares the count; and the groups of the account are looked at, at once."""
    tx.said |= {GROUPS_DUE, REACH}
    facts.add_one(tx, facts.DEVICE_LISTS_SEEN)
    tx.run(
        "UPDATE groups SET due_at_ms = 0 WHERE id IN (SELECT group_id FROM group_members WHERE account_id = ?)",
        account_id,
    )


def mark_stale(tx: Transaction, account_id: bytes) -> None:
    """The relay names a newer manifest: fetch it before the next message."""
    own = find_account(tx)
    if own is not None and own.account_id == account_id:
        facts.set_number(tx, facts.OWN_LIST_IS_STALE, 1)
        return
    tx.run("UPDATE peers SET stale = 1 WHERE account_id = ?", account_id)
    _forget_peer(tx, account_id)


def list_versions(tx: Transaction, group_id: bytes) -> list[tuple[bytes, int]]:
    """(Account, version of its newest device list known here) of those of a group's members, the own account too, who
    have had more than the first list: a group goes by no older one.
    """
    own = find_account(tx)
    found = [] if own is None else [(own.account_id, own.own.version)]
    rows = tx.all(
        "SELECT p.account_id, p.version FROM group_members m JOIN peers p ON p.account_id = m.account_id"
        " WHERE m.group_id = ? AND p.version > 1",
        group_id,
    )
    return found + [(account, version) for account, version in rows]


def stale_members(tx: Transaction, group_id: bytes, limit: int) -> list[bytes]:
    """Members of a group of whom the relay, or they themselves, named a newer device list than is known here."""
    rows = tx.all(
        "SELECT p.account_id FROM peers p WHERE p.stale = 1 AND p.fork IS NULL AND EXISTS"
        " (SELECT 1 FROM group_members m WHERE m.group_id = ? AND m.account_id = p.account_id) LIMIT ?",
        group_id,
        limit,
    )
    return [row[0] for row in rows]


def keep_fork(tx: Transaction, account_id: bytes, known: SignedObject, other: SignedObject) -> None:
    """Two manifests of one version: both are kept as evidence, and nothing is sent any more."""
    evidence = [(one.body, one.signature) for one in (known, other)]
    tx.run("UPDATE peers SET fork = ? WHERE account_id = ?", msgspec.msgpack.encode(evidence), account_id)
    _forget_peer(tx, account_id)


def accept(tx: Transaction, account_id: bytes) -> None:
    """The user has to do with them: they are no stranger any more."""
    tx.run("UPDATE peers SET accepted = 1 WHERE account_id = ? AND blocked = 0", account_id)
    _forget_peer(tx, account_id)


def note_sent(tx: Transaction, account_id: bytes, now_ms: int, *, by_user: bool) -> None:
    """Something was encrypted for them. Who the user wrote to is accepted; a hand-out among members accepts nobody."""
    tx.run(
        "UPDATE peers SET accepted = max(accepted, ? AND NOT blocked), heard_since_send = CASE WHEN last_sent_at_ms = 0 THEN 0"
        " ELSE heard_since_send END, received_since_send = 0, last_sent_at_ms = ? WHERE account_id = ?",
        by_user,
        now_ms,
        account_id,
    )
    _forget_peer(tx, account_id)


def note_answer_due(tx: Transaction, account_id: bytes, now_ms: int) -> None:
    """An empty message for them is drafted: count anew from here."""
    tx.run(
        "UPDATE peers SET received_since_send = 0, last_sent_at_ms = ? WHERE account_id = ?",
        now_ms,
        account_id,
    )
    _forget_peer(tx, account_id)


def note_received(tx: Transaction, account_id: bytes, count: int) -> None:
    """So many messages of theirs were opened."""
    tx.run(
        "UPDATE peers SET heard_since_send = 1, received_since_send = received_since_send + ?"
        " WHERE account_id = ?",
        count,
        account_id,
    )
    _forget_peer(tx, account_id)


def note_left_out(tx: Transaction, account_id: bytes, device_id: bytes, now_ms: int) -> None:
    """Its keys are no good now."""
    tx.run("DELETE FROM left_out WHERE at_ms <= ?", now_ms - LEFT_OUT_MS)
    tx.run(
        "INSERT INTO left_out (account_id, device_id, at_ms) VALUES (?, ?, ?)"
        " ON CONFLICT (account_id, device_id) DO UPDATE SET at_ms = excluded.at_ms",
        account_id,
        device_id,
        now_ms,
    )


def is_left_out(tx: Transaction, account_id: bytes, device_id: bytes, now_ms: int) -> bool:
    """Whether its keys were no good within the last day."""
    found = tx.one("SELECT at_ms FROM left_out WHERE account_id = ? AND device_id = ?", account_id, device_id)
    return found is not None and found[0] <= now_ms < found[0] + LEFT_OUT_MS
