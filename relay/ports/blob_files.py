"""The bytes of blobs. Knows ids and offsets, no owners, no meaning."""

from collections.abc import AsyncIterator
from typing import Protocol


class BlobFiles(Protocol):
    """Bytes by 32 B blob id. Errors of the disk: StorageFull when there is no room, else Unavailable."""

    async def append(self, blob_id: bytes, *, offset: int, data: bytes) -> None:
        """Write `data` at `offset`, and forget what a cut upload left behind it; `offset` 0 makes the file.

        Raises OffsetConflict if the file ends before `offset`. Not durable before `sync`.
        """

    async def sync(self, blob_id: bytes) -> None:
        """What was appended is durable when this returns; so is the file's name."""

    async def sha256(self, blob_id: bytes) -> bytes:
        """32 B hash of the whole file; raises NotFound."""

    def read(self, blob_id: bytes, *, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to but without `end`, in pieces of at most 256 KiB; raises NotFound.

        Raises Unavailable if the file is shorter than that: a short answer is never given as a whole one.
        """

    async def remove(self, blob_id: bytes) -> None:
        """Delete the bytes; without effect if there are none."""

    async def list(self, *, after: bytes, limit: int) -> tuple[bytes, ...]:
        """Ids with bytes, ascending, above `after` (empty: from the start), at most `limit`; housekeeping looks for orphans."""
