"""The client in JavaScript and the one in Python talk with each other through a real relay."""

import hashlib

import pytest

from client.client import Client
from client.message import State
from client.store.peers import find_peer
from relay.wire.links import decode_id
from tests.chatting import open_people, random_file, texts, waiting
from tests.interop.javascript_person import Refused, person

pytestmark = pytest.mark.timeout(180)


async def test_both_directions_and_who_the_other_is(tmp_path, went):
    went("text")
    async with open_people(tmp_path, "bob") as people, person(tmp_path / "jay.db") as jay:
        bob = await people.enter("bob")
        me = await jay.call("register", link=await people.world.relay.invite(), handle="jay")
        await jay.call("start")
        await jay.call("send", to="bob", text="hello, Python")
        await jay.all_sent()
        (message,) = await waiting(bob)
        assert (message.text, message.name) == ("hello, Python", "jay")
        answer = await message.reply("hello, JavaScript")
        assert answer.state == State.ACCEPTED
        assert await jay.texts(of=1) == ["hello, JavaScript"]
        (shown,) = [one for one in await jay.call("messages", after=0) if not one["is_own"]]
        assert (shown["handle"], shown["is_contact"], me["handle"]) == ("bob", True, "jay")


async def test_python_writes_first_and_is_a_request_until_it_is_answered(tmp_path, went):
    went("first message (set-up)", "contact token after a first message")
    async with open_people(tmp_path, "bob") as people, person(tmp_path / "jay.db") as jay:
        bob = await people.enter("bob")
        jay_id = await jay.call("register", link=await people.world.relay.invite(), handle="jay")
        await bob.send("jay", "may I?")
        await jay.call("start")
        assert await jay.texts(of=1) == ["may I?"]
        (shown,) = await jay.call("messages", after=0)
        assert shown["is_contact"] is False
        await jay.call("send", to=shown["from"], text="you may")
        await jay.all_sent()
        assert await texts(bob) == ["you may"]
        assert [one["token_class"] for one in await jay.call("contacts")] == ["contact"]
        assert await token_class(bob, jay_id["account"]) == "contact"


async def token_class(client, account: str) -> str:
    """By what the client in Python writes to the account."""
    peer = await client._account._database.read(lambda tx: find_peer(tx, decode_id(account, 32)))
    return peer.token_class


async def test_each_is_found_by_its_contact_link(tmp_path, went):
    """None of them has a handle: there is no other way."""
    went("text by a contact link")
    async with open_people(tmp_path) as people, person(tmp_path / "jay.db") as jay:
        bob = people.home("bob")
        await Client.register(bob, await people.world.relay.invite())
        await jay.call("register", link=await people.world.relay.invite())
        await jay.call("start")
        async with Client.open(bob) as bob, person(tmp_path / "kay.db") as kay:
            await bob.send(await jay.call("link"), "by your link")
            assert await jay.texts(of=1) == ["by your link"]
            assert await jay.call("link") == await jay.call("link")
            await kay.call("register", link=await people.world.relay.invite())
            await kay.call("start")
            await kay.call("send", to=await bob.contact_link(), text="by yours")
            await kay.all_sent()
            assert await texts(bob) == ["by yours"]


@pytest.mark.timeout(240)
async def test_post_quantum_steps_of_both_sides_are_taken(tmp_path, went):
    """A step is due after 20 root steps: in 26 turns of each both sides offer, and both answer."""
    went("post-quantum step of the ratchet")
    async with open_people(tmp_path, "bob") as people, person(tmp_path / "jay.db") as jay:
        bob = await people.enter("bob")
        await jay.call("register", link=await people.world.relay.invite(), handle="jay")
        await jay.call("start")
        for turn in range(26):
            await jay.call("send", to="bob", text=f"to Python {turn}")
            await jay.all_sent()
            assert await texts(bob) == [f"to Python {turn}"]
            await bob.send("jay", f"to JavaScript {turn}")
            assert (await jay.texts(of=turn + 1))[-1] == f"to JavaScript {turn}"
        steps = await jay.call("ratchets")
        assert steps["sent"] >= 1
        assert steps["received"] >= 1
        assert (await jay.call("state"))["failed"] == 0


