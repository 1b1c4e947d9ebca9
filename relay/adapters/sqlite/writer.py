"""One writer behind a group commit: whatever arrives while a commit runs shares the next one.

An operation's result is told after the commit of its group only. After an error of the disk nothing is accepted any
more: what a failed fsync has done to earlier pages is unknown, so the process must start again from the file.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar, cast

import aiosqlite

from relay.adapters.column_keys import ColumnKeys
from relay.wire.errors import RelayError, StorageFull, Unavailable

from .connection import BATCH, LAST_BATCH
from .moving_mark import BeingLeft, MovingMark, being_moved
from .reserve import Reserve

_log = logging.getLogger(__name__)
T = TypeVar("T")
Row: TypeAlias = tuple[Any, ...]

_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


def _primary_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


@dataclass(slots=True)
class WriterCounts:
    """What the writer has done since it was opened; tests and metrics read it."""

    commits: int = 0
    statements: int = 0
    hops: int = 0  # to the database's thread and back
    operations: int = 0


class Transaction:
    """What an operation may do inside its group's transaction. `freeing_only`: the disk is full, only shrink."""

    def __init__(
        self, connection: aiosqlite.Connection, counts: WriterCounts, keys: ColumnKeys, *, freeing_only: bool
    ) -> None:
        self.keys: Final = keys
        self._connection = connection
        self._counts = counts
        self.freeing_only = freeing_only
        self._deferred: list[tuple[str, Sequence[object], Callable[[list[Row]], None] | None]] = []
        self._mark: int | None = None  # where the operation's own begin; None once some of it was run
        self._after_commit: list[Callable[[], None]] = []

    def later(
        self,
        statement: str,
        parameters: Sequence[object] = (),
        then: Callable[[list[Row]], None] | None = None,
    ) -> None:
        """Run the statement with the next one whose rows are waited for, or with the commit; `then` gets its rows."""
        self._deferred.append((statement, parameters, then))

    async def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Run what was deferred and this statement, in one hop; its rows."""
        found: list[Row] = []

        def take(rows: list[Row]) -> None:
            found[:] = rows

        self.later(statement, parameters, take)
        await self.flush()
        return found

    async def flush(self) -> None:
        """Run what was deferred; a later one does not run after one that fails."""
        if self._deferred:
            await self._run_deferred(None)

    async def commit(self, before_commit: Callable[[], None]) -> None:
        """Run what was deferred, `before_commit`, which may raise, and COMMIT, in one hop."""
        self._counts.statements += 1
        await self._run_deferred(before_commit)

    async def _run_deferred(self, before_commit: Callable[[], None] | None) -> None:
        deferred, self._deferred = self._deferred, []
        self._mark = None
        self._counts.hops += 1
        self._counts.statements += len(deferred)
        batch = [(statement, parameters) for statement, parameters, _ in deferred]
        run = self._connection.execute_fetchall
        if before_commit is None:
            results = cast(list[list[Row]], await run(BATCH, batch))
        else:
            results = cast(list[list[Row]], await run(LAST_BATCH, (batch, before_commit)))
        for (_, _, then), rows in zip(deferred, results, strict=True):
            if then is not None:
                then(rows)

    @staticmethod
    async def let_others() -> None:
        """In the middle of long work: the event loop's other tasks have their turn."""
        await asyncio.sleep(0)

    def forget_deferred(self) -> None:
        """What was deferred is not to happen."""
        self._deferred = []

    def begin_operation(self, *, savepoint: bool) -> None:
        """What comes from here on is one operation's."""
        self._mark = len(self._deferred)
        if savepoint:
            self.later("SAVEPOINT operation")

    def end_operation(self, *, savepoint: bool, undo: bool) -> None:
        """Keep what the operation did, or take it back; `undo` without a savepoint: it has written nothing yet."""
        if undo and self._mark is not None:
            del self._deferred[self._mark :]  # none of it was run
            return
        if undo:
            self._deferred = []
            if savepoint:
                self.later("ROLLBACK TO operation")
        if savepoint:
            self.later("RELEASE operation")

    def after_commit(self, call: Callable[[], None]) -> None:
        """Call when the group is durable."""
        self._after_commit.append(call)

    def committed(self) -> None:
        """The group is durable."""
        for call in self._after_commit:
            call()


Operation: TypeAlias = Callable[[Transaction], Awaitable[T]]


