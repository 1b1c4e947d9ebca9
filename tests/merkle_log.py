"""A Merkle log for tests: roots and proofs straight from the definitions of RFC 6962, section 2.1."""

import hashlib
from collections.abc import Sequence


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    power = 1
    while power * 2 < count:
        power *= 2
    return power


def root_of(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    middle = _split(len(leaves))
    return hashlib.sha256(b"\x01" + root_of(leaves[:middle]) + root_of(leaves[middle:])).digest()


def inclusion(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """PATH(m, D[n])."""
    if len(leaves) == 1:
        return []
    middle = _split(len(leaves))
    if index < middle:
        return [*inclusion(leaves[:middle], index), root_of(leaves[middle:])]
    return [*inclusion(leaves[middle:], index - middle), root_of(leaves[:middle])]


def consistency(leaves: Sequence[bytes], old: int) -> list[bytes]:
    """PROOF(m, D[n]); nothing for an empty or equal old log."""
    return [] if old == 0 else _subproof(leaves, old, known=True)


def _subproof(leaves: Sequence[bytes], old: int, *, known: bool) -> list[bytes]:
    if old == len(leaves):
        return [] if known else [root_of(leaves)]
    middle = _split(len(leaves))
    if old <= middle:
        return [*_subproof(leaves[:middle], old, known=known), root_of(leaves[middle:])]
    return [*_subproof(leaves[middle:], old - middle, known=False), root_of(leaves[:middle])]
