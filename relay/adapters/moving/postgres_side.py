"""The PostgreSQL of a move, on one connection: read in the order of its keys, or filled by COPY.

From its first moment a move stands in the table `moving`: from then on the database refuses every connection of a node
(postgres/database.py). Progress stands beside it, in the same transaction as the rows.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from relay.adapters.postgres.database import (
    LOCK_SPACE,
    SCRIPT_SECONDS,
    Lock,
    StoreUnreachable,
    first_line,
)
from relay.adapters.postgres.kept_connections import CONNECT_SECONDS
from relay.adapters.postgres.sessions import NODE

from .progress import Progress, Row, packed, unpacked
from .tables import TABLES, Table

_SESSION: Final = {"application_name": "tokenim-move", "synchronous_commit": "on"}
_NODES: Final = """SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = $1 AND pid <> pg_backend_pid()"""
_MARK: Final = """CREATE TABLE moving (
    only_row smallint NOT NULL PRIMARY KEY CHECK (only_row = 1), move_id bytea NOT NULL, target text NOT NULL)"""
_PROGRESS: Final = """CREATE TABLE moving_progress (
    name text NOT NULL PRIMARY KEY, last_key bytea, rows bigint NOT NULL, done boolean NOT NULL)"""
_OF_A_NEW_DATABASE: Final = frozenset(("audit_log",))


class PostgresSide:
    """One open connection."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def pages(
        self, table: Table, after: Row | None = None, key: tuple[str, ...] = ()
    ) -> AsyncIterator[list[Row]]:
        """The rows above `after`, a page at a time, all of one moment."""
        async with self._connection.transaction(isolation="repeatable_read", readonly=True):
            cursor = await self._connection.cursor(
                table.from_postgres(key or table.key, after is not None), *(after or ())
            )
            while records := await cursor.fetch(table.page):
                yield [tuple(record) for record in records]

    @staticmethod
    def order_of(table: Table) -> tuple[str, ...] | None:
        """By which key it wants the rows."""
        return table.key

    async def progress(self, table: Table) -> Progress:
        """How far it is filled."""
        row = await self._connection.fetchrow(
            "SELECT last_key, rows, done FROM moving_progress WHERE name = $1", table.name
        )
        return Progress() if row is None else Progress(unpacked(row[0]), row[1], row[2])

    async def write(self, table: Table, rows: Sequence[Row], progress: Progress) -> None:
        """These rows and how far it is then, or nothing."""
        constants = tuple(table.constants.values())
        async with self._connection.transaction():
            if rows:
                await self._connection.copy_records_to_table(
                    table.name,
                    records=[(*row, *constants) for row in rows] if constants else rows,
                    columns=[*table.columns, *table.constants],
                )
            await self._connection.execute(
                """INSERT INTO moving_progress VALUES ($1, $2, $3, $4)
                   ON CONFLICT (name) DO UPDATE SET last_key = $2, rows = $3, done = $4""",
                table.name,
                packed(progress.last_key),
                progress.rows,
                progress.done,
            )

    async def mark(self) -> tuple[bytes, str] | None:
        """The move that this database has part in: its id, and where it goes."""
        if await self._connection.fetchval("SELECT to_regclass('moving') IS NULL"):
            return None
        row = await self._connection.fetchrow("SELECT move_id, target FROM moving")
        return None if row is None else (row[0], row[1])

    async def nodes(self) -> int:
        """How many connections of nodes there are."""
        return int(await self._connection.fetchval(_NODES, NODE))

    async def filled(self) -> list[str]:
        """Tables that a new database has empty, and this one has not."""
        found = []
        for table in TABLES:
            asked = f"SELECT EXISTS (SELECT 1 FROM {table.name})"  # noqa: S608  (a name of TABLES)
            if table.name not in _OF_A_NEW_DATABASE and await self._connection.fetchval(asked):
                found.append(table.name)
        return found

    async def begin_filling(self, move_id: bytes) -> None:
        """From now on it is for this move alone."""
        async with self._connection.transaction():
            await self._mark(move_id, "postgres")
            await self._connection.execute(_PROGRESS)
            for name in _OF_A_NEW_DATABASE:
                await self._connection.execute(f"DELETE FROM {name}")  # noqa: S608  (a name of this file)

    async def begin_leaving(self, move_id: bytes) -> None:
        """No node gets a connection any more."""
        async with self._connection.transaction():
            await self._mark(move_id, "sqlite")

    async def _mark(self, move_id: bytes, target: str) -> None:
        await self._connection.execute(_MARK)
        await self._connection.execute("INSERT INTO moving VALUES (1, $1, $2)", move_id, target)

    async def unmark(self) -> None:
        """Nodes may come."""
        async with self._connection.transaction():
            await self._connection.execute("DROP TABLE IF EXISTS moving_progress")
            await self._connection.execute("DROP TABLE IF EXISTS moving")

    async def end_filling(self) -> None:
        """Numbers go on above those that came, and the planner knows how much there is."""
        await self._connection.execute(
            """SELECT setval(pg_get_serial_sequence('held_envelopes', 'held_number'),
                             (SELECT coalesce(max(held_number), 0) + 1 FROM held_envelopes), false)"""
        )
        await self._connection.execute("ANALYZE", timeout=SCRIPT_SECONDS)


def _refusal(error: BaseException) -> StoreUnreachable:
    return StoreUnreachable(f"PostgreSQL: {first_line(error)}; run this again once that is seen to")


@asynccontextmanager
async def open_postgres_side(url: str, **options: Any) -> AsyncIterator[PostgresSide]:
    """The database, once no other move is at it. Raises StoreUnreachable, also for what the server refuses meanwhile."""
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS, server_settings=_SESSION, **options)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise _refusal(error) from error
    try:
        try:
            # One that was killed may still be at its last statement.
            await connection.execute("SELECT pg_advisory_lock($1, $2)", LOCK_SPACE, int(Lock.MOVING))
            yield PostgresSide(connection)
        finally:
            await connection.close(timeout=CONNECT_SECONDS)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError, TimeoutError) as error:
        raise _refusal(error) from error  # not every OSError: a full disk here is another matter
