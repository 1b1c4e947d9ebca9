"""A group as an application sees it: read in the store, put together outside of it, as thousands of members take a while."""

from collections.abc import Mapping
from dataclasses import dataclass

from client.account import Account
from client.errors import UnknownGroup
from client.message_groups import GroupInfo, GroupMember
from client.store.database import Transaction
from client.store.group_wants import wants
from client.store.groups import GroupRow, find_group, names_of_members
from crypto.group_state import ABOUT, NAME, Member
from relay.wire.links import encode_id

from .changed import rights_in_words
from .following import has_secret


@dataclass(frozen=True, slots=True)
class ReadGroup:
    """What the store has of a group."""

    row: GroupRow
    names: Mapping[bytes, str]
    """Of the members that have one."""
    waiting_changes: int


def read_group(tx: Transaction, account: Account, group_id: bytes) -> ReadGroup:
    """The group as it is known here. Raises UnknownGroup."""
    row = find_group(tx, group_id)
    if row is None:
        raise UnknownGroup("there is no group of this id here")
    names = names_of_members(tx, group_id)
    names[account.account_id] = account.handle or encode_id(account.account_id)
    return ReadGroup(row, names, len(wants(tx, group_id)))


def show_group(group: ReadGroup, account: Account) -> GroupInfo:
    """The same for an application."""
    state = group.row.view.state
    rights: dict[int, tuple[str, ...]] = {0: ()}

    def show(member: Member) -> GroupMember:
        bits = member.bits
        if bits not in rights:
            rights[bits] = tuple(rights_in_words(bits).split(", "))
        shown_id = encode_id(member.account)
        name = group.names.get(member.account, shown_id)
        return GroupMember(
            shown_id, name, member.role.name.lower(), rights[bits], member.account == account.account_id
        )

    return GroupInfo(
        id=encode_id(state.group_id),
        name=(state.setting(NAME) or b"").decode("utf-8", "replace"),
        about=(state.setting(ABOUT) or b"").decode("utf-8", "replace"),
        status=group.row.status.value,
        broadcast=state.is_broadcast,
        epoch=state.epoch,
        commits=state.index + 1,
        is_ready=has_secret(group.row.view) and group.row.missing_since_ms is None,
        waiting_changes=group.waiting_changes,
        members=tuple(map(show, state.members)),
        banned=tuple(map(encode_id, state.banned)),
        settings={setting.name: setting.value for setting in state.settings},
    )
