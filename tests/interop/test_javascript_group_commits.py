"""Groups that the client in JavaScript makes: whom it lets in, and takes out again."""

import asyncio

import pytest

from client.client import Client
from tests.chatting import open_people, waiting
from tests.group_people_online import hear, is_in, until
from tests.interop.javascript_groups import PATIENCE, done, heard
from tests.interop.javascript_person import JavaScriptPerson, person
from tests.interop.matrix import TO_PYTHON

pytestmark = pytest.mark.timeout(180)


async def members(jay: JavaScriptPerson) -> int:
    (group,) = await jay.call("groups")
    assert group["status"] == "in"
    return group["members"]


async def meet(jay: JavaScriptPerson, *others: Client) -> None:
    """Each has the other for a contact."""
    for other in others:
        await jay.call("send", to=other.whoami().handle, text="hello")
        await jay.all_sent()
        (greeting,) = await waiting(other)
        await greeting.reply("hello jay")
    await jay.texts(of=len(others))


async def comes_in(client: Client, group: str) -> None:
    """By an invitation of somebody that its user has written to, which is accepted at once."""
    await until(client, lambda one: is_in(one, group))


async def test_lets_in_two_who_talk_and_takes_one_of_them_out(tmp_path, went):
    went("group invitation", "removal from a group", "group text after a removal", to=(TO_PYTHON,))
    went("group text")
    async with open_people(tmp_path, "bob", "carol") as people, person(tmp_path / "jay.db") as jay:
        bob, carol = await people.enter("bob"), await people.enter("carol")
        me = await jay.call("register", link=await people.world.relay.invite(), handle="jay")
        await jay.call("start")
        await meet(jay, bob, carol)
        group = await jay.call("create_group", name="friends")
        name = f"group:{group}"
        for number, other in enumerate((bob, carol), 2):
            await jay.call("add", group=group, who=other.whoami().handle)
            await comes_in(other, group)
            info = await other.group(group)
            assert (info.name, len(info.members)) == ("friends", number)
        await jay.call("send", to=name, text="hello from JavaScript")
        for other in (bob, carol):
            (message,) = await hear(other, group, "hello from JavaScript")
            assert (message.account, message.role) == (me["account"], "owner")
        await bob.send(name, "hello from bob", patience_seconds=PATIENCE)
        await heard(jay, "hello from bob")
        await hear(carol, group, "hello from bob")

        await jay.call("remove", group=group, who="carol")
        assert await members(jay) == 2

        async def is_out(client: Client) -> bool:
            return [one.status for one in await client.groups(with_left=True)] == ["out"]

        await until(carol, is_out)
        await jay.call("send", to=name, text="without carol")
        await hear(bob, group, "without carol")
        await bob.send(name, "the two of us", patience_seconds=PATIENCE)
        await heard(jay, "the two of us")
        assert "without carol" not in [one.text for one in await carol.history(name)]


async def test_grants_who_asks_to_leave(tmp_path, went):
    went("leave of a group", to=("Python → JavaScript",))
    async with open_people(tmp_path, "bob") as people, person(tmp_path / "jay.db") as jay:
        bob = await people.enter("bob")
        await jay.call("register", link=await people.world.relay.invite(), handle="jay")
        await jay.call("start")
        await meet(jay, bob)
        group = await jay.call("create_group", name="friends")
        await jay.call("add", group=group, who="bob")
        await comes_in(bob, group)
        leaving = asyncio.create_task(bob.membership.leave(group))
        await until(bob, lambda _client: done(leaving))
        await leaving

        async def is_out(_client: Client) -> bool:
            return await members(jay) == 1

        await until(bob, is_out)
