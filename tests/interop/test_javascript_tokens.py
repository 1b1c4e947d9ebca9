"""Tokens that change between the client in JavaScript and the one in Python: both are told, or find another way."""

import hashlib

import pytest

from client.client import Client
from client.store.peers import find_peer
from relay.wire.links import decode_id
from tests.chatting import open_people, texts
from tests.interop.javascript_person import JavaScriptPerson, person
from tests.interop.matrix import TO_JAVASCRIPT, TO_PYTHON

pytestmark = pytest.mark.timeout(120)


async def token_of_bob(jay: JavaScriptPerson) -> str:
    """The hash of the token by which jay writes to him."""
    (bob,) = [one for one in await jay.call("contacts") if one["handle"] == "bob"]
    return bob["token_hash"]


async def token_of(client: Client, account: str) -> str:
    """The same of an account, at the client in Python."""
    peer = await client._account._database.read(lambda tx: find_peer(tx, decode_id(account, 32)))
    return hashlib.sha256(peer.token).hexdigest()


async def test_javascript_hears_of_the_new_token_and_writes_by_it(tmp_path, went):
    """Bob blocks eve, so his contact token changes."""
    went("changed contact token", to=(TO_JAVASCRIPT,))
    async with open_people(tmp_path, "bob", "eve") as people, person(tmp_path / "jay.db") as jay:
        bob, eve = await people.enter("bob"), await people.enter("eve")
        await jay.call("register", link=await people.world.relay.invite(), handle="jay")
        await jay.call("start")
        await jay.call("send", to="bob", text="hello")
        await jay.all_sent()
        await eve.send("bob", "hello from eve")
        assert sorted(await texts(bob)) == ["hello", "hello from eve"]
        await bob.send("eve", "hello")
        await bob.send("jay", "hello")
        await jay.texts(of=1)
        before = await token_of_bob(jay)
        await bob.block("eve")
        await bob.flush()

        async def has_another() -> bool:
            return await token_of_bob(jay) != before

        await jay.until(has_another)
        await jay.call("send", to="bob", text="by the new one")
        await jay.all_sent()
        assert await texts(bob) == ["by the new one"]


async def test_python_hears_of_the_new_token_and_the_old_one_ends_in_a_week(tmp_path, went):
    went("changed contact token", to=(TO_PYTHON,))
    async with open_people(tmp_path, "bob") as people, person(tmp_path / "jay.db") as jay:
        bob = await people.enter("bob")
        me = await jay.call("register", link=await people.world.relay.invite(), handle="jay")
        await jay.call("start")
        await bob.send("jay", "may I?")
        await jay.texts(of=1)
        await jay.call("send", to="bob", text="you may")
        await jay.all_sent()
        assert await texts(bob) == ["you may"]
        old = await token_of(bob, me["account"])
        await jay.call("renew")
        await jay.all_sent()
        await texts(bob)
        new = await token_of(bob, me["account"])
        assert new != old
        expiry: dict[str, int | None] = {}

        async def has_an_end() -> bool:
            tokens = [one for one in await jay.call("tokens") if one["token_class"] == "contact"]
            expiry.update({one["token_hash"]: one["expires_at_ms"] for one in tokens})
            return expiry[old] is not None

        await jay.until(has_an_end)
        assert set(expiry) == {old, new}
        assert expiry[new] is None
        await bob.send("jay", "by the new one")
        assert (await jay.texts(of=2))[-1] == "by the new one"


async def test_javascript_whose_token_was_taken_back_asks_the_directory_and_sends_the_same_bytes(
    tmp_path, went
):
    """Bob has not answered: jay has the token of the directory, which bob changes as he blocks eve, who came by it too."""
    went("text after its token was taken back", to=(TO_PYTHON,))
    async with open_people(tmp_path, "bob", "eve") as people, person(tmp_path / "jay.db") as jay:
        bob, eve = await people.enter("bob"), await people.enter("eve")
        await jay.call("register", link=await people.world.relay.invite(), handle="jay")
        await jay.call("start")
        await jay.call("send", to="bob", text="one")
        await jay.all_sent()
        await eve.send("bob", "hello from eve")
        assert sorted(await texts(bob)) == ["hello from eve", "one"]
        before = await token_of_bob(jay)
        await bob.block("eve", new_links=True)
        await texts(bob)
        await jay.call("send", to="bob", text="two")
        await jay.all_sent()
        assert await texts(bob) == ["two"]
        assert await token_of_bob(jay) != before
        assert [one["event"] for one in jay.events].count("another token") == 1
