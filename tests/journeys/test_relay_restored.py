"""A relay whose data folder is lost and restored from a backup: its users go on without doing anything."""

import asyncio
import hashlib
import shutil
import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path

from client.client import Client
from client.store import facts
from relay.wire.links import parse_contact
from tests.faults.relay_process import RelayProcess, warm_relay
from tests.listening import Listener
from tests.own_devices import link_device
from tests.relay_process import run


async def given_back(client: Client) -> None:
    """The relay has from this client what it had lost."""
    database = client._account._database
    async with asyncio.timeout(30):
        while await database.read(lambda tx: facts.number(tx, facts.RELAY_CAME_BACK)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def command(*arguments: str) -> None:
    finished = await asyncio.to_thread(run, *arguments)
    assert (finished.returncode, finished.stderr) == (0, "")


async def test_users_go_on_talking_after_the_relay_was_restored_from_a_backup(tmp_path: Path):
    relay = RelayProcess(tmp_path / "data", tmp_path / "log", program=warm_relay())
    backup = tmp_path / "relay.tar"
    async with relay, AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        await relay.start()
        link = await relay.create_invite(3)
        for name in ("alice", "bob", "carol"):
            await Client.register(tmp_path / name, link, handle=name)

        async def enter(name: str) -> Listener:
            listener = Listener(await stack.enter_async_context(Client.open(tmp_path / name)))
            listening = tasks.create_task(listener.listen())
            stack.callback(listening.cancel)
            return listener

        bob = await enter("bob")
        async with Client.open(tmp_path / "alice") as alice, Client.open(tmp_path / "carol") as carol:
            await alice.send("bob", "before")
            await bob.client.send("carol", "hello, carol")
            assert [m.text async for m in carol.messages(until_caught_up=True)] == ["hello, carol"]
            await carol.send("bob", "hello, bob")
            await bob.until("before")
            await bob.until("hello, bob")
            await command("backup", "--data", str(relay.data), str(backup))

            # What the backup does not know: messages, and a device, which alone will be there afterwards.
            await bob.client.send("alice", "after the backup")
            assert [m.text async for m in alice.messages(until_caught_up=True)] == ["after the backup"]
            await link_device(alice, tmp_path / "laptop", manager=True)
        laptop = await enter("laptop")
        await bob.client.send("alice", "to both devices")
        await laptop.until("to both devices")
        await bob.client.send("carol", "accepted, and lost")
        token = parse_contact(await bob.client.contact_link()).token

        await relay.kill()
        shutil.rmtree(relay.data)
        await command("restore", "--data", str(relay.data), str(backup))
        await relay.start()

        await laptop.until_told()
        await bob.client.send("alice", "are you there?")
        await laptop.until("are you there?")
        await laptop.client.send("bob", "I am")
        await bob.until("I am")
        await bob.client.send("carol", "and now?")
        phone, carol_again = await enter("alice"), await enter("carol")
        await phone.until("are you there?")
        for text in ("and now?", "accepted, and lost"):
            await carol_again.until(text)
        for listener in (bob, laptop, phone, carol_again):
            await listener.until_told()
            assert listener.warnings <= {"log_restored", "device_added"}, listener.heard
            assert max(listener.texts.values()) == 1
            await given_back(listener.client)
        with closing(sqlite3.connect(relay.data / "relay.sqlite3")) as database:
            kept = database.execute("SELECT token_hash FROM delivery_tokens WHERE expires_at_ms IS NULL")
            assert (hashlib.sha256(token).digest(),) in kept.fetchall()
        await stack.aclose()
