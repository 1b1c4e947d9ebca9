"""Envelopes that leave a mailbox without an acknowledgement: a missed range takes the place of each.

The mailbox's row is locked by the caller, and saved by it.
"""

from collections.abc import Sequence
from typing import Final

from relay.adapters.missed_ranges import Range, as_ranges, joined, without
from relay.wire.frames import MissedReason

from .database import Row, Transaction
from .mailbox_counters import Counters
from .mailbox_rows import let_go

_INSERT: Final = "INSERT INTO missed SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::smallint[])"


async def _ranges(transaction: Transaction, device_id: bytes) -> list[Range]:
    rows = await transaction.rows(
        "SELECT from_sequence, to_sequence, reason FROM missed WHERE device_id = $1 ORDER BY from_sequence",
        device_id,
    )
    return [(first, last, reason) for first, last, reason in rows]


async def _replace(
    transaction: Transaction, counters: Counters, before: Sequence[Range], after: Sequence[Range]
) -> None:
    """Write what differs."""
    gone = [first for first, _, _ in set(before) - set(after)]
    new = sorted(set(after) - set(before))
    if gone:
        await transaction.execute(
            "DELETE FROM missed WHERE device_id = $1 AND from_sequence = ANY($2::bigint[])",
            counters.device_id,
            gone,
        )
    if new:
        first, last, reason = zip(*new, strict=True)
        await transaction.execute(_INSERT, counters.device_id, first, last, reason)
    counters.has_missed = bool(after)


async def acknowledge(transaction: Transaction, counters: Counters, up_to: int, also: Sequence[int]) -> None:
    """Take what is acknowledged out of the mailbox's missed ranges."""
    before = await _ranges(transaction, counters.device_id)
    await _replace(transaction, counters, before, without(before, up_to, also))


async def _remove(
    transaction: Transaction, counters: Counters, gone: Sequence[Row], reason: MissedReason
) -> int:
    """These (sequence, bytes, shared id) were deleted: count them, and put missed ranges in their place."""
    if not gone:
        return 0
    counters.envelopes -= len(gone)
    counters.bytes -= sum(row[1] for row in gone)
    copies: dict[bytes, int] = {}
    for _, _, shared_id in gone:
        if shared_id is not None:
            copies[shared_id] = copies.get(shared_id, 0) + 1
    before = await _ranges(transaction, counters.device_id)
    new = as_ranges(sorted(row[0] for row in gone), reason)
    await _replace(transaction, counters, before, joined([*before, *new]))
    await let_go(transaction, copies)
    return len(gone)


async def remove_up_to(transaction: Transaction, counters: Counters, up_to: int) -> int:
    """Replace every envelope up to `up_to`; how many it were."""
    gone = await transaction.rows(
        "DELETE FROM envelopes WHERE device_id = $1 AND sequence <= $2 RETURNING sequence, bytes, shared_id",
        counters.device_id,
        up_to,
    )
    return await _remove(transaction, counters, gone, MissedReason.REMOVED)


async def remove_damaged(transaction: Transaction, counters: Counters, sequences: Sequence[int]) -> int:
    """Replace these; how many were still there."""
    gone = await transaction.rows(
        """DELETE FROM envelopes WHERE device_id = $1 AND sequence = ANY($2::bigint[])
           RETURNING sequence, bytes, shared_id""",
        counters.device_id,
        list(sequences),
    )
    return await _remove(transaction, counters, gone, MissedReason.REMOVED)


async def expire(transaction: Transaction, counters: Counters, now_ms: int) -> int:
    """Replace what has expired in this mailbox; how many it were. Of a held account copies stay."""
    await _keep_held(transaction, counters.device_id, now_ms)
    gone = await transaction.rows(
        "DELETE FROM envelopes WHERE device_id = $1 AND expires_at_ms <= $2 RETURNING sequence, bytes, shared_id",
        counters.device_id,
        now_ms,
    )
    return await _remove(transaction, counters, gone, MissedReason.EXPIRED)


async def _keep_held(transaction: Transaction, device_id: bytes, now_ms: int) -> None:
    owner = await transaction.one("SELECT account_id FROM device_owners WHERE device_id = $1", device_id)
    if owner is None or not await transaction.one("SELECT 1 FROM holds WHERE account_id = $1", owner[0]):
        return
    expired = await transaction.rows(
        """SELECT sequence, received_at_ms, expires_at_ms, bytes, shared_id, ciphertext FROM envelopes
           WHERE device_id = $1 AND expires_at_ms <= $2""",
        device_id,
        now_ms,
    )
    shared = await transaction.rows(
        "SELECT shared_id, ciphertext FROM shared_ciphertexts WHERE shared_id = ANY($1::bytea[])",
        [row[4] for row in expired if row[4] is not None],
    )
    copies = {row[0]: row[1] for row in shared}
    kept = [
        (
            owner[0],
            device_id,
            sequence,
            received_at_ms,
            expires_at_ms,
            size,
            ciphertext or copies.get(shared_id),
        )
        for sequence, received_at_ms, expires_at_ms, size, shared_id, ciphertext in expired
    ]
    await transaction.execute_many(
        """INSERT INTO held_envelopes
               (account_id, device_id, sequence, received_at_ms, expired_at_ms, bytes, ciphertext)
           VALUES ($1, $2, $3, $4, $5, $6, $7)""",
        [row for row in kept if row[-1] is not None],
    )
