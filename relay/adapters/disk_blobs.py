"""Blob files in a folder, one a blob, named by its id; every call runs off the event loop. Knows no owner and no meaning.

A file is under `<first two characters of the id>/<id>`, so that no folder grows without bound.
"""

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from relay.wire import limits
from relay.wire.errors import NotFound, OffsetConflict, StorageFull, Unavailable
from relay.wire.links import decode_id, encode_id

READ_BYTES: Final = 262_144
_HASH_BYTES: Final = 1_048_576
_THREADS: Final = 4  # a hung disk holds these, never the event loop (F19)
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

_DIGITS_LAST: Final = str.maketrans("234567", "{|}~\x7f\x80")

T = TypeVar("T")


def blob_path(folder: Path, blob_id: bytes) -> Path:
    """Where the blob's file is in the folder of blobs."""
    name = encode_id(blob_id)
    return folder / name[:2] / name


def sync_folder(folder: Path) -> None:
    """The names in the folder are durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refusal(error: OSError) -> NotFound | StorageFull | Unavailable:
    if isinstance(error, FileNotFoundError):
        return NotFound()
    return StorageFull() if error.errno in _FULL else Unavailable()


class DiskBlobs:
    """BlobFiles in a folder. Open it by `open_disk_blobs`."""

    def __init__(self, folder: Path, pool: ThreadPoolExecutor) -> None:
        self._folder = folder
        self._pool = pool

    def _path(self, blob_id: bytes) -> Path:
        return blob_path(self._folder, blob_id)

    async def _run(self, work: Callable[[], T]) -> T:
        """The work's result, from a thread of the pool; an error of the disk as the port tells it."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except OSError as error:
            raise _refusal(error) from error

    async def append(self, blob_id: bytes, *, offset: int, data: bytes) -> None:
        """Write `data` at `offset`; what stood behind it is gone."""
        path = self._path(blob_id)

        def work() -> None:
            if offset == 0:
                path.parent.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | (os.O_CREAT if offset == 0 else 0), 0o600)
            with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123  # a descriptor, not a path
                if file.seek(0, os.SEEK_END) < offset:
                    raise OffsetConflict
                file.truncate(offset)
                file.seek(offset)
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]

        await self._run(work)

    async def sync(self, blob_id: bytes) -> None:
        """The bytes and the file's name are durable."""
        path = self._path(blob_id)

        def work() -> None:
            with path.open("rb") as file:
                os.fsync(file.fileno())
            sync_folder(path.parent)
            sync_folder(self._folder)

        await self._run(work)

    async def sha256(self, blob_id: bytes) -> bytes:
        """32 B hash of the whole file."""
        path = self._path(blob_id)

        def work() -> bytes:
            digest = hashlib.sha256()
            with path.open("rb", buffering=0) as file:
                while piece := file.read(_HASH_BYTES):
                    digest.update(piece)
            return digest.digest()

        return await self._run(work)

    async def read(self, blob_id: bytes, *, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to but without `end`, in pieces."""
        path = self._path(blob_id)
        descriptor = await self._run(lambda: os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        try:
            while start < end:
                at, size = start, min(READ_BYTES, end - start)
                piece = await self._run(lambda at=at, size=size: os.pread(descriptor, size, at))  # type: ignore[misc]
                if not piece:
                    raise Unavailable("a blob's file is shorter than it should be")
                start += len(piece)
                yield piece
        finally:
            os.close(descriptor)

    async def remove(self, blob_id: bytes) -> None:
        """Delete the bytes."""
        path = self._path(blob_id)

        await self._run(lambda: path.unlink(missing_ok=True))

    async def list(self, *, after: bytes, limit: int) -> tuple[bytes, ...]:
        """Ids with bytes, ascending, above `after`."""

        def work() -> tuple[bytes, ...]:
            first = _rank(encode_id(after)[:2]) if after else ""
            found: list[bytes] = []
            for folder in sorted(self._folder.iterdir(), key=lambda path: _rank(path.name)):
                if folder.is_dir() and _rank(folder.name) >= first and len(found) < limit:
                    found += sorted(blob_id for blob_id in _ids_in(folder) if blob_id > after)
            return tuple(found[:limit])

        return await self._run(work)


def _ids_in(folder: Path) -> Iterator[bytes]:
    for file in folder.iterdir():
        with suppress(ValueError):  # not a blob: somebody else's file
            yield decode_id(file.name, limits.BLOB_ID_BYTES)


def _rank(text: str) -> str:
    """Base32 text in the order of the bytes it stands for: the alphabet's digits come after its letters."""
    return text.translate(_DIGITS_LAST)


@asynccontextmanager
async def open_disk_blobs(folder: Path) -> AsyncIterator[DiskBlobs]:
    """The blobs in `folder`, made (0700) if need be. Raises OSError if that cannot be."""
    folder.mkdir(mode=0o700, exist_ok=True)  # noqa: ASYNC240  # once, before anything runs
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="blobs") as pool:
        yield DiskBlobs(folder, pool)
