"""Databases of a test's own on a PostgreSQL server.

One that has the schema is a copy of 600 files: a third of a second of processor time. So it is emptied when a test gives it
back, and the next one gets it; unless the test changed more than rows.
"""

from contextlib import suppress
from itertools import count
from typing import Final

import asyncpg

from relay.adapters.column_keys import ColumnKeys
from relay.adapters.postgres.database import open_database
from relay.adapters.postgres.migrate import migrate, shipped_migrations
from tests.servers.postgres import PostgresServer

_TEMPLATE: Final = "with_schema"
_numbers: Final = count(1)
_given_back: Final[dict[int, list[str]]] = {}
"""URLs by the port of their server."""
_as_made: Final[dict[int, tuple[str, dict[str, list[str]]]]] = {}
"""Of the template on the server of that port: the mark of what it has besides rows, and the rows of its tables as text."""

# What a database has besides rows. A copy has the ids of the template; what is made later gets others.
_MARK: Final = """
    SELECT md5(concat_ws('|',
        (SELECT string_agg(concat_ws(' ', oid, relname, relkind, relpersistence, relnatts, reloptions), ',' ORDER BY oid)
         FROM pg_class WHERE oid >= 16384),
        (SELECT string_agg(concat_ws(' ', attrelid, attnum, attname, atttypid, attnotnull, attstattarget), ','
                           ORDER BY attrelid, attnum)
         FROM pg_attribute WHERE attrelid >= 16384),
        (SELECT string_agg(concat_ws(' ', oid, adnum, pg_get_expr(adbin, adrelid)), ',' ORDER BY oid) FROM pg_attrdef),
        (SELECT string_agg(concat_ws(' ', oid, conname, convalidated), ',' ORDER BY oid) FROM pg_constraint WHERE oid >= 16384),
        (SELECT string_agg(concat_ws(' ', oid, indisvalid, indisunique), ',' ORDER BY indexrelid)
         FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indexrelid >= 16384),
        (SELECT string_agg(concat_ws(' ', oid, tgname, tgenabled), ',' ORDER BY oid) FROM pg_trigger),
        (SELECT string_agg(concat_ws(' ', oid, proname, prosrc), ',' ORDER BY oid) FROM pg_proc WHERE oid >= 16384),
        (SELECT string_agg(concat_ws(' ', oid, nspname, nspacl), ',' ORDER BY oid) FROM pg_namespace),
        (SELECT string_agg(setconfig::text, ',') FROM pg_db_role_setting
         JOIN pg_database ON pg_database.oid = setdatabase WHERE datname = current_database())
    ))
"""
_TABLES: Final = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname"
_SEQUENCES: Final = (
    "SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL"
)
_CUT_OFF: Final = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


async def _create(server: PostgresServer, name: str, template: str) -> None:
    connection = await asyncpg.connect(server.url())
    try:
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    finally:
        await connection.close()


async def empty_database(server: PostgresServer) -> str:
    """The URL of a database without a table."""
    name = f"empty_{next(_numbers)}"
    await _create(server, name, "template0")
    return server.url(name)


async def new_database(server: PostgresServer) -> str:
    """The URL of a database that has the schema, and nothing in it."""
    with suppress(asyncpg.DuplicateDatabaseError):
        await _create(server, _TEMPLATE, "template0")
        async with open_database(
            server.url(_TEMPLATE), ColumnKeys({1: bytes(32)}), connections=1
        ) as database:
            await migrate(database, shipped_migrations())
        connection = await asyncpg.connect(server.url(_TEMPLATE))
        try:
            rows = {
                table: [text for (text,) in await connection.fetch(f'SELECT t::text FROM "{table}" t')]
                for (table,) in await connection.fetch(_TABLES)
            }
            _as_made[server.port] = await connection.fetchval(_MARK), rows
        finally:
            await connection.close()
        _given_back[server.port] = []
    if _given_back[server.port]:
        return _given_back[server.port].pop()
    name = f"store_{next(_numbers)}"
    await _create(server, name, _TEMPLATE)
    return server.url(name)


async def give_back(server: PostgresServer, url: str) -> None:
    """One of `new_database` is as it was, for the next who asks; who is connected is cut off. If it cannot be: it goes."""
    mark, rows = _as_made[server.port]
    connection = await asyncpg.connect(url)
    try:
        await connection.fetch(_CUT_OFF)
        is_whole = await connection.fetchval(_MARK) == mark
        if is_whole:
            await _empty(connection, rows)
    finally:
        await connection.close()
    if is_whole:
        _given_back[server.port].append(url)
    else:
        await drop_database(server, url)


async def _empty(connection: asyncpg.Connection, rows: dict[str, list[str]]) -> None:
    """The rows of the template, and no page more than it has."""
    async with connection.transaction():
        sizes = " UNION ALL ".join(f"SELECT '{table}', pg_relation_size('\"{table}\"')" for table in rows)
        used = [table for table, size in await connection.fetch(sizes) if size]
        await connection.execute("TRUNCATE " + ", ".join(f'"{table}"' for table in used) + " CASCADE")
        for table, texts in rows.items():
            if texts:
                await connection.execute(
                    f'INSERT INTO "{table}" SELECT (text::"{table}").* FROM unnest($1::text[]) AS text', texts
                )
        for (sequence,) in await connection.fetch(_SEQUENCES):
            await connection.execute(f'ALTER SEQUENCE "{sequence}" RESTART')
        await connection.execute("DELETE FROM pg_statistic WHERE starelid >= 16384")


async def drop_database(server: PostgresServer, url: str) -> None:
    """All of it; who is connected is cut off."""
    connection = await asyncpg.connect(server.url())
    try:
        await connection.execute(f'DROP DATABASE "{url.rpartition("/")[2]}" WITH (FORCE)')
    finally:
        await connection.close()
