"""Opens the database file: durable at each commit, one process at a time. Knows no table."""

import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, cast

import aiosqlite

STATEMENT_CACHE: Final = 256
BUSY_TIMEOUT_SECONDS: Final = 5.0
PAGE_BYTES: Final = 8_192
"""Seven envelopes of 1 KiB fill a page to 94 %; three would fill one of 4 KiB to 80 %."""
CHECKPOINT_PAGES: Final = 1_000
"""WAL pages after which a commit copies them back; more cost longer stalls, fewer more writing."""

_WRITER_PRAGMAS: Final = (
    f"PRAGMA page_size = {PAGE_BYTES}",  # this and the next work on an empty file only, so before the WAL
    "PRAGMA auto_vacuum = INCREMENTAL",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # NORMAL would lose the last commits when the power goes
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA secure_delete = FAST",  # ON, as some distributions have it, writes every deleted ciphertext once more
    "PRAGMA trusted_schema = OFF",
    f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA cache_size = -32000",  # KiB
)
_READER_PRAGMAS: Final = (
    "PRAGMA query_only = ON",
    "PRAGMA wal_autocheckpoint = 0",  # only the writer checkpoints (a race in SQLite before 3.51.3 otherwise)
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cache_size = -16000",
)


# The sqlite3 module asks each parameter that is no number and no text for an adapter, in vain: 0.3 µs for bytes, 0.5 for None.
# These give back what they get. An envelope has seven such parameters.
sqlite3.register_adapter(bytes, bytes.__bytes__)
sqlite3.register_adapter(type(None), cast("Callable[[None], None]", {}.get))

BATCH: Final = "batch"
"""Stands in place of a statement: the parameters are (statement, parameters) pairs, all run in one hop to the thread."""
LAST_BATCH: Final = "last batch"
"""Likewise: such pairs, and what is called once they have run; COMMIT follows, unless that raises."""


class _Results:
    """The rows of each statement of a batch."""

    def __init__(self, results: list[list[Any]]) -> None:
        self._results = results

    def fetchall(self) -> list[list[Any]]:
        """As of a cursor."""
        return self._results


class BatchConnection(sqlite3.Connection):
    """A connection that takes many statements as one call: on the way through aiosqlite each call costs a thread switch."""

    def execute(self, statement: str, parameters: Any = (), /) -> Any:
        """Run one statement, or a batch: up to the first one that fails."""
        run = super().execute
        if statement == BATCH:
            return _Results([run(*each).fetchall() for each in parameters])
        if statement == LAST_BATCH:
            batch, before_commit = parameters
            results = [run(*each).fetchall() for each in batch]
            before_commit()
            run("COMMIT")
            return _Results(results)
        return run(statement, parameters)


class StoreUnusable(Exception):
    """The database cannot be opened; the message is one line for the operator, with what to do."""


@contextmanager
def only_process(database: Path) -> Iterator[None]:
    """Hold the right to this database; raises StoreUnusable if another process has it. The kernel frees it on a kill."""
    lock = os.open(database.with_name(database.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreUnusable(
                f"another relay is running on {database.parent}: stop it, or choose another data folder"
            ) from error
        yield
    finally:
        os.close(lock)


@asynccontextmanager
async def open_writer(database: Path) -> AsyncIterator[aiosqlite.Connection]:
    """The one connection that writes and checkpoints; transactions are begun by hand."""
    async with _open(database, _WRITER_PRAGMAS) as connection:
        ((mode,),) = await connection.execute_fetchall("PRAGMA journal_mode")
        if mode != "wal":
            raise StoreUnusable(
                f"{database.parent} is on a file system that cannot do SQLite's WAL: use a local disk"
            )
        yield connection


@asynccontextmanager
async def open_reader(database: Path) -> AsyncIterator[aiosqlite.Connection]:
    """A connection that only reads; each statement sees everything committed before it began."""
    async with _open(database, _READER_PRAGMAS) as connection:
        yield connection


@asynccontextmanager
async def _open(database: Path, pragmas: tuple[str, ...]) -> AsyncIterator[aiosqlite.Connection]:
    connecting = aiosqlite.connect(
        database,
        isolation_level=None,
        cached_statements=STATEMENT_CACHE,
        timeout=BUSY_TIMEOUT_SECONDS,
        factory=BatchConnection,
    )
    try:
        connection = await connecting
    except sqlite3.Error as error:
        raise StoreUnusable(
            f"cannot open {database}: {error}; check that this user may write there"
        ) from error
    try:
        try:
            for pragma in pragmas:
                await connection.execute_fetchall(pragma)
        except sqlite3.DatabaseError as error:
            raise StoreUnusable(
                f"cannot use {database}: {error}; restore it from a backup if it is damaged"
            ) from error
        yield connection
    finally:
        await connection.close()
