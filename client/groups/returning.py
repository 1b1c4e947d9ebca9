"""Back into groups: this account is in them, by what another own device or a backup says, and this device is not.

It asks members who may commit for a welcome, at once if it is the account's only device; else the other ones are given a
day to do it. docs/protocol.md, "Groups", "Coming back". Functions of a Transaction.
"""

from typing import Final

from client.account import Account, load_account
from client.contents import ContentType
from client.message import Warned
from client.message_groups import GroupInfo
from client.signals import draft_signal
from client.store import notices
from client.store.database import Transaction
from client.store.group_returns import (
    Return,
    find_return,
    note_looked,
    note_out,
    note_return_asked,
    note_return_told,
    returns,
)
from client.store.groups import Status, find_group
from client.store.peers import find_peer
from client.system import System
from crypto.limits import DAY_MS
from relay.wire.links import encode_id

from .bodies import AskBody, Lacks, encode
from .shared_group import SharedGroup, shared_group

FIRST_AGAIN_MS: Final = 10 * 60_000
"""So long after the first question comes the second; each pause is twice the one before, up to a day."""
WAITING, LOST = "waiting", "lost"
WAITS: Final = (
    "this device waits to be let into the group again, by a member who may: `tokenim group list` shows it"
)


def is_named(tx: Transaction, group_id: bytes, account_id: bytes) -> bool:
    """Whether this device waits to come back into the group, and this member is one that may let it in."""
    back = find_return(tx, group_id)
    shared = shared_group(tx, group_id)
    if back is None or back.is_out or shared is None or shared.is_out:
        return False
    return any(one.account_id == account_id for one in shared.committers)


def ask_back(tx: Transaction, system: System) -> bool:
    """Ask wherever it is time to; whether something was put on its way, or there is something to tell."""
    account, now_ms = load_account(tx), system.now_ms()
    is_alone = not _has_others(account)
    asked = False
    for back in returns(tx):
        shared = shared_group(tx, back.group_id)
        if back.is_out or shared is None or shared.is_out:
            continue
        if _is_in(tx, back.group_id) and not back.refused:
            continue
        if not back.noted_at_ms:
            note_looked(tx, back.group_id, now_ms)
        if not is_alone and now_ms < (back.noted_at_ms or now_ms) + DAY_MS:
            continue
        if not shared.committers:
            asked |= _tell_lost(tx, account, back, shared, is_alone=is_alone)
        elif not back.times_asked or now_ms >= back.asked_at_ms + _pause_ms(back.times_asked):
            asked |= _ask(tx, account, back, shared, system)
    return asked


def _has_others(account: Account) -> bool:
    return any(entry.device_id != account.device_id for entry in account.own.manifest.devices)


def _is_in(tx: Transaction, group_id: bytes) -> bool:
    row = find_group(tx, group_id)
    return row is not None and row.status is not Status.OUT


def _pause_ms(times_asked: int) -> int:
    return int(min(DAY_MS, FIRST_AGAIN_MS * 2 ** min(times_asked - 1, 20)))


def _ask(tx: Transaction, account: Account, back: Return, shared: SharedGroup, system: System) -> bool:
    note_return_asked(tx, back.group_id, system.now_ms())
    peers = [find_peer(tx, one.account_id) for one in shared.committers]
    reached = [peer.account_id for peer in peers if peer is not None and peer.token is not None]
    if not reached:
        return False
    ask = encode(AskBody(back.group_id, Lacks.WELCOME))
    draft_signal(tx, account, reached, ContentType.GROUP_ASK, ask, system)
    return True


def _tell_lost(
    tx: Transaction, account: Account, back: Return, shared: SharedGroup, *, is_alone: bool
) -> bool:
    """Nobody but this account may let anybody in, and none of its devices that was in the group is left."""
    if back.told or not is_alone:
        return False
    note_return_told(tx, back.group_id)
    name = shared.name or encode_id(back.group_id)
    detail = (
        f"the group {name} is lost to you: nobody else in it may let a device in, and no device of yours that was in it"
        " is left; its members go on without you"
    )
    notices.tell(tx, Warned("group_lost", detail, encode_id(account.account_id)))
    return True


def waiting_groups(tx: Transaction) -> list[GroupInfo]:
    """The groups that this device waits to come back into, and those that nobody can let it into."""
    found = [(back, shared_group(tx, back.group_id)) for back in returns(tx)]
    has_others = _has_others(load_account(tx))
    return [
        _shown(back.group_id, shared, has_others=has_others)
        for back, shared in found
        if not back.is_out and shared is not None and not shared.is_out and not _is_in(tx, back.group_id)
    ]


def waiting_group(tx: Transaction, group_id: bytes) -> GroupInfo | None:
    """The group, if this device waits to come back into it."""
    encoded = encode_id(group_id)
    return next((one for one in waiting_groups(tx) if one.id == encoded), None)


def _shown(group_id: bytes, shared: SharedGroup, *, has_others: bool) -> GroupInfo:
    return GroupInfo(
        id=encode_id(group_id),
        name=shared.name or "",
        about="",
        status=WAITING if shared.committers or has_others else LOST,
        broadcast=False,
        epoch=0,
        commits=0,
        is_ready=False,
        waiting_changes=0,
        members=(),
        banned=(),
        settings={},
    )


def give_up(tx: Transaction, group_id: bytes) -> None:
    """The user does not want back in: nobody asks any more, and all own devices know. Members see the account go on being
    listed: a device that is not in the group cannot sign that it leaves.
    """
    note_out(tx, group_id)
