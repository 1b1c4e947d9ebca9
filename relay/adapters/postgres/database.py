"""Connections to PostgreSQL: transactions that are durable when they return, reads, and what an error means.

Each node of a cluster is one of many writers. A transaction runs at READ COMMITTED and locks the rows that its checks are
about, in one order: advisory locks, the account, devices, mailboxes, the transparency log, the audit log; those of one
kind by their id. A deadlock that comes of something else ends one of its transactions, which is run again.

Citus: a statement of the hot path binds the key that its table is spread by, and says so by `hot`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, TypeAlias, TypeVar

import asyncpg

from relay.adapters.column_keys import ColumnKeys
from relay.wire.errors import RelayError, StorageFull, Unavailable

from .kept_connections import CONNECT_SECONDS, FAILURES, Connection, KeptConnections, terminate
from .sessions import NODE, SESSION, keep_session, refuse_lazy, refuse_unfit

_log = logging.getLogger(__name__)
T = TypeVar("T")
Row: TypeAlias = asyncpg.Record

COMMAND_SECONDS: Final = 10.0
"""After which an answer is not waited for any more: the server hangs, or is not there."""
SCRIPT_SECONDS: Final = 86_400.0
CHECK_SECONDS: Final = 2.0
SILENT_SECONDS: Final = 10.0
"""A session of one's own that says nothing for so long is ended by the server: who has it is frozen, and keeps its locks."""
FAR_OFF_SECONDS: Final = 30.0
"""Two clocks that are as far off on either side take signatures as the protocol says, and not beyond."""
_TRIES: Final = 6
_STATEMENTS_REMEMBERED: Final = 256

_SMALL_COMMIT: Final = "SELECT pg_logical_emit_message(true, 'tokenim', '')"
"""Writes to the log of the server and nowhere else, so it waits for the standby as a submit does."""
_GIVES_UP_STANDBY: Final = "SyncRepWaitForLSN"
"""The function of PostgreSQL that warns then; its words depend on the language of the server."""

_DEADLOCKS: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)

HOT: Final[dict[str, str]] = {}
"""Statements that run for each message, connection or signed request, and the column each is spread by."""


def hot(spread_by: str, statement: str) -> str:
    """The statement, noted as one of the hot path that binds `spread_by`."""
    HOT[statement] = spread_by
    return statement


class Lock(IntEnum):
    """Advisory locks: of what no single row stands for."""

    MIGRATION = 1
    """One node brings the schema up to date."""
    OWNERS = 2
    """Whether an owner is left."""
    MOVING = 3
    """Of the one process that moves a relay's state from here, or to here."""
    UNHEARD = 4
    """Shared, of each node that the bus does not reach."""


LOCK_SPACE: Final = 0x746F6B6E  # "tokn": beside other programs of one database


class StoreUnreachable(Exception):
    """PostgreSQL cannot be used; the message is one line for the operator, with what to do."""


@dataclass(slots=True)
class Counts:
    """What was asked of the server since the start; tests and metrics read it."""

    commits: int = 0
    statements: int = 0
    again: int = 0
    """Transactions that were run again after a deadlock."""
    unreplicated: int = 0
    """Commits for which somebody ended the wait for the synchronous standby."""


