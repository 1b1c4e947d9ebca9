"""Envelopes that leave a mailbox without an acknowledgement: a missed range takes the place of each."""

from collections.abc import Sequence

from relay.wire.frames import MissedReason

from . import multi_row
from .mailbox_counters import Counters
from .writer import Transaction

Range = tuple[int, int, int]  # from, to, reason


def as_ranges(sequences: Sequence[int], reason: MissedReason) -> list[Range]:
    """Neighbours joined; `sequences` ascending."""
    ranges: list[Range] = []
    for sequence in sequences:
        if ranges and ranges[-1][1] == sequence - 1:
            ranges[-1] = (ranges[-1][0], sequence, reason)
        else:
            ranges.append((sequence, sequence, reason))
    return ranges


def joined(ranges: Sequence[Range]) -> list[Range]:
    """Ascending, neighbours of one reason as one."""
    result: list[Range] = []
    for first, last, reason in sorted(ranges):
        if result and result[-1][1] == first - 1 and result[-1][2] == reason:
            result[-1] = (result[-1][0], last, reason)
        else:
            result.append((first, last, reason))
    return result


def without(ranges: Sequence[Range], up_to: int, also: Sequence[int]) -> list[Range]:
    """What remains when everything up to `up_to` and the single ones in `also` are acknowledged."""
    result = [(max(first, up_to + 1), last, reason) for first, last, reason in ranges if last > up_to]
    for single in also:
        for index, (first, last, reason) in enumerate(result):
            if first <= single <= last:
                halves = ((first, single - 1, reason), (single + 1, last, reason))
                result[index : index + 1] = [half for half in halves if half[0] <= half[1]]
                break
    return result


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
    flat: list[object] = []
    for missed in ranges:
        flat += (counters.number, *missed)
    for rows, parameters in multi_row.chunks(flat, 4):
        transaction.later(
            f"INSERT INTO missed SELECT * FROM {multi_row.values(rows, 4)} WHERE column1 NOT NULL",  # noqa: S608
            parameters,
        )
    counters.has_missed = bool(ranges)


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
    """Replace what has expired in this mailbox; how many it were."""
    return await replace_by_missed(
        transaction, counters, "expires_at_ms <= ?", (now_ms,), MissedReason.EXPIRED
    )
