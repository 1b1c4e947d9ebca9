"""Databases of a test's own on a PostgreSQL server: made from one that has the schema already, which takes 50 ms."""

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
    name = f"store_{next(_numbers)}"
    await _create(server, name, _TEMPLATE)
    return server.url(name)


async def drop_database(server: PostgresServer, url: str) -> None:
    """All of it; who is connected is cut off."""
    connection = await asyncpg.connect(server.url())
    try:
        await connection.execute(f'DROP DATABASE "{url.rpartition("/")[2]}" WITH (FORCE)')
    finally:
        await connection.close()
