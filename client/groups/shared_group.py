"""A group as the own devices and backups share it: what it is called, by which token it reaches the account, and who may
let a device in. No secret of the group. docs/protocol.md, "Shared items".
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from client.account import Account
from client.own_tokens import OLD_TOKEN_MS
from client.store.database import Transaction
from client.store.group_returns import find_return, forget_return, note_return
from client.store.group_tokens import (
    group_token,
    known_own_token,
    learn_group_token,
    own_token_removed,
    take_over_token,
)
from client.store.groups import GroupRow, Status, find_group
from client.store.shared import find_item, group_key
from crypto.errors import InvalidEncoding
from crypto.group_state import Member
from crypto.limits import ACCOUNT_ID_BYTES, GROUP_ID_BYTES, MAX_EPOCH
from relay.wire.limits import DELIVERY_TOKEN_BYTES

from .following import quit_group
from .invitations import MAX_NAME_CHARACTERS, group_name
from .requests import committers

MAX_COMMITTERS: Final = 8
_Token = Annotated[bytes, Meta(min_length=DELIVERY_TOKEN_BYTES, max_length=DELIVERY_TOKEN_BYTES)]


class Committer(msgspec.Struct, frozen=True, array_like=True):
    """A member that may commit, and the token of class `group` that reaches it, if that is known."""

    account_id: Annotated[bytes, Meta(min_length=ACCOUNT_ID_BYTES, max_length=ACCOUNT_ID_BYTES)]
    token: _Token | None

    def __repr__(self) -> str:
        return "Committer()"


class SharedGroup(msgspec.Struct, frozen=True, array_like=True):
    """The value of `group/<hex of the group id>`. Fields may be added at the end."""

    since: Annotated[int, Meta(ge=1, le=MAX_EPOCH)]
    """The epoch in which the account came in."""
    is_out: bool
    """It left since then, or was removed; nothing else is said then."""
    name: Annotated[str, Meta(max_length=MAX_NAME_CHARACTERS)] | None = None
    token: _Token | None = None
    """The account's own one, once the relay has it."""
    committers: Annotated[tuple[Committer, ...], Meta(max_length=MAX_COMMITTERS)] = ()
    """The highest and longest in the group first; not the own account."""

    def __repr__(self) -> str:
        return f"SharedGroup(name={self.name!r}, is_out={self.is_out})"


_encoder: Final = msgspec.msgpack.Encoder()
_group: Final = msgspec.msgpack.Decoder(SharedGroup)


def shared_group(tx: Transaction, group_id: bytes) -> SharedGroup | None:
    """The item as it was written last, by whichever device; None if there is none that this version understands."""
    item = find_item(tx, group_key(group_id))
    try:
        return None if item is None else _group.decode(item.value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_group(tx: Transaction, account: Account, name: str) -> bytes | None:
    """What this device knows: that it is in, or that the account is out; nothing while it only hopes to come back."""
    group_id = _group_id(name)
    row = find_group(tx, group_id)
    mine = _membership(row, account)
    if row is not None and mine is not None:
        return _encoder.encode(_told(tx, account, row, mine.since))
    back = find_return(tx, group_id)
    if back is not None:
        return _encoder.encode(SharedGroup(back.since, True)) if back.is_out else None
    if row is None or row.status is not Status.OUT or not row.left_since:
        return None
    return _encoder.encode(SharedGroup(row.left_since, True))


def _told(tx: Transaction, account: Account, row: GroupRow, since: int) -> SharedGroup:
    state, group_id = row.view.state, row.group_id
    before = shared_group(tx, group_id)
    # What another device knows and this one does not is not taken from the others by this one.
    tokens = {} if before is None else {one.account_id: one.token for one in before.committers}
    able = committers(state, account.account_id)[:MAX_COMMITTERS]
    own, is_registered = known_own_token(tx, group_id) or (None, False)
    return SharedGroup(
        since,
        False,
        group_name(state) or None,
        own if is_registered else None,
        tuple(Committer(one, group_token(tx, group_id, one) or tokens.get(one)) for one in able),
    )


def apply_group(tx: Transaction, account: Account, name: str, value: bytes) -> None:
    """Take over what another own device says, or a backup. Raises InvalidEncoding."""
    group_id = _group_id(name)
    try:
        shared = _group.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEncoding("not the value of a shared group") from error
    row = find_group(tx, group_id)
    mine = _membership(row, account)
    if mine is not None and mine.since > shared.since:
        return  # this device knows of a later coming in, and tells it
    if shared.is_out:
        _leave(tx, group_id, shared.since, is_in=mine is not None)
        return
    if mine is None:
        if row is not None and row.left_since >= shared.since:
            return  # this device knows that the account is out
        note_return(tx, group_id, shared.since)
        back = find_return(tx, group_id)
        if back is None or back.is_out or back.since > shared.since:
            return
    for one in shared.committers:
        is_gone = mine is not None and row is not None and one.account_id not in row.view.state.by_account
        if one.token is not None and not is_gone:
            learn_group_token(tx, group_id, one.account_id, one.token)
    if shared.token is not None:
        item = find_item(tx, group_key(group_id))
        made_at_ms = 0 if item is None else item.changed_at_ms
        take_over_token(tx, group_id, shared.token, made_at_ms, made_at_ms + OLD_TOKEN_MS)


def _leave(tx: Transaction, group_id: bytes, since: int, *, is_in: bool) -> None:
    if is_in:
        quit_group(tx, group_id, since)
        return
    back = find_return(tx, group_id)
    if back is not None and not back.is_out and back.since <= since:
        forget_return(tx, group_id)
        own_token_removed(tx, group_id)  # at the relay too, by the device that left


def _membership(row: GroupRow | None, account: Account) -> Member | None:
    """This account in the group, if this device is in it."""
    if row is None or row.status in (Status.OUT, Status.CREATING):
        return None
    return row.view.state.by_account.get(account.account_id)


def _group_id(name: str) -> bytes:
    try:
        group_id = bytes.fromhex(name)
    except ValueError as error:
        raise InvalidEncoding("not the key of a group") from error
    if len(group_id) != GROUP_ID_BYTES or group_id.hex() != name:
        raise InvalidEncoding("not the key of a group")
    return group_id
