"""What is known of blobs: owner, size, hash, how far the upload is, until when it is kept. The bytes are in blob_files."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Blob:
    """32 B capability id, owner's account id, whole length in bytes, 32 B SHA-256 of the whole ciphertext, bytes received.

    Before `complete` (all bytes there and the hash equal) `expires_at_ms` moves on with each progress.
    """

    blob_id: bytes
    owner_id: bytes
    length: int
    sha256: bytes
    offset: int
    complete: bool
    created_at_ms: int
    expires_at_ms: int


class BlobStore(Protocol):
    """Every change is durable when the method returns."""

    async def create(self, blob: Blob, *, quota_bytes: int) -> None:
        """Reserve its length; raises QuotaExceeded if the owner's blobs would be above `quota_bytes`, Conflict for a used id."""

    async def get(self, blob_id: bytes, *, now_ms: int) -> Blob | None:
        """The blob unless it has expired."""

    async def advance(self, blob_id: bytes, *, from_offset: int, to_offset: int, expires_at_ms: int) -> Blob:
        """The bytes up to `to_offset` are durable; raises OffsetConflict unless it stands at `from_offset`, NotFound."""

    async def complete(self, blob_id: bytes, *, expires_at_ms: int) -> Blob:
        """Readable from now on; the caller has compared the hash. Raises NotFound, OffsetConflict if bytes are missing."""

    async def remove(self, blob_id: bytes) -> bool:
        """Forget it and free its quota; False if it was not there. The caller removes the file afterwards."""

    async def used_bytes(self, owner_id: bytes) -> int:
        """What the account's blobs have reserved, unfinished ones included."""

    async def expired(self, *, now_ms: int, limit: int) -> tuple[bytes, ...]:
        """Ids of at most `limit` expired blobs, unfinished ones included."""

    async def owned(self, owner_id: bytes, *, limit: int) -> tuple[bytes, ...]:
        """Ids of at most `limit` blobs of this account, unfinished and expired ones included."""

    async def known(self, blob_ids: tuple[bytes, ...]) -> frozenset[bytes]:
        """Which of these ids the store has, expired or not: a file without one is an orphan."""
