"""Blob files in a bucket of S3, which all nodes of a relay share. Knows no owner and no meaning.

An object of S3 cannot grow. So a blob is a row of objects, `<id in hex>/<where it begins, 16 digits>`, each what was made
durable at once, 4 MiB as a rule: an upload that is cut goes on at any node where the last one ended. What was appended and
not yet made durable is in this process alone. Nothing is left half-written: a piece is one PUT, never a multipart upload that
would have to be aborted. A new piece is made only where there is none (If-None-Match): the request that was cut off may still
end at one node while its client goes on at another, and its bytes, maybe fewer, must not take the place of those that were
told to be there.
"""

import hashlib
from bisect import bisect_right
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from relay.wire import limits
from relay.wire.errors import NotFound, OffsetConflict, Unavailable

if TYPE_CHECKING:
    from obstore.store import S3Config

READ_BYTES: Final = 262_144
PIECE_BYTES: Final = 8_388_608
"""So much is held in memory for an upload at most; then it is a piece, even if nobody asked for it to be durable."""
CONNECT_SECONDS: Final = 5
ANSWER_SECONDS: Final = 30
RETRIES: Final = 8
RETRY_SECONDS: Final = 15
"""A server that is started again is waited for: who uploads would have to begin again otherwise."""
UPLOADS_HELD: Final = 256
"""Uploads whose last bytes are held here; of more, the one that was longest without a word is forgotten: its client begins
again at what is durable."""
_DIGITS: Final = 16
_AFTER_PIECES: Final = "~"  # above every digit


@dataclass(frozen=True, slots=True)
class S3Options:
    """Where the bucket is and who this relay is there. `endpoint` None: Amazon's of the region."""

    bucket: str
    region: str
    endpoint: str | None = None
    prefix: str = ""
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)


@dataclass(slots=True)
class _Held:
    """What was appended to a blob and is not durable."""

    offset: int
    data: bytearray


@dataclass(frozen=True, slots=True)
class _Pieces:
    """The objects of a blob: where each begins, ascending, and how long it is; without a hole between them."""

    starts: tuple[int, ...]
    sizes: tuple[int, ...]

    @property
    def end(self) -> int:
        """How many bytes there are."""
        return self.starts[-1] + self.sizes[-1] if self.starts else 0


