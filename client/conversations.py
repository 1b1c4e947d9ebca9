"""Who is in a conversation and may do what, and how a hidden content gets to all of it. Functions of a Transaction.

For conversations of two the ids alone tell.
"""

from .account import Account
from .contents import direct_conversation
from .errors import UsageError
from .signals import draft_signal
from .store.database import Transaction
from .store.history import MessageRow, conversation_with
from .system import System


def is_in(account: Account, conversation_id: bytes, account_id: bytes) -> bool:
    """Whether this account is in the conversation (the own one is in all that are here)."""
    if account_id == account.account_id:
        return True
    return direct_conversation(account.account_id, account_id) == conversation_id


def may_tidy(tx: Transaction, conversation_id: bytes, account_id: bytes) -> bool:
    """Whether this account may delete what others wrote: never in a conversation of two."""
    return False


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
    """Put a hidden content on its way to the conversation of a message; the number of its row. Raises UsageError."""
    other = partner(tx, account, row)
    if other is None:
        raise UsageError("this conversation takes no acts on its messages yet")
    return draft_signal(tx, account, [other], content_type, body, system, sent_at_ms=sent_at_ms)
