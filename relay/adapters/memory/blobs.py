"""What is known of blobs, in memory."""

from collections.abc import Callable
from dataclasses import replace

from relay.ports.blobs import Blob
from relay.wire.errors import Conflict, NotFound, OffsetConflict, QuotaExceeded

from .image import Gate


class MemoryBlobs:
    """BlobStore in memory."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._blobs = gate.image.blobs
        self._holds = gate.image.holds

    def _used(self, owner_id: bytes) -> int:
        return sum(blob.length for blob in self._blobs.values() if blob.owner_id == owner_id)

    def _gone_but_held(self, owner_id: bytes, now_ms: int) -> int:
        """Bytes of what has expired and is kept by a hold alone: that is not on the owner's quota."""
        if owner_id not in self._holds:
            return 0
        return sum(
            blob.length
            for blob in self._blobs.values()
            if blob.owner_id == owner_id and blob.expires_at_ms <= now_ms
        )

    async def create(self, blob: Blob, *, quota_bytes: int) -> None:
        """Reserve its length."""

        def change() -> None:
            if blob.blob_id in self._blobs:
                raise Conflict("there is a blob with this id")
            gone = self._gone_but_held(blob.owner_id, blob.created_at_ms)
            if self._used(blob.owner_id) - gone + blob.length > quota_bytes:
                raise QuotaExceeded(
                    "the account's blobs have no room for this one: delete some, or wait until they expire"
                )
            self._blobs[blob.blob_id] = blob

        await self._gate.commit(change)

    async def get(self, blob_id: bytes, *, now_ms: int) -> Blob | None:
        """The blob unless it has expired."""
        self._gate.check()
        blob = self._blobs.get(blob_id)
        return blob if blob is not None and blob.expires_at_ms > now_ms else None

    async def advance(self, blob_id: bytes, *, from_offset: int, to_offset: int, expires_at_ms: int) -> Blob:
        """The bytes up to `to_offset` are there."""
        return await self._change(
            blob_id,
            lambda blob: blob.offset == from_offset and not blob.complete and blob.length >= to_offset,
            lambda blob: replace(blob, offset=to_offset, expires_at_ms=expires_at_ms),
        )

    async def complete(self, blob_id: bytes, *, expires_at_ms: int) -> Blob:
        """Readable from now on."""
        return await self._change(
            blob_id,
            lambda blob: blob.offset == blob.length,
            lambda blob: replace(blob, complete=True, expires_at_ms=expires_at_ms),
        )

    async def _change(
        self, blob_id: bytes, allowed: Callable[[Blob], bool], new: Callable[[Blob], Blob]
    ) -> Blob:
        def change() -> Blob:
            blob = self._blobs.get(blob_id)
            if blob is None:
                raise NotFound
            if not allowed(blob):
                raise OffsetConflict
            self._blobs[blob_id] = new(blob)
            return self._blobs[blob_id]

        return await self._gate.commit(change)

    async def remove(self, blob_id: bytes) -> bool:
        """Forget it."""
        return await self._gate.commit(lambda: self._blobs.pop(blob_id, None) is not None)

    async def used_bytes(self, owner_id: bytes) -> int:
        """What the account's blobs have reserved."""
        self._gate.check()
        return self._used(owner_id)

    async def expired(self, *, now_ms: int, limit: int) -> tuple[bytes, ...]:
        """Ids of expired blobs."""
        self._gate.check()
        old = sorted(
            (blob.expires_at_ms, blob.blob_id)
            for blob in self._blobs.values()
            if blob.expires_at_ms <= now_ms and blob.owner_id not in self._holds
        )
        return tuple(blob_id for _, blob_id in old[:limit])

    async def owned(self, owner_id: bytes, *, limit: int) -> tuple[bytes, ...]:
        """Ids of the account's blobs."""
        self._gate.check()
        return tuple(each.blob_id for each in self._blobs.values() if each.owner_id == owner_id)[:limit]

    async def known(self, blob_ids: tuple[bytes, ...]) -> frozenset[bytes]:
        """Which of these ids the store has."""
        self._gate.check()
        return frozenset(blob_id for blob_id in blob_ids if blob_id in self._blobs)
