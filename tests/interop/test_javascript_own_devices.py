"""One account with several devices, in JavaScript and in Python: linked, and each knows what the others know and said."""

import asyncio
import hashlib

import pytest

from client.errors import DeviceRevoked
from client.message import Message
from tests.chatting import open_people, random_file, texts, waiting
from tests.interop.javascript_person import Died, JavaScriptPerson, Refused, person, start
from tests.interop.matrix import TO_JAVASCRIPT, TO_PYTHON
from tests.interop.own_devices import (
    bob_and_laptop,
    hear,
    knows,
    link_javascript_to_python,
    link_python_to_javascript,
    link_to_javascript,
    meet,
)
from tests.own_devices import link_device

pytestmark = pytest.mark.timeout(120)


async def sent(one: JavaScriptPerson, *, of: int) -> list[str]:
    """What its account said, on whatever device, once there is so much."""

    async def enough() -> list[str] | None:
        found = [said["text"] for said in await one.call("messages", after=0) if said["is_own"]]
        return found if len(found) >= of else None

    return await one.until(enough)


async def test_two_devices_in_javascript_are_one_account(tmp_path):
    async with (
        open_people(tmp_path, "bob") as people,
        person(tmp_path / "jay.db") as jay,
        person(tmp_path / "laptop.db") as laptop,
    ):
        bob = await people.enter("bob")
        me = await jay.call("register", link=await people.world.relay.invite(), handle="jay")
        await jay.call("start")
        await jay.call("send", to="bob", text="from the first")
        await jay.all_sent()
        (first,) = await waiting(bob)
        await first.reply("welcome")
        await jay.texts(of=1)
        await link_to_javascript(jay, laptop, me["origin"])
        await laptop.call("start")
        await knows(laptop, "bob")
        assert (await laptop.call("whoami"))["handle"] == "jay"
        assert [one["name"] for one in await laptop.call("devices") if one["is_self"]] == ["laptop"]
        await laptop.call("send", to="bob", text="from the second")
        await laptop.all_sent()
        (second,) = await waiting(bob)
        assert (second.text, second.conversation) == ("from the second", first.conversation)
        assert await sent(jay, of=2) == ["from the first", "from the second"]
        await second.reply("to both")
        assert (await jay.texts(of=2))[-1] == "to both"
        assert await laptop.texts(of=1) == ["to both"]
        await jay.call("send", to="bob", text="from the first again")
        assert await sent(laptop, of=2) == ["from the second", "from the first again"]
        for device in (jay, laptop):
            await device.all_sent()
            assert (await device.call("state"))["failed"] == 0


async def test_a_device_in_javascript_of_an_account_in_python(tmp_path, went):
    went("new device linked", "what a new device is told", to=(TO_JAVASCRIPT,))
    went("copy of a text")
    async with open_people(tmp_path, "bob", "eve") as people, person(tmp_path / "laptop.db") as laptop:
        bob, eve = await people.enter("bob"), await people.enter("eve")
        await meet(bob, eve)
        await link_javascript_to_python(bob, laptop)
        await laptop.call("start")
        await bob.flush()
        await knows(laptop, "eve")
        assert (await laptop.call("whoami"))["handle"] == "bob"
        await laptop.call("send", to="eve", text="from the laptop")
        await laptop.all_sent()
        assert await texts(eve) == ["from the laptop"]
        assert [(one.text, one.outgoing) for one in await hear(bob)] == [("from the laptop", True)]
        await bob.send("eve", "from the first")
        assert await sent(laptop, of=2) == ["from the laptop", "from the first"]
        assert await waiting(eve) != []
        assert {key: (await laptop.call("state"))[key] for key in ("failed", "missing", "gone")} == {
            "failed": 0,
            "missing": 0,
            "gone": 0,
        }


async def test_history_keys_that_are_for_others_leave_no_hole_in_javascript(tmp_path):
    async with bob_and_laptop(tmp_path) as (_, bob, laptop):
        await bob.history_archive.turn_on()  # for the laptop too, which passes over them
        await link_device(bob, tmp_path / "tablet", name="tablet", with_history=True)
        await bob.flush()
        await bob.send("eve", "after that")
        assert (await sent(laptop, of=1))[-1] == "after that"
        state = await laptop.call("state")
        assert (state["failed"], state["missing"], state["gone"]) == (0, 0, 0)


