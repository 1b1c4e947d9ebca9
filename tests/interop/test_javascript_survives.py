"""The client in JavaScript loses no text and shows none twice: killed at its first transactions, and when the relay is killed."""

import asyncio
import contextlib
import random

import pytest

from client.client import Client
from tests.chatting import open_people, texts
from tests.interop.javascript_person import Died, person
from tests.interop.matrix import TO_JAVASCRIPT
from tests.interop.node_of_wheel import CLIENT
from tests.relay_process import serving
from tests.servers.ports import free_port

pytestmark = pytest.mark.timeout(300)
DYING = ("--import", str(CLIENT / "tests" / "dying.js"))


@pytest.mark.parametrize("when", ["before", "after"])
async def test_killed_at_each_of_the_first_transactions_of_a_run(tmp_path, when, went):
    """In each round both write, and the process dies at its Nth transaction; what it had promised is kept."""
    went("text, the client killed")
    store = tmp_path / "jay.db"
    promised, tried, to_javascript, to_python = [], [], [], []
    async with open_people(tmp_path, "bob") as people:
        bob = await people.enter("bob")
        async with person(store) as jay:
            await jay.call("register", link=await people.world.relay.invite(), handle="jay")
        died = 0
        for number in range(1, 11):
            to_javascript.append(f"to JavaScript {number}")
            await bob.send("jay", to_javascript[-1])
            tried.append(f"to Python {number}")
            async with person(store, *DYING, DIE_AT=str((number - 1) % 5 + 1), DIE=when) as jay:
                try:
                    await jay.call("send", to="bob", text=tried[-1])
                    promised.append(tried[-1])
                    await jay.call("start")
                    await jay.all_sent()
                    await jay.texts(of=number)
                except Died:
                    died += 1
            to_python += await texts(bob)
        async with person(store) as jay:
            await jay.call("start")
            await jay.all_sent()
            assert await jay.texts(of=len(to_javascript)) == to_javascript
            state = await jay.call("state")
            assert (state["missing"], state["failed"]) == (0, 0)
        to_python += await texts(bob)
        assert died >= 6
        assert len(set(to_python)) == len(to_python), "shown twice"
        assert [text for text in promised if text not in to_python] == [], "lost"
        assert [text for text in tried if text in to_python] == to_python, "out of order"


async def test_what_a_dying_client_was_given_too_often_comes_from_quarantine(tmp_path, went):
    """It dies of each delivery; the relay skips the envelope then, and the client that lives fetches it, once."""
    went("text, the client killed", to=(TO_JAVASCRIPT,))
    async with open_people(tmp_path, "bob") as people:
        bob = await people.enter("bob")
        async with person(tmp_path / "jay.db") as jay:
            await jay.call("register", link=await people.world.relay.invite(), handle="jay")
        await bob.send("jay", "first")
        for _ in range(5):
            async with person(tmp_path / "jay.db", *DYING, DIE="deliver") as jay:
                with pytest.raises(Died):
                    await jay.call("start")
        await bob.send("jay", "second")
        for fetched in (1, 0):
            async with person(tmp_path / "jay.db") as jay:
                await jay.call("start")
                assert await jay.texts(of=2) == ["first", "second"]
                state = await jay.call("state")
                assert (state["quarantined"], state["missing"], state["failed"]) == (fetched, 0, 0)


async def test_a_store_that_keeps_nothing_is_found_out(tmp_path):
    """What these tests look for does happen where it must: acknowledged, but not kept, is lost."""
    async with open_people(tmp_path, "bob") as people:
        bob = await people.enter("bob")
        async with person(tmp_path / "jay.db") as jay:
            await jay.call("register", link=await people.world.relay.invite(), handle="jay")
        await bob.send("jay", "will be lost")
        async with person(tmp_path / "jay.db", *DYING, DIE_AT="1", DIE="lying") as jay:
            await jay.call("start")
            assert await jay.texts(of=1) == ["will be lost"]
        async with person(tmp_path / "jay.db") as jay:
            await jay.call("start")
            assert await jay.texts() == []


async def test_the_relay_is_killed_while_both_write(tmp_path, went):
    went("text, the relay killed")
    listen = ("--listen", f"127.0.0.1:{free_port()}")
    store, data, kept = (
        tmp_path / "jay.db",
        tmp_path / "data",
        {"TOKENIM_RELAY_REGISTRATION": "open", "TOKENIM_RELAY_LIMITS__REGISTRATION_WORK_BITS": "8"},
    )
    chance = random.Random(7)
    with serving(data, *listen, **kept) as relay:
        await Client.register(tmp_path / "bob", relay.invite, handle="bob")
        async with person(store) as jay:
            await jay.call("register", link=relay.url, handle="jay")
        relay.process.kill()
    sent = {"Python": [], "JavaScript": []}
    async with contextlib.AsyncExitStack() as stack:
        bob = await stack.enter_async_context(Client.open(tmp_path / "bob"))
        jay = await stack.enter_async_context(person(store))
        got: list[str] = []
        started = asyncio.create_task(jay.call("start"))
        for round_ in range(4):
            with serving(data, *listen, **kept) as relay:
                for number in range(3):
                    sent["Python"].append(f"to JavaScript {round_} {number}")
                    await bob.send("jay", sent["Python"][-1], patience_seconds=30)
                    sent["JavaScript"].append(f"to Python {round_} {number}")
                    await started
                    await jay.call("send", to="bob", text=sent["JavaScript"][-1])
                await asyncio.sleep(chance.uniform(0, 0.3))
                if round_ == 3:
                    await jay.all_sent()
                    assert await jay.texts(of=12) == sent["Python"]
                    got += await texts(bob)
                relay.process.kill()
        assert got == sent["JavaScript"]
