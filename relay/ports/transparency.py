"""The transparency log as the store keeps it: leaves and hashes of complete subtrees, of which nothing is ever changed.

A leaf is made in the transaction of what it is about, by the account store: each manifest, and each change of whom a
handle names. Whether proofs are right, and who signs heads, is not the store's business (services/transparency.py).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from relay.wire.log_leaves import Leaf, LeafKind


@dataclass(frozen=True, slots=True)
class LogState:
    """The log at one moment: its 32 B random id, how many leaves it has, and the time of its newest head or 0."""

    log_id: bytes
    size: int
    head_time_ms: int


@dataclass(frozen=True, slots=True)
class LoggedLeaf:
    """A leaf and its place, from 0."""

    index: int
    leaf: Leaf


@dataclass(frozen=True, slots=True)
class KnownRoot:
    """What somebody knows of a log from a head that was signed: over `size` leaves it had this root."""

    log_id: bytes
    size: int
    root: bytes
    time_ms: int


class LogStore(Protocol):
    """Reads see all that was committed before they began; what was read of a leaf or a node holds for ever."""

    async def state(self) -> LogState:
        """Id and size, read at one moment."""

    async def note_head_time(self, until_ms: int) -> None:
        """A head of this time is going to be signed; durable when it returns. An earlier time than before changes nothing."""

    async def nodes(self, numbers: Iterable[int]) -> dict[int, bytes]:
        """The hashes of these complete subtrees (numbers as of wire/merkle.py), 32 B each; those that there are."""

    async def find(self, kind: LeafKind, subject: bytes, version: int | None = None) -> LoggedLeaf | None:
        """The leaf of this version, or the newest one about the subject; None if there is none."""

    async def handle_salt(self, handle: str) -> bytes:
        """16 B: what this log hashes the handle with."""
