"""Who is in a conversation and may do what, and how a hidden content gets to all of it. Functions of a Transaction.

For conversations of two the ids alone tell, for a group its newest state.
"""

from crypto.group_rights import Right
from relay.wire.links import encode_id

from .account import Account
from .contents import direct_conversation
from .errors import UsageError
from .groups.sending import draft_group_signal, group_recipient, require_sender
from .signals import draft_signal
from .store.database import Transaction
from .store.groups import find_group, is_group
from .store.history import MessageRow, conversation_with
from .system import System


def is_in(tx: Transaction, account: Account, conversation_id: bytes, account_id: bytes) -> bool:
    """Whether this account is in the conversation (the own one is in all that are here)."""
    if account_id == account.account_id:
        return True
    if (group := find_group(tx, conversation_id)) is not None:
        return account_id in group.view.state.by_account
    return direct_conversation(account.account_id, account_id) == conversation_id


def may_tidy(tx: Transaction, conversation_id: bytes, account_id: bytes) -> bool:
    """Whether this account may delete what others wrote: never in a conversation of two."""
    group = find_group(tx, conversation_id)
    member = None if group is None else group.view.state.by_account.get(account_id)
    return member is not None and bool(member.bits & Right.TIDY)


def wants_receipts(tx: Transaction, account: Account, row: MessageRow) -> bool:
    """Whether the author of a message is told of its arrival and reading, as far as the kind of conversation goes."""
    return partner(tx, account, row) is not None


def partner(tx: Transaction, account: Account, row: MessageRow) -> bytes | None:
    """The other account of the conversation of two that a message is in; None if it is in another kind."""
    if row.conversation_id is None:
        return None
    other = row.account_id
    if other == account.account_id:
        other = conversation_with(tx, row.conversation_id) or other
    return other if direct_conversation(account.account_id, other) == row.conversation_id else None


def recipient_of(tx: Transaction, account: Account, row: MessageRow) -> str | None:
    """How the conversation of a message is written where a recipient stands; None if it takes no messages."""
    if row.conversation_id is not None and is_group(tx, row.conversation_id):
        return group_recipient(row.conversation_id)
    other = partner(tx, account, row)
    return None if other is None else encode_id(other)


def draft_to_all(
    tx: Transaction,
    account: Account,
    row: MessageRow,
    content_type: int,
    body: bytes,
    system: System,
    *,
    sent_at_ms: int,
) -> int:
    """Put a hidden content on its way to the conversation of a message; the number of its row.

    Raises UsageError, and for a group what forbids to write there.
    """
    if row.conversation_id is not None and is_group(tx, row.conversation_id):
        require_sender(tx, account, row.conversation_id)
        return draft_group_signal(
            tx, account, row.conversation_id, content_type, body, system, sent_at_ms=sent_at_ms
        )
    other = partner(tx, account, row)
    if other is None:
        raise UsageError("this conversation takes no acts on its messages yet")
    return draft_signal(tx, account, [other], content_type, body, system, sent_at_ms=sent_at_ms)