@dataclass(slots=True, eq=False)
class _Waiting:
    operation: Operation[Any]
    frees: bool
    single: bool
    defers: bool
    done: asyncio.Future[Any]
    result: object = None
    error: Exception | None = None


@dataclass(eq=False)
class Writer:
    """Runs operations in groups. Open it by `open_group_writer`; `failed` is set when the disk has failed."""

    connection: aiosqlite.Connection
    reserve: Reserve
    keys: ColumnKeys
    mark: MovingMark = field(default_factory=lambda: MovingMark(None))
    failed: asyncio.Event = field(default_factory=asyncio.Event)
    counts: WriterCounts = field(default_factory=WriterCounts)
    on_rollback: list[Callable[[], None]] = field(default_factory=list)
    _queue: list[_Waiting] = field(default_factory=list)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _closing: bool = False
    _full: bool = False

    async def run(self, operation: Operation[T], *, frees: bool = False, single: bool = False) -> T:
        """The operation's result, durable.

        `frees`: also run when the disk is full (it makes room, or nobody could get in to make some). `single`: it
        writes by one statement at most, or refuses before it writes; others get a savepoint, so that a refusal
        half-way leaves nothing behind. Raises what the operation raises, Unavailable, StorageFull.
        """
        waiting = self.enqueue(operation, frees=frees, single=single)
        result: T = await waiting
        return result

    def enqueue(
        self, operation: Operation[T], *, frees: bool, single: bool, defers: bool = False
    ) -> "asyncio.Future[T]":
        """The same without waiting; a caller that gives up does not undo it.

        `defers`: it is `single`, comes last in its group, and its deferred statements run together with the commit.
        """
        if self._closing or self.failed.is_set():
            raise Unavailable
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(operation, frees, single, defers, done))
        self._wake.set()
        return done

    async def tidy(self, script: str) -> None:
        """Run pragmas between two groups, each to its end. Raises Unavailable, StorageFull.

        As a script, because a statement of the sqlite3 module makes one step of `incremental_vacuum`: one page.
        """
        async with self._turn:
            self._refuse_pragmas()
            try:
                await self.connection.executescript(script)
            except sqlite3.Error as error:
                raise self._judge(error) from error

    async def cut_log(self) -> bool:
        """Copy the whole log into the file and cut it off, between two groups; False if a reader was in the way.

        Raises Unavailable, StorageFull.
        """
        async with self._turn:
            self._refuse_pragmas()
            try:
                ((busy, *_),) = await self.connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error as error:
                raise self._judge(error) from error
            return not busy

    def _refuse_pragmas(self) -> None:
        """One that began before the mark stood may end after it: pragmas move pages, and change no row."""
        if self._closing or self.failed.is_set():
            raise Unavailable
        if self.mark.stands():
            raise being_moved()

    @property
    def full(self) -> bool:
        """Whether the disk was full at the last try, and no room has been found since."""
        return self._full

    def room_found(self) -> None:
        """The reserve stands again: take envelopes again."""
        self._full = False

    async def work(self) -> None:
        """Commit group after group until `close`; always ends with nobody waiting."""
        group: list[_Waiting] = []
        try:
            while not (self._closing and not self._queue):
                await self._wake.wait()
                self._wake.clear()
                await asyncio.sleep(0)  # whoever became ready in the same turn joins the group
                while self._queue:
                    async with self._turn:
                        group, self._queue = self._queue, []
                        await self._commit(group)
        finally:
            if not self._closing:  # it dies of a bug, or is cancelled: nobody else commits
                self.failed.set()
            self._closing = True
            for waiting in group + self._queue:
                if not waiting.done.done():
                    waiting.done.set_exception(Unavailable())
                    waiting.done.exception()  # seen: its caller may be gone

    def close(self) -> None:
        """Take no more; `work` ends after what is queued."""
        self._closing = True
        self._wake.set()

    async def _commit(self, group: list[_Waiting]) -> None:
        if self.failed.is_set():
            self._refuse(group, Unavailable())
            return
        if (
            self.mark.was_seen and self.mark.stands()
        ):  # known already: nothing is begun that would be taken back
            self._refuse(group, being_moved())
            return
        had_room = not self._full
        error = await self._attempt(group)
        if isinstance(error, StorageFull) and had_room:
            # A second time, and only what makes room: the reserve's bytes are for this.
            await self._reuse_log()
            error = await self._attempt(group)
        if error is not None:
            self._refuse(group, error)

    async def _attempt(self, group: list[_Waiting]) -> RelayError | None:
        """Run the group in a transaction of its own and tell the results; or nothing of it happened, and why."""
        transaction = Transaction(self.connection, self.counts, self.keys, freeing_only=self._full)
        try:
            transaction.later("BEGIN IMMEDIATE")
            for waiting in sorted(group, key=lambda each: each.defers):
                await self._perform(transaction, waiting)
            await transaction.commit(self.mark.refuse)
        except Exception as error:  # noqa: BLE001  # each is told to those who wait; none may end the writer
            refusal = self._judge(error)
            await self._roll_back(transaction)
            return refusal
        self.counts.commits += 1
        self.counts.operations += len(group)
        transaction.committed()
        for waiting in group:
            if waiting.done.cancelled():
                continue
            if waiting.error is None:
                waiting.done.set_result(waiting.result)
            else:
                waiting.done.set_exception(waiting.error)
        return None

    async def _reuse_log(self) -> None:
        """Copy the log back into the file, within the released reserve; from then on commits overwrite it in place.

        Deleting needs no more room after that: a log of CHECKPOINT_PAGES stands already, and the file does not grow.
        """
        try:
            await self.connection.execute_fetchall("PRAGMA wal_checkpoint(RESTART)")
        except sqlite3.Error as error:
            _log.warning(
                "checkpoint_refused", exc_info=error
            )  # then the second attempt says whether there is room

    async def _roll_back(self, transaction: Transaction) -> None:
        for forget in self.on_rollback:
            forget()
        transaction.forget_deferred()
        try:
            if self.connection.in_transaction:
                await transaction.rows("ROLLBACK")
        except sqlite3.Error as error:
            self._judge(error)
            self.failed.set()

    async def _perform(self, transaction: Transaction, waiting: _Waiting) -> None:
        waiting.result, waiting.error = None, None
        if transaction.freeing_only and not waiting.frees:
            waiting.error = StorageFull()
            return
        savepoint = not waiting.single
        transaction.begin_operation(savepoint=savepoint)
        try:
            waiting.result = await waiting.operation(transaction)
            if not waiting.defers:
                await transaction.flush()  # what fails here is this operation's
        except RelayError as error:
            waiting.error = error
        except Exception as error:
            # A bug in this operation. Its group is not to blame, unless there is no savepoint to go back to.
            broken_store = (
                isinstance(error, sqlite3.Error) and _primary_code(error) != sqlite3.SQLITE_CONSTRAINT
            )
            if waiting.single or broken_store:
                raise
            waiting.error = error
        transaction.end_operation(savepoint=savepoint, undo=waiting.error is not None)
        if waiting.error is not None:
            for forget in self.on_rollback:
                forget()

    def _judge(self, error: Exception) -> RelayError:
        """What the waiting callers are told; a broken disk ends all accepting, a full one gives up the reserve."""
        if isinstance(error, BeingLeft):
            return being_moved()
        if not isinstance(error, sqlite3.Error) or _primary_code(error) == sqlite3.SQLITE_CONSTRAINT:
            _log.error("store_operation_failed", exc_info=error)
            return Unavailable()
        code = _primary_code(error)
        if code == sqlite3.SQLITE_FULL:
            if not self._full:
                _log.error("storage_full")
            self._full = True
            self.reserve.release()
            return StorageFull()
        if code not in _BUSY:
            # Whatever is not understood is treated like an error of the disk.
            _log.critical(
                "store_failed", extra={"sqlite_error": getattr(error, "sqlite_errorname", "unknown")}
            )
            self.failed.set()
        return Unavailable()

    @staticmethod
    def _refuse(group: list[_Waiting], error: RelayError) -> None:
        for waiting in group:
            if not waiting.done.done():
                waiting.done.set_exception(error)
                waiting.done.exception()


@asynccontextmanager
async def open_group_writer(
    connection: aiosqlite.Connection, reserve: Reserve, keys: ColumnKeys, mark: MovingMark | None = None
) -> AsyncIterator[Writer]:
    """A writer at work; at the end what is queued is committed, and its task is over."""
    writer = Writer(connection, reserve, keys, mark or MovingMark(None))
    task = asyncio.create_task(writer.work(), name="store-writer")
    try:
        yield writer
    finally:
        writer.close()
        await task
