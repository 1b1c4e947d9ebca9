"""A relay moves from SQLite to PostgreSQL, and back: who has a session open notices a pause and nothing else."""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from client.client import Client
from client.message import Message, Missed, Warned
from tests.faults.relay_process import RelayProcess, warm_relay
from tests.listening import Listener
from tests.relay_process import run
from tests.servers.databases import drop_database, empty_database
from tests.servers.postgres import PostgresServer


def write_settings(file: Path, origin: str, *more: str) -> None:
    """Those of the relay, and of where its state is."""
    file.write_text("\n".join((f'origin = "{origin}"', *more)) + "\n")


def postgres_lines(folder: Path, url: str) -> tuple[str, ...]:
    password = folder / "postgres.password"
    password.touch(0o600)
    password.write_text("tokenim\n")
    return "[postgres]", f'url = "{url.replace(":tokenim@", "@")}"', f'password_file = "{password}"'


async def command(*arguments: str) -> CompletedProcess[str]:
    return await asyncio.to_thread(run, *arguments)


@pytest.mark.timeout(120)
async def test_who_has_a_session_open_goes_on_after_the_relay_moved_there_and_back(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    config = tmp_path / "relay.toml"
    relay = RelayProcess(
        tmp_path / "data", tmp_path / "log", arguments=("--config", str(config)), program=warm_relay()
    )
    where = ("--data", str(relay.data), "--config", str(config))
    url = await empty_database(postgres)
    shared = postgres_lines(tmp_path, url)
    write_settings(config, relay.origin)
    async with relay, asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
        await relay.start()
        link = await relay.create_invite(3)
        for name in ("alice", "bob", "carol"):
            await Client.register(tmp_path / name, link, handle=name)
        picture = tmp_path / "picture.bin"
        picture.write_bytes(bytes(range(256)) * 400)

        async def enter(name: str) -> Listener:
            listener = Listener(await stack.enter_async_context(Client.open(tmp_path / name)))
            listening = tasks.create_task(listener.listen())
            stack.callback(listening.cancel)
            return listener

        alice, bob = await enter("alice"), await enter("bob")
        await alice.client.send("bob", "on SQLite")
        await bob.until("on SQLite")
        await alice.client.send("carol", "waits")
        await alice.client.send("carol", file=picture)

        await relay.stop()
        write_settings(config, relay.origin, *shared)
        moved = await command("migrate", "sqlite-to-postgres", *where, "--json")
        assert (moved.returncode, moved.stderr) == (0, "")
        *tables, end = [json.loads(line) for line in moved.stdout.splitlines()]
        assert all(one["alike"] for one in tables)
        rows = {one["table"]: one["source_rows"] for one in tables}
        assert (rows["accounts"], rows["handles"], rows["envelopes"]) == (3, 3, 2)
        assert end == {"finished": True}
        await relay.start()
        await alice.client.send("bob", "on PostgreSQL")
        await bob.until("on PostgreSQL", seconds=60)
        async with Client.open(tmp_path / "carol") as carol:
            heard = [event async for event in carol.messages(until_caught_up=True)]
            assert [one.text for one in heard if one.file is None] == ["waits"]
            (file,) = [one for one in heard if one.file is not None]
            fetched = (await file.fetch()).file
            assert fetched is not None
            assert fetched.path is not None
            assert fetched.path.read_bytes() == picture.read_bytes()
            await carol.send("bob", "carol was away")
        await bob.until("carol was away")

        await relay.stop()
        back = await command("migrate", "postgres-to-sqlite", *where)
        assert (back.returncode, back.stderr) == (0, "")
        assert "DIFFERS" not in back.stdout
        write_settings(config, relay.origin)
        await relay.start()
        await alice.client.send("bob", "on SQLite again")
        await bob.until("on SQLite again", seconds=60)
        for listener in (alice, bob):
            assert [event for event in listener.heard if isinstance(event, Warned | Missed)] == []
        assert [event.text for event in bob.heard if isinstance(event, Message)] == [
            "on SQLite",
            "on PostgreSQL",
            "carol was away",
            "on SQLite again",
        ]
        await relay.stop()
        for log in ("audit", "transparency"):
            assert (await command(log, "verify", *where)).returncode == 0
        shown = (await command("audit", "show", *where, "--json")).stdout.splitlines()
        moves = [row["detail"] for row in map(json.loads, shown) if row["action"] == "migrate"]
        assert moves == ["postgres", "sqlite"]
    await drop_database(postgres, url)


@pytest.mark.parametrize("way", ["sqlite-to-postgres", "postgres-to-sqlite"])
def test_without_a_database_in_the_settings_it_is_told_in_one_line(tmp_path: Path, way: str) -> None:
    (tmp_path / "data").mkdir(0o700)
    told = run("migrate", way, "--data", str(tmp_path / "data"))
    assert (told.returncode, told.stderr) == (
        2,
        "tokenim-relay: postgres.url: is missing: it says which database\n",
    )


def test_nothing_is_abandoned_where_nothing_was_begun(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(0o700)
    told = run("migrate", "abandon", "--data", str(tmp_path / "data"), "--json")
    assert told.returncode == 1
    assert "no move is under way here" in json.loads(told.stderr)["detail"]
