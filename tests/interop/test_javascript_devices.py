"""The client in JavaScript and an account in Python that has several devices: a second one comes, and goes."""

import pytest

from tests.chatting import open_people, texts, waiting
from tests.interop.javascript_person import person
from tests.own_devices import link_device

pytestmark = pytest.mark.timeout(180)


async def test_all_devices_hear_and_each_speaks(tmp_path, went):
    went("text with several devices of the Python account")
    async with open_people(tmp_path, "bob") as people, person(tmp_path / "jay.db") as jay:
        bob = await people.enter("bob")
        await jay.call("register", link=await people.world.relay.invite(), handle="jay")
        await jay.call("start")
        await jay.call("send", to="bob", text="to one device")
        await jay.all_sent()
        assert await texts(bob) == ["to one device"]
        linked = await link_device(bob, people.home("laptop"))
        laptop = await people.enter("laptop")
        await jay.call("send", to="bob", text="to both")
        await jay.all_sent()
        for client in (bob, laptop):
            assert "to both" in await texts(client)
        await laptop.send("jay", "from the second device")
        assert await jay.texts(of=1) == ["from the second device"]
        await bob.send("jay", "from the first")
        assert (await jay.texts(of=2))[-1] == "from the first"
        assert {one["from"] for one in await jay.call("messages", after=0) if not one["is_own"]} == {
            bob.whoami().account
        }
        await bob.devices.revoke(linked.device)
        await jay.call("send", to="bob", text="to the one that is left")
        await jay.all_sent()
        assert [one.text for one in await waiting(bob) if not one.outgoing] == ["to the one that is left"]
        assert (await jay.call("state"))["failed"] == 0
