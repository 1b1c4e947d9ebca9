"""Messages that disappear, on both sides; what they said goes from the store. Functions of a Transaction.

The reader's copy counts from the reading, the author's from the first receipt; and both, also if nobody reads or gives
receipts, from 30 days after they were made, when the envelope is gone from every mailbox.
"""

from typing import Final

from crypto.limits import DAY_MS
from relay.wire.limits import MAX_TTL_SECONDS
from relay.wire.links import encode_id

from .message_acts import Acted, ActKind, MessageName
from .store import expiry_rows, notices, queue
from .store.database import Transaction
from .store.peers import name_of

MAX_EXPIRY_SECONDS: Final = 2**32 - 1
_UNREAD_MS: Final = MAX_TTL_SECONDS * 1_000
_NAMES_KEPT_MS: Final = 90 * DAY_MS
"""A sender may encrypt a content anew after 7 days, and it may wait 30 in a mailbox."""
_AT_ONCE: Final = 500


def begin(tx: Transaction, n: int, now_ms: int) -> None:
    """A message was kept or finished: unread, it goes late, but goes."""
    expiry_rows.start_timer(tx, n, now_ms + _UNREAD_MS)


def remove_due(tx: Transaction, now_ms: int) -> int:
    """Remove what is over, and tell; how many went."""
    rows = expiry_rows.due(tx, now_ms, _AT_ONCE)
    for row in rows:
        queue.remove_message(tx, row.n)
        expiry_rows.remove(tx, row, now_ms)
        notices.tell(
            tx,
            Acted(
                kind=ActKind.EXPIRED,
                message=MessageName(encode_id(row.account_id), encode_id(row.message_id)),
                conversation="" if row.conversation_id is None else encode_id(row.conversation_id),
                account=encode_id(row.account_id),
                name=name_of(tx, row.account_id),
                at_ms=now_ms,
            ),
        )
    if rows:
        expiry_rows.forget_names(tx, now_ms - _NAMES_KEPT_MS)
    return len(rows)
