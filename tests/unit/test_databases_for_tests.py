"""A database that a test gave back is as if it had been made anew (tests/servers/databases.py)."""

import asyncpg

from tests.servers.databases import give_back, new_database
from tests.servers.postgres import PostgresServer

USE = """
    UPDATE audit_log SET size = 4;
    INSERT INTO schema_version SELECT version + 1, name, compatible_with FROM schema_version;
    SELECT nextval('held_envelopes_held_number_seq');
    ANALYZE
"""
FOUND = """
    SELECT (SELECT array_agg(t::text) FROM audit_log t), (SELECT array_agg(t::text) FROM schema_version t),
           (SELECT last_value FROM pg_sequences), (SELECT count(*) FROM pg_statistic WHERE starelid >= 16384),
           (SELECT array_agg(pg_relation_size(oid) ORDER BY oid) FROM pg_class WHERE oid >= 16384)
"""


async def found(url: str, change: str) -> tuple:
    connection = await asyncpg.connect(url)
    try:
        before = await connection.fetchrow(FOUND)
        await connection.execute(change)
        return tuple(before)
    finally:
        await connection.close()


async def test_the_next_one_finds_what_was_there_at_first_and_nobody_who_is_connected(
    postgres: PostgresServer,
) -> None:
    urls = [await new_database(postgres) for _ in range(2)]
    used, fresh = urls
    left = await asyncpg.connect(used)
    assert await found(used, USE) == await found(fresh, "SELECT")
    await give_back(postgres, used)
    assert left.is_closed()
    assert await new_database(postgres) == used
    assert await found(used, "SELECT") == await found(fresh, "SELECT")
    for url in urls:
        await give_back(postgres, url)


async def test_one_in_which_more_than_rows_was_changed_goes(postgres: PostgresServer) -> None:
    for change in (
        "CREATE TABLE more (number integer)",
        "ALTER TABLE accounts ADD COLUMN more integer NOT NULL DEFAULT 7",
        "ALTER TABLE accounts SET (fillfactor = 50)",
        "CREATE FUNCTION more() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    ):
        url = await new_database(postgres)
        await found(url, change)
        await give_back(postgres, url)
        other = await new_database(postgres)
        assert other != url
        await give_back(postgres, other)
