"""What PostgreSQL was told to keep is there after it was killed; and the check would see if it were not."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from relay.adapters.column_keys import ColumnKeys
from relay.adapters.postgres import database, sessions
from relay.adapters.postgres.database import StoreUnreachable
from relay.adapters.postgres.store import open_postgres_store
from relay.wire.errors import Unavailable
from relay.wire.frames import Outcome
from tests.contract.envelopes import page, send, submission
from tests.contract.people import new_device
from tests.servers.databases import drop_database, empty_database
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
    monkeypatch.setitem(sessions.SESSION, "synchronous_commit", "off")
    monkeypatch.setattr(sessions, "_DURABLE", frozenset({"off"}))  # which would refuse to start
    assert await lost_after_a_kill(tmp_path) > 0


async def cancel_who_waits(admin: "asyncpg.Connection[asyncpg.Record]", url: str) -> None:
    """As an operator does; the time limit of a statement does not hold for its commit."""
    async with asyncio.timeout(30):
        while not await admin.fetchval(  # noqa: ASYNC110  (of another process)
            """SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
               WHERE datname = $1 AND wait_event = 'SyncRep'""",
            url.rpartition("/")[2],
        ):
            await asyncio.sleep(0.01)


async def want_standby(url: str, name: str) -> None:
    """Of this database's server; once this returns, each commit waits for it."""
    connection = await asyncpg.connect(url)
    await connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
    await connection.execute("SELECT pg_reload_conf()")
    async with asyncio.timeout(30):
        while await connection.fetchval("SHOW synchronous_standby_names") != name:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await connection.close()


async def test_f16_a_commit_that_no_longer_waits_for_the_standby_is_no_accepted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """There is no such standby. PostgreSQL ends the wait with success and a warning; a failover would lose it."""
    with PostgresServer(tmp_path / "postgres") as server:
        url = await empty_database(server)
        admin = await asyncpg.connect(server.url())
        await admin.execute(
            "ALTER ROLE tokenim SET client_min_messages = error"
        )  # the relay hears it all the same
        async with open_postgres_store(url, keys_file=tmp_path / "column.keys", connections=4) as store:
            device = await new_device(store, "anna")
            await want_standby(url, "nowhere")
            for _ in range(2):  # also when it is sent again, and is there already
                sending = asyncio.create_task(send(store, submission(1, device)))
                await cancel_who_waits(admin, url)
                with pytest.raises(Unavailable):
                    await sending
            changing = asyncio.create_task(store.database.change("CREATE TABLE more ()"))
            await cancel_who_waits(admin, url)
            with pytest.raises(Unavailable):
                await changing
            assert (await store.levels()).unreplicated == 3
            assert caplog.messages.count("commit_unreplicated") == 1
            with pytest.raises(Unavailable):  # not ready
                await store.check()
            await want_standby(url, "")
            await store.check()
            assert (await send(store, submission(1, device))).appended[0].outcomes == (Outcome.STORED,)
            assert [one.sequence for one in (await page(store, device)).items] == [1]
        await admin.close()


async def test_f16_a_node_that_did_not_hear_how_a_commit_ended_is_not_ready_until_another_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncpg has the commit cancelled then, and the warning goes to a connection that is no more."""
    monkeypatch.setattr(database, "COMMAND_SECONDS", 2.0)
    with PostgresServer(tmp_path / "postgres") as server:
        url = await empty_database(server)
        async with database.open_database(url, ColumnKeys({1: bytes(32)}), connections=2) as there:
            await want_standby(url, "nowhere")
            with pytest.raises(Unavailable):
                await there.change("CREATE TABLE more ()")
            assert there.in_doubt
            with pytest.raises(Unavailable):
                await there.check()
            await want_standby(url, "")
            await there.check()
            assert not there.in_doubt


async def test_f16_a_server_that_does_not_keep_what_it_commits_is_refused(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pooler may keep back what a session asks for; then what somebody set for the role holds."""
    url = await empty_database(postgres)
    async with database.open_database(url, ColumnKeys({1: bytes(32)}), connections=1) as there:
        await there.rows("ALTER ROLE tokenim SET synchronous_commit = off")
        try:
            async with database.open_database(url, there.keys, connections=1) as beside:
                assert await beside.rows("SHOW synchronous_commit") == [("on",)]  # the session's goes before
            monkeypatch.delitem(sessions.SESSION, "synchronous_commit")
            with pytest.raises(StoreUnreachable, match="synchronous_commit = off in the relay's sessions"):
                async with open_postgres_store(url, keys_file=tmp_path / "column.keys"):
                    raise AssertionError("it started")
        finally:
            await there.rows("ALTER ROLE tokenim RESET synchronous_commit")
    await drop_database(postgres, url)
