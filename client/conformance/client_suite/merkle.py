"""The scripted relay's log: a Merkle tree with its proofs (RFC 9162, sections 2.1.1, 2.1.3.1 and 2.1.4.1). Slow and plain."""

import os
from dataclasses import dataclass, field

from nacl.signing import SigningKey

from client.conformance.wire import sha256, transcript, u64


def root_of(leaves: list[bytes]) -> bytes:
    """32 B."""
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0])
    at = _split(len(leaves))
    return sha256(b"\x01" + root_of(leaves[:at]) + root_of(leaves[at:]))


def inclusion_of(index: int, leaves: list[bytes]) -> list[bytes]:
    """Hashes from the leaf upwards."""
    if len(leaves) == 1:
        return []
    at = _split(len(leaves))
    if index < at:
        return [*inclusion_of(index, leaves[:at]), root_of(leaves[at:])]
    return [*inclusion_of(index - at, leaves[at:]), root_of(leaves[:at])]


def consistency_of(first: int, leaves: list[bytes]) -> list[bytes]:
    """That the log of `first` leaves, one at least, is the beginning of this one."""
    return [] if first in (0, len(leaves)) else _subproof(first, leaves, whole=True)


def _subproof(first: int, leaves: list[bytes], *, whole: bool) -> list[bytes]:
    if first == len(leaves):
        return [] if whole else [root_of(leaves)]
    at = _split(len(leaves))
    if first <= at:
        return [*_subproof(first, leaves[:at], whole=whole), root_of(leaves[at:])]
    return [*_subproof(first - at, leaves[at:], whole=False), root_of(leaves[:at])]


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


@dataclass
class Log:
    """`time_ms` of its heads only grows."""

    key: SigningKey
    leaves: list[bytes] = field(default_factory=list)
    log_id: bytes = field(default_factory=lambda: os.urandom(32))
    time_ms: int = 0

    def head(self, now_ms: int, size: int | None = None) -> bytes:
        """Signature 64 ‖ transcript, of the newest size or of this one."""
        self.time_ms = max(self.time_ms, now_ms)
        size = len(self.leaves) if size is None else size
        root = root_of(self.leaves[:size])
        body = transcript("tokenim/v1 log head", self.log_id, u64(size), root, u64(self.time_ms))
        return self.key.sign(body).signature + body

    def index(self, leaf: bytes) -> int:
        """Of its last place."""
        return len(self.leaves) - 1 - self.leaves[::-1].index(leaf)
