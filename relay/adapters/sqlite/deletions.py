"""Accounts that go for ever, in SQLite: rows in one commit, then what is left of them in free pages and in the log."""

from collections.abc import Callable, Iterable
from typing import Final

from relay.ports.accounts import Account
from relay.ports.audit import AuditEntry
from relay.wire.errors import LastOwner, NotFound
from relay.wire.log_leaves import account_gone_leaf

from .accounts import AN_OWNER, STANDING, keep_handle, read_account, unbind_handle
from .audit import append_entry
from .reader import Reader
from .transparency import append_handle, append_leaf
from .writer import Transaction, Writer

_VACUUM_PAGES: Final = 1_000  # 2 to 12 ms
_MARK: Final = "INSERT OR IGNORE INTO account_deletions VALUES (?)"
_MARKED: Final = """SELECT a.manifest_version FROM account_deletions JOIN accounts AS a USING (account_id)
    WHERE account_id = ? AND account_id NOT IN (SELECT account_id FROM holds)"""
_PENDING: Final = "SELECT pending FROM deletion_traces"


class SqliteDeletions:
    """DeletionStore on one file. `forget_devices` is called with the ids that a commit has removed."""

    def __init__(
        self, writer: Writer, reader: Reader, forget_devices: Callable[[Iterable[bytes]], None]
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._forget_devices = forget_devices

    async def begin(self, account_id: bytes, *, owner: str, audited: AuditEntry | None = None) -> Account:
        """Mark it and suspend it."""

        async def operation(transaction: Transaction) -> Account:
            before = await transaction.rows(STANDING, (account_id,))
            if not before:
                raise NotFound("there is no such account")
            await transaction.rows("UPDATE accounts SET suspended = 1 WHERE account_id = ?", (account_id,))
            if before[0] == (owner, 0) and not await transaction.rows(AN_OWNER, (owner,)):
                raise LastOwner
            await transaction.rows(_MARK, (account_id,))
            await append_entry(transaction, audited)
            return await read_account(transaction, account_id)

        return await self._writer.run(operation, frees=True)

    async def begun(self, *, limit: int) -> tuple[bytes, ...]:
        """Those that are marked."""
        rows = await self._reader.rows(
            "SELECT account_id FROM account_deletions WHERE account_id NOT IN (SELECT account_id FROM holds) LIMIT ?",
            (limit,),
        )
        return tuple(row[0] for row in rows)

    async def finish(self, account_id: bytes, *, kept_until_ms: int = 0) -> None:
        """Forget it."""

        async def operation(transaction: Transaction) -> None:
            marked = await transaction.rows(_MARKED, (account_id,))
            if not marked:
                return
            handle = await unbind_handle(transaction, account_id)
            if handle is not None:
                await append_handle(transaction, handle, None)
                await keep_handle(transaction, handle, None, kept_until_ms)
            devices = await transaction.rows(
                "SELECT device_number, device_id FROM devices WHERE account_id = ?", (account_id,)
            )
            for number, device_id in devices:
                await transaction.rows("DELETE FROM envelopes WHERE device_number = ?", (number,))
                await transaction.rows("DELETE FROM records WHERE device_number = ?", (number,))
                await transaction.rows("DELETE FROM nonces WHERE device_id = ?", (device_id,))
            await transaction.rows("DELETE FROM nonces WHERE device_id = ?", (account_id,))
            await transaction.rows("DELETE FROM held_envelopes WHERE account_id = ?", (account_id,))
            await transaction.rows("DELETE FROM blobs WHERE owner_id = ?", (account_id,))
            await append_leaf(transaction, account_gone_leaf(account_id, marked[0][0] + 1))
            await transaction.rows("UPDATE deletion_traces SET pending = 1")
            await transaction.rows(
                "DELETE FROM accounts WHERE account_id = ?", (account_id,)
            )  # the rest hangs on it
            transaction.after_commit(lambda: self._forget_devices(device_id for _, device_id in devices))

        await self._writer.run(operation, frees=True)

    async def erase_traces(self) -> bool:
        """Free pages go from the file, and the log is copied into it and cut off; only then is the mark taken away."""
        ((pending,),) = await self._reader.rows(_PENDING)
        if not pending:
            return False
        free = await self._free_pages()
        while free:
            await self._writer.tidy(f"PRAGMA incremental_vacuum({_VACUUM_PAGES});")
            before, free = free, await self._free_pages()
            if free >= before:
                return True  # others delete faster, or a reader holds them
        if not await self._writer.cut_log():
            return True

        async def operation(transaction: Transaction) -> None:
            await transaction.rows("UPDATE deletion_traces SET pending = 0")

        await self._writer.run(operation, frees=True)
        return False

    async def _free_pages(self) -> int:
        ((free,),) = await self._reader.rows("SELECT freelist_count FROM pragma_freelist_count")
        return int(free)
