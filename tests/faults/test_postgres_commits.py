"""What PostgreSQL was told to keep is there after it was killed; and the check would see if it were not."""

import asyncio
from pathlib import Path

import pytest

from relay.adapters.postgres import database
from relay.adapters.postgres.store import open_postgres_store
from relay.wire.errors import Unavailable
from relay.wire.frames import Outcome
from tests.contract.envelopes import page, send, submission
from tests.contract.people import new_device
from tests.servers.databases import empty_database
from tests.servers.postgres import QUICK, PostgresServer

LAZY = {**QUICK, "wal_writer_delay": "10000ms", "wal_writer_flush_after": "1GB"}
"""A server that writes its log for nobody but who waits for it."""
APPENDS = 40


async def lost_after_a_kill(folder: Path) -> int:
    """How many of the envelopes that were accepted just before the server was killed are not there afterwards."""
    with PostgresServer(folder / "postgres", settings=LAZY) as server:
        url = await empty_database(server)
        accepted = 0
        async with open_postgres_store(url, keys_file=folder / "column.keys", connections=4) as store:
            device = await new_device(store, "anna")
            async with database.open_database(url, store.database.keys, connections=1) as other:
                await other.rows("SELECT pg_switch_wal()")  # so far everything is written
            for number in range(APPENDS):
                result = await send(store, submission(number, device))
                accepted += result.appended[0].outcomes == (Outcome.STORED,)
            await asyncio.to_thread(server.kill)
            with pytest.raises(Unavailable):
                await send(store, submission("after", device))
            await asyncio.to_thread(server.start)
            found = len((await page(store, device)).items)
    assert accepted == APPENDS
    return accepted - found


async def test_f16_what_was_accepted_is_there_after_postgres_was_killed(tmp_path: Path) -> None:
    assert await lost_after_a_kill(tmp_path) == 0


async def test_with_synchronous_commit_off_that_check_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(database._SESSION, "synchronous_commit", "off")
    assert await lost_after_a_kill(tmp_path) > 0
