"""The transparency log in memory."""

from collections.abc import Iterable

from relay.ports.transparency import LoggedLeaf, LogState
from relay.wire.log_leaves import Leaf, LeafKind, handle_leaf, handle_salt, handle_subject
from relay.wire.merkle import completed_by, leaf_hash, left_of

from .image import Gate, Image


class MemoryLog:
    """LogStore in memory."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._image = gate.image

    async def state(self) -> LogState:
        """Id and size."""
        self._gate.check()
        return LogState(self._image.log_id, len(self._image.leaves), self._image.head_time_ms)

    async def note_head_time(self, time_ms: int) -> None:
        """Note it."""

        def change() -> None:
            self._image.head_time_ms = max(self._image.head_time_ms, time_ms)

        await self._gate.commit(change)

    async def nodes(self, numbers: Iterable[int]) -> dict[int, bytes]:
        """The hashes of these nodes."""
        self._gate.check()
        known = self._image.nodes
        return {number: known[number] for number in numbers if number < len(known)}

    async def find(self, kind: LeafKind, subject: bytes, version: int | None = None) -> LoggedLeaf | None:
        """The leaf of this version, or the newest."""
        self._gate.check()
        return _find(self._image, kind, subject, version)

    async def handle_salt(self, handle: str) -> bytes:
        """What this log hashes the handle with."""
        self._gate.check()
        return handle_salt(self._image.handle_key, handle)


def _find(image: Image, kind: LeafKind, subject: bytes, version: int | None = None) -> LoggedLeaf | None:
    found = [
        LoggedLeaf(index, leaf)
        for index, leaf in enumerate(image.leaves)
        if leaf.kind == kind and leaf.subject == subject and version in (None, leaf.version)
    ]
    return found[-1] if found else None


def append_leaf(image: Image, leaf: Leaf) -> None:
    """Enter a leaf."""
    lefts = [image.nodes[number] for number in left_of(len(image.leaves))]
    image.nodes += completed_by(leaf_hash(leaf.encode()), lefts)
    image.leaves.append(leaf)


def append_handle(image: Image, handle: str, account_id: bytes | None) -> None:
    """Enter whom a handle names from now on; None: nobody."""
    subject = handle_subject(handle_salt(image.handle_key, handle), handle)
    newest = _find(image, LeafKind.HANDLE, subject)
    version = newest.leaf.version + 1 if newest else 1
    append_leaf(image, handle_leaf(subject, version, account_id))
