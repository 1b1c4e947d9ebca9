"""The bytes of blobs from a folder into a bucket, or back: each is hashed on its way, and read again where it came."""

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final

from relay.ports.blob_files import BlobFiles
from relay.wire.errors import NotFound, Unavailable

from .progress import Row, Source
from .tables import TABLES

_TABLE: Final = next(table for table in TABLES if table.name == "blobs")
_PIECE_BYTES: Final = 4_194_304


@dataclass(frozen=True, slots=True)
class _Blob:
    blob_id: bytes
    sha256: bytes
    durable: int
    complete: bool


@dataclass(slots=True)
class BlobsMoved:
    """How many were copied, and were there already. `damaged`: ids whose bytes were wrong before; `unlike`: are wrong now.

    `size`: bytes that were copied.
    """

    copied: int = 0
    there: int = 0
    size: int = 0
    damaged: list[bytes] = field(default_factory=list)
    unlike: list[bytes] = field(default_factory=list)


async def move_blobs(
    rows: Source,
    source: BlobFiles,
    target: BlobFiles,
    told: Callable[[str, int], None],
    *,
    finished_only: bool = False,
) -> BlobsMoved:
    """Those that the database `rows` knows of. `finished_only`: a relay runs, and may go on with an upload."""
    moved = BlobsMoved()
    async for page in rows.pages(_TABLE):
        for blob in map(_blob, page):
            if blob.complete or (blob.durable and not finished_only):
                await _move(blob, source, target, moved)
                told("blobs' bytes", moved.copied + moved.there)
    return moved


def _blob(row: Row) -> _Blob:
    values = dict(zip(_TABLE.columns, row, strict=True))
    return _Blob(**{name: values[name] for name in ("blob_id", "sha256", "durable", "complete")})  # type: ignore[arg-type]  # of these types on both sides


async def _move(blob: _Blob, source: BlobFiles, target: BlobFiles, moved: BlobsMoved) -> None:
    if blob.complete and await _hash_at(target, blob) == blob.sha256:
        moved.there += 1
        return
    digest = hashlib.sha256()
    try:
        async for offset, piece in _pieces(blob, source):
            digest.update(piece)
            await target.append(blob.blob_id, offset=offset, data=piece)
            await target.sync(blob.blob_id)
            moved.size += len(piece)
    except _Damaged:
        moved.damaged.append(blob.blob_id)
        await target.remove(blob.blob_id)
        return
    if blob.complete and digest.digest() != blob.sha256:
        moved.damaged.append(blob.blob_id)
        await target.remove(blob.blob_id)
    elif await _hash_at(target, blob) != digest.digest():
        moved.unlike.append(blob.blob_id)
    else:
        moved.copied += 1


class _Damaged(Exception):
    """The source has not all of the bytes that its row tells of."""


async def _pieces(blob: _Blob, source: BlobFiles) -> AsyncIterator[tuple[int, bytes]]:
    """(where it begins, bytes), at least one. Raises _Damaged."""
    offset, held = 0, bytearray()
    try:
        async for data in source.read(blob.blob_id, start=0, end=blob.durable):
            held += data
            if len(held) >= _PIECE_BYTES:
                yield offset, bytes(held)
                offset += len(held)
                held.clear()
    except NotFound as error:
        raise _Damaged from error
    except Unavailable as error:
        await source.sha256(
            blob.blob_id
        )  # raises the same where the service is away: else there are too few bytes
        raise _Damaged from error
    if held or offset == 0:
        yield offset, bytes(held)


async def _hash_at(files: BlobFiles, blob: _Blob) -> bytes | None:
    try:
        return await files.sha256(blob.blob_id)
    except NotFound:
        return None
