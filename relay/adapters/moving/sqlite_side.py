"""The SQLite file of a move: read in the order of PostgreSQL's keys, or written as a draft that no relay takes for its own.

What is read is not written, and no relay writes it meanwhile: none runs, or the mark keeps it from that. Progress stands in
the draft, in the same transaction as the rows.
"""

import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from heapq import merge
from itertools import groupby, islice
from pathlib import Path
from typing import Final

from relay.adapters.column_keys import ColumnKeys
from relay.adapters.sqlite import records
from relay.adapters.sqlite.connection import StoreUnusable, open_writer
from relay.adapters.sqlite.migrate import migrate, shipped_migrations
from relay.ports.clock import Randomness

from .progress import Progress, Row, packed, unpacked
from .tables import TABLES, Table

_MAPPING: Final = (
    "CREATE {} TABLE moving_shared (shared_number INTEGER PRIMARY KEY, shared_id BLOB NOT NULL UNIQUE)"
)
_PROGRESS: Final = """CREATE TABLE moving_progress (
    move_id BLOB NOT NULL, name TEXT NOT NULL PRIMARY KEY, last_key BLOB, rows INTEGER NOT NULL, done INTEGER NOT NULL)"""
_TABLES_OF_A_RELAY: Final = """SELECT name FROM sqlite_schema WHERE type = 'table'
    AND name NOT LIKE 'sqlite_%' AND name NOT IN ('schema_version', 'deletion_traces')"""
_DRAFT: Final = ("PRAGMA synchronous = FULL", "PRAGMA foreign_keys = OFF", "PRAGMA cache_size = -64000")
_MOST_ORPHANS: Final = 20
_RECENT: Final = """CREATE TEMP TABLE moving_recent (
    device_number INTEGER NOT NULL, envelope_id BLOB NOT NULL, digest BLOB NOT NULL, sequence INTEGER NOT NULL,
    PRIMARY KEY (device_number, envelope_id)) WITHOUT ROWID"""
_RECORDS: Final = next(table for table in TABLES if table.name == "records")
_RECENT_RECORDS: Final = replace(_RECORDS, source=_RECORDS.source.replace("records AS", "moving_recent AS"))


class SqliteSide:
    """One open file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._has_recent = False

    async def pages(
        self, table: Table, after: Row | None = None, key: tuple[str, ...] = ()
    ) -> AsyncIterator[list[Row]]:
        """The rows above `after`, a page at a time. Raises ValueError for another order, which only PostgreSQL has."""
        if key not in ((), table.key):
            raise ValueError(key)
        rows = self._rows(table, after)
        if self._has_recent and table.name == "records":
            rows = _merged(self._rows(table, after), self._rows(_RECENT_RECORDS, after), table)
        while page := [table.plain(row) for row in islice(rows, table.page)]:
            yield page

    def _rows(self, table: Table, after: Row | None) -> Iterator[Row]:
        with closing(self._connection.cursor()) as cursor:
            cursor.arraysize = table.page
            yield from cursor.execute(table.from_sqlite(after is not None), after or ())

    @staticmethod
    def order_of(table: Table) -> tuple[str, ...] | None:
        """By which key it wants the rows."""
        return (table.copy_key or table.key) if table.write else None

    async def progress(self, table: Table) -> Progress:
        """How far it is written."""
        row = self._connection.execute(
            "SELECT last_key, rows, done FROM moving_progress WHERE name = ?", (table.name,)
        ).fetchone()
        return Progress() if row is None else Progress(unpacked(row[0]), row[1], bool(row[2]))

    async def write(self, table: Table, rows: Sequence[Row], progress: Progress) -> None:
        """These rows and how far it is then, or nothing."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            named = [dict(zip(table.columns, row, strict=True)) for row in rows]
            for statement in table.write:
                self._connection.executemany(statement, named)
            self._connection.execute(
                """UPDATE moving_progress SET last_key = ?, rows = ?, done = ? WHERE name = ?""",
                (packed(progress.last_key), progress.rows, progress.done, table.name),
            )
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def orphans(self) -> list[str]:
        """Rows that point at what is not there, a line each, at most 20: SQLite holds to more than PostgreSQL does."""
        found = self._connection.execute("PRAGMA foreign_key_check")
        return [
            f"{table} names a row of {of} that is not there"
            for table, _, of, _ in found.fetchmany(_MOST_ORPHANS)
        ]

    def close_draft(self) -> None:
        """It is a relay's database and nothing else, in one file, durable."""
        self._connection.execute("DROP TABLE IF EXISTS moving_progress")
        self._connection.execute("DROP TABLE IF EXISTS moving_shared")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def spread_recent(self) -> None:
        """Records that stand by the commit as rows of their own, beside the others: a relay that runs knows where they are."""
        self._connection.execute(_RECENT)
        for (batch,) in self._connection.execute("SELECT batch FROM recent_records ORDER BY batch_number"):
            self._connection.executemany(
                "INSERT OR REPLACE INTO moving_recent VALUES (?, ?, ?, ?)", records.RECORD.iter_unpack(batch)
            )
        self._has_recent = True

    def name_shared(self) -> None:
        """Ids for shared copies, from their numbers: alike at each try, and of no other shape than random ones."""
        self._connection.create_function(
            "id_of", 1, lambda number: number.to_bytes(16, "big"), deterministic=True
        )
        self._connection.execute(_MAPPING.format("TEMP"))
        self._connection.execute(
            "INSERT INTO temp.moving_shared SELECT shared_number, id_of(shared_number) FROM shared_ciphertexts"
        )


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    """Errors of SQLite become StoreUnusable."""
    try:
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise StoreUnusable(f"{file}: {error}") from error


