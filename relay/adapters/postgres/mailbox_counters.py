"""Where mailboxes stand, read with their rows locked; written back by mailbox_writes."""

from collections.abc import Iterable
from dataclasses import dataclass

from .database import Transaction
from .mailbox_rows import LOCK, LOCK_BRIEFLY, LOCK_FREE, THERE


@dataclass(slots=True, eq=False)
class Counters:
    """One mailbox: `given_up_to` is the highest sequence given, quarantined envelopes are in both sums."""

    device_id: bytes
    given_up_to: int
    envelopes: int
    bytes: int
    has_missed: bool
    attempt_sequence: int
    attempts: int


async def lock(transaction: Transaction, device_ids: Iterable[bytes]) -> dict[bytes, Counters]:
    """Those of these mailboxes that there are; nobody else changes them until the transaction ends."""
    rows = await transaction.rows(LOCK, sorted(set(device_ids)))
    return {row[0]: Counters(*row) for row in rows}


async def lock_briefly(transaction: Transaction, device_ids: Iterable[bytes]) -> dict[bytes, Counters]:
    """The same, unless another transaction holds one of them for long: then this one ends, and `is_busy`."""
    rows = await transaction.rows(LOCK_BRIEFLY, sorted(set(device_ids)))
    return {row[0]: Counters(*row) for row in rows}


async def lock_free(transaction: Transaction, device_ids: Iterable[bytes]) -> set[bytes]:
    """Lock those that nobody holds; which are held."""
    asked = sorted(set(device_ids))
    free = {row[0] for row in await transaction.rows(LOCK_FREE, asked)}
    if len(free) == len(asked):
        return set()
    missing = [device_id for device_id in asked if device_id not in free]
    return {row[0] for row in await transaction.rows(THERE, missing)}
