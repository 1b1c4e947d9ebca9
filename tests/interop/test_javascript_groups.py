"""The client in JavaScript in groups that the one in Python makes."""

import asyncio

import pytest

from crypto.group_changes import Remove
from relay.wire.links import decode_id
from tests.chatting import open_people
from tests.group_people_online import hear, until
from tests.interop.javascript_groups import PATIENCE, done, heard, joined, of_group
from tests.interop.javascript_person import person
from tests.interop.matrix import TO_JAVASCRIPT

pytestmark = pytest.mark.timeout(180)


async def test_joins_by_a_link_talks_and_lives_through_a_removal(tmp_path, went):
    went("group text", "group text after a removal")
    went("group link", to=(TO_JAVASCRIPT,))
    async with open_people(tmp_path, "bob", "carol") as people, person(tmp_path / "jay.db") as jay:
        bob, carol = await people.enter("bob"), await people.enter("carol")
        me = await jay.call("register", link=await people.world.relay.invite(), handle="jay")
        await jay.call("start")
        group = await bob.create_group("friends")
        link = await bob.membership.link(group.id, uses=3)
        await jay.call("join", link=link)
        await joined(jay, bob, 2)
        name = f"group:{group.id}"

        await jay.call("send", to=name, text="hello from JavaScript")
        await jay.all_sent()
        (message,) = await hear(bob, group.id, "hello from JavaScript")
        assert (message.account, message.role) == (me["account"], "member")
        await bob.send(name, "hello from Python", patience_seconds=PATIENCE)
        await heard(jay, "hello from Python")

        joining = asyncio.create_task(carol.membership.join(link, wait_seconds=PATIENCE))
        await joined(jay, bob, 3)
        await joining
        await jay.call("send", to=name, text="the three of us")
        await jay.all_sent()
        for client in (bob, carol):
            await hear(client, group.id, "the three of us")
        await carol.send(name, "carol too", patience_seconds=PATIENCE)
        await heard(jay, "carol too")

        out = [Remove(decode_id(carol.whoami().account, 32))]
        await bob.commit_changes(group.id, out, patience_seconds=PATIENCE)
        await joined(jay, bob, 2)
        await jay.call("send", to=name, text="without carol")
        await jay.all_sent()
        await hear(bob, group.id, "without carol")
        await bob.send(name, "the second epoch", patience_seconds=PATIENCE)
        await heard(jay, "the second epoch")
        assert "without carol" not in [one.text for one in await carol.history(name)]
        assert await of_group(jay) == ["hello from Python", "carol too", "the second epoch"]


async def test_is_invited_and_is_told_when_it_is_removed(tmp_path, went):
    went("group invitation", "removal from a group", to=(TO_JAVASCRIPT,))
    async with open_people(tmp_path, "bob") as people, person(tmp_path / "jay.db") as jay:
        bob = await people.enter("bob")
        me = await jay.call("register", link=await people.world.relay.invite(), handle="jay")
        await jay.call("start")
        await jay.call("send", to="bob", text="hello")
        await jay.all_sent()
        group = await bob.create_group("friends")
        await bob.membership.add(group.id, "jay")

        async def is_invited() -> bool:
            return any(event["event"] == "invited" for event in jay.events)

        await jay.until(is_invited)
        accepting = asyncio.create_task(jay.call("accept", group=group.id))
        await until(bob, lambda _client: done(accepting))
        await joined(jay, bob, 2)
        await bob.commit_changes(group.id, [Remove(decode_id(me["account"], 32))], patience_seconds=PATIENCE)

        async def is_out(_client) -> bool:
            return [one["status"] for one in await jay.call("groups")] == ["out"]

        await until(bob, is_out)
