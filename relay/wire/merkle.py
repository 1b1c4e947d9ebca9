"""Merkle trees of RFC 6962 as a log keeps them: what is hashed, which nodes a proof is made of, what a new leaf completes.

Keeps nothing. The nodes of complete subtrees are numbered in the order in which leaves complete them (post-order), so a
growing log only ever appends to them, and a proof names the few that it needs. RFC 6962, section 2.1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

__all__ = [
    "EMPTY_ROOT",
    "Subtree",
    "completed_by",
    "consistency_path",
    "fold",
    "grown",
    "inclusion_path",
    "leaf_hash",
    "left_of",
    "node_hash",
    "node_numbers",
    "nodes_before",
    "root_over",
]

EMPTY_ROOT: Final = sha256(b"").digest()


@dataclass(frozen=True, slots=True)
class Subtree:
    """The leaves from `start` up to, not including, `end`, as RFC 6962 splits a tree: its hash stands in a proof."""

    start: int
    end: int


def leaf_hash(leaf: bytes) -> bytes:
    """32 B: SHA-256 of 00 ‖ leaf."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """32 B: SHA-256 of 01 ‖ left ‖ right."""
    return sha256(b"\x01" + left + right).digest()


def nodes_before(size: int) -> int:
    """How many complete subtrees `size` leaves have: the number that the next leaf's own node gets."""
    return 2 * size - size.bit_count()


def _number(level: int, position: int) -> int:
    """The number of the subtree over the 2^level leaves from position · 2^level on."""
    end = (position + 1) << level
    lowest_bit = (end & -end).bit_length() - 1
    return nodes_before(end) - 1 - (lowest_bit - level)


def left_of(index: int) -> tuple[int, ...]:
    """The numbers of the nodes that leaf `index` is joined with, lowest first: one for each 1 at the end of the index."""
    found = []
    level = 0
    while (index >> level) & 1:
        found.append(_number(level, (index >> level) - 1))
        level += 1
    return tuple(found)


def completed_by(hashed: bytes, lefts: Sequence[bytes]) -> list[bytes]:
    """The hashes of all nodes that a new leaf of this hash completes, in the order of their numbers; `lefts` as of `left_of`."""
    made = [hashed]
    for left in lefts:
        made.append(node_hash(left, made[-1]))
    return made


def grown(peaks: Sequence[bytes], size: int, hashed: bytes) -> tuple[bytes, ...]:
    """The peaks once a log of `size` leaves got one of this hash; peaks are its complete subtrees, largest first."""
    kept = len(peaks) - len(left_of(size))
    for left in reversed(peaks[kept:]):
        hashed = node_hash(left, hashed)
    return (*peaks[:kept], hashed)


def root_over(peaks: Sequence[bytes]) -> bytes:
    """The root of the log with these peaks."""
    if not peaks:
        return EMPTY_ROOT
    *rest, found = peaks
    for left in reversed(rest):
        found = node_hash(left, found)
    return found


def node_numbers(subtree: Subtree) -> tuple[int, ...]:
    """The complete subtrees that make up `subtree`, left to right: at most one for each bit of its size."""
    found = []
    start = subtree.start
    while start < subtree.end:
        level = (subtree.end - start).bit_length() - 1
        found.append(_number(level, start >> level))
        start += 1 << level
    return tuple(found)


def fold(subtree: Subtree, nodes: Mapping[int, bytes]) -> bytes:
    """The hash of `subtree` from those of `node_numbers`."""
    numbers = node_numbers(subtree)
    if not numbers:
        return EMPTY_ROOT
    *rest, last = numbers
    found = nodes[last]
    for number in reversed(rest):
        found = node_hash(nodes[number], found)
    return found


def _split(count: int) -> int:
    """The largest power of two below `count`, which is 2 or more."""
    return 1 << ((count - 1).bit_length() - 1)


def inclusion_path(index: int, size: int) -> tuple[Subtree, ...]:
    """What the inclusion proof of leaf `index` in a log of `size` leaves is made of, from the leaf upwards: PATH(m, D[n])."""
    found = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            found.append(Subtree(middle, end))
            end = middle
        else:
            found.append(Subtree(start, middle))
            start = middle
    return tuple(reversed(found))


def consistency_path(old: int, new: int) -> tuple[Subtree, ...]:
    """What the proof is made of that a log of `new` leaves begins with that of `old`: PROOF(m, D[n]); empty for 0 or equal."""
    if old in (0, new):
        return ()
    found = []
    start, end, is_known = 0, new, True
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            found.append(Subtree(middle, end))
            end = middle
        else:
            found.append(Subtree(start, middle))
            start, is_known = middle, False
    if not is_known:
        found.append(Subtree(start, end))
    return tuple(reversed(found))
