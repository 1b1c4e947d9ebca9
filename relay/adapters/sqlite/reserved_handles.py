"""Handles that operators keep back, in SQLite."""

from relay.ports.audit import AuditEntry
from relay.ports.reserved_handles import ReservedHandle
from relay.wire.errors import HandleTaken, NotFound

from .audit import append_entry
from .reader import Reader
from .writer import Transaction, Writer


class SqliteReservedHandles:
    """ReservedHandleStore on one file."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def reserve(self, reserved: ReservedHandle, *, audited: AuditEntry | None = None) -> None:
        """Keep it back."""

        async def operation(transaction: Transaction) -> None:
            await transaction.rows(
                "INSERT OR REPLACE INTO reserved_handles VALUES (?, ?)",
                (reserved.handle, reserved.account_id),
            )
            await append_entry(transaction, audited)

        await self._writer.run(operation)

    async def release(self, handle: str, *, audited: AuditEntry | None = None) -> None:
        """Keep it back no longer."""

        async def operation(transaction: Transaction) -> None:
            if not await transaction.rows(
                "DELETE FROM reserved_handles WHERE handle = ? RETURNING 1", (handle,)
            ):
                raise NotFound("this handle is not reserved")
            await append_entry(transaction, audited)

        await self._writer.run(operation, frees=True)

    async def list(self, *, after: str, limit: int) -> tuple[ReservedHandle, ...]:
        """A page of them."""
        rows = await self._reader.rows(
            "SELECT handle, account_id FROM reserved_handles WHERE handle > ? ORDER BY handle LIMIT ?",
            (after, limit),
        )
        return tuple(ReservedHandle(*row) for row in rows)


async def check_reserved(transaction: Transaction, handle: str, account_id: bytes) -> None:
    """Raise HandleTaken if operators keep this handle from this account."""
    kept = await transaction.rows(
        "SELECT account_id IS NOT ? FROM reserved_handles WHERE handle = ?", (account_id, handle)
    )
    if kept == [(1,)]:
        raise HandleTaken
