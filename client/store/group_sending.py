"""The own chain of a group as a row, whom it is handed to, and who shall hear."""

from collections.abc import Iterable

import msgspec

from client.account import find_account
from client.errors import StoreDamaged
from crypto.errors import CryptoError
from crypto.group_snapshots import decode_sending, encode_sending
from crypto.sender_chains import SendingChain
from relay.wire.limits import DEVICE_ID_BYTES

from .database import Transaction
from .peers import AUDIENCES, find_peer


def sending_chain(tx: Transaction, group_id: bytes) -> SendingChain | None:
    """The own chain, if one is under way. Raises StoreDamaged."""
    cached = tx.cache.get((SendingChain, group_id))
    if isinstance(cached, SendingChain):
        return cached
    row = tx.one("SELECT sending FROM groups WHERE id = ?", group_id)
    if row is None or row[0] is None:
        return None
    try:
        chain = decode_sending(row[0])
    except CryptoError as error:
        raise StoreDamaged("an own chain in the store is damaged") from error
    tx.cache[SendingChain, group_id] = chain
    return chain


def save_sending(tx: Transaction, group_id: bytes, chain: SendingChain) -> None:
    """The own chain as it stands now."""
    tx.run("UPDATE groups SET sending = ? WHERE id = ?", encode_sending(chain), group_id)
    tx.cache[SendingChain, group_id] = chain


def drop_sending(tx: Transaction, group_id: bytes) -> None:
    """The own chain is over: what was not handed out yet of it never is."""
    tx.run(
        "DELETE FROM drafts WHERE message_n IN (SELECT message_n FROM group_given WHERE group_id = ?)",
        group_id,
    )
    tx.run("DELETE FROM group_given WHERE group_id = ?", group_id)
    tx.run("UPDATE groups SET sending = NULL, checked = x'' WHERE id = ?", group_id)
    tx.cache.pop((SendingChain, group_id), None)


def checked(tx: Transaction, group_id: bytes) -> bytes:
    """The mark of what the own chain was last compared with."""
    row = tx.one("SELECT checked FROM groups WHERE id = ?", group_id)
    return b"" if row is None else row[0]


def note_checked(tx: Transaction, group_id: bytes, mark: bytes) -> None:
    """The own chain is handed to all that this mark stands for."""
    tx.run("UPDATE groups SET checked = ? WHERE id = ?", mark, group_id)


def given(tx: Transaction, group_id: bytes) -> dict[bytes, tuple[bytes, int]]:
    """To whom the own chain is handed: account → (its device ids then, 16 B each; number of the hidden message)."""
    rows = tx.all("SELECT account_id, devices, message_n FROM group_given WHERE group_id = ?", group_id)
    return {account: (devices, number) for account, devices, number in rows}


def note_given(
    tx: Transaction, group_id: bytes, accounts: Iterable[tuple[bytes, bytes]], message_n: int
) -> None:
    """The own chain is on its way to these (account, its device ids) in this hidden message."""
    tx.many(
        "INSERT INTO group_given (group_id, account_id, devices, message_n) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (group_id, account_id) DO UPDATE SET devices = excluded.devices, message_n = excluded.message_n",
        [(group_id, account, devices, message_n) for account, devices in accounts],
    )


def hand_outs_wait(tx: Transaction, group_id: bytes) -> bool:
    """Whether a hand-out of the own chain still waits for the relay's answer."""
    mine = "message_n IN (SELECT message_n FROM group_given WHERE group_id = ?)"
    row = tx.one(
        f"SELECT 1 FROM drafts WHERE is_stuck = 0 AND {mine} UNION ALL"  # noqa: S608
        f" SELECT 1 FROM outbox WHERE is_stuck = 0 AND {mine} LIMIT 1",
        group_id,
        group_id,
    )
    return row is not None


class Listener(msgspec.Struct, frozen=True, gc=False):
    """One account of the audience, as far as it can be reached. There are thousands: none is part of a cycle."""

    account_id: bytes
    ids: bytes
    """The devices of its newest list known here, 16 B each; empty if none is."""
    version: int
    """Of that list."""
    token: bytes | None

    def __repr__(self) -> str:
        return f"Listener({self.account_id.hex()})"

    @property
    def devices(self) -> tuple[bytes, ...]:
        """Those, one by one."""
        return split_devices(self.ids)


def audience(tx: Transaction, group_id: bytes) -> list[Listener]:
    """All accounts that hear, the own one too, ascending. Kept until anything about an account or the group changes."""
    kept = tx.cache.setdefault(AUDIENCES, {})
    if group_id not in kept:
        kept[group_id] = _audience(tx, group_id)
    found: list[Listener] = kept[group_id]
    return found


def _audience(tx: Transaction, group_id: bytes) -> list[Listener]:
    own = find_account(tx)
    found = []
    for account, ids, version, has_chain, token in tx.all(
        "SELECT m.account_id, p.devices, p.version, p.chain IS NOT NULL,"
        " coalesce(g.token, CASE WHEN p.token_class = 'public' THEN NULL ELSE p.token END) FROM group_members m"
        " LEFT JOIN peers p ON p.account_id = m.account_id LEFT JOIN group_tokens g ON g.group_id = m.group_id"
        " AND g.account_id = m.account_id WHERE m.group_id = ? AND m.hears <> 0 ORDER BY m.account_id",
        group_id,
    ):
        if (own is not None and account == own.account_id) or (has_chain and ids is None):
            found.append(_looked_up(tx, account, token))
        else:
            found.append(Listener(account, ids or b"", version or 0, token))
    return found


def _looked_up(tx: Transaction, account_id: bytes, token: bytes | None) -> Listener:
    """The own account's list lies elsewhere; a list from before there were groups has no ids beside it."""
    peer = find_peer(tx, account_id)
    if peer is None or peer.chain is None:
        return Listener(account_id, b"", 0, token)
    ids = b"".join(entry.device_id for entry in peer.chain.manifest.devices)
    return Listener(account_id, ids, peer.chain.version, token or peer.token)


def split_devices(ids: bytes) -> tuple[bytes, ...]:
    """Device ids of 16 B each."""
    return tuple(ids[at : at + DEVICE_ID_BYTES] for at in range(0, len(ids), DEVICE_ID_BYTES))
