"""By which names the user finds groups and people in them. Functions of a Transaction."""

from typing import Final

from client.account import load_account
from client.errors import NotInGroup, UsageError
from client.message_groups import GroupInfo
from client.store import group_doors
from client.store.database import Transaction
from client.store.groups import GroupRow, Status, group_ids
from crypto.limits import GROUP_ID_BYTES
from relay.wire.links import decode_id, encode_id

from .changed import name_of
from .invitations import group_name
from .returning import WAITS, waiting_group, waiting_groups
from .sending import GROUP_PREFIX, find_group_or_raise

_SHORTEST_PREFIX: Final = 6  # characters of an id


def is_group(text: str) -> bool:
    """Whether a recipient is written as a group: `group:` with an id, the beginning of one, or a name behind it."""
    return text.startswith(GROUP_PREFIX)


def parsed_id(text: str) -> bytes | None:
    """The 32 B id in `group:ID` or `ID`; None if the text is none."""
    try:
        return decode_id(text.removeprefix(GROUP_PREFIX), GROUP_ID_BYTES)
    except ValueError:
        return None


def is_called(group_id: bytes, name: str, text: str) -> bool:
    """Whether the group has this name, or an id that begins so."""
    bare = text.removeprefix(GROUP_PREFIX)
    return name == bare or (len(bare) >= _SHORTEST_PREFIX and encode_id(group_id).startswith(bare))


def find(tx: Transaction, text: str) -> GroupRow:
    """The group of an id, the beginning of one, or a name that only one has.

    Raises UnknownGroup, UsageError, NotInGroup if this device waits to come back into it.
    """
    group_id = parsed_id(text)
    if group_id is not None:
        return find_group_or_raise(tx, group_id)
    if find_waiting(tx, text) is not None:
        raise NotInGroup(WAITS)
    rows = [find_group_or_raise(tx, one) for one in group_ids(tx)]
    found = [row for row in rows if is_called(row.group_id, group_name(row.view.state), text)]
    if len(found) > 1:
        found = [row for row in found if row.status is not Status.OUT] or found
    if len(found) != 1:
        raise UsageError(
            "no group here is called so" if not found else "more than one group here is called so: use the id"
        )
    return found[0]


def find_waiting(tx: Transaction, text: str) -> bytes | None:
    """The group that is called so, if this device waits to come back into it. Raises UsageError if more than one is."""
    group_id = parsed_id(text)
    if group_id is not None:
        return None if waiting_group(tx, group_id) is None else group_id
    waiting = [decode_id(one.id, GROUP_ID_BYTES) for one in waiting_groups(tx) if _is_it(one, text)]
    if not waiting:
        return None
    rows = [find_group_or_raise(tx, one) for one in group_ids(tx)]
    others = [
        row
        for row in rows
        if row.status is not Status.OUT and is_called(row.group_id, group_name(row.view.state), text)
    ]
    if len(waiting) + len(others) > 1:
        raise UsageError("more than one group here is called so: use the id")
    return waiting[0]


def _is_it(group: GroupInfo, text: str) -> bool:
    return is_called(decode_id(group.id, GROUP_ID_BYTES), group.name, text)


def called(tx: Transaction, row: GroupRow, who: str) -> bytes | None:
    """The member, the one who waits or is banned, that is called so; None if nobody is, or more than one."""
    text = who.removeprefix("@")
    waiting = [one.account_id for one in group_doors.waiting_in(tx, row.group_id)]
    accounts = [*row.view.state.by_account, *waiting, *row.view.state.banned]
    found = {
        account
        for account in accounts
        if text in (encode_id(account), name_of(tx, load_account(tx), account))
    }
    return found.pop() if len(found) == 1 else None
