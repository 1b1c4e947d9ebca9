"""Who was taken out of a group, or left it, and comes back: by what, by what not, and then everything arrives again."""

import asyncio

import pytest

from tests.chatting import open_people
from tests.group_people_online import is_in
from tests.journeys.test_group_membership import Listener, listeners, was

pytestmark = pytest.mark.timeout(120)


async def members(one: Listener, group: str) -> set[str]:
    return {member.name for member in (await one.client.group(group)).members if not member.me}


async def both_ways(group: str, one: Listener, other: Listener, text: str) -> None:
    """What each writes into the group, the other reads."""
    await one.client.send(f"group:{group}", f"{text}, there", patience_seconds=30)
    await other.until_text(f"{text}, there")
    await other.client.send(f"group:{group}", f"{text}, back", patience_seconds=30)
    await one.until_text(f"{text}, back")


async def test_b5_who_was_removed_does_not_come_back_by_the_link_it_came_by(tmp_path):
    async with (
        open_people(tmp_path, "alice", "bob", "carol") as people,
        listeners(people, "alice", "bob", "carol") as (alice, bob, carol),
    ):
        group = (await alice.client.create_group("friends")).id
        many = str(await alice.client.membership.link("friends", uses=5))
        once = str(await alice.client.membership.link("friends", uses=1))
        unused = str(await alice.client.membership.link("friends", uses=5))
        await bob.client.membership.join(many, wait_seconds=30)
        await carol.client.membership.join(once, wait_seconds=30)
        for name, one in (("bob", bob), ("carol", carol)):
            (own,) = [member.account for member in (await one.client.group(group)).members if member.me]
            await alice.client.membership.remove("friends", own)
            await one.until(was("removed", name))
        for one, link in ((bob, many), (carol, once), (bob, unused)):
            assert await one.client.membership.join(link, wait_seconds=3) is None
        assert await members(alice, group) == set()
        # What is given out afterwards is a yes to them.
        again = str(await alice.client.membership.link("friends", uses=1))
        assert await bob.client.membership.join(again, wait_seconds=30) is not None
        await both_ways(group, alice, bob, "by a new link")


async def test_who_was_removed_and_is_invited_again_gets_everything_again(tmp_path):
    async with (
        open_people(tmp_path, "alice", "bob") as people,
        listeners(people, "alice", "bob") as (alice, bob),
    ):
        await alice.client.send("bob", "hello")
        await bob.until_text("hello")
        await bob.client.send("alice", "hello to you")
        group = (await alice.client.create_group("friends")).id
        await alice.client.membership.add("friends", "bob")
        async with asyncio.timeout(30):
            while not await is_in(bob.client, group):  # noqa: ASYNC110  (several events lead there)
                await asyncio.sleep(0.05)
        await both_ways(group, alice, bob, "at first")
        for turn in ("once", "twice"):
            await alice.client.membership.remove("friends", "bob")
            async with asyncio.timeout(30):
                while await is_in(bob.client, group):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            await alice.client.membership.add("friends", "bob")
            async with asyncio.timeout(30):
                while not await is_in(bob.client, group):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            await both_ways(group, alice, bob, turn)


async def test_who_left_and_comes_back_before_that_is_committed_is_let_in_at_once(tmp_path):
    async with (
        open_people(tmp_path, "alice", "bob") as people,
        listeners(people, "alice", "bob") as (alice, bob),
    ):
        group = (await alice.client.create_group("friends")).id
        link = str(await alice.client.membership.link("friends", uses=3))
        await bob.client.membership.join(link, wait_seconds=30)
        for turn in ("at first", "again"):
            await bob.client.membership.leave(group)
            assert await bob.client.membership.join(link, wait_seconds=30) is not None
            await both_ways(group, alice, bob, turn)


async def test_who_left_comes_back_by_an_invitation_and_gets_everything_again(
    tmp_path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("client.groups.requests.LEAVES_SHARE_A_CUT_MS", 0)
    async with (
        open_people(tmp_path, "alice", "bob") as people,
        listeners(people, "alice", "bob") as (alice, bob),
    ):
        await alice.client.send("bob", "hello")
        await bob.until_text("hello")
        await bob.client.send("alice", "hello to you")
        group = (await alice.client.create_group("friends")).id
        for turn in ("at first", "again"):
            await alice.client.membership.add("friends", "bob")
            async with asyncio.timeout(30):
                while not await is_in(bob.client, group):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            await both_ways(group, alice, bob, turn)
            await bob.client.membership.leave(group)
            async with asyncio.timeout(30):
                while await members(alice, group):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)


async def test_who_left_comes_back_by_a_link_that_has_uses_left_and_gets_everything_again(
    tmp_path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("client.groups.requests.LEAVES_SHARE_A_CUT_MS", 0)  # they wait for others otherwise
    async with (
        open_people(tmp_path, "alice", "bob") as people,
        listeners(people, "alice", "bob") as (alice, bob),
    ):
        group = (await alice.client.create_group("friends")).id
        link = str(await alice.client.membership.link("friends", uses=2))
        for turn in ("at first", "again"):
            assert await bob.client.membership.join(link, wait_seconds=30) is not None
            await both_ways(group, alice, bob, turn)
            await bob.client.membership.leave(group)
            async with asyncio.timeout(30):
                while await members(alice, group):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        assert await bob.client.membership.join(link, wait_seconds=3) is None  # both uses are used
        assert await members(alice, group) == set()
