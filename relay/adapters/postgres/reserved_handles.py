"""Handles that operators keep back, in PostgreSQL."""

from relay.ports.audit import AuditEntry
from relay.ports.reserved_handles import ReservedHandle
from relay.wire.errors import HandleTaken, NotFound

from .audit import append_entry
from .database import Database, Transaction


class PostgresReservedHandles:
    """ReservedHandleStore on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve(self, reserved: ReservedHandle, *, audited: AuditEntry | None = None) -> None:
        """Keep it back."""

        async def operation(transaction: Transaction) -> None:
            await transaction.execute(
                """INSERT INTO reserved_handles VALUES ($1, $2)
                   ON CONFLICT (handle) DO UPDATE SET account_id = excluded.account_id""",
                reserved.handle,
                reserved.account_id,
            )
            await append_entry(transaction, audited)

        await self._database.run(operation)

    async def release(self, handle: str, *, audited: AuditEntry | None = None) -> None:
        """Keep it back no longer."""

        async def operation(transaction: Transaction) -> None:
            if not await transaction.rows(
                "DELETE FROM reserved_handles WHERE handle = $1 RETURNING 1", handle
            ):
                raise NotFound("this handle is not reserved")
            await append_entry(transaction, audited)

        await self._database.run(operation)

    async def list(self, *, after: str, limit: int) -> tuple[ReservedHandle, ...]:
        """A page of them."""
        rows = await self._database.rows(
            "SELECT handle, account_id FROM reserved_handles WHERE handle > $1 ORDER BY handle LIMIT $2",
            after,
            limit,
        )
        return tuple(ReservedHandle(*row) for row in rows)


async def check_reserved(transaction: Transaction, handle: str, account_id: bytes) -> None:
    """Raise HandleTaken if operators keep this handle from this account."""
    kept = await transaction.one("SELECT account_id FROM reserved_handles WHERE handle = $1", handle)
    if kept is not None and kept[0] != account_id:
        raise HandleTaken
