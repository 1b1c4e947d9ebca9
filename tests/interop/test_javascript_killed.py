"""The client in JavaScript, killed at random again and again while both write: no text is lost, none shown twice, all in order.

The moment is drawn in what the process has said, not in seconds: a slow machine is killed at the same places as a fast one.
"""

import asyncio
import os
import random
from pathlib import Path

import pytest

from client.client import Client
from client.message import Message
from tests.chatting import open_people
from tests.interop.javascript_groups import joined
from tests.interop.javascript_person import Died, JavaScriptPerson, person, start
from tests.interop.own_devices import bob_and_laptop

pytestmark = pytest.mark.timeout(300)
LIVES = int(os.environ.get("TOKENIM_JAVASCRIPT_LIVES", "6"))
SEED = int(os.environ.get("TOKENIM_JAVASCRIPT_SEED", "1"))


class Talk:
    """What each said, and what came."""

    def __init__(self, bob: Client, to_bob: str, to_jay: str) -> None:
        self.bob = bob
        self.to_bob = to_bob
        self.to_jay = to_jay
        self.to_javascript: list[str] = []
        self.tried: list[str] = []
        self.promised: list[str] = []
        self.came_to_python: list[str] = []
        self.came = asyncio.Event()

    async def listen(self) -> None:
        async for message in self.bob.messages():
            self.came_to_python.append(message.text)
            self.came.set()

    async def shown_in_javascript(self, jay: JavaScriptPerson) -> list[str]:
        """What Python said, once all of it is there."""
        return await jay.texts(of=len(self.to_javascript))

    async def python_says(self, count: int) -> None:
        for _ in range(count):
            self.to_javascript.append(f"to JavaScript {len(self.to_javascript)}")
            await self.bob.send(self.to_jay, self.to_javascript[-1], patience_seconds=30)

    async def javascript_says(self, jay: JavaScriptPerson, count: int) -> None:
        """As far as it comes: what was answered is promised, and what was not may come or not."""
        await jay.call("start")
        for _ in range(count):
            self.tried.append(f"to Python {len(self.tried)}")
            await jay.call("send", to=self.to_bob, text=self.tried[-1])
            self.promised.append(self.tried[-1])
        await jay.all_sent()


class TalkOfOneAccount(Talk):
    """Both are devices of bob, and write to eve: each is shown what the other one said."""

    async def listen(self) -> None:
        async for event in self.bob.events():
            if isinstance(event, Message) and event.outgoing:
                self.came_to_python.append(event.text)
                self.came.set()

    async def shown_in_javascript(self, jay: JavaScriptPerson) -> list[str]:
        async def all_of_python() -> list[str] | None:
            found = [one["text"] for one in await jay.call("messages", after=0) if one["is_own"]]
            of_python = [text for text in found if text not in self.tried]
            return of_python if len(of_python) >= len(self.to_javascript) else None

        return await jay.until(all_of_python)


async def kill_after(jay: JavaScriptPerson, lines: int, seconds: float) -> None:
    """When it has said so many lines, and a moment later; or when it has nothing left to do."""
    while len(jay.events) + jay.answered < lines and jay.process.returncode is None:
        jay.heard.clear()
        await jay.heard.wait()
    await asyncio.sleep(seconds)


async def one_life(jay: JavaScriptPerson, talk: Talk, chance: random.Random) -> None:
    killing = asyncio.create_task(kill_after(jay, chance.randrange(1, 16), chance.uniform(0, 0.03)))
    living = asyncio.create_task(talk.javascript_says(jay, 4))
    saying = asyncio.create_task(talk.python_says(2))
    await asyncio.wait({killing, living}, return_when=asyncio.FIRST_COMPLETED)
    jay.process.kill()
    await jay.process.wait()
    await jay.reading
    killing.cancel()
    results = await asyncio.gather(living, killing, saying, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, Died):
            raise result


async def killed_again_and_again(talk: Talk, store: Path) -> None:
    """The lives of jay, then one in which everything has to come; what was said is compared."""
    chance = random.Random(SEED)
    listening = asyncio.create_task(talk.listen())
    try:
        for _ in range(LIVES):
            await one_life(await start(store), talk, chance)
        async with person(store) as jay:
            await jay.call("start")
            await jay.all_sent()
            assert await talk.shown_in_javascript(jay) == talk.to_javascript
            state = await jay.call("state")
            assert (state["missing"], state["failed"]) == (0, 0)
            async with asyncio.timeout(30):
                while set(talk.promised) - set(talk.came_to_python):
                    talk.came.clear()
                    await talk.came.wait()
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    got = talk.came_to_python
    assert len(set(got)) == len(got), "shown twice"
    assert [text for text in talk.tried if text in got] == got, "out of order"
    assert len(talk.promised) > LIVES / 2, "nearly nothing was said"


async def test_killed_at_random_while_messages_flow_both_ways(tmp_path, went):
    went("text, the client killed at random")
    store = tmp_path / "jay.db"
    async with open_people(tmp_path, "bob") as people:
        bob = await people.enter("bob")
        async with person(store) as jay:
            await jay.call("register", link=await people.world.relay.invite(), handle="jay")
        await killed_again_and_again(Talk(bob, to_bob="bob", to_jay="jay"), store)


async def test_killed_at_random_while_both_write_in_a_group(tmp_path, went):
    went("group text, the client killed at random")
    store = tmp_path / "jay.db"
    async with open_people(tmp_path, "bob") as people:
        bob = await people.enter("bob")
        group = await bob.create_group("friends")
        async with person(store) as jay:
            await jay.call("register", link=await people.world.relay.invite(), handle="jay")
            await jay.call("start")
            await jay.call("join", link=await bob.membership.link(group.id))
            await joined(jay, bob, 2)
        name = f"group:{group.id}"
        await killed_again_and_again(Talk(bob, to_bob=name, to_jay=name), store)


async def test_killed_at_random_while_two_devices_of_one_account_write(tmp_path, went):
    went("copy of a text, the client killed at random")
    async with bob_and_laptop(tmp_path) as (_, bob, laptop):
        await laptop.end()
        talk = TalkOfOneAccount(bob, to_bob="eve", to_jay="eve")
        await killed_again_and_again(talk, tmp_path / "laptop.db")