async def test_both_begin_at_once_and_agree_on_one_session(tmp_path, went):
    went("two sessions at once")
    async with open_people(tmp_path, "bob") as people, person(tmp_path / "jay.db") as jay:
        bob = await people.enter("bob")
        await jay.call("register", link=await people.world.relay.invite(), handle="jay")
        await bob.send("jay", "from Python, at once")
        await jay.call("send", to="bob", text="from JavaScript, at once")
        await jay.call("start")
        await jay.all_sent()
        assert await texts(bob) == ["from JavaScript, at once"]
        assert await jay.texts(of=1) == ["from Python, at once"]
        for turn in range(3):
            await bob.send("jay", f"Python {turn}")
            assert (await jay.texts(of=turn + 2))[-1] == f"Python {turn}"
            await jay.call("send", to="bob", text=f"JavaScript {turn}")
            await jay.all_sent()
            assert await texts(bob) == [f"JavaScript {turn}"]


async def test_reactions_edits_and_deletes_of_both(tmp_path, went):
    went("reaction", "edit", "delete")
    async with open_people(tmp_path, "bob") as people, person(tmp_path / "jay.db") as jay:
        bob = await people.enter("bob")
        await jay.call("register", link=await people.world.relay.invite(), handle="jay")
        await jay.call("start")
        first = await jay.call("send", to="bob", text="frist")
        await jay.all_sent()
        (message,) = await waiting(bob)
        await jay.call("edit", number=first, text="first")
        await jay.all_sent()
        await waiting(bob)
        assert [one.text for one in await bob.history("jay")] == ["first"]
        assert [one["text"] for one in await jay.call("messages", after=0)] == ["first"]
        await bob.react(message, "👍")

        async def is_liked() -> bool:
            return (await jay.call("messages", after=first - 1))[0]["reactions"] == ["👍"]

        await jay.until(is_liked)
        sent = await bob.send("jay", "to be tkaen back")
        await jay.texts(of=1)
        (shown,) = [one for one in await jay.call("messages", after=0) if not one["is_own"]]
        await bob.edit(sent, "to be taken back")

        async def is_edited() -> bool:
            return await jay.texts() == ["to be taken back"]

        await jay.until(is_edited)
        await jay.call("react", number=shown["number"], emoji="❤️")
        await jay.all_sent()
        await waiting(bob)
        await bob.delete(sent)

        async def is_gone() -> bool:
            return (await jay.call("messages", after=shown["number"] - 1))[0]["state"] == "deleted"

        await jay.until(is_gone)
        await jay.call("delete", number=first)
        await jay.all_sent()
        await waiting(bob)
        assert [one.deleted for one in await bob.history("jay")] == [True, True]
        assert [one["state"] for one in await jay.call("messages", after=0)] == ["deleted", "deleted"]


async def test_pictures_both_ways(tmp_path, went):
    went("file")
    async with open_people(tmp_path, "bob") as people, person(tmp_path / "jay.db") as jay:
        bob = await people.enter("bob")
        await jay.call("register", link=await people.world.relay.invite(), handle="jay")
        await jay.call("start")
        picture = random_file(tmp_path, "picture.png", 300_000)
        await jay.call("send", to="bob", file=str(picture), media_type="image/png")
        await jay.all_sent()
        (message,) = await waiting(bob)
        fetched = await message.fetch()
        assert fetched.file.sha256 == hashlib.sha256(picture.read_bytes()).hexdigest()
        other = random_file(tmp_path, "other.png", 70_001)
        await bob.send("jay", file=other)
        await jay.texts(of=1)
        (shown,) = [one for one in await jay.call("messages", after=0) if not one["is_own"]]
        assert (shown["file"]["name"], shown["file"]["size"]) == ("other.png", 70_001)
        await jay.call("fetch", number=shown["number"], path=str(tmp_path / "of-bob.png"))
        assert (tmp_path / "of-bob.png").read_bytes() == other.read_bytes()


async def test_an_invite_of_another_relay_key_is_refused(tmp_path):
    async with open_people(tmp_path) as people, person(tmp_path / "jay.db") as jay:
        link = await people.world.relay.invite()
        with pytest.raises(Refused, match="InvalidSignature"):
            await jay.call("register", link=link[:-4] + ("AAAA" if link[-4:] != "AAAA" else "BBBA"))
