"""A relay moves from SQLite to PostgreSQL while it runs: it is read-only, ends by itself, and users notice a pause alone."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import aiohttp
import pytest

from client.client import Client
from client.errors import RelayUnreachable
from client.message import Message, Missed, Warned
from tests.faults.relay_process import RelayProcess, warm_broken_relay, warm_relay
from tests.listening import Listener
from tests.relay_process import run
from tests.servers.databases import drop_database, empty_database
from tests.servers.postgres import PostgresServer

DRIVER = Path(__file__).parents[1] / "faults" / "move_driver.py"


@dataclass
class Scene:
    """A relay on SQLite, and the two who talk through it all the time."""

    folder: Path
    url: str
    relay: RelayProcess
    alice: Listener
    bob: Listener
    sent: list[str | None]
    tasks: asyncio.TaskGroup

    @property
    def where(self) -> tuple[str, ...]:
        return "--data", str(self.relay.data), "--config", str(self.folder / "cluster.toml")

    async def migrate(self, *arguments: str) -> CompletedProcess[str]:
        return await asyncio.to_thread(run, "migrate", *arguments, *self.where)

    async def killed(self, *arguments: str, judged: int = 0) -> str:
        """The driver's processes; what it printed. `judged`: its exit code."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(DRIVER), *arguments[:1], str(self.relay.data), self.url, *arguments[1:]),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(DRIVER.parents[2])},
        )
        output, _ = await process.communicate()
        assert process.returncode == judged, output.decode()
        return output.decode().strip()

    async def ready(self) -> tuple[int, Any]:
        async with aiohttp.ClientSession() as session, session.get(f"{self.relay.origin}/ready") as answered:
            return answered.status, await answered.json()

    def say(self, text: str) -> "asyncio.Task[Any]":
        """Alice sends this; a task that ends when the relay has it."""
        self.sent.append(text)
        return self.tasks.create_task(self.alice.client.send("bob", text, patience_seconds=100))

    async def go_on_in_postgres(self) -> None:
        """The relay has ended by itself; the nodes' settings, then what was said meanwhile has come, once and in order."""
        assert await self.relay.stop() == 0
        self.relay._arguments = ("--config", str(self.folder / "cluster.toml"))
        await self.relay.start()
        await self.say("in PostgreSQL")
        await self.bob.until("in PostgreSQL", seconds=60)
        assert [event.text for event in self.bob.heard if isinstance(event, Message)] == self.sent
        for listener in (self.alice, self.bob):
            assert [event for event in listener.heard if isinstance(event, Warned | Missed)] == []

    def events(self) -> list[str]:
        """What the relay logged."""
        lines = [line for line in self.relay.log.read_text().splitlines() if line.startswith("{")]
        return [str(json.loads(line).get("event")) for line in lines]


@asynccontextmanager
async def opened(tmp_path: Path, postgres: PostgresServer, broken: str | None = None) -> AsyncIterator[Scene]:
    program = warm_broken_relay(broken) if broken else warm_relay()
    relay = RelayProcess(tmp_path / "data", tmp_path / "log", program=program)
    url = await empty_database(postgres)
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text("tokenim\n")
    (tmp_path / "cluster.toml").write_text(
        f'origin = "{relay.origin}"\n[postgres]\nurl = "{url.replace(":tokenim@", "@")}"\n'
        f'password_file = "{password}"\n'
    )
    async with relay, asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
        await relay.start()
        link = await relay.create_invite(3)
        listeners = []
        for name in ("alice", "bob"):
            await Client.register(tmp_path / name, link, handle=name)
            listeners.append(Listener(await stack.enter_async_context(Client.open(tmp_path / name))))
            listening = tasks.create_task(listeners[-1].listen())
            stack.callback(listening.cancel)
        scene = Scene(tmp_path, url, relay, *listeners, [], tasks)
        await scene.say("first")
        await scene.bob.until("first")
        yield scene
        await relay.stop()
    await drop_database(postgres, url)


