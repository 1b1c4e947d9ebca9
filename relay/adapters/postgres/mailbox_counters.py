"""Where mailboxes stand, read with their rows locked and written back at the end of the transaction."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from .database import Transaction, hot
from .mailbox_rows import LOCK, LOCK_BRIEFLY, LOCK_FREE, THERE

_SAVE: Final = hot(
    "device_id",
    """UPDATE mailboxes AS m
       SET given_up_to = n.given_up_to, envelopes = n.envelopes, bytes = n.bytes, has_missed = n.has_missed,
           attempt_sequence = n.attempt_sequence, attempts = n.attempts
       FROM unnest($1::bytea[], $2::bigint[], $3::integer[], $4::bigint[], $5::boolean[], $6::bigint[], $7::integer[])
           AS n(device_id, given_up_to, envelopes, bytes, has_missed, attempt_sequence, attempts)
       WHERE m.device_id = n.device_id AND m.device_id = ANY($1::bytea[])""",
)


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


async def save(transaction: Transaction, changed: Iterable[Counters]) -> None:
    """Write where they stand."""
    counters = list(changed)
    if counters:
        await transaction.execute(
            _SAVE,
            [each.device_id for each in counters],
            [each.given_up_to for each in counters],
            [each.envelopes for each in counters],
            [each.bytes for each in counters],
            [each.has_missed for each in counters],
            [each.attempt_sequence for each in counters],
            [each.attempts for each in counters],
        )