def _merged(rows: Iterator[Row], recent: Iterator[Row], table: Table) -> Iterator[Row]:
    """Both in the order of the key; of two rows with one key the recent one."""
    for _, alike in groupby(merge(rows, recent, key=table.key_of), table.key_of):
        *_, newest = alike
        yield newest


@contextmanager
def open_source(database: Path) -> Iterator[SqliteSide]:
    """The database that is left, of this version's schema; nothing in it changes. Raises StoreUnusable."""
    with _opened(database) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # that is its writer's work
        side = SqliteSide(connection)
        side.spread_recent()
        side.name_shared()
        connection.execute("PRAGMA query_only = ON")
        yield side


@contextmanager
def open_beside(database: Path) -> Iterator[SqliteSide]:
    """The database of a relay that runs, and writes: only read. Raises StoreUnusable."""
    with _opened(database) as connection:
        connection.execute("PRAGMA query_only = ON")
        yield SqliteSide(connection)


def settle_log(database: Path) -> None:
    """All is in the one file, which can be renamed: a relay that was killed left a log beside it. Raises StoreUnusable."""
    with _opened(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def open_draft(draft: Path) -> Iterator[SqliteSide]:
    """One that `begin_draft` has made. Raises StoreUnusable."""
    with _opened(draft) as connection:
        for pragma in _DRAFT:
            connection.execute(pragma)
        yield SqliteSide(connection)


def is_draft_of(draft: Path, move_id: bytes) -> bool:
    """Whether this move has begun to write it."""
    if not draft.exists():
        return False
    with _opened(draft) as connection:
        try:
            rows = connection.execute("SELECT DISTINCT move_id FROM moving_progress").fetchall()
        except sqlite3.DatabaseError:  # killed before it was one
            return False
    return bool(rows == [(move_id,)])


async def begin_draft(draft: Path, move_id: bytes, randomness: Randomness, keys: ColumnKeys) -> None:
    """A new file of this version's schema with nothing in it but the move's progress. Raises StoreUnusable."""
    remove_draft(draft)
    async with open_writer(draft) as connection:
        await migrate(connection, shipped_migrations(), randomness, keys)
        await connection.execute_fetchall("BEGIN IMMEDIATE")
        for (name,) in await connection.execute_fetchall(_TABLES_OF_A_RELAY):
            await connection.execute_fetchall(f"DELETE FROM {name}")  # noqa: S608  (the first rows of a new relay)
        await connection.execute_fetchall(_MAPPING.format(""))
        await connection.execute_fetchall(_PROGRESS)
        for table in TABLES:
            await connection.execute_fetchall(
                "INSERT INTO moving_progress VALUES (?, ?, NULL, 0, 0)", (move_id, table.name)
            )
        await connection.execute_fetchall("COMMIT")


def remove_draft(draft: Path) -> None:
    """The file and its log."""
    for suffix in ("", "-wal", "-shm"):
        draft.with_name(draft.name + suffix).unlink(missing_ok=True)