class Transaction:
    """What an operation may do; all of it happens, or nothing."""

    def __init__(self, connection: Connection, keys: ColumnKeys, counts: Counts) -> None:
        self.keys: Final = keys
        self._connection = connection
        self._counts = counts
        self._seconds = COMMAND_SECONDS

    async def take_time(self) -> None:
        """What is executed from now on may take as long as it needs: it goes over whole tables, with no node running."""
        await self.execute("SET LOCAL statement_timeout = 0")
        self._seconds = SCRIPT_SECONDS

    async def rows(self, statement: str, *parameters: object) -> list[Row]:
        """All rows of the statement."""
        self._counts.statements += 1
        return await self._connection.fetch(statement, *parameters)

    async def one(self, statement: str, *parameters: object) -> Row | None:
        """The first row, or None."""
        self._counts.statements += 1
        return await self._connection.fetchrow(statement, *parameters)

    async def pages(self, statement: str, *parameters: object, rows: int) -> AsyncIterator[list[Row]]:
        """All rows of the statement, so many at once: other statements may be run between two of them."""
        self._counts.statements += 1
        cursor = await self._connection.cursor(statement, *parameters, timeout=self._seconds)
        while page := await cursor.fetch(rows, timeout=self._seconds):
            yield page

    async def execute(self, statement: str, *parameters: object) -> str:
        """Run it; what PostgreSQL says was done, like "DELETE 3"."""
        self._counts.statements += 1
        return await self._connection.execute(statement, *parameters, timeout=self._seconds)

    async def execute_many(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Run it for each of the rows, in one go."""
        self._counts.statements += 1
        await self._connection.executemany(statement, rows)

    async def script(self, statements: str) -> None:
        """Run statements of the relay's own files; they may take as long as they need."""
        await self._connection.execute(statements, timeout=SCRIPT_SECONDS)

    @staticmethod
    async def let_others() -> None:
        """In the middle of long work: the event loop's other tasks have their turn."""
        await asyncio.sleep(0)

    async def lock(self, lock: Lock) -> None:
        """Hold the advisory lock until the transaction ends."""
        await self.execute("SELECT pg_advisory_xact_lock($1, $2)", LOCK_SPACE, int(lock))


Operation: TypeAlias = Callable[[Transaction], Awaitable[T]]


@dataclass(eq=False)
class Database:
    """A pool of connections. Open it by `open_database`."""

    pool: "asyncpg.Pool[Row]"
    kept: KeptConnections
    keys: ColumnKeys
    counts: Counts = field(default_factory=Counts)
    full: bool = False
    """The server's disk was full at the last try to write."""
    in_doubt: bool = False
    """A commit did not get to the synchronous standby, or nobody heard whether it did, and none has since."""
    clock_ahead_seconds: float = 0.0
    """By how much this node's clock was ahead of the server's at the last look (clocks.py)."""
    moved_ms: Callable[[], int] = lambda: 0
    """By how much this node's clock was set forward since."""
    wall_over_monotonic_ms: int = 0
    """Of this node's clocks, at the last look."""

    def shared_ms(self, now_ms: int) -> int:
        """This node's moment by the clock of the server, which all nodes have in common."""
        return now_ms - round(self.clock_ahead_seconds * 1_000) - self.moved_ms()

    @property
    def is_clock_far_off(self) -> bool:
        """Whether the node is not ready, and leads in nothing, for its clock."""
        return abs(self.clock_ahead_seconds + self.moved_ms() / 1_000) > FAR_OFF_SECONDS

    async def run(self, operation: Operation[T]) -> T:
        """The operation's result, durable. It may be run again, after a deadlock: it changes nothing outside of the database.

        Raises what the operation raises, Unavailable, StorageFull. After Unavailable it may have happened all the
        same, if the connection went while it was committed: callers try again, and all operations bear that.
        """
        return await self._again(lambda: self._attempt(operation))

    async def _attempt(self, operation: Operation[T]) -> T:
        async with self._connection() as connection:
            transaction = Transaction(connection, self.keys, self.counts)
            async with connection.transaction():
                return await operation(transaction)

    async def change(self, statement: str, *parameters: object) -> list[Row]:
        """The rows of one statement that writes, durable: one way to the server, where `run` takes three."""
        return await self._again(lambda: self.rows(statement, *parameters))

    async def _again(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What the attempt that commits returns; those before it ended in deadlocks."""
        for left in reversed(range(_TRIES)):
            try:
                result = await attempt()
            except _DEADLOCKS as error:
                self.counts.again += 1
                if left == 0:
                    raise self._judge(error) from error
            else:
                self.counts.commits += 1
                self.full = False
                return result
        raise AssertionError

    async def rows(self, statement: str, *parameters: object) -> list[Row]:
        """All rows, of one snapshot. Raises Unavailable."""
        async with self._connection() as connection:
            self.counts.statements += 1
            return await connection.fetch(statement, *parameters)

    async def one(self, statement: str, *parameters: object) -> Row | None:
        """The first row, or None. Raises Unavailable."""
        async with self._connection() as connection:
            self.counts.statements += 1
            return await connection.fetchrow(statement, *parameters)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Transaction]:
        """Many reads of one moment: nothing that is committed meanwhile is seen. Raises Unavailable."""
        async with (
            self._connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield Transaction(connection, self.keys, self.counts)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Transaction]:
        """A connection of one's own; each statement is committed by itself, and locks last until the end. Raises Unavailable.

        Who has it says something each second. At the end the connection is closed, not given to others.
        """
        async with self._connection() as connection:
            try:
                await connection.execute(f"SET idle_session_timeout = {round(SILENT_SECONDS * 1_000)}")
                yield Transaction(connection, self.keys, self.counts)
            finally:
                terminate(connection)

    async def other_sessions(self) -> int:
        """How many connections of nodes there are to this database beside the one that asks. Raises Unavailable."""
        row = await self.one(
            """SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = $1 AND pid <> pg_backend_pid()""",
            NODE,
        )
        return int(row[0]) if row is not None else 0

    async def check(self) -> None:
        """Raise Unavailable unless the server answers soon, would take a write and keep it, and has this node's time."""
        if self.is_clock_far_off:
            raise Unavailable("the clock of this node is not that of PostgreSQL")
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                row = await self.one("SELECT pg_is_in_recovery()")
                if self.in_doubt:
                    await self.one(_SMALL_COMMIT)
                    self.in_doubt = False
        except TimeoutError as error:
            raise Unavailable("PostgreSQL does not answer") from error
        if row is None or row[0]:
            raise Unavailable("PostgreSQL takes no writes: it is a standby")

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """One of the pool; errors of the server and of the way to it become what callers know.

        Whoever ends the wait of a commit for the synchronous standby gets it done without: PostgreSQL then answers with
        success, and a warning. Here that is no success, as a failover would take back what was told to be there.
        """
        connection, is_done = None, False
        warnings: list[object] = []

        def hear(_connection: object, message: Any) -> None:
            if message.server_source_function == _GIVES_UP_STANDBY:
                warnings.append(message)

        try:
            connection = await self.kept.take()
            connection.add_log_listener(hear)
            yield connection
            if warnings:
                self._doubt_commit()
                raise Unavailable
            is_done = True
        except (RelayError, *_DEADLOCKS):
            raise
        except FAILURES as error:
            if connection is not None and _is_doubtful(error):
                if isinstance(error, TimeoutError):
                    self.in_doubt = True  # it has what it waited for cancelled: a commit, with a warning that nobody hears
                terminate(connection)  # what it is at is unknown, or who is at its end takes no writes
            raise self._judge(error) from error
        finally:
            if connection is not None:
                with suppress(asyncpg.InterfaceError):  # the pool has noticed before that it is gone
                    connection.remove_log_listener(hear)
                if not (is_done and self.kept.keep(connection)):
                    await self.kept.give_back(connection)

    def _doubt_commit(self) -> None:
        self.counts.unreplicated += 1
        if not self.in_doubt:
            _log.error("commit_unreplicated")
        self.in_doubt = True

    def _judge(self, error: BaseException) -> RelayError:
        """What who waits is told."""
        if isinstance(error, asyncpg.DiskFullError):
            if not self.full:
                _log.error("storage_full")
            self.full = True
            return StorageFull()
        known = _is_doubtful(error) or isinstance(error, asyncpg.LockNotAvailableError)
        if isinstance(error, asyncpg.PostgresError) and not known:
            _log.error("store_operation_failed", exc_info=error)
        return Unavailable()


def _is_doubtful(error: BaseException) -> bool:
    """The connection, or who is at its other end, is at fault, not the statement."""
    if not isinstance(error, asyncpg.PostgresError):
        return True
    return isinstance(
        error,
        asyncpg.PostgresConnectionError
        | asyncpg.OperatorInterventionError  # shut down, cancelled, timed out
        | asyncpg.InsufficientResourcesError
        | asyncpg.ReadOnlySQLTransactionError
        | asyncpg.InvalidAuthorizationSpecificationError,
    )


def is_busy(error: BaseException) -> bool:
    """Whether that is what somebody is told because another transaction held a row for too long."""
    return isinstance(error.__cause__, asyncpg.LockNotAvailableError)


def first_line(error: BaseException) -> str:
    """What it says, for a message of one line."""
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__


@asynccontextmanager
async def open_database(
    url: str, keys: ColumnKeys, *, connections: int = 10, moving: bool = False, **options: Any
) -> AsyncIterator[Database]:
    """A pool of at most so many connections to the database of this URL. Raises StoreUnreachable.

    `options` are asyncpg's, for TLS and passwords from files. `moving`: for who moves it; others are refused meanwhile.
    """
    try:
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=connections,
            timeout=CONNECT_SECONDS,
            command_timeout=COMMAND_SECONDS,
            statement_cache_size=_STATEMENTS_REMEMBERED,
            server_settings=dict(SESSION),
            reset=keep_session,
            init=refuse_lazy if moving else refuse_unfit,
            **options,
        )
    except Unavailable as error:
        raise StoreUnreachable(str(error)) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, ValueError) as error:
        raise StoreUnreachable(
            f"PostgreSQL cannot be used: {first_line(error)}; check postgres.url and that the server runs"
        ) from error
    kept = KeptConnections(pool, connections // 2)
    try:
        yield Database(pool, kept, keys)
    finally:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await kept.give_back_all()
                await pool.close()
        except (TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresError, OSError):
            pool.terminate()
