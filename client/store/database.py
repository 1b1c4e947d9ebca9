"""One SQLCipher file behind one thread: jobs run in the order they were given, each in one transaction.

A job is a plain function of a Transaction: it reads, computes (also encrypts and decrypts) and writes; either all of
it is committed, durably, or nothing. Several processes may open one file: what a job needs it reads inside itself.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from sqlcipher3 import dbapi2 as sqlcipher

from client.errors import StoreDamaged, StoreError

from .key_file import require_private
from .migrate import migrate

T = TypeVar("T")
STORE_FILE_NAME: Final = "store.db"
_BUSY_MS: Final = 10_000


class Transaction:
    """What a job works with. `cache` lives from job to job while nobody else wrote and nothing was rolled back."""

    __slots__ = ("_connection", "cache", "said")

    def __init__(self, connection: Any, cache: dict[Any, Any]) -> None:
        self._connection = connection
        self.cache = cache
        self.said: set[str] = set()
        """Topics whose watchers hear of it after the commit: `Database.watch`."""

    def run(self, sql: str, *values: Any) -> int:
        """Run a statement; the number of rows it changed."""
        return int(self._connection.execute(sql, values).rowcount)

    def insert(self, sql: str, *values: Any) -> int:
        """Run an insert; the new row's number."""
        return int(self._connection.execute(sql, values).lastrowid)

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement for each row of values."""
        self._connection.executemany(sql, rows)

    def one(self, sql: str, *values: Any) -> Any:
        """The first row as a tuple, or None."""
        return self._connection.execute(sql, values).fetchone()

    def all(self, sql: str, *values: Any) -> list[Any]:
        """All rows as tuples."""
        return list(self._connection.execute(sql, values).fetchall())


class _Job:
    __slots__ = ("function", "future", "joins", "loop", "writes")

    def __init__(
        self,
        function: Callable[[Transaction], Any],
        future: "asyncio.Future[Any]",
        loop: asyncio.AbstractEventLoop,
        writes: bool,
        joins: bool,
    ) -> None:
        self.joins = joins
        self.function = function
        self.future = future
        self.loop = loop
        self.writes = writes


class Database:
    """An open store. Enter to open, leave to close; `run` and `read` in between."""

    def __init__(self, home: Path, key: bytes) -> None:
        self._path = home / STORE_FILE_NAME
        self._key = key
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._cache: dict[Any, Any] = {}
        self._data_version = -1
        self._watchers: dict[str, Callable[[], None]] = {}

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = loop.create_future()
        self._thread = threading.Thread(
            target=self._work, args=(loop, opened), name="client-store", daemon=True
        )
        self._thread.start()
        try:
            await opened
        except BaseException:
            await self._join()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._jobs.put(None)
        await self._join()

    async def _join(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.to_thread(thread.join)

    async def run(self, function: Callable[[Transaction], T]) -> T:
        """Run a job in one transaction; returns after the commit. What the job raises rolls it back and is raised.

        Raises StoreError if the disk is full or fails: nothing of the job happened then. A caller that is cancelled
        does not stop its job.
        """
        return await self._give(function, writes=True)

    async def read(self, function: Callable[[Transaction], T]) -> T:
        """Run a job that only reads."""
        return await self._give(function, writes=False)

    def run_soon(self, function: Callable[[Transaction], None]) -> "asyncio.Future[None]":
        """A small write that may share its transaction with others of this kind before and after it."""
        return self._give(function, writes=True, joins=True)

    def watch(self, topic: str, heard: Callable[[], None]) -> None:
        """From now on call this, in the event loop, after each transaction of this process that said the topic."""
        self._watchers[topic] = heard

    def _give(
        self, function: Callable[[Transaction], T], *, writes: bool, joins: bool = False
    ) -> "asyncio.Future[T]":
        if self._thread is None:
            raise RuntimeError("the store is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(function, future, loop, writes, joins))
        return future

    # In the thread.

    def _work(self, loop: asyncio.AbstractEventLoop, opened: "asyncio.Future[None]") -> None:
        try:
            connection = self._open()
        except BaseException as error:  # noqa: BLE001  # carried to the caller, who raises it
            _answer(loop, opened, error=error)
            return
        _answer(loop, opened)
        try:
            held: _Job | None = None
            while (job := held or self._jobs.get()) is not None:
                group, held, is_last = [job], None, False
                while job.joins and not self._jobs.empty():
                    following = self._jobs.get()
                    if following is None or not following.joins:
                        held, is_last = following, following is None
                        break
                    group.append(following)
                self._do(connection, group)
                if is_last:
                    break
        finally:
            self._cache.clear()
            connection.close()

    def _open(self) -> Any:
        if self._path.exists():
            require_private(self._path)
        else:
            # SQLite gives its -wal and -shm files the mode of this one.
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600))
        connection = sqlcipher.connect(str(self._path), isolation_level=None, cached_statements=256)
        try:
            connection.execute(f"PRAGMA key = \"x'{self._key.hex()}'\"")
            connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            migrate(connection)
        except sqlcipher.DatabaseError as error:
            connection.close()
            raise _store_error(error, self._path) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _do(self, connection: Any, group: Sequence[_Job]) -> None:
        """Run a job, or several that may share, in one transaction."""
        error: BaseException
        try:
            connection.execute("BEGIN IMMEDIATE" if group[0].writes else "BEGIN")
            try:
                self._forget_what_others_changed(connection)
                transaction = Transaction(connection, self._cache)
                results = [job.function(transaction) for job in group]
                connection.execute("COMMIT")
            except BaseException:
                self._cache.clear()
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlcipher.DatabaseError as raised:
            error = _store_error(raised, self._path)
        except BaseException as raised:  # noqa: BLE001  # carried to the caller, who raises it
            error = raised
        else:
            for topic in transaction.said & self._watchers.keys():
                _in_loop(group[0].loop, self._watchers[topic])
            for job, result in zip(group, results, strict=True):
                _answer(job.loop, job.future, result)
            return
        for job in group:
            _answer(job.loop, job.future, error=error)

    def _forget_what_others_changed(self, connection: Any) -> None:
        """The cache is good only while no other connection has committed."""
        version = connection.execute("PRAGMA data_version").fetchone()[0]
        if version != self._data_version:
            self._cache.clear()
            self._data_version = version


def _store_error(error: Exception, path: Path) -> StoreError:
    if isinstance(error, sqlcipher.OperationalError):
        return StoreError(f"the store {path} cannot be written: {error}")
    if isinstance(error, sqlcipher.IntegrityError):
        return StoreError(f"the store {path} refuses a change that breaks a rule of it: {error}")
    return StoreDamaged(
        f"{path} does not open with its key, or is damaged: put back the key file made with it"
    )


def _answer(
    loop: asyncio.AbstractEventLoop,
    future: "asyncio.Future[Any]",
    result: Any = None,
    *,
    error: BaseException | None = None,
) -> None:
    def settle() -> None:
        if future.done():  # the caller was cancelled meanwhile
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    _in_loop(loop, settle)


def _in_loop(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        # The loop is closed: whoever waited is gone with it, and the transaction is what it is.
        return