class S3Blobs:
    """BlobFiles in one bucket. Open it by `open_s3_blobs`."""

    def __init__(self, store: S3Store) -> None:
        self._store = store
        self._held: dict[bytes, _Held] = {}

    async def append(self, blob_id: bytes, *, offset: int, data: bytes) -> None:
        """Hold `data`; what stood behind `offset` is gone."""
        held = self._held.get(blob_id)
        if held is not None and offset > held.offset + len(held.data):
            raise OffsetConflict
        if held is None or offset < held.offset:
            self._held.pop(blob_id, None)
            await self._cut(blob_id, offset)
            held = _Held(offset, bytearray())
        del held.data[offset - held.offset :]
        held.data += data
        self._held.pop(blob_id, None)
        self._held[blob_id] = held  # the newest comes last
        if len(self._held) > UPLOADS_HELD:
            del self._held[next(iter(self._held))]
        if len(held.data) >= PIECE_BYTES and not await self._write_held(blob_id):
            raise OffsetConflict

    async def sync(self, blob_id: bytes) -> None:
        """What is held is an object. Raises OffsetConflict if another node has gone on: who asks again hears where it is."""
        if not await self._write_held(blob_id):
            raise OffsetConflict
        await self._pieces(blob_id)

    async def _write_held(self, blob_id: bytes) -> bool:
        """False: it is stale, and let go; another node has gone on, since whoever wrote here was cut off."""
        held = self._held.pop(blob_id, None)
        if held is None or not (held.data or held.offset == 0):
            return True
        return await self._end(blob_id) == held.offset and await self._put_new(
            blob_id, held.offset, bytes(held.data)
        )

    async def _cut(self, blob_id: bytes, offset: int) -> None:
        """The durable bytes end at `offset`. Raises OffsetConflict, NotFound."""
        if offset == 0:
            await self._remove_pieces(blob_id)
            return
        pieces = await self._pieces(blob_id)
        if offset > pieces.end:
            raise OffsetConflict
        for start, size in reversed(tuple(zip(pieces.starts, pieces.sizes, strict=True))):
            if start + size <= offset:
                break
            if start < offset:  # the piece that goes over it
                head = await self._get(blob_id, start, 0, offset - start)
                await self._put(blob_id, start, head)
            else:
                await self._delete(_key(blob_id, start))

    async def sha256(self, blob_id: bytes) -> bytes:
        """32 B hash of the whole."""
        await self._write_held(blob_id)
        pieces = await self._pieces(blob_id)
        digest = hashlib.sha256()
        for start, size in zip(pieces.starts, pieces.sizes, strict=True):
            digest.update(await self._get(blob_id, start, 0, size))
        return digest.digest()

    async def read(self, blob_id: bytes, *, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to but without `end`, in pieces."""
        await self._write_held(blob_id)
        pieces = await self._pieces(blob_id)
        while start < end:
            at = bisect_right(pieces.starts, start) - 1
            begins, size = pieces.starts[at], pieces.sizes[at]
            last = min(end, begins + size)
            if last <= start:
                raise Unavailable("a blob is shorter than it should be")
            data = await self._get(blob_id, begins, start - begins, last - start)
            for first in range(0, len(data), READ_BYTES):
                yield data[first : first + READ_BYTES]
            start = last

    async def remove(self, blob_id: bytes) -> None:
        """Delete the bytes."""
        self._held.pop(blob_id, None)
        await self._remove_pieces(blob_id)

    async def list(self, *, after: bytes, limit: int) -> tuple[bytes, ...]:
        """Ids with bytes, ascending, above `after`."""
        found: list[bytes] = []
        offset = f"{after.hex()}/{_AFTER_PIECES}" if after else None
        async for path in self._listed(offset):
            listed = _id_of(path.partition("/")[0])
            if listed is None or (found and found[-1] == listed):
                continue
            if len(found) == limit:
                break
            found.append(listed)
        held = {blob_id for blob_id in self._held if blob_id > after}
        return tuple(sorted(held.union(found))[:limit])

    # Objects

    async def _pieces(self, blob_id: bytes) -> _Pieces:
        """All, up to the first hole; raises NotFound if there are none."""
        starts: list[int] = []
        sizes: list[int] = []
        end = 0
        async for start, size in self._sized(blob_id):
            if start != end:
                break  # a node died between two deletions
            starts.append(start)
            sizes.append(size)
            end += size
        if not starts:
            raise NotFound
        return _Pieces(tuple(starts), tuple(sizes))

    async def _end(self, blob_id: bytes) -> int:
        try:
            return (await self._pieces(blob_id)).end
        except NotFound:
            return 0

    async def _sized(self, blob_id: bytes) -> AsyncIterator[tuple[int, int]]:
        try:
            async for chunk in obstore.list(self._store, f"{blob_id.hex()}/"):
                for meta in sorted(chunk, key=lambda each: each["path"]):
                    yield int(meta["path"].rpartition("/")[2]), int(meta["size"])
        except (BaseError, OSError) as error:
            raise Unavailable from error

    async def _listed(self, offset: str | None) -> AsyncIterator[str]:
        try:
            async for chunk in obstore.list(self._store, offset=offset):
                for meta in chunk:
                    yield meta["path"]
        except (BaseError, OSError) as error:
            raise Unavailable from error

    async def _remove_pieces(self, blob_id: bytes) -> None:
        """The last first: what a kill leaves is a shorter blob."""
        starts = [start async for start, _ in self._sized(blob_id)]
        for start in reversed(starts):
            await self._delete(_key(blob_id, start))

    async def _put_new(self, blob_id: bytes, start: int, data: bytes) -> bool:
        """Whether the piece is there as it should be: made now, or by a try whose answer was lost."""
        try:
            await obstore.put_async(
                self._store, _key(blob_id, start), data, mode="create", use_multipart=False
            )
        except AlreadyExistsError:
            pieces = await self._pieces(blob_id)
            return pieces.end == start + len(data) and (await self._get(blob_id, start, 0, len(data)) == data)
        except (BaseError, OSError) as error:
            raise Unavailable from error
        return True

    async def _put(self, blob_id: bytes, start: int, data: bytes) -> None:
        try:
            await obstore.put_async(self._store, _key(blob_id, start), data, use_multipart=False)
        except (BaseError, OSError) as error:
            raise Unavailable from error

    async def _get(self, blob_id: bytes, piece: int, start: int, length: int) -> bytes:
        if length == 0:
            return b""
        try:
            data = await obstore.get_range_async(
                self._store, _key(blob_id, piece), start=start, length=length
            )
        except FileNotFoundError as error:
            raise NotFound from error
        except (BaseError, OSError) as error:
            raise Unavailable from error
        if len(data) != length:
            raise Unavailable("a piece of a blob is shorter than it should be")
        return data.to_bytes()

    async def _delete(self, key: str) -> None:
        try:
            await obstore.delete_async(self._store, key)
        except FileNotFoundError:
            return  # another node was first
        except (BaseError, OSError) as error:
            raise Unavailable from error


def _key(blob_id: bytes, start: int) -> str:
    return f"{blob_id.hex()}/{start:0{_DIGITS}d}"


def _id_of(name: str) -> bytes | None:
    """The blob's id; None for what somebody else put into the bucket."""
    try:
        blob_id = bytes.fromhex(name)
    except ValueError:
        return None
    return blob_id if len(blob_id) == limits.BLOB_ID_BYTES else None


@asynccontextmanager
async def open_s3_blobs(options: S3Options) -> AsyncIterator[S3Blobs]:
    """The blobs of this bucket. Nothing is asked of it yet: a relay starts without it, and answers 503 to who wants a blob."""
    config: S3Config = {"region": options.region}
    if options.endpoint is not None:
        config["endpoint"] = options.endpoint
    if options.access_key is not None and options.secret_key is not None:
        config |= {"access_key_id": options.access_key, "secret_access_key": options.secret_key}
    store = S3Store(
        options.bucket,
        prefix=options.prefix or None,
        config=config,
        client_options={
            "allow_http": (options.endpoint or "").startswith("http://"),
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
            "timeout": timedelta(seconds=ANSWER_SECONDS),
        },
        retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)},
    )
    yield S3Blobs(store)