async def test_a_device_in_python_of_an_account_in_javascript(tmp_path, went):
    went("new device linked", "what a new device is told", to=(TO_PYTHON,))
    went("copy of a text")
    async with open_people(tmp_path, "eve") as people, person(tmp_path / "jay.db") as jay:
        eve = await people.enter("eve")
        me = await jay.call("register", link=await people.world.relay.invite(), handle="jay")
        await jay.call("start")
        await jay.call("send", to="eve", text="before")
        await jay.all_sent()
        (before,) = await waiting(eve)
        await before.reply("hello jay")
        await jay.texts(of=1)
        await link_python_to_javascript(jay, people.home("desk"), me["origin"])
        desk = await people.enter("desk")
        await hear(desk)
        assert desk.whoami().handle == "jay"
        assert {one.name for one in await desk.devices.list()} >= {"desk"}
        await desk.send("eve", "from the desk")
        assert await texts(eve) == ["from the desk"]
        assert await sent(jay, of=2) == ["before", "from the desk"]
        await jay.call("send", to="eve", text="from the first")
        await jay.all_sent()
        assert [(one.text, one.outgoing) for one in await hear(desk)] == [("from the first", True)]
        assert (await jay.call("state"))["failed"] == 0


async def test_acts_on_one_device_are_done_on_the_other(tmp_path, went):
    went("copy of an edit", "copy of a reaction", "copy of a delete")
    async with bob_and_laptop(tmp_path) as (_, bob, laptop):
        said = await bob.send("eve", "frist")
        await sent(laptop, of=1)

        async def shows(name: str, value: object) -> None:
            async def does() -> bool:
                (one,) = await laptop.call("messages", after=0)
                return one[name] == value

            await laptop.until(does)

        await bob.edit(said, "first")
        await shows("text", "first")
        await bob.react(said, "❤️")
        await shows("reactions", ["❤️"])
        (shown,) = await laptop.call("messages", after=0)

        async def act(name: str, **fields: str) -> Message:
            await laptop.call(name, number=shown["number"], **fields)
            await laptop.all_sent()
            await hear(bob)
            return (await bob.history("eve"))[-1]

        assert [one.emoji for one in (await act("react", emoji="👍")).reactions] == ["👍"]
        assert (await act("edit", text="second")).text == "second"
        assert (await act("delete")).deleted
        other = await bob.send("eve", "to be taken back")
        await sent(laptop, of=2)
        await bob.delete(other)

        async def is_gone() -> bool:
            return [one["state"] for one in await laptop.call("messages", after=0)] == ["deleted", "deleted"]

        await laptop.until(is_gone)


async def test_what_was_read_and_whom_one_device_met_the_other_knows(tmp_path, went):
    went("what was read on another device", "contact that another device met")
    async with bob_and_laptop(tmp_path) as (people, bob, laptop):
        eve = await people.enter("eve")
        await eve.send("bob", "read at the desk")
        await laptop.texts(of=1)
        (message,) = [one for one in await hear(bob) if not one.outgoing]
        await bob.mark_read(message)

        async def is_read() -> bool:
            return [one["is_read"] for one in await laptop.call("messages", after=0)] == [True]

        async with asyncio.timeout(30):
            while not await is_read():
                await hear(bob)  # says what is due
        await eve.send("bob", "read on the laptop")
        await laptop.texts(of=2)
        (shown,) = [one for one in await laptop.call("messages", after=0) if not one["is_read"]]
        await laptop.call("read", numbers=[shown["number"]])
        async with asyncio.timeout(30):
            while (await bob.history("eve"))[-1].read_at_ms is None:
                await hear(bob)
        await people.register("joe")
        await people.register("kim")
        joe, kim = await people.enter("joe"), await people.enter("kim")
        await bob.send("joe", "hello joe")
        await bob.flush()
        (greeting,) = await waiting(joe)
        await greeting.reply("hello bob")
        await hear(bob)
        await bob.flush()
        await knows(laptop, "joe")
        await laptop.call("send", to="kim", text="hello kim")
        await laptop.all_sent()
        (greeting,) = await waiting(kim)
        await greeting.reply("hello")
        await laptop.texts(of=4)
        await laptop.all_sent()
        await hear(bob)
        assert "kim" in {one.handle for one in await bob.contacts()}
        assert (await laptop.call("state"))["failed"] == 0


