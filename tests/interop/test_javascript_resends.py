"""What a relay swallowed between the client in JavaScript and the one in Python is asked for, and comes, or is told as gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from client.client import Client
from client.message import Gone
from tests.chatting import People, open_people, texts
from tests.interop.javascript_person import person
from tests.interop.matrix import TO_JAVASCRIPT, TO_PYTHON
from tests.interop.node_of_wheel import CLIENT

pytestmark = pytest.mark.timeout(120)
LOSING = ("--import", str(CLIENT / "tests" / "losing.js"))


@asynccontextmanager
async def listening(client: Client) -> AsyncIterator[list]:
    """What this client tells while the block runs."""
    told: list = []
    tell = told.append

    async def listen() -> None:
        async for event in client.events():
            tell(event)

    task = asyncio.create_task(listen())
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def friends(folder) -> AsyncIterator[tuple[People, Path]]:
    """Bob in Python and jay in JavaScript have written to each other, and are away; jay gives no receipts, to count envelopes."""
    async with open_people(folder, "bob") as people:
        async with people.client("bob") as bob, person(folder / "jay.db") as jay:
            await jay.call("register", link=await people.world.relay.invite(), handle="jay")
            await jay.call("receipts", on=False)
            await jay.call("start")
            await jay.call("send", to="bob", text="hello")
            await jay.all_sent()
            assert await texts(bob) == ["hello"]
            await bob.send("jay", "hello to you")
            await jay.texts(of=1)
        yield people, folder / "jay.db"


async def said(client: Client) -> list[str]:
    return [one.text for one in await client.history("jay") if not one.outgoing]


@pytest.mark.parametrize("deleted", [False, True], ids=["is there", "deleted"])
async def test_python_asks_and_javascript_answers(tmp_path, went, deleted):
    went("missing content: gone" if deleted else "missing content: sent again", to=(TO_PYTHON,))
    async with friends(tmp_path) as (people, store), person(store, *LOSING, LOSE_OUT="2") as jay:
        await jay.call("start")
        numbers = []
        for text in ("one", "two", "three"):
            numbers.append(await jay.call("send", to="bob", text=text))
            await jay.all_sent()
        if deleted:
            await jay.call("delete", number=numbers[1])
            await jay.all_sent()
        async with people.client("bob") as bob, listening(bob) as told:

            async def came() -> bool:
                if deleted:
                    return any(isinstance(one, Gone) for one in told)
                return await said(bob) == ["hello", "one", "two", "three"]

            await jay.until(came)
            if deleted:
                assert await said(bob) == ["hello", "one", "three"]


@pytest.mark.parametrize("deleted", [False, True], ids=["is there", "deleted"])
async def test_javascript_asks_and_python_answers(tmp_path, went, deleted):
    went("missing content: gone" if deleted else "missing content: sent again", to=(TO_JAVASCRIPT,))
    async with friends(tmp_path) as (people, store), people.client("bob") as bob:
        sent = [await bob.send("jay", text) for text in ("one", "two", "three")]
        if deleted:
            await bob.delete(sent[1])
        async with listening(bob), person(store, *LOSING, LOSE_IN="2") as jay:
            await jay.call("start")

            async def came() -> bool:
                state = await jay.call("state")
                return state["missing"] == 0 and (state["gone"] == 1 or not deleted)

            await jay.until(came)
            expected = (
                ["hello to you", "one", "three"] if deleted else ["hello to you", "one", "two", "three"]
            )
            assert await jay.texts() == expected
            assert (await jay.call("state"))["failed"] == 0
