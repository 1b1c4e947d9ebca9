"""The whole store in one PostgreSQL database, which many nodes share."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from relay.adapters.column_keys import open_keys
from relay.adapters.system_clock import system_randomness
from relay.ports.audit import AuditEntry
from relay.ports.clock import Randomness
from relay.ports.mailboxes import Quotas
from relay.ports.store import Levels
from relay.wire import limits
from relay.wire.errors import Unavailable

from .account_logs import PostgresAccountLogs
from .accounts import PostgresAccounts
from .audit import PostgresAudit, append_entry
from .blobs import PostgresBlobs
from .clocks import OFF_SECONDS, ClockWatch, watching_clock
from .database import FAR_OFF_SECONDS, Database, StoreUnreachable, Transaction, open_database
from .deletions import PostgresDeletions
from .delivery_tokens import PostgresDeliveryTokens
from .directory import PostgresDirectory
from .exports import PostgresExports
from .group_logs import PostgresGroupLogs
from .guests import PostgresGuests
from .holds import PostgresHolds
from .invites import PostgresInvites
from .leadership import PostgresLeadership, leading
from .mailboxes import PostgresMailboxes, jump, working
from .migrate import Migration, migrate, shipped_migrations
from .prekeys import PostgresPrekeys, drop_one_time_keys
from .profiles import PostgresProfiles
from .pushes import PostgresPushes
from .reserved_handles import PostgresReservedHandles
from .sealing import PostgresSealing, check_keys
from .transparency import PostgresLog, begin_log, start_new_log
from .unheard import telling_unheard
from .usage import PostgresUsage

DEFAULT_QUOTAS: Final = Quotas(
    limits.MAILBOX_ENVELOPES, limits.MAILBOX_BYTES, limits.MAILBOX_NEARLY_FULL_PERCENT
)

_COUNTED_EXACTLY: Final = 100_000  # rows; more are estimated
_LEVELS: Final = """
    SELECT CASE WHEN a.estimated < $1 THEN (SELECT count(*) FROM accounts) ELSE a.estimated END,
           CASE WHEN e.estimated < $1 THEN (SELECT count(*) FROM envelopes) ELSE e.estimated END,
           (SELECT min(received_at_ms) FROM (SELECT received_at_ms FROM envelopes ORDER BY expires_at_ms LIMIT 100) AS next),
           pg_database_size(current_database())
    FROM (SELECT reltuples::bigint AS estimated FROM pg_class WHERE oid = 'accounts'::regclass) AS a,
         (SELECT reltuples::bigint AS estimated FROM pg_class WHERE oid = 'envelopes'::regclass) AS e"""
"""The oldest is looked for among those that expire next: of a relay's envelopes most have the same time to live."""

__all__ = [
    "DEFAULT_QUOTAS",
    "FAR_OFF_SECONDS",
    "OFF_SECONDS",
    "ClockWatch",
    "PostgresLeadership",
    "PostgresStore",
    "StoreUnreachable",
    "leading",
    "migrate",
    "open_database",
    "open_postgres_store",
    "shipped_migrations",
    "telling_unheard",
    "watching_clock",
]


class PostgresStore:
    """Store on one database. Open it by `open_postgres_store`."""

    def __init__(self, database: Database, quotas: Quotas, randomness: Randomness, keys_file: Path) -> None:
        self.database = database
        self._randomness = randomness
        self.accounts = PostgresAccounts(database)
        self.deletions = PostgresDeletions(database)
        self.directory = PostgresDirectory(database)
        self.holds = PostgresHolds(database)
        self.profiles = PostgresProfiles(database)
        self.invites = PostgresInvites(database)
        self.guests = PostgresGuests(database)
        self.reserved_handles = PostgresReservedHandles(database)
        self.delivery_tokens = PostgresDeliveryTokens(database)
        self.transparency = PostgresLog(database)
        self.audit = PostgresAudit(database)
        self.sealing = PostgresSealing(database, keys_file)
        self.exports = PostgresExports(database)
        self.pushes = PostgresPushes(database)
        self.prekeys = PostgresPrekeys(database)
        self.blobs = PostgresBlobs(database)
        self.account_logs = PostgresAccountLogs(database)
        self.group_logs = PostgresGroupLogs(database)
        self.usage = PostgresUsage(database)
        self.mailboxes = PostgresMailboxes(database, quotas, randomness)
        self.failed: Final = asyncio.Event()
        """Never set: after a failed commit PostgreSQL is asked again."""

    async def levels(self) -> Levels:
        """Counts of a large database are those that PostgreSQL estimates; sizes are of all its tables and indexes."""
        ((accounts, waiting, oldest, file_bytes),) = await self.database.rows(_LEVELS, _COUNTED_EXACTLY)
        database = self.database
        unreplicated = database.counts.unreplicated
        return Levels(
            accounts,
            waiting,
            oldest,
            file_bytes,
            0,
            0,
            0,
            full=database.full,
            unreplicated=unreplicated,
            clock_ahead_seconds=database.clock_ahead_seconds,
        )

    async def reclaim(self) -> None:
        """PostgreSQL vacuums by itself."""

    async def mark_restored(self, *, audited: AuditEntry | None = None) -> None:
        """A new epoch in every mailbox, unused one-time keys dropped, a new log id."""
        log_id = self._randomness(limits.LOG_ID_BYTES)

        async def operation(transaction: Transaction) -> None:
            await transaction.take_time()
            await jump(transaction)
            await drop_one_time_keys(transaction)
            await start_new_log(transaction, log_id)
            await append_entry(transaction, audited)

        await self.database.run(operation)

    async def check(self) -> None:
        """Raise Unavailable unless the server answers, and takes writes."""
        await self.database.check()


@asynccontextmanager
async def open_postgres_store(
    url: str,
    *,
    keys_file: Path,
    quotas: Quotas = DEFAULT_QUOTAS,
    connections: int = 10,
    migrations: Sequence[Migration] | None = None,
    randomness: Randomness = system_randomness,
    **options: Any,
) -> AsyncIterator[PostgresStore]:
    """The store in the database of this URL, brought up to date. `keys_file`: of sealed columns, the same on each node.

    Raises StoreUnreachable with one line for the operator, and StartRefused of the key file.
    """
    keys = open_keys(keys_file, randomness)
    async with open_database(url, keys, connections=connections, **options) as database:
        try:
            await migrate(database, shipped_migrations() if migrations is None else migrations)
            await check_keys(database, keys_file)
            await begin_log(database, randomness)
        except Unavailable as error:
            raise StoreUnreachable("PostgreSQL did not answer in time while this node started") from error
        store = PostgresStore(database, quotas, randomness, keys_file)
        async with working(store.mailboxes):
            yield store