async def test_a_device_that_was_taken_out_says_so_and_stops(tmp_path, went):
    went("device taken out of its account", to=(TO_JAVASCRIPT,))
    async with bob_and_laptop(tmp_path) as (people, bob, laptop):
        device = (await laptop.call("whoami"))["device"]
        await bob.devices.revoke(device)

        async def is_out() -> bool:
            return "out" in [one["event"] for one in laptop.events]

        await laptop.until(is_out)
        with pytest.raises(Refused, match="no longer"):
            await laptop.call("start")
        with pytest.raises(Refused, match="no longer"):
            await laptop.call("send", to="eve", text="still here")
        async with people.client("eve") as eve:
            await bob.send("eve", "from the one that is left")
            assert (await texts(eve))[-1] == "from the one that is left"


async def test_takes_a_device_in_python_out_and_changes_what_it_knew(tmp_path, went):
    went("device taken out of its account", to=(TO_PYTHON,))
    async with open_people(tmp_path, "eve") as people, person(tmp_path / "jay.db") as jay:
        eve = await people.enter("eve")
        me = await jay.call("register", link=await people.world.relay.invite(), handle="jay")
        await jay.call("start")
        await jay.call("link")
        await jay.call("send", to="eve", text="before")
        await jay.all_sent()
        (before,) = await waiting(eve)
        await before.reply("hello jay")
        await jay.texts(of=1)
        await link_python_to_javascript(jay, people.home("desk"), me["origin"])
        desk = await people.enter("desk")
        await hear(desk)
        device = desk.whoami().device
        old = {one["token_hash"] for one in await jay.call("tokens") if not one["expires_at_ms"]}
        await jay.call("remove_device", device=device)
        with pytest.raises(DeviceRevoked):
            await hear(desk)
        assert device not in [one["device"] for one in await jay.call("devices")]
        await jay.all_sent()

        async def are_changed() -> bool:
            there = {one["token_hash"] for one in await jay.call("tokens") if not one["expires_at_ms"]}
            return not there & old

        await jay.until(are_changed)
        assert len(old) == 3
        await texts(eve)
        await eve.send("jay", "to the one that is left")
        assert (await jay.texts(of=2))[-1] == "to the one that is left"


async def test_a_new_device_that_was_killed_goes_on_where_it_was(tmp_path):
    """Its user said yes; it dies before the manager has heard it, and asks again when it is started anew."""
    async with open_people(tmp_path) as people, person(tmp_path / "jay.db") as jay:
        me = await jay.call("register", link=await people.world.relay.invite(), handle="jay")
        await jay.call("start")
        laptop = await start(tmp_path / "laptop.db")
        try:
            link = await laptop.call("show_code", origin=me["origin"], name="laptop")
            await jay.call("accept_device", link=link)
            await laptop.call("digits")
            joining = asyncio.create_task(laptop.call("join_account"))

            async def confirmed() -> bool:
                return "confirmed" in [one["event"] for one in laptop.events]

            await laptop.until(confirmed)
        finally:
            laptop.process.kill()
            await laptop.end()
        with pytest.raises(Died):
            await joining
        device = await jay.call("confirm_device")
        async with person(tmp_path / "laptop.db") as laptop:
            assert (await laptop.call("join_account"))["device"] == device
            await laptop.call("start")

            async def knows_its_handle() -> bool:
                return (await laptop.call("whoami"))["handle"] == "jay"

            await laptop.until(knows_its_handle)


async def test_a_file_and_a_note_to_oneself_are_on_the_other_device(tmp_path, went):
    went("copy of a file")
    went("text to the own account", to=(TO_PYTHON,))
    async with bob_and_laptop(tmp_path) as (_, bob, laptop):
        picture = random_file(tmp_path, "picture.png", 70_001)
        await laptop.call("send", to="eve", file=str(picture), media_type="image/png")
        await laptop.all_sent()
        (copy,) = await hear(bob)
        fetched = await copy.fetch()
        assert fetched.file.sha256 == hashlib.sha256(picture.read_bytes()).hexdigest()
        other = random_file(tmp_path, "other.png", 30_000)
        await bob.send("eve", file=other)
        await sent(laptop, of=2)
        shown = (await laptop.call("messages", after=0))[-1]
        await laptop.call("fetch", number=shown["number"], path=str(tmp_path / "copy.png"))
        assert (tmp_path / "copy.png").read_bytes() == other.read_bytes()
        await laptop.call("send", to="bob", text="remember the milk")
        await laptop.all_sent()
        assert [(one.text, one.outgoing) for one in await hear(bob)] == [("remember the milk", True)]
