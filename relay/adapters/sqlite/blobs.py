"""What is known of blobs, in SQLite."""

from relay.ports.blobs import Blob
from relay.wire.errors import Conflict, NotFound, OffsetConflict, QuotaExceeded

from . import multi_row
from .reader import Reader
from .writer import Row, Transaction, Writer

_COLUMNS = "blob_id, owner_id, length, sha256, offset, complete, created_at_ms, expires_at_ms"


def _blob(row: Row) -> Blob:
    blob_id, owner_id, length, digest, offset, complete, created_at_ms, expires_at_ms = row
    return Blob(blob_id, owner_id, length, digest, offset, bool(complete), created_at_ms, expires_at_ms)


class SqliteBlobs:
    """BlobStore on one file."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def create(self, blob: Blob, *, quota_bytes: int) -> None:
        """Reserve its length."""

        async def operation(transaction: Transaction) -> None:
            ((taken, used),) = await transaction.rows(
                """SELECT EXISTS (SELECT 1 FROM blobs WHERE blob_id = ?1),
                          (SELECT coalesce(sum(length), 0) FROM blobs WHERE owner_id = ?2 AND (
                               expires_at_ms > ?3 OR NOT EXISTS (SELECT 1 FROM holds WHERE account_id = ?2)))""",
                (blob.blob_id, blob.owner_id, blob.created_at_ms),
            )
            if taken:
                raise Conflict("there is a blob with this id")
            if used + blob.length > quota_bytes:
                raise QuotaExceeded(
                    "the account's blobs have no room for this one: delete some, or wait until they expire"
                )
            await transaction.rows(
                f"INSERT INTO blobs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                (
                    blob.blob_id,
                    blob.owner_id,
                    blob.length,
                    blob.sha256,
                    blob.offset,
                    int(blob.complete),
                    blob.created_at_ms,
                    blob.expires_at_ms,
                ),
            )

        await self._writer.run(operation, single=True)

    async def get(self, blob_id: bytes, *, now_ms: int) -> Blob | None:
        """The blob unless it has expired."""
        row = await self._reader.one(
            f"SELECT {_COLUMNS} FROM blobs WHERE blob_id = ? AND expires_at_ms > ?",  # noqa: S608
            (blob_id, now_ms),
        )
        return None if row is None else _blob(row)

    async def advance(self, blob_id: bytes, *, from_offset: int, to_offset: int, expires_at_ms: int) -> Blob:
        """The bytes up to `to_offset` are there."""
        return await self._change(
            blob_id,
            f"""UPDATE blobs SET offset = ?, expires_at_ms = ?
                WHERE blob_id = ? AND offset = ? AND complete = 0 AND length >= ? RETURNING {_COLUMNS}""",  # noqa: S608
            (to_offset, expires_at_ms, blob_id, from_offset, to_offset),
        )

    async def complete(self, blob_id: bytes, *, expires_at_ms: int) -> Blob:
        """Readable from now on."""
        return await self._change(
            blob_id,
            f"""UPDATE blobs SET complete = 1, expires_at_ms = ?
                WHERE blob_id = ? AND offset = length RETURNING {_COLUMNS}""",  # noqa: S608
            (expires_at_ms, blob_id),
        )

    async def _change(self, blob_id: bytes, statement: str, parameters: tuple[object, ...]) -> Blob:
        async def operation(transaction: Transaction) -> Blob:
            changed = await transaction.rows(statement, parameters)
            if changed:
                return _blob(changed[0])
            if await transaction.rows("SELECT 1 FROM blobs WHERE blob_id = ?", (blob_id,)):
                raise OffsetConflict
            raise NotFound

        return await self._writer.run(operation, single=True)

    async def remove(self, blob_id: bytes) -> bool:
        """Forget it."""

        async def operation(transaction: Transaction) -> bool:
            return bool(await transaction.rows("DELETE FROM blobs WHERE blob_id = ? RETURNING 1", (blob_id,)))

        return await self._writer.run(operation, frees=True, single=True)

    async def used_bytes(self, owner_id: bytes) -> int:
        """What the account's blobs have reserved."""
        ((used,),) = await self._reader.rows(
            "SELECT coalesce(sum(length), 0) FROM blobs WHERE owner_id = ?", (owner_id,)
        )
        return int(used)

    async def expired(self, *, now_ms: int, limit: int) -> tuple[bytes, ...]:
        """Ids of expired blobs."""
        rows = await self._reader.rows(
            """SELECT blob_id FROM blobs WHERE expires_at_ms <= ? AND owner_id NOT IN (SELECT account_id FROM holds)
               ORDER BY expires_at_ms LIMIT ?""",
            (now_ms, limit),
        )
        return tuple(row[0] for row in rows)

    async def owned(self, owner_id: bytes, *, limit: int) -> tuple[bytes, ...]:
        """Ids of the account's blobs."""
        rows = await self._reader.rows(
            "SELECT blob_id FROM blobs WHERE owner_id = ? LIMIT ?", (owner_id, limit)
        )
        return tuple(row[0] for row in rows)

    async def known(self, blob_ids: tuple[bytes, ...]) -> frozenset[bytes]:
        """Which of these ids the store has."""
        found: set[bytes] = set()
        for rows, parameters in multi_row.chunks(blob_ids, 1):
            found.update(
                row[0]
                for row in await self._reader.rows(
                    f"SELECT blob_id FROM blobs WHERE blob_id IN (SELECT column1 FROM {multi_row.values(rows, 1)})",  # noqa: S608
                    parameters,
                )
            )
        return frozenset(found)
