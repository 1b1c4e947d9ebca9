"""Envelopes that leave a mailbox without an acknowledgement: a missed range takes the place of each."""

from collections.abc import Sequence

from relay.adapters.missed_ranges import Range, as_ranges, joined
from relay.wire.frames import MissedReason

from . import multi_row
from .holds import KEEP_EXPIRED
from .mailbox_counters import Counters
from .writer import Row, Transaction

_COVERS = """(SELECT 1 FROM missed AS m WHERE m.device_number = ? AND m.to_sequence >= column1
    AND m.from_sequence = (SELECT max(from_sequence) FROM missed
                           WHERE device_number = m.device_number AND from_sequence <= column1))"""


def _take_out(transaction: Transaction, number: int, single: int) -> None:
    """Leave of the range that has this sequence what is below it and what is above."""
    transaction.later(
        """INSERT INTO missed SELECT device_number, ?2 + 1, to_sequence, reason FROM missed
           WHERE device_number = ?1 AND to_sequence > ?2
               AND from_sequence = (SELECT max(from_sequence) FROM missed WHERE device_number = ?1 AND from_sequence <= ?2)""",
        (number, single),
    )
    transaction.later(
        "DELETE FROM missed WHERE device_number = ? AND from_sequence = ?",
        (number, single),
    )
    transaction.later(
        """UPDATE missed SET to_sequence = ?2 - 1 WHERE device_number = ?1 AND to_sequence >= ?2
               AND from_sequence = (SELECT max(from_sequence) FROM missed WHERE device_number = ?1 AND from_sequence < ?2)""",
        (number, single),
    )


async def ranges_of(transaction: Transaction, number: int) -> list[Range]:
    """All missed ranges of a mailbox, ascending."""
    return [
        (first, last, reason)
        for first, last, reason in await transaction.rows(
            "SELECT from_sequence, to_sequence, reason FROM missed WHERE device_number = ? ORDER BY from_sequence",
            (number,),
        )
    ]


def replace_ranges(transaction: Transaction, counters: Counters, ranges: Sequence[Range]) -> None:
    """Make these the missed ranges of the mailbox."""
    transaction.later("DELETE FROM missed WHERE device_number = ?", (counters.number,))
    _insert(transaction, counters.number, ranges)
    counters.has_missed = bool(ranges)


def _insert(transaction: Transaction, number: int, ranges: Sequence[Range]) -> None:
    flat: list[object] = []
    for missed in ranges:
        flat += (number, *missed)
    for rows, parameters in multi_row.chunks(flat, 4):
        transaction.later(
            f"INSERT INTO missed SELECT * FROM {multi_row.values(rows, 4)} WHERE column1 NOT NULL",  # noqa: S608
            parameters,
        )


async def acknowledge(transaction: Transaction, counters: Counters, up_to: int, also: Sequence[int]) -> None:
    """Take what is acknowledged out of the mailbox's missed ranges; touches no range but those it falls on."""
    number = counters.number
    transaction.later("DELETE FROM missed WHERE device_number = ? AND to_sequence <= ?", (number, up_to))
    transaction.later(
        "UPDATE missed SET from_sequence = ? WHERE device_number = ? AND from_sequence <= ?",
        (up_to + 1, number, up_to),
    )
    for count, parameters in multi_row.chunks(also, 1):
        # One hop for all; most single ones are envelopes, and fall on no range.
        for (single,) in await transaction.rows(
            f"SELECT column1 FROM {multi_row.values(count, 1)} WHERE EXISTS {_COVERS}",  # noqa: S608
            (*parameters, number),
        ):
            _take_out(transaction, number, single)

    def note(rows: list[Row]) -> None:
        ((left,),) = rows
        counters.has_missed = bool(left)

    transaction.later("SELECT EXISTS (SELECT 1 FROM missed WHERE device_number = ?)", (number,), note)


async def replace_by_missed(
    transaction: Transaction,
    counters: Counters,
    condition: str,
    parameters: Sequence[object],
    reason: MissedReason,
) -> int:
    """Delete the mailbox's envelopes that meet `condition` (SQL of this package, never of a caller); how many it were."""
    gone = await transaction.rows(
        f"DELETE FROM envelopes WHERE device_number = ? AND {condition} RETURNING sequence, bytes",  # noqa: S608
        (counters.number, *parameters),
    )
    if not gone:
        return 0
    counters.envelopes -= len(gone)
    counters.bytes -= sum(size for _, size in gone)
    new = as_ranges(sorted(sequence for sequence, _ in gone), reason)
    replace_ranges(transaction, counters, joined([*await ranges_of(transaction, counters.number), *new]))
    return len(gone)


async def expire(transaction: Transaction, counters: Counters, now_ms: int) -> int:
    """Replace what has expired in this mailbox; how many it were. Of a held account copies stay."""
    await transaction.rows(KEEP_EXPIRED, (counters.number, now_ms))
    return await replace_by_missed(
        transaction, counters, "expires_at_ms <= ?", (now_ms,), MissedReason.EXPIRED
    )
