"""The rows of mailboxes as devices come and go, inside the transaction that changes the devices."""

from collections.abc import Sequence
from typing import Final

from .database import Transaction, hot

LOCK: Final = hot(
    "device_id",
    """SELECT device_id, given_up_to, envelopes, bytes, has_missed, attempt_sequence, attempts FROM mailboxes
       WHERE device_id = ANY($1::bytea[]) ORDER BY device_id FOR UPDATE""",
)
"""Whoever changes a mailbox holds its row: what is appended by two nodes is committed in the order of its sequences."""
_LOCK_MS: Final = 250
LOCK_BRIEFLY: Final = hot(
    "device_id",
    LOCK.replace(
        "ORDER BY",
        f"AND (SELECT set_config('lock_timeout', '{_LOCK_MS}ms', true)) IS NOT NULL ORDER BY",
    ),
)
"""The same; from here to its end the transaction waits so long for a row, no longer. One statement: each message pays it."""
LOCK_FREE: Final = LOCK_BRIEFLY + " SKIP LOCKED"
"""Those that nobody holds."""
THERE: Final = "SELECT device_id FROM mailboxes WHERE device_id = ANY($1::bytea[])"


async def add_devices(transaction: Transaction, device_ids: Sequence[bytes]) -> None:
    """Empty mailboxes for these new devices, which are in device_owners."""
    await transaction.execute(
        "INSERT INTO mailboxes (device_id) SELECT * FROM unnest($1::bytea[])", sorted(device_ids)
    )


async def remove_devices(transaction: Transaction, device_ids: Sequence[bytes]) -> None:
    """Everything in the mailboxes of these devices, and the mailboxes; before they go from device_owners."""
    gone = sorted(device_ids)
    await transaction.rows(LOCK, gone)  # nobody appends any more: without its row a device is unknown
    await transaction.execute("DELETE FROM mailboxes WHERE device_id = ANY($1::bytea[])", gone)
    copies = await transaction.rows(
        """WITH gone AS (DELETE FROM envelopes WHERE device_id = ANY($1::bytea[]) RETURNING shared_id)
           SELECT shared_id, count(*) FROM gone WHERE shared_id IS NOT NULL GROUP BY shared_id""",
        gone,
    )
    await let_go(transaction, {row[0]: row[1] for row in copies})
    for statement in (
        "DELETE FROM records WHERE device_id = ANY($1::bytea[])",
        "DELETE FROM settled_marks WHERE device_id = ANY($1::bytea[])",
        "DELETE FROM missed WHERE device_id = ANY($1::bytea[])",
    ):
        await transaction.execute(statement, gone)


_LOCK_COPIES: Final = hot(
    "shared_id",
    "SELECT 1 FROM shared_waiting WHERE shared_id = ANY($1::bytea[]) ORDER BY shared_id FOR UPDATE",
)
_COUNT_DOWN: Final = hot(
    "shared_id",
    """UPDATE shared_waiting AS w SET waiting = w.waiting - fewer.count
       FROM unnest($1::bytea[], $2::integer[]) AS fewer(shared_id, count)
       WHERE w.shared_id = fewer.shared_id AND w.shared_id = ANY($1::bytea[])
       RETURNING w.shared_id, w.waiting""",
)
_REMOVE_COPIES: Final = hot("shared_id", "DELETE FROM shared_ciphertexts WHERE shared_id = ANY($1::bytea[])")


async def let_go(transaction: Transaction, copies: dict[bytes, int]) -> None:
    """So many envelopes no longer point at these shared copies; one that nobody waits for goes."""
    if not copies:
        return
    shared_ids = sorted(copies)
    await transaction.rows(_LOCK_COPIES, shared_ids)
    left = await transaction.rows(_COUNT_DOWN, shared_ids, [copies[shared_id] for shared_id in shared_ids])
    unused = [shared_id for shared_id, waiting in left if waiting <= 0]
    if unused:
        await transaction.execute(_REMOVE_COPIES, unused)
