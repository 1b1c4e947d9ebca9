"""What is known of blobs, in PostgreSQL."""

from typing import Final

from relay.ports.blobs import Blob
from relay.wire.errors import Conflict, NotFound, OffsetConflict, QuotaExceeded

from .database import Database, Row, Transaction

_COLUMNS: Final = "blob_id, owner_id, length, sha256, durable, complete, created_at_ms, expires_at_ms"


def _blob(row: Row) -> Blob:
    return Blob(*row)


class PostgresBlobs:
    """BlobStore on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, blob: Blob, *, quota_bytes: int) -> None:
        """Reserve its length."""

        async def operation(transaction: Transaction) -> None:
            # Two blobs of one account, begun on two nodes at once, are counted one after the other.
            await transaction.rows("SELECT 1 FROM accounts WHERE account_id = $1 FOR UPDATE", blob.owner_id)
            ((used,),) = await transaction.rows(
                """SELECT coalesce(sum(length), 0) FROM blobs WHERE owner_id = $1 AND (
                       expires_at_ms > $2 OR NOT EXISTS (SELECT 1 FROM holds WHERE account_id = $1))""",
                blob.owner_id,
                blob.created_at_ms,
            )
            if await transaction.rows("SELECT 1 FROM blobs WHERE blob_id = $1", blob.blob_id):
                raise Conflict("there is a blob with this id")
            if used + blob.length > quota_bytes:
                raise QuotaExceeded(
                    "the account's blobs have no room for this one: delete some, or wait until they expire"
                )
            if not await transaction.rows(
                f"""INSERT INTO blobs ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                    ON CONFLICT DO NOTHING RETURNING 1""",  # noqa: S608
                blob.blob_id,
                blob.owner_id,
                blob.length,
                blob.sha256,
                blob.offset,
                blob.complete,
                blob.created_at_ms,
                blob.expires_at_ms,
            ):
                raise Conflict("there is a blob with this id")

        await self._database.run(operation)

    async def get(self, blob_id: bytes, *, now_ms: int) -> Blob | None:
        """The blob unless it has expired."""
        row = await self._database.one(
            f"SELECT {_COLUMNS} FROM blobs WHERE blob_id = $1 AND expires_at_ms > $2",  # noqa: S608
            blob_id,
            now_ms,
        )
        return None if row is None else _blob(row)

    async def advance(self, blob_id: bytes, *, from_offset: int, to_offset: int, expires_at_ms: int) -> Blob:
        """The bytes up to `to_offset` are there."""
        return await self._change(
            f"""UPDATE blobs SET durable = $2, expires_at_ms = $3
                WHERE blob_id = $1 AND durable = $4 AND NOT complete AND length >= $2 RETURNING {_COLUMNS}""",  # noqa: S608
            blob_id,
            to_offset,
            expires_at_ms,
            from_offset,
        )

    async def complete(self, blob_id: bytes, *, expires_at_ms: int) -> Blob:
        """Readable from now on."""
        return await self._change(
            f"""UPDATE blobs SET complete = true, expires_at_ms = $2
                WHERE blob_id = $1 AND durable = length RETURNING {_COLUMNS}""",  # noqa: S608
            blob_id,
            expires_at_ms,
        )

    async def _change(self, statement: str, blob_id: bytes, *parameters: object) -> Blob:
        changed = await self._database.change(statement, blob_id, *parameters)
        if changed:
            return _blob(changed[0])
        if await self._database.one("SELECT 1 FROM blobs WHERE blob_id = $1", blob_id):
            raise OffsetConflict
        raise NotFound

    async def remove(self, blob_id: bytes) -> bool:
        """Forget it."""
        return bool(await self._database.change("DELETE FROM blobs WHERE blob_id = $1 RETURNING 1", blob_id))

    async def used_bytes(self, owner_id: bytes) -> int:
        """What the account's blobs have reserved."""
        ((used,),) = await self._database.rows(
            "SELECT coalesce(sum(length), 0) FROM blobs WHERE owner_id = $1", owner_id
        )
        return int(used)

    async def expired(self, *, now_ms: int, limit: int) -> tuple[bytes, ...]:
        """Ids of expired blobs."""
        rows = await self._database.rows(
            """SELECT blob_id FROM blobs WHERE expires_at_ms <= $1 AND owner_id NOT IN (SELECT account_id FROM holds)
               ORDER BY expires_at_ms LIMIT $2""",
            now_ms,
            limit,
        )
        return tuple(row[0] for row in rows)

    async def owned(self, owner_id: bytes, *, limit: int) -> tuple[bytes, ...]:
        """Ids of the account's blobs."""
        rows = await self._database.rows(
            "SELECT blob_id FROM blobs WHERE owner_id = $1 LIMIT $2", owner_id, limit
        )
        return tuple(row[0] for row in rows)

    async def known(self, blob_ids: tuple[bytes, ...]) -> frozenset[bytes]:
        """Which of these ids the store has."""
        rows = await self._database.rows(
            "SELECT blob_id FROM blobs WHERE blob_id = ANY($1::bytea[])", list(blob_ids)
        )
        return frozenset(row[0] for row in rows)
