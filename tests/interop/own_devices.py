"""Devices of one account, of which some run the client in JavaScript."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from client.client import Client
from client.message import Message
from tests.chatting import People, open_people, texts, waiting
from tests.interop.javascript_person import JavaScriptPerson, person
from tests.own_devices import Linking


async def link_to_javascript(manager: JavaScriptPerson, new: JavaScriptPerson, origin: str) -> str:
    """A new device in JavaScript, of an account whose manager is JavaScript too. The digits are compared."""
    link = await new.call("show_code", origin=origin, name="laptop")
    answer = await manager.call("accept_device", link=link)
    assert answer == {"digits": await new.call("digits"), "name": "laptop"}
    device, who = await asyncio.gather(manager.call("confirm_device"), new.call("join_account"))
    assert who["device"] == device
    return device


async def link_javascript_to_python(manager: Client, new: JavaScriptPerson) -> str:
    """A new device in JavaScript, of an account in Python."""
    linking = Linking()
    link = await new.call("show_code", origin=manager.whoami().relay, name="laptop")
    accepting = asyncio.create_task(manager.devices.accept(link, linking.wishes()))
    digits = await new.call("digits")
    who = await new.call("join_account")
    await accepting
    assert linking.codes == [digits]
    assert linking.names == ["laptop"]
    return who["device"]


async def link_python_to_javascript(manager: JavaScriptPerson, home: Path, origin: str) -> None:
    """A new device in Python, of an account in JavaScript."""
    linking = Linking()
    joining = asyncio.create_task(Client.link(home, origin, linking.talk, name="desk"))
    answer = await manager.call("accept_device", link=str(await linking.link))
    await asyncio.gather(manager.call("confirm_device"), joining)
    assert linking.codes == [answer["digits"]]
    assert answer["name"] == "desk"


async def hear(client: Client) -> list[Message]:
    """All messages that wait, also those which other devices of the account sent."""
    events = [event async for event in client.events(until_caught_up=True, patience_seconds=20)]
    return [event for event in events if isinstance(event, Message)]


async def meet(one: Client, other: Client) -> None:
    """Each wrote to the other."""
    await one.send(other.whoami().handle, "before")
    (before,) = await waiting(other)
    await before.reply("hello")
    await texts(one)


async def knows(one: JavaScriptPerson, handle: str) -> None:
    """It has this contact, and can write to it."""

    async def has() -> bool:
        return any(
            contact["handle"] == handle and contact["is_contact"] and contact["token_class"] == "contact"
            for contact in await one.call("contacts")
        )

    await one.until(has)


@asynccontextmanager
async def bob_and_laptop(folder: Path) -> AsyncIterator[tuple[People, Client, JavaScriptPerson]]:
    """Bob, who knows eve, in Python, and a second device of his in JavaScript that was told all he knows."""
    async with open_people(folder, "bob", "eve") as people, person(folder / "laptop.db") as laptop:
        bob = await people.enter("bob")
        async with people.client("eve") as eve:
            await meet(bob, eve)
        await link_javascript_to_python(bob, laptop)
        await laptop.call("start")
        await bob.flush()
        await knows(laptop, "eve")
        yield people, bob, laptop
