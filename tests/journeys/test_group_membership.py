"""People with real clients on a real relay get into groups and out of them, write there, and are heard by who is in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from client.client import Client
from client.errors import GroupError, UsageError
from client.message import Event, Message
from client.message_groups import GroupChanged, GroupInvited, JoinAsked
from client.store.group_senders import find_sender
from crypto.group_rights import Right
from relay.wire.links import decode_id
from tests.chatting import People, open_people
from tests.group_people_online import is_in, until
from tests.own_devices import link_device


@dataclass
class Listener:
    """A client that listens, and what it heard."""

    client: Client
    heard: list[Event] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        async for event in self.client.events():
            self.heard.append(event)
            self.news.set()

    async def until(self, holds) -> None:
        """Wait until something that was heard holds."""
        async with asyncio.timeout(50):
            while not any(holds(event) for event in self.heard):
                self.news.clear()
                await self.news.wait()

    async def until_text(self, text: str) -> None:
        await self.until(lambda event: isinstance(event, Message) and event.text == text)


@asynccontextmanager
async def listeners(people: People, *names: str) -> AsyncIterator[list[Listener]]:
    """Clients of these names, all listening."""
    found = [Listener(await people.enter(name)) for name in names]
    tasks = [asyncio.create_task(one.listen()) for one in found]
    try:
        yield found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def was(kind: str, name: str):
    """An event about this change of a member."""
    return lambda event: (
        isinstance(event, GroupChanged)
        and (kind, name) in {(change.kind, change.name) for change in event.changes}
    )


async def test_people_come_into_a_group_talk_there_and_leave_it(tmp_path):
    async with (
        open_people(tmp_path, "alice", "bob", "carol") as people,
        listeners(people, "alice", "bob", "carol") as (alice, bob, carol),
    ):
        await alice.client.send("bob", "hello")
        await bob.until_text("hello")
        await bob.client.send("alice", "hello to you")
        group = (await alice.client.create_group("friends")).id
        to = f"group:{group}"

        # Bob has written to alice: he joins by himself. Carol comes by a link, and waits.
        assert not await alice.client.membership.add("friends", "bob")
        await bob.until(lambda event: isinstance(event, GroupInvited) and event.joining)
        await bob.until(was("joined", "bob"))
        link = await alice.client.membership.link("friends", ask=True)
        assert await carol.client.membership.join(link) is None
        await alice.until(lambda event: isinstance(event, JoinAsked))
        (waiting,) = await alice.client.membership.waiting("friends")
        assert await alice.client.membership.add("friends", waiting.account)
        await carol.until(was("joined", "carol"))

        # Bob and carol never talked before.
        await carol.client.send(to, "from carol")
        await asyncio.gather(alice.until_text("from carol"), bob.until_text("from carol"))
        await bob.client.send(to, "from bob")
        await asyncio.gather(alice.until_text("from bob"), carol.until_text("from bob"))
        assert [one.text for one in await carol.client.history(to)] == ["from carol", "from bob"]

        # Muted, bob hears and says nothing.
        await alice.client.membership.mute("friends", "bob")
        await bob.until(was("rights", "bob"))
        with pytest.raises(GroupError):
            await bob.client.send(to, "may I?")
        await alice.client.membership.unmute("friends", "bob")

        # Carol, an admin now, renames the group and removes bob, who reads nothing of what follows.
        carol_id = next(
            m.account
            for m in (await alice.client.group(group)).members
            if m.role == "member" and m.name != "bob"
        )
        await alice.client.membership.promote("friends", carol_id, "admin")
        await carol.until(was("role", "carol"))
        assert (await carol.client.membership.set("friends", "name", "few friends")).name == "few friends"
        await carol.client.membership.remove("few friends", "bob")
        await bob.until(was("removed", "bob"))
        await carol.client.send(to, "without bob")
        await alice.until_text("without bob")
        with pytest.raises(GroupError):
            await bob.client.send(to, "still here?")
        assert not any(isinstance(event, Message) and event.text == "without bob" for event in bob.heard)

        with pytest.raises(UsageError, match="only owner"):
            await alice.client.membership.leave("few friends")
        await carol.client.membership.leave("few friends")
        assert [one.status for one in await carol.client.groups(with_left=True)] == ["out"]


async def test_a_link_that_was_closed_lets_in_nobody(tmp_path):
    async with (
        open_people(tmp_path, "alice", "bob") as people,
        listeners(people, "alice", "bob") as (alice, bob),
    ):
        group = (await alice.client.create_group("friends")).id
        link = await alice.client.membership.link("friends")
        assert await alice.client.membership.close_links("friends") == 1
        assert await bob.client.membership.join(link, wait_seconds=1) is None
        assert [one.me for one in (await alice.client.group(group)).members] == [True]
        with pytest.raises(UsageError, match="your own"):
            await alice.client.membership.join(await alice.client.membership.link("friends"))


async def test_a_linked_device_reaches_members_whom_its_account_never_talked_with(tmp_path):
    async with (
        open_people(tmp_path, "alice", "bob", "carol") as people,
        listeners(people, "alice", "bob", "carol") as (alice, bob, carol),
    ):
        group = await alice.client.create_group("good friends")
        link = await alice.client.membership.link(group.id, uses=2)
        for one in (bob, carol):
            await one.client.membership.join(str(link), wait_seconds=20)
        await bob.client.send(f"group:{group.id}", "from bob", patience_seconds=20)
        await carol.until_text("from bob")
        await link_device(bob.client, people.home("laptop"))
        async with Client.open(people.home("laptop")) as laptop:
            await until(laptop, lambda client: is_in(client, group.id))
            await laptop.send(f"group:{group.id}", "from the laptop", patience_seconds=20)
            for one in (alice, bob, carol):
                await one.until_text("from the laptop")


async def test_a_bot_outside_the_audience_gets_only_what_is_addressed_to_it(tmp_path):
    async with (
        open_people(tmp_path, "alice", "bob", "echo") as people,
        listeners(people, "alice", "bob", "echo") as (alice, bob, bot),
    ):
        group = (await alice.client.create_group("friends")).id
        to = f"group:{group}"
        link = await alice.client.membership.link("friends", uses=2)
        for one in (bob, bot):
            await one.client.membership.join(link)
            await one.until(was("joined", one.client.whoami().handle))
        await bot.client.membership.want("friends", Right(0))
        await alice.until(lambda event: isinstance(event, GroupChanged) and event.changes[0].kind == "wants")
        await bob.until(lambda event: isinstance(event, GroupChanged) and event.changes[0].kind == "wants")

        # It is a member, and reads nothing: no chain comes to it, and no message.
        await bob.client.send(to, "to all")
        await alice.until_text("to all")
        account_id, group_id = decode_id(bob.client.whoami().account, 32), decode_id(group, 32)
        chains = await bot.client._account._database.read(
            lambda tx: [
                sender
                for (device,) in tx.all(
                    "SELECT device_id FROM group_senders WHERE account_id = ?", account_id
                )
                if (sender := find_sender(tx, group_id, device)) is not None
            ]
        )
        assert chains == []
        # Bob and the bot never talked: he reaches it as a member of the same group.
        await bob.client.send(bot.client.whoami().account, "to the bot alone")
        await bot.until_text("to the bot alone")
        heard = [event.text for event in bot.heard if isinstance(event, Message)]
        assert heard == ["to the bot alone"]
