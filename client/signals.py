"""Contents that no history shows, for one account or many: kept, ordered, retried and settled as messages are.

Functions of a Transaction; waking the outbox sends what was drafted.
"""

from collections.abc import Iterable

from relay.wire.links import encode_id

from .account import Account
from .contents import MESSAGE_ID_BYTES
from .store import history, queue
from .store.database import Transaction
from .system import System


def draft_signal(
    tx: Transaction,
    account: Account,
    recipients: Iterable[bytes],
    content_type: int,
    body: bytes,
    system: System,
    *,
    sent_at_ms: int | None = None,
) -> int:
    """Put one hidden content on its way to all devices of these accounts (of the own one: to its other devices).

    Each account gets it in the conversation of the two. The number of the row: `queue.is_waiting` says whether a part
    of it waits still. `sent_at_ms`: now, unless it has to be another time.
    """
    number = add_hidden(tx, account, content_type, body, system, sent_at_ms=sent_at_ms)
    for recipient in recipients:
        queue.add_draft(tx, number, encode_id(recipient), recipient)
    return number


def add_hidden(
    tx: Transaction,
    account: Account,
    content_type: int,
    body: bytes,
    system: System,
    *,
    sent_at_ms: int | None = None,
) -> int:
    """A hidden content that is kept, and goes to nobody yet; the number of its row."""
    return history.add_outgoing(
        tx,
        account_id=account.account_id,
        message_id=system.random(MESSAGE_ID_BYTES),
        content_type=content_type,
        body=body,
        sent_at_ms=system.now_ms() if sent_at_ms is None else sent_at_ms,
        hidden=True,
    )
