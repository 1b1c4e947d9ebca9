"""Connections to PostgreSQL that are kept between two uses: nobody waits for one that is kept, no broken one is kept."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from relay.adapters.column_keys import ColumnKeys
from relay.adapters.postgres.database import Database, open_database
from relay.wire.errors import Unavailable
from tests.servers.databases import drop_database, empty_database
from tests.servers.postgres import PostgresServer

WHO = "SELECT pg_backend_pid()"
MOST = 4


@pytest.fixture
async def url(postgres: PostgresServer) -> AsyncIterator[str]:
    made = await empty_database(postgres)
    yield made
    await drop_database(postgres, made)


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with open_database(url, ColumnKeys({1: bytes(32)}), connections=MOST) as opened:
        yield opened


async def who(database: Database) -> int:
    row = await database.one(WHO)
    assert row is not None
    return int(row[0])


async def test_one_after_the_other_is_one_connection_that_does_not_go_to_the_pool(database: Database) -> None:
    first = await who(database)
    assert [await database.run(lambda tx: tx.rows(WHO)) for _ in range(3)] == [[(first,)]] * 3
    assert {await who(database) for _ in range(3)} == {first}
    assert database.pool.get_size() == 1
    assert database.pool.get_idle_size() == 0


async def test_many_at_once_are_all_answered_and_as_many_as_the_pool_has(database: Database) -> None:
    async with asyncio.timeout(20):
        for _ in range(3):
            slow = [database.rows("SELECT pg_backend_pid(), pg_sleep(0.01)") for _ in range(40)]
            found = {rows[0][0] for rows in await asyncio.gather(*slow)}
            assert 1 <= len(found) <= MOST


async def test_who_asks_the_pool_itself_does_not_wait_for_what_is_kept(database: Database) -> None:
    await asyncio.gather(*(who(database) for _ in range(4 * MOST)))
    async with asyncio.timeout(20), database.pool.acquire(), database.pool.acquire():
        await who(database)


async def test_one_that_the_server_ended_is_not_used_again(database: Database, url: str) -> None:
    ended = await who(database)
    other = await asyncpg.connect(url)
    try:
        await other.execute("SELECT pg_terminate_backend($1, 5000)", ended)
    finally:
        await other.close()
    async with asyncio.timeout(20):
        while True:  # it may be used before this process has heard of the end
            try:
                assert await who(database) != ended
                break
            except Unavailable:
                continue


async def test_one_on_which_something_is_under_way_is_not_kept(database: Database) -> None:
    before = await who(database)
    waiting = asyncio.create_task(database.one("SELECT pg_sleep(30)"))
    async with asyncio.timeout(20):
        while not await database.one(  # noqa: ASYNC110
            "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND query LIKE '%pg_sleep%' AND state = 'active'",
            before,
        ):
            await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        for _ in range(MOST):
            assert await database.run(lambda tx: tx.rows("SELECT 1")) == [(1,)]


async def test_a_statement_that_fails_leaves_no_transaction_behind(database: Database) -> None:
    with pytest.raises(Unavailable):
        await database.run(lambda tx: tx.rows("SELECT 1 / 0"))
    assert await database.run(lambda tx: tx.rows("SELECT 1")) == [(1,)]
    assert await who(database)
