"""Ranges of sequences that never come, as pure functions: joined, cut by an acknowledgement, set between envelopes.

A range is (from, to, reason), both ends included; a mailbox's ranges never overlap.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from relay.ports.mailboxes import MailboxItem, MissedRange, Page, StoredEnvelope
from relay.wire.frames import MissedReason

Range: TypeAlias = tuple[int, int, int]


def as_ranges(sequences: Iterable[int], reason: MissedReason) -> list[Range]:
    """Neighbours joined; `sequences` ascending."""
    return joined([(sequence, sequence, int(reason)) for sequence in sequences])


def joined(ranges: Iterable[Range]) -> list[Range]:
    """Ascending, neighbours of one reason as one."""
    result: list[Range] = []
    for first, last, reason in sorted(ranges):
        if result and result[-1][1] == first - 1 and result[-1][2] == reason:
            result[-1] = (result[-1][0], last, reason)
        else:
            result.append((first, last, reason))
    return result


def without(ranges: Iterable[Range], up_to: int, singles: Iterable[int]) -> list[Range]:
    """What is left of ascending ranges when everything up to `up_to` and these single sequences are acknowledged."""
    left = [(max(first, up_to + 1), last, reason) for first, last, reason in ranges if last > up_to]
    for single in sorted(set(singles)):
        at = bisect_left(left, single, key=lambda each: each[1])
        if at < len(left) and left[at][0] <= single:
            first, last, reason = left[at]
            left[at : at + 1] = [
                part
                for part in ((first, single - 1, reason), (single + 1, last, reason))
                if part[0] <= part[1]
            ]
    return left


def page_of(
    envelopes: list[StoredEnvelope], missed: Sequence[MissedRange], *, more: bool, max_items: int
) -> Page:
    """Envelopes and missed ranges in the order of their sequences; behind the end of a cut list nothing of the other.

    `more`: further envelopes stand behind the last of these. `missed` may have one more than `max_items`.
    """
    if not missed:
        return Page(tuple(envelopes[:max_items]), more or len(envelopes) > max_items)
    sequences = [each.sequence for each in envelopes]
    between: list[MissedRange] = []
    for gap in missed:
        if more and gap.from_sequence > (sequences[-1] if sequences else 0):
            break
        above = bisect_left(sequences, gap.from_sequence)
        # A range that was made between the two statements covers an envelope of this page: that one is still good.
        if above == len(sequences) or sequences[above] > gap.to_sequence:
            between.append(gap)
    if len(missed) > max_items:
        del envelopes[bisect_left(sequences, missed[-1].from_sequence) :]
    more = more or len(between) < len(missed) or len(envelopes) < len(sequences)
    items: list[MailboxItem] = sorted([*envelopes, *between], key=_place)
    return Page(tuple(items[:max_items]), more or len(items) > max_items)


def _place(item: MailboxItem) -> int:
    return item.sequence if isinstance(item, StoredEnvelope) else item.from_sequence
