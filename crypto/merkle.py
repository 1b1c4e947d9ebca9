"""Merkle trees of RFC 6962: hashes of leaves and nodes, and the check of inclusion and consistency proofs.

Makes no proof and keeps no tree: that is the log's work. RFC 6962, section 2.1; the checks follow RFC 9162, sections
2.1.3.2 and 2.1.4.2.
"""

from collections.abc import Sequence

from .errors import LogRefused
from .limits import HASH_BYTES, MAX_LOG_SIZE
from .primitives import sha256

__all__ = ["EMPTY_ROOT", "leaf_hash", "node_hash", "verify_consistency", "verify_inclusion"]

EMPTY_ROOT = sha256(b"")


def leaf_hash(leaf: bytes) -> bytes:
    """32 B: SHA-256 of 00 ‖ leaf."""
    return sha256(b"\x00" + leaf)


def node_hash(left: bytes, right: bytes) -> bytes:
    """32 B: SHA-256 of 01 ‖ left ‖ right."""
    return sha256(b"\x01" + left + right)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise LogRefused(message)


def _require_shape(size: int, hashes: Sequence[bytes]) -> None:
    _require(0 <= size <= MAX_LOG_SIZE, "a log of an impossible size")
    _require(all(len(each) == HASH_BYTES for each in hashes), "a proof holds 32-byte hashes")


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raise LogRefused unless the proof leads from the leaf (its bytes) at `index` to the root of `size` leaves."""
    _require_shape(size, (*proof, root))
    _require(0 <= index < size, "a leaf outside the log")
    at, last, found = index, size - 1, leaf_hash(leaf)
    for each in proof:
        _require(last > 0, "the inclusion proof is too long")
        if at & 1 or at == last:
            found = node_hash(each, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, each)
        at, last = at >> 1, last >> 1
    _require(last == 0, "the inclusion proof is too short")
    _require(found == root, "the inclusion proof leads to another root")


def verify_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Raise LogRefused unless the proof shows that the log of `new_size` begins with that of `old_size`."""
    _require_shape(new_size, (*proof, old_root, new_root))
    _require(0 <= old_size <= new_size, "a log does not shrink")
    if old_size in (0, new_size):
        _require(not proof, "a proof where none is needed")
        _require(old_size != new_size or old_root == new_root, "one size with two roots")
        _require(old_size != 0 or old_root == EMPTY_ROOT, "an empty log has one root")
        return
    hashes = list(proof)
    if old_size & (old_size - 1) == 0:
        hashes.insert(0, old_root)
    _require(bool(hashes), "the consistency proof is empty")
    at, last = old_size - 1, new_size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old_found = new_found = hashes[0]
    for each in hashes[1:]:
        _require(last > 0, "the consistency proof is too long")
        if at & 1 or at == last:
            old_found, new_found = node_hash(each, old_found), node_hash(each, new_found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new_found = node_hash(new_found, each)
        at, last = at >> 1, last >> 1
    _require(last == 0, "the consistency proof is too short")
    _require(old_found == old_root, "the proof does not begin at the old root")
    _require(new_found == new_root, "the proof does not lead to the new root")
