"""Who may welcome this account to a group, and what its user is told then."""

from client.account import Account
from client.message_groups import GroupChange, GroupChanged
from client.store import notices
from client.store.database import Transaction
from client.store.group_doors import JoinState, find_join
from client.store.groups import GroupRow, Status
from crypto.group_state import GroupState
from relay.wire.links import encode_id

from .changed import name_of
from .returning import is_named


def may_welcome(
    tx: Transaction, account: Account, group_id: bytes, welcomer: bytes, row: GroupRow | None
) -> bool:
    """Whether a welcome by this account is taken: to a group that this account is in, that the user said yes to, by an own
    other device, or back into a group of the account by a member who may commit there, as the own devices or a backup say.
    Nobody puts this account into a group of strangers.
    """
    is_in = row is not None and row.status is not Status.OUT  # who is out waits for a yes like anybody else
    if is_in or welcomer == account.account_id or is_named(tx, group_id, welcomer):
        return True
    join = find_join(tx, group_id)
    return join is not None and join.state is not JoinState.INVITED and join.inviter == welcomer


def tell_joined(tx: Transaction, account: Account, welcomer: bytes, state: GroupState, now_ms: int) -> None:
    """An event for the application: this account is in the group."""
    role = state.member(account.account_id).role.name.lower()
    joined = GroupChange(
        "joined", encode_id(account.account_id), name_of(tx, account, account.account_id), role
    )
    group, by = encode_id(state.group_id), encode_id(welcomer)
    notices.tell(tx, GroupChanged(group, by, name_of(tx, account, welcomer), (joined,), now_ms))
