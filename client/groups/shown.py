"""A group as an application sees it. Functions of a Transaction."""

from client.account import Account
from client.errors import UnknownGroup
from client.message_groups import GroupInfo, GroupMember
from client.store.database import Transaction
from client.store.group_wants import wants
from client.store.groups import find_group
from crypto.group_state import ABOUT, NAME
from relay.wire.links import encode_id

from .changed import name_of, rights_in_words
from .following import has_secret
from .returning import waiting_group


def show_group(tx: Transaction, account: Account, group_id: bytes) -> GroupInfo:
    """The group as it is known here. Raises UnknownGroup."""
    waiting = waiting_group(tx, group_id)
    if waiting is not None:
        return waiting
    row = find_group(tx, group_id)
    if row is None:
        raise UnknownGroup("there is no group of this id here")
    state = row.view.state
    return GroupInfo(
        id=encode_id(group_id),
        name=(state.setting(NAME) or b"").decode("utf-8", "replace"),
        about=(state.setting(ABOUT) or b"").decode("utf-8", "replace"),
        status=row.status.value,
        broadcast=state.is_broadcast,
        epoch=state.epoch,
        commits=state.index + 1,
        is_ready=has_secret(row.view),
        waiting_changes=len(wants(tx, group_id)),
        members=tuple(
            GroupMember(
                encode_id(member.account),
                name_of(tx, account, member.account),
                member.role.name.lower(),
                tuple(rights_in_words(member.bits).split(", ")) if member.bits else (),
                member.account == account.account_id,
            )
            for member in state.members
        ),
        banned=tuple(encode_id(one) for one in state.banned),
        settings={setting.name: setting.value for setting in state.settings},
    )
