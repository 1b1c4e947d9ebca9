"""PostgreSQL's own tools put the database of a relay back to an earlier moment; `restored` says so before a node starts."""

import asyncio
from pathlib import Path
from subprocess import CompletedProcess

import asyncpg
import pytest

from client.client import Client
from client.message import Message, Missed
from relay.adapters.postgres.prekeys import PrekeyClass
from tests.faults.relay_process import RelayProcess, warm_relay
from tests.relay_process import run
from tests.servers.databases import drop_database, empty_database
from tests.servers.postgres import PostgresServer


async def command(*arguments: str) -> CompletedProcess[str]:
    return await asyncio.to_thread(run, *arguments)


async def heard(folder: Path) -> list[object]:
    async with Client.open(folder) as client:
        return [event async for event in client.events(until_caught_up=True, patience_seconds=20)]


async def send(folder: Path, to: str, text: str) -> None:
    async with Client.open(folder) as client:
        await client.send(to, text)


async def one_time_keys(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(
            "SELECT count(*) FROM prekeys WHERE key_class = $1", int(PrekeyClass.ONE_TIME)
        )
    finally:
        await connection.close()


@pytest.mark.timeout(120)
async def test_f22_a2_after_a_database_was_put_back_no_key_is_given_twice_and_clients_hear_of_the_gap(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    config, password = tmp_path / "relay.toml", tmp_path / "postgres.password"
    password.touch(0o600)
    password.write_text("tokenim\n")
    relay = RelayProcess(
        tmp_path / "data", tmp_path / "log", arguments=("--config", str(config)), program=warm_relay()
    )
    where = ("--data", str(relay.data), "--config", str(config))
    url = await empty_database(postgres)
    name = url.rpartition("/")[2]
    config.write_text(
        f'origin = "{relay.origin}"\n[postgres]\nurl = "{url.replace(":tokenim@", "@")}"\npassword_file = "{password}"\n'
    )
    admin = await asyncpg.connect(postgres.url())
    async with relay:
        await relay.start()
        link = await relay.create_invite(2)
        for person in ("alice", "bob"):
            await Client.register(tmp_path / person, link, handle=person)
        assert (await command("restored", *where)).returncode != 0  # a node runs
        await relay.stop()
        await admin.execute(f'CREATE DATABASE "{name}_before" TEMPLATE "{name}"')

        await relay.start()
        await send(
            tmp_path / "alice", "bob", "before"
        )  # by a one-time key of bob's, and bob's first envelope
        assert [event.text for event in await heard(tmp_path / "bob") if isinstance(event, Message)] == [
            "before"
        ]
        await relay.stop()
        await admin.execute(f'DROP DATABASE "{name}"')
        await admin.execute(f'ALTER DATABASE "{name}_before" RENAME TO "{name}"')
        assert await one_time_keys(url) > 0

        told = await command("restored", *where)
        assert (told.returncode, told.stdout, told.stderr) == (0, "noted: start the nodes\n", "")
        assert await one_time_keys(url) == 0
        await relay.start()
        assert Missed(0, "restored") in await heard(tmp_path / "bob")
        await heard(tmp_path / "alice")
        await send(tmp_path / "alice", "bob", "after")
        assert [event.text for event in await heard(tmp_path / "bob") if isinstance(event, Message)] == [
            "after"
        ]
        await relay.stop()
        assert '"restore"' in (await command("audit", "show", *where, "--json")).stdout
    await admin.close()
    await drop_database(postgres, url)


async def test_a_relay_on_sqlite_is_put_back_by_another_command(tmp_path: Path) -> None:
    done = await command("restored", "--data", str(tmp_path / "data"))
    assert done.returncode == 2
    assert "`tokenim-relay restore FILE` puts a data folder back" in done.stderr
