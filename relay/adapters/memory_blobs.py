"""Blob files in memory: for tests and simulations."""

from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Final

from relay.wire.errors import NotFound, OffsetConflict, Unavailable

READ_BYTES: Final = 262_144


class MemoryBlobFiles:
    """BlobFiles in a dictionary."""

    def __init__(self) -> None:
        self._files: dict[bytes, bytes] = {}

    def _bytes(self, blob_id: bytes) -> bytes:
        if blob_id not in self._files:
            raise NotFound
        return self._files[blob_id]

    async def append(self, blob_id: bytes, *, offset: int, data: bytes) -> None:
        """Write `data` at `offset`; what stood behind it is gone."""
        before = b"" if offset == 0 else self._bytes(blob_id)
        if len(before) < offset:
            raise OffsetConflict
        self._files[blob_id] = before[:offset] + data

    async def sync(self, blob_id: bytes) -> None:
        """Nothing to do; raises NotFound."""
        self._bytes(blob_id)

    async def sha256(self, blob_id: bytes) -> bytes:
        """32 B hash of the whole file."""
        return sha256(self._bytes(blob_id)).digest()

    async def read(self, blob_id: bytes, *, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to but without `end`, in pieces."""
        data = self._bytes(blob_id)
        while start < end:
            piece = data[start : min(end, start + READ_BYTES)]
            if not piece:
                raise Unavailable("a blob's file is shorter than it should be")
            start += len(piece)
            yield piece

    async def remove(self, blob_id: bytes) -> None:
        """Delete the bytes."""
        self._files.pop(blob_id, None)

    async def list(self, *, after: bytes, limit: int) -> tuple[bytes, ...]:
        """Ids with bytes, ascending, above `after`."""
        return tuple(sorted(blob_id for blob_id in self._files if blob_id > after)[:limit])