@pytest.mark.timeout(120)
async def test_who_talks_while_the_relay_moves_notices_a_pause_alone(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    async with opened(tmp_path, postgres) as scene:
        moving = asyncio.create_task(scene.migrate("sqlite-to-postgres", "--json"))
        said = []
        while not moving.done():
            said.append(scene.say(f"meanwhile {len(said)}"))
            await asyncio.sleep(0.05)
        moved = await moving
        assert (moved.returncode, moved.stderr) == (0, "")
        *tables, end = [json.loads(line) for line in moved.stdout.splitlines()]
        assert all(one["alike"] for one in tables)
        assert end == {"finished": True}
        assert (tmp_path / "data" / "relay.sqlite3.moved").exists()
        assert not list((tmp_path / "data").glob("relay.sqlite3-*"))
        assert scene.events().count("being_moved") == scene.events().count("moved") == 1
        await scene.go_on_in_postgres()
        await asyncio.gather(*said)
        assert [event for event in scene.events() if event.endswith("_failed")] == []


@pytest.mark.timeout(180)
async def test_a_command_that_is_killed_again_and_again_while_the_relay_runs_loses_nothing(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    async with opened(tmp_path, postgres) as scene:
        moving = asyncio.create_task(scene.killed("postgres", "4"))
        while not moving.done():
            scene.say(f"meanwhile {len(scene.sent)}")
            await asyncio.sleep(0.3)
        assert int(await moving) > 8
        await scene.go_on_in_postgres()


@pytest.mark.timeout(120)
async def test_a_relay_that_writes_on_under_the_mark_is_found_out(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    async with opened(tmp_path, postgres, "writes-on") as scene:
        moving = asyncio.create_task(scene.killed("postgres", "4", judged=1))
        while not moving.done():
            await scene.say(f"meanwhile {len(scene.sent)}")
        assert "written after the move had begun" in await moving


@pytest.mark.timeout(120)
async def test_a_relay_whose_move_is_abandoned_writes_again_as_it_stands(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    async with opened(tmp_path, postgres) as scene:
        pid = scene.relay.pid
        await scene.killed("once", "12")  # in the middle of the tables
        status, told = await scene.ready()
        assert (status, told["reasons"]) == (503, ["store: being moved"])
        waits = scene.say("waits")
        doctor = await asyncio.to_thread(run, "doctor", "--data", str(scene.relay.data), "--json")
        findings = {one["check"]: one for one in map(json.loads, doctor.stdout.splitlines())}
        assert findings["moving"]["state"] == "warning"
        invited = await asyncio.to_thread(run, "invite", "create", "--data", str(scene.relay.data))
        assert (invited.returncode, "is being moved" in invited.stderr) == (1, True)
        assert not waits.done()

        assert (await scene.migrate("abandon")).returncode == 0
        assert (await scene.ready())[0] == 200
        await waits
        await scene.bob.until("waits")
        assert scene.relay.pid == pid
        assert "no move is under way" in (await scene.migrate("abandon")).stderr
        assert (tmp_path / "data" / "relay.sqlite3").exists()


@pytest.mark.timeout(120)
async def test_whatever_users_begin_in_the_pause_is_done_after_it(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    async with opened(tmp_path, postgres) as scene:
        await Client.register(tmp_path / "carol", await scene.relay.create_invite(), handle="carol")
        picture = tmp_path / "picture.bin"
        picture.write_bytes(bytes(range(256)) * 400)
        await scene.killed("once", "12")
        alice = scene.alice.client
        begun = [
            scene.tasks.create_task(work)
            for work in (
                alice.send("carol", "never met before", patience_seconds=100),
                alice.send("bob", file=picture, patience_seconds=100),
                alice.create_group("made in the pause", patience_seconds=100),
            )
        ]
        with pytest.raises(RelayUnreachable):  # a command of its own, out of patience; it is in the outbox
            await scene.bob.client.send("alice", "from bob", patience_seconds=1)
        scene.sent.append(None)  # the file has no text
        await asyncio.sleep(1)
        assert not any(one.done() for one in begun)

        assert (await scene.migrate("sqlite-to-postgres")).returncode == 0
        await scene.go_on_in_postgres()
        await scene.alice.until("from bob")
        await asyncio.gather(*begun)
        async with Client.open(tmp_path / "carol") as carol:
            heard = [event.text async for event in carol.messages(until_caught_up=True)]
            assert heard == ["never met before"]


@pytest.mark.timeout(120)
async def test_a_relay_that_is_killed_in_the_middle_does_not_start_until_it_is_moved(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    async with opened(tmp_path, postgres) as scene:
        await scene.killed("once", "12")
        scene.say("waits")
        await scene.relay.kill()
        started = await asyncio.to_thread(run, "serve", "--data", str(scene.relay.data))
        assert (started.returncode, "is being moved" in started.stderr) == (1, True)
        assert (await scene.migrate("sqlite-to-postgres")).returncode == 0
        await scene.go_on_in_postgres()
