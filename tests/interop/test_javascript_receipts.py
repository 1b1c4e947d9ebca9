"""Receipts between the client in JavaScript and the one in Python: delivered and read, to contacts alone."""

import asyncio

import pytest

from client.client import Client
from tests.chatting import open_people, texts, waiting
from tests.interop.javascript_person import JavaScriptPerson, person

pytestmark = pytest.mark.timeout(120)


async def listen(client: Client) -> None:
    async for _ in client.events():
        pass


async def marks(client: Client, text: str) -> tuple[list[str], list[str]]:
    """Who has got and who has read what this client wrote."""
    (message,) = [one for one in await client.history("jay") if one.text == text]
    return [one.account for one in message.delivered_to], [one.account for one in message.read_by]


async def shown(jay: JavaScriptPerson, text: str) -> dict:
    return next(one for one in await jay.call("messages", after=0) if one["text"] == text)


async def test_both_are_told_when_it_came_and_when_it_was_read(tmp_path, went):
    went("receipt: delivered", "receipt: read")
    async with open_people(tmp_path, "bob") as people, person(tmp_path / "jay.db") as jay:
        bob = await people.enter("bob")
        me = (await jay.call("register", link=await people.world.relay.invite(), handle="jay"))["account"]
        await jay.call("start")
        await jay.call("send", to="bob", text="hello")
        await jay.all_sent()
        assert await texts(bob) == ["hello"]
        await bob.send("jay", "hello to you")
        await jay.texts(of=1)
        listening = asyncio.create_task(listen(bob))
        try:

            async def is_delivered() -> bool:
                return (await marks(bob, "hello to you"))[0] == [me]

            await jay.until(is_delivered)
            assert await marks(bob, "hello to you") == ([me], [])
            await jay.call("read", numbers=[(await shown(jay, "hello to you"))["number"]])

            async def is_read() -> bool:
                return (await marks(bob, "hello to you"))[1] == [me]

            await jay.until(is_read)

            their = bob.whoami().account
            await jay.call("send", to="bob", text="and again")

            async def has_marks(kind: str) -> bool:
                return (await shown(jay, "and again"))[kind] == [their]

            await jay.until(lambda: has_marks("delivered_to"))
            assert (await shown(jay, "and again"))["read_by"] == []
            await bob.mark_read((await bob.history("jay"))[-1])
            await jay.until(lambda: has_marks("read_by"))
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def test_a_stranger_is_told_nothing_and_neither_is_anybody_where_it_is_switched_off(tmp_path):
    async with open_people(tmp_path, "bob") as people, person(tmp_path / "jay.db") as jay:
        bob = await people.enter("bob")
        me = (await jay.call("register", link=await people.world.relay.invite(), handle="jay"))["account"]
        await jay.call("start")
        await bob.send("jay", "may I?")
        await jay.texts(of=1)
        number = (await shown(jay, "may I?"))["number"]
        await jay.call("read", numbers=[number])
        assert (await jay.call("state"))["owed"] == 0
        await jay.call("receipts", on=False)
        await jay.call("send", to="bob", text="you may")
        await jay.all_sent()
        await texts(bob)
        await bob.send("jay", "thanks")
        await jay.texts(of=2)
        await jay.call("read", numbers=[(await shown(jay, "thanks"))["number"]])
        assert (await jay.call("state"))["owed"] == 0
        await jay.call("receipts", on=True)
        await bob.send("jay", "one more")
        await jay.texts(of=3)

        async def is_told() -> bool:
            await waiting(bob)
            return (await marks(bob, "one more"))[0] == [me]

        await jay.until(is_told)  # its time is drawn: it may be told before anybody can look
        assert (await marks(bob, "may I?")) == (await marks(bob, "thanks")) == ([], [])
