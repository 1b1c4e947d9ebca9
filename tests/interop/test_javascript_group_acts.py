"""What is done in a group beside talking: files, reactions, edits and deletes, of both clients."""

import pytest

from tests.chatting import open_people, random_file
from tests.group_people_online import hear, until
from tests.interop.javascript_groups import PATIENCE, joined
from tests.interop.javascript_person import person

pytestmark = pytest.mark.timeout(180)


async def test_acts_and_files_in_a_group_of_both(tmp_path, went):
    went("group reaction", "group edit", "group delete", "group file")
    async with open_people(tmp_path, "bob") as people, person(tmp_path / "jay.db") as jay:
        bob = await people.enter("bob")
        await jay.call("register", link=await people.world.relay.invite(), handle="jay")
        await jay.call("start")
        group = await bob.create_group("friends")
        await jay.call("join", link=await bob.membership.link(group.id))
        await joined(jay, bob, 2)
        name = f"group:{group.id}"

        first = await jay.call("send", to=name, text="frist")
        await jay.all_sent()
        await hear(bob, group.id, "frist")
        await jay.call("edit", number=first, text="first")
        await jay.all_sent()
        (theirs,) = await hear(bob, group.id, "first")
        await bob.react(theirs, "👍", patience_seconds=PATIENCE)
        sent = await bob.send(name, "to be tkaen back", patience_seconds=PATIENCE)
        await bob.edit(sent, "to be taken back", patience_seconds=PATIENCE)

        async def has_acts() -> bool:
            mine, *others = await jay.call("messages", after=first - 1)
            return mine["reactions"] == ["👍"] and [one["text"] for one in others] == ["to be taken back"]

        await jay.until(has_acts)
        shown = (await jay.call("messages", after=first))[0]
        await jay.call("react", number=shown["number"], emoji="❤️")
        await jay.all_sent()

        async def is_liked(client) -> bool:
            return [[mark.emoji for mark in one.reactions] for one in await client.history(name)] == [
                ["👍"],
                ["❤️"],
            ]

        await until(bob, is_liked)

        picture = random_file(tmp_path, "picture.png", 70_001)
        await jay.call("send", to=name, file=str(picture), media_type="image/png")
        await jay.all_sent()

        async def has_file(client) -> bool:
            return (await client.history(name))[-1].file is not None

        await until(bob, has_file)
        fetched = await (await bob.history(name))[-1].fetch()
        assert fetched.file.path.read_bytes() == picture.read_bytes()
        other = random_file(tmp_path, "other.png", 3_000)
        await bob.send(name, file=other, patience_seconds=PATIENCE)

        async def sees_file() -> bool:
            last = (await jay.call("messages", after=0))[-1]
            return not last["is_own"] and last["file"] is not None and last

        last = await jay.until(sees_file)
        await jay.call("fetch", number=last["number"], path=str(tmp_path / "of-bob.png"))
        assert (tmp_path / "of-bob.png").read_bytes() == other.read_bytes()

        await bob.delete(sent, patience_seconds=PATIENCE)
        await jay.call("delete", number=first)
        await jay.all_sent()

        async def is_gone(client) -> bool:
            return [one.deleted for one in (await client.history(name))[:2]] == [True, True]

        await until(bob, is_gone)

        async def is_gone_there() -> bool:
            return [one["state"] for one in (await jay.call("messages", after=0))[:2]] == [
                "deleted",
                "deleted",
            ]

        await jay.until(is_gone_there)
