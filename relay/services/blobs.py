"""Blobs: uploaded in pieces, readable once complete and equal to the hash named at their creation. Encrypted by clients.

Bytes of a cut upload are kept, whatever is named `received` is durable, and a wrong blob is removed: never served as good.
"""

import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from relay.config import LimitSettings
from relay.ports.blob_files import BlobFiles
from relay.ports.blobs import Blob, BlobStore
from relay.ports.clock import Clock, Randomness
from relay.services.devices import KnownDevice
from relay.wire import limits
from relay.wire.errors import ChecksumMismatch, MalformedRequest, NotFound, OffsetConflict, TooLarge

_WRITE_BYTES: Final = 262_144  # gathered before a write, at least
_SYNC_BYTES: Final = 4_194_304  # written before they are made durable and counted


@dataclass(frozen=True, slots=True)
class Piece:
    """What a PATCH brings: where it begins, its bytes as they come, and the SHA-256 it claims to have, if any."""

    offset: int
    stream: AsyncIterator[bytes]
    sha256: bytes | None = None


class Blobs:
    """Uploads and downloads."""

    def __init__(
        self,
        store: BlobStore,
        files: BlobFiles,
        *,
        clock: Clock,
        randomness: Randomness,
        settings: LimitSettings,
    ) -> None:
        self._store = store
        self._files = files
        self._clock = clock
        self._randomness = randomness
        self._settings = settings
        self._writing: set[bytes] = set()

    def change(self, settings: LimitSettings) -> None:
        """Other limits from now on; what is there keeps the time that it was given."""
        self._settings = settings

    def _expires_at_ms(self, seconds: int) -> int:
        return self._clock.now_ms() + seconds * 1_000

    async def create(self, owner: KnownDevice, *, length: int, sha256: bytes) -> Blob:
        """A new upload of `length` bytes with this 32 B hash; raises TooLarge, MalformedRequest, QuotaExceeded."""
        if length < 1:
            raise MalformedRequest("a blob has at least one byte")
        if length > self._settings.max_blob_bytes:
            raise TooLarge
        blob = Blob(
            blob_id=self._randomness(limits.BLOB_ID_BYTES),
            owner_id=owner.account_id,
            length=length,
            sha256=sha256,
            offset=0,
            complete=False,
            created_at_ms=self._clock.now_ms(),
            expires_at_ms=self._expires_at_ms(self._settings.blob_upload_seconds),
        )
        await self._store.create(blob, quota_bytes=self._settings.blob_quota_bytes)
        return blob

    async def status(self, owner: KnownDevice, blob_id: bytes) -> Blob:
        """How far the owner's upload is; raises NotFound."""
        blob = await self._store.get(blob_id, now_ms=self._clock.now_ms())
        if blob is None or blob.owner_id != owner.account_id:
            raise NotFound
        return blob

    async def append(self, owner: KnownDevice, blob_id: bytes, piece: Piece) -> Blob:
        """Take the piece; what came before a cut stays. The last byte completes the blob, if its hash is right.

        Raises NotFound, OffsetConflict, TooLarge (more than the blob's length, or MAX_BLOB_CHUNK_BYTES), ChecksumMismatch.
        """
        with self._alone(blob_id):
            blob = await self.status(owner, blob_id)
            if piece.offset != blob.offset or blob.complete:
                raise OffsetConflict
            blob = await self._take(blob, piece)
            return await self._finish(blob) if blob.offset == blob.length else blob

    @contextmanager
    def _alone(self, blob_id: bytes) -> Iterator[None]:
        """One request at a time writes a blob: the other is told to ask where the upload stands."""
        if blob_id in self._writing:
            raise OffsetConflict("another request writes this blob: ask by HEAD when it has ended")
        self._writing.add(blob_id)
        try:
            yield
        finally:
            self._writing.discard(blob_id)

    async def _take(self, blob: Blob, piece: Piece) -> Blob:
        """Write the stream. With a claimed hash nothing counts before it is checked; without, all counts that came."""
        written = counted = blob.offset
        most = min(blob.length, blob.offset + limits.MAX_BLOB_CHUNK_BYTES)
        digest = hashlib.sha256()
        try:
            async for data in _gathered(piece.stream):
                if written + len(data) > most:
                    raise TooLarge
                await self._files.append(blob.blob_id, offset=written, data=data)
                digest.update(data)
                written += len(data)
                if piece.sha256 is None and written - counted >= _SYNC_BYTES:
                    blob, counted = await self._count(blob, written), written
        except BaseException:
            # Cut, cancelled or too long: what came up to here was meant, and the client may go on from it.
            if piece.sha256 is None and written > counted:
                await self._count(blob, written)
            raise
        if piece.sha256 is not None and digest.digest() != piece.sha256:
            raise ChecksumMismatch("these bytes do not have the hash of Upload-Checksum: send them again")
        return await self._count(blob, written) if written > counted else blob

    async def _count(self, blob: Blob, to_offset: int) -> Blob:
        await self._files.sync(blob.blob_id)
        return await self._store.advance(
            blob.blob_id,
            from_offset=blob.offset,
            to_offset=to_offset,
            expires_at_ms=self._expires_at_ms(self._settings.blob_upload_seconds),
        )

    async def _finish(self, blob: Blob) -> Blob:
        if await self._files.sha256(blob.blob_id) != blob.sha256:
            await self._discard(blob.blob_id)
            raise ChecksumMismatch
        return await self._store.complete(
            blob.blob_id, expires_at_ms=self._expires_at_ms(self._settings.blob_ttl_seconds)
        )

    async def _discard(self, blob_id: bytes) -> None:
        await self._store.remove(blob_id)
        await self._files.remove(blob_id)

    async def remove(self, owner: KnownDevice, blob_id: bytes) -> None:
        """The owner's blob is gone, finished or not; raises NotFound."""
        with self._alone(blob_id):
            await self.status(owner, blob_id)
            await self._discard(blob_id)

    async def find(self, blob_id: bytes) -> Blob:
        """A complete blob, for whoever knows its id; raises NotFound."""
        blob = await self._store.get(blob_id, now_ms=self._clock.now_ms())
        if blob is None or not blob.complete:
            raise NotFound
        return blob

    def read(self, blob: Blob, *, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to but without `end`."""
        return self._files.read(blob.blob_id, start=start, end=end)


async def _gathered(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The stream in pieces of about _WRITE_BYTES; if it is cut, what it brought comes before its error."""
    held = bytearray()
    try:
        async for part in stream:
            held += part
            if len(held) >= _WRITE_BYTES:
                yield bytes(held)
                held.clear()
    except Exception:
        if held:
            yield bytes(held)
        raise
    if held:
        yield bytes(held)
