"""The whole store in one SQLite file: opened, brought up to date, and closed in reverse."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import aiosqlite

from relay.adapters.column_keys import NAME as KEYS_NAME
from relay.adapters.column_keys import ColumnKeys, open_keys
from relay.adapters.data_folder import StartRefused
from relay.adapters.system_clock import system_randomness
from relay.ports.audit import AuditEntry
from relay.ports.clock import Randomness
from relay.ports.mailboxes import Quotas
from relay.ports.store import Levels
from relay.wire import limits
from relay.wire.errors import Unavailable

from .account_logs import SqliteAccountLogs
from .accounts import SqliteAccounts
from .audit import SqliteAudit, append_entry
from .blobs import SqliteBlobs
from .connection import StoreUnusable, only_process, open_reader, open_writer
from .deletions import SqliteDeletions
from .delivery_tokens import SqliteDeliveryTokens
from .directory import SqliteDirectory
from .exports import SqliteExports
from .group_logs import SqliteGroupLogs
from .guests import SqliteGuests
from .holds import SqliteHolds
from .invites import SqliteInvites
from .mailboxes import SqliteMailboxes
from .migrate import Migration, migrate, schema_version, shipped_migrations
from .moving_mark import MovingMark, being_moved
from .prekeys import SqlitePrekeys, drop_one_time_keys
from .profiles import SqliteProfiles
from .pushes import SqlitePushes
from .reader import Reader
from .reserve import Reserve
from .reserved_handles import SqliteReservedHandles
from .sealing import SqliteSealing, check_keys
from .transparency import SqliteLog, start_new_log
from .usage import SqliteUsage
from .writer import Transaction, Writer, WriterCounts, open_group_writer

RESERVE_BYTES: Final = 16_777_216  # twice the log of CHECKPOINT_PAGES: it can be copied back on a full disk
DEFAULT_QUOTAS: Final = Quotas(
    limits.MAILBOX_ENVELOPES, limits.MAILBOX_BYTES, limits.MAILBOX_NEARLY_FULL_PERCENT
)
SEALED_SINCE_SCHEMA: Final = 6
_RECLAIM_PAGES: Final = 1_000  # 2 to 12 ms

__all__ = ["DEFAULT_QUOTAS", "SqliteStore", "StoreUnusable", "open_sqlite_store"]


class SqliteStore:
    """Store on one SQLite file. Open it by `open_sqlite_store`."""

    def __init__(
        self,
        database: Path,
        writer: Writer,
        reader: Reader,
        reserve: Reserve,
        quotas: Quotas,
        randomness: Randomness,
        keys_file: Path,
    ) -> None:
        self._database = database
        self._writer = writer
        self._reader = reader
        self._reserve = reserve
        self._randomness = randomness
        self.mailboxes = SqliteMailboxes(writer, reader, quotas)
        self.accounts = SqliteAccounts(writer, reader, self.mailboxes.forget)
        self.deletions = SqliteDeletions(writer, reader, self.mailboxes.forget)
        self.directory = SqliteDirectory(reader)
        self.exports = SqliteExports(reader)
        self.holds = SqliteHolds(writer, reader)
        self.profiles = SqliteProfiles(writer, reader)
        self.pushes = SqlitePushes(writer, reader)
        self.invites = SqliteInvites(writer, reader)
        self.guests = SqliteGuests(reader)
        self.reserved_handles = SqliteReservedHandles(writer, reader)
        self.delivery_tokens = SqliteDeliveryTokens(writer, reader)
        self.prekeys = SqlitePrekeys(writer, reader)
        self.blobs = SqliteBlobs(writer, reader)
        self.account_logs = SqliteAccountLogs(writer, reader)
        self.group_logs = SqliteGroupLogs(writer, reader)
        self.transparency = SqliteLog(writer, reader)
        self.audit = SqliteAudit(writer, reader)
        self.usage = SqliteUsage(writer, reader)
        self.sealing = SqliteSealing(writer, reader, keys_file, randomness)

    @property
    def failed(self) -> asyncio.Event:
        """Set once the disk has failed."""
        return self._writer.failed

    @property
    def counts(self) -> WriterCounts:
        """Commits, statements and operations of the writer so far."""
        return self._writer.counts

    async def levels(self) -> Levels:
        """Counted by the reader; sizes as the file system tells them."""
        ((accounts, waiting, oldest),) = await self._reader.rows(
            """SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM envelopes),
                      (SELECT received_at_ms FROM envelopes ORDER BY envelope_number LIMIT 1)"""
        )
        log = self._database.with_name(self._database.name + "-wal")
        sizes = await asyncio.to_thread(_sizes, self._database, log)
        return Levels(accounts, waiting, oldest, *sizes, full=self._writer.full)

    async def check(self) -> None:
        """Raise Unavailable unless the store can read, has not failed and is not being left."""
        if self._writer.failed.is_set():
            raise Unavailable("the store has failed: the relay must be started again")
        if self._writer.mark.stands():
            raise being_moved()
        await self._reader.one("SELECT 1 FROM accounts LIMIT 1")

    async def reclaim(self) -> None:
        """Give a bounded number of free pages back, and take up envelopes again when there is room for the reserve."""
        ((free, pages),) = await self._reader.rows(
            "SELECT f.freelist_count, p.page_count FROM pragma_freelist_count AS f, pragma_page_count AS p"
        )
        script = ""
        if free > max(_RECLAIM_PAGES, pages // 4):  # fewer will be used again soon
            # The file itself gets shorter when the log is copied back; an idle relay would not come to that.
            script = f"PRAGMA incremental_vacuum({_RECLAIM_PAGES}); PRAGMA wal_checkpoint(PASSIVE);"
        if (
            self._writer.full
        ):  # the disk gets the pages back when the log is copied into the file, and cut off
            script += "PRAGMA wal_checkpoint(TRUNCATE);"
        if script:
            await self._writer.tidy(script)
        if self._reserve.restore():
            self._writer.room_found()

    async def mark_restored(self, *, audited: AuditEntry | None = None) -> None:
        """A new epoch in every mailbox, unused one-time keys dropped, a new log id."""
        log_id = self._randomness(limits.LOG_ID_BYTES)

        async def operation(transaction: Transaction) -> None:
            await self.mailboxes.jump(transaction)
            await drop_one_time_keys(transaction)
            await start_new_log(transaction, log_id)
            await append_entry(transaction, audited)

        await self._writer.run(operation)


def _sizes(database: Path, log: Path) -> tuple[int, int, int, int]:
    """Bytes of the file, of its log, of the disk, and of what is free there for this process."""
    disk = os.statvfs(database.parent)
    sizes = [path.stat().st_size if path.exists() else 0 for path in (database, log)]
    return sizes[0], sizes[1], disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize


async def _keys_of(connection: aiosqlite.Connection, path: Path, randomness: Randomness) -> ColumnKeys:
    """Those of the file; a new one is made only for a database that has sealed nothing yet. Raises StoreUnusable."""
    if await schema_version(connection) >= SEALED_SINCE_SCHEMA and not path.exists():  # noqa: ASYNC240  (at the start)
        raise StoreUnusable(
            f"{path}: the key file of this database is missing: put it back, or name it by keys_file; "
            "without it what it sealed is lost"
        )
    try:
        return open_keys(path, randomness)
    except StartRefused as error:
        raise StoreUnusable(str(error)) from error


@asynccontextmanager
async def open_sqlite_store(
    database: Path,
    *,
    quotas: Quotas = DEFAULT_QUOTAS,
    reserve_bytes: int = RESERVE_BYTES,
    migrations: Sequence[Migration] | None = None,
    randomness: Randomness = system_randomness,
    keys_file: Path | None = None,
    moving_file: Path | None = None,
) -> AsyncIterator[SqliteStore]:
    """The store in the file `database`, made if it is not there. `keys_file`: of sealed columns; None: beside the database.

    `moving_file`: nothing is committed while this file is there; whoever wants to write is told Unavailable.

    Raises StoreUnusable with one line for the operator: another process has it, it is newer, damaged, or not to be
    written.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(only_process(database))
        writing = await stack.enter_async_context(open_writer(database))
        keys_file = keys_file or database.with_name(KEYS_NAME)
        keys = await _keys_of(writing, keys_file, randomness)
        steps = shipped_migrations() if migrations is None else migrations
        await migrate(writing, steps, randomness, keys)
        await check_keys(writing, keys, keys_file)
        reading = await stack.enter_async_context(open_reader(database))
        reserve = Reserve(database.with_name(database.name + ".reserve"), reserve_bytes)
        writer = await stack.enter_async_context(
            open_group_writer(writing, reserve, keys, MovingMark(moving_file))
        )
        store = SqliteStore(database, writer, Reader(reading, keys), reserve, quotas, randomness, keys_file)
        await store.mailboxes.open()
        reserve.restore()
        yield store
