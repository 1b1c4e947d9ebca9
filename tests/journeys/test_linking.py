"""A new device comes into an account on a real relay: by equal digits and two yes, within 60 s, once, and all are told (D5)."""

import asyncio
import os
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from client.client import Client
from client.devices.link_mailbox import LinkMailbox
from client.errors import AccountExists, LinkFailed, NotManager, UsageError
from client.link_mailbox import LinkSlot
from client.message import Gap, Gone, Message, State, Unopened, Warned
from client.store import facts
from client.system import Step, System, this_machine
from client.transport import Transport
from crypto.linking import begin_link
from relay.wire.links import DeviceLink, decode_id
from tests.chatting import open_people, texts, waiting
from tests.own_devices import Linking, account_of, add_device, link_device, own_chain


async def events_of(client: Client) -> list[object]:
    return [event async for event in client.events(until_caught_up=True, patience_seconds=20)]


async def hear(client: Client) -> list[Message]:
    """All messages that wait, also those of own devices."""
    return [event for event in await events_of(client) if isinstance(event, Message)]


async def given(client: Client) -> bool:
    """Whether what waits for this new device has everything that another own device knows."""
    await events_of(client)
    return bool(await client._account._database.read(lambda tx: facts.number(tx, facts.HANDED_OVER)))


async def test_a_linked_device_knows_the_contacts_and_writes_to_them(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        await alice.send("bob", "before")
        assert await texts(bob) == ["before"]
        contact_link = await alice.contact_link()
        linked = await link_device(alice, tmp_path / "laptop", name="my laptop")
        assert (linked.name, linked.manager, linked.is_handed_over) == ("my laptop", False, True)
        async with Client.open(tmp_path / "laptop") as laptop:
            assert laptop.whoami().account == alice.whoami().account
            assert laptop.whoami().device == linked.device
            await alice.flush()
            await events_of(laptop)
            await laptop.send("bob", "from the laptop")
            assert await texts(bob) == ["from the laptop"]
            assert (await own_chain(laptop)).hash == (await own_chain(alice)).hash
            assert await laptop.contact_link() == contact_link
            names = {one.name: one for one in await laptop.devices.list()}
            assert names["my laptop"].is_this
            assert not names["my laptop"].manager
            assert len(names) == 2
            with pytest.raises(NotManager):
                await laptop.devices.accept(
                    str(DeviceLink(laptop.whoami().relay, bytes(16), bytes(32))), Linking().wishes()
                )


@pytest.mark.proves("M-LINK-01")
async def test_what_a_new_device_is_told_goes_to_those_that_were_there_as_well(tmp_path):
    """All count it: whom it passed by would miss its numbers, and ask for them."""
    async with open_people(tmp_path, "alice", "bob") as people:
        alice = await people.enter("alice")
        await alice.send("bob", "so that there is somebody to tell of")
        await link_device(alice, tmp_path / "laptop")
        async with Client.open(tmp_path / "laptop") as laptop:
            await alice.flush()
            assert await given(laptop)
            await laptop._account._database.run(lambda tx: facts.set_number(tx, facts.HANDED_OVER, 0))
            await link_device(alice, tmp_path / "tablet", name="tablet")
            await alice.flush()
            heard = await events_of(laptop)
            assert await given(laptop)
            assert [one for one in heard if isinstance(one, Gap | Gone)] == []


async def test_what_one_device_sends_and_gets_is_on_the_other(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        await link_device(alice, tmp_path / "laptop")
        async with Client.open(tmp_path / "laptop") as laptop:
            await alice.flush()
            await events_of(laptop)
            sent = await alice.send("bob", "from the phone")
            await alice.flush()
            (copy,) = await hear(laptop)
            assert (copy.id, copy.text, copy.outgoing, copy.state) == (
                sent.id,
                "from the phone",
                True,
                State.ACCEPTED,
            )
            assert [one.text for one in await laptop.history("bob")] == ["from the phone"]
            assert await waiting(laptop) == []  # given once, and no message of somebody else
            (received,) = await waiting(bob)
            await received.reply("to all of you")
            for device in (alice, laptop):
                assert [one.text for one in await waiting(device)] == ["to all of you"]
            await laptop.edit(copy, "from the phone, better said")
            await laptop.flush()
            await events_of(alice)
            await events_of(bob)
            for device, other in ((alice, "bob"), (bob, "alice")):
                first = (await device.history(other))[0]
                assert first.text == "from the phone, better said"


async def test_d5_both_show_the_same_digits_and_the_name_is_shown_to_the_manager(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        alice = await people.enter("alice")
        linking = Linking()
        joining = asyncio.create_task(
            Client.link(tmp_path / "laptop", alice.whoami().relay, linking.talk, name="laptop")
        )
        await alice.devices.accept(str(await linking.link), linking.wishes())
        await joining
        assert len(linking.codes) == 2
        assert len(set(linking.codes)) == 1
        assert linking.codes[0].isdigit()
        assert linking.names == ["laptop"]


@pytest.mark.parametrize("answers", [(True, False), (False, True)])
async def test_d5_without_the_users_yes_on_both_sides_nothing_is_linked(tmp_path, answers):
    async with open_people(tmp_path, "alice") as people:
        clock = Fast()
        people.machines["alice"] = clock.system
        alice = await people.enter("alice")
        linking = Linking(answers)
        joining = asyncio.create_task(
            Client.link(
                tmp_path / "laptop", alice.whoami().relay, linking.talk, name="laptop", system=clock.system
            )
        )
        link = str(await linking.link)
        accepting = asyncio.create_task(alice.devices.accept(link, linking.wishes()))
        refused_first = joining if not answers[0] else accepting
        with pytest.raises(LinkFailed, match="not linked"):
            await refused_first
        clock.pass_seconds(120)
        with pytest.raises(LinkFailed):
            await (accepting if refused_first is joining else joining)
        assert (await own_chain(alice)).version == 1


class Fast:
    """A machine whose clock the test moves; its waits end with it."""

    def __init__(self) -> None:
        self._real = this_machine()
        self._shift_ms = 0

    @property
    def system(self) -> System:
        return replace(self._real, now_ms=lambda: self._real.now_ms() + self._shift_ms)

    def pass_seconds(self, seconds: int) -> None:
        self._shift_ms += seconds * 1_000


async def test_d5_a_link_is_over_after_sixty_seconds(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        clock = Fast()
        people.machines["alice"] = clock.system
        alice = await people.enter("alice")
        linking = Linking()
        joining = asyncio.create_task(
            Client.link(
                tmp_path / "laptop", alice.whoami().relay, linking.talk, name="laptop", system=clock.system
            )
        )
        link = str(await linking.link)
        clock.pass_seconds(61)
        with pytest.raises(LinkFailed, match="60 seconds"):
            await joining
        people.world.clock.let_pass(seconds=61)
        accepting = asyncio.create_task(alice.devices.accept(link, linking.wishes()))
        clock.pass_seconds(10)
        with pytest.raises(LinkFailed, match="over"):
            await accepting
        # And the folder is free for the next try.
        assert (await link_device(alice, tmp_path / "laptop", system=clock.system)).name == "laptop"


async def test_d5_a_link_is_good_once_also_for_another_process_of_the_manager(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        alice = await people.enter("alice")
        linking = Linking()
        joining = asyncio.create_task(
            Client.link(tmp_path / "laptop", alice.whoami().relay, linking.talk, name="laptop")
        )
        link = str(await linking.link)
        await alice.devices.accept(link, linking.wishes())
        await joining
        for again in (alice, await people.stack.enter_async_context(people.client("alice"))):
            with pytest.raises(LinkFailed, match="answered before"):
                await again.devices.accept(link, Linking().wishes())


async def test_d5_another_request_in_the_mailbox_is_not_linked(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        alice = await people.enter("alice")
        machine = this_machine()
        offer = begin_link("of the relay", os.urandom, machine.now_ms())
        async with Transport(alice.whoami().relay, machine) as transport:
            mailbox_id = os.urandom(16)
            await LinkMailbox(transport, machine, mailbox_id).put(LinkSlot.REQUEST, offer.request.encode())
        scanned = DeviceLink(alice.whoami().relay, mailbox_id, os.urandom(32))
        linking = Linking()
        with pytest.raises(LinkFailed, match="another request"):
            await alice.devices.accept(str(scanned), linking.wishes())
        assert linking.codes == []
        assert (await own_chain(alice)).version == 1


async def test_d5_an_answer_of_somebody_else_ends_the_link_before_any_digits(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        alice = await people.enter("alice")
        machine = this_machine()
        linking = Linking()
        joining = asyncio.create_task(
            Client.link(tmp_path / "laptop", alice.whoami().relay, linking.talk, name="laptop")
        )
        link = await linking.link
        async with Transport(alice.whoami().relay, machine) as transport:
            await LinkMailbox(transport, machine, link.mailbox_id).put(LinkSlot.ANSWER, os.urandom(1_216))
        with pytest.raises(LinkFailed):
            await joining
        with pytest.raises(LinkFailed, match="another answer"):
            await alice.devices.accept(str(link), linking.wishes())
        assert linking.codes == []


async def test_d5_all_other_devices_are_told_of_the_new_one_by_name(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        await add_device(people, "alice", tmp_path / "second")
        alice = await people.enter("alice")
        async with Client.open(tmp_path / "second") as second:
            await events_of(second)
            await events_of(alice)
            await alice.devices.rename(alice.whoami().device, "phone")
            await alice.flush()
            await events_of(second)
            await link_device(alice, tmp_path / "laptop", name="laptop")
            await alice.flush()
            news = [one for one in await events_of(second) if isinstance(one, Warned)]
            (added,) = [one for one in news if one.kind == "device_added"]
            assert "laptop" in added.detail
            assert "phone" in added.detail
            assert not [one for one in await events_of(alice) if isinstance(one, Warned)]


async def test_a_link_of_another_relay_and_a_folder_in_use_are_refused(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        alice = await people.enter("alice")
        with pytest.raises(UsageError, match="another relay"):
            await alice.devices.accept(
                str(DeviceLink("http://other.example", bytes(16), bytes(32))), Linking().wishes()
            )
        for wrong in ("", "http://relay/link#v1.AAAA", "no link"):
            with pytest.raises(UsageError):
                await alice.devices.accept(wrong, Linking().wishes())
        with pytest.raises(AccountExists):
            await Client.link(people.home("alice"), alice.whoami().relay, Linking().talk, name="x")
        for origin in ("relay.example", "http://relay.example/path", "ftp://relay.example", ""):
            with pytest.raises(UsageError, match="origin"):
                await Client.link(tmp_path / "new", origin, Linking().talk, name="x")
        with pytest.raises(UsageError, match="name"):
            await Client.link(tmp_path / "new", alice.whoami().relay, Linking().talk, name="")


async def test_a_request_that_nobody_knows_is_over(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        alice = await people.enter("alice")
        with pytest.raises(LinkFailed, match="over"):
            await alice.devices.accept(
                str(DeviceLink(alice.whoami().relay, os.urandom(16), bytes(32))), Linking().wishes()
            )


class Crash(BaseException):
    """The process is killed."""


def machine_killed_at(step: Step) -> System:
    def reached(at: Step) -> None:
        if at is step:
            raise Crash

    return replace(this_machine(), reached=reached)


@pytest.mark.parametrize("step", [Step.JOINING_CONFIRMED, Step.PREKEYS_UP])
async def test_a_new_device_killed_after_its_yes_goes_on_where_it_was(tmp_path, step):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        await alice.send("bob", "hello")
        await texts(bob)
        linking = Linking()
        origin = alice.whoami().relay
        joining = asyncio.create_task(
            Client.link(
                tmp_path / "laptop", origin, linking.talk, name="laptop", system=machine_killed_at(step)
            )
        )
        link = str(await linking.link)
        accepting = asyncio.create_task(alice.devices.accept(link, linking.wishes()))
        with pytest.raises(Crash):
            await joining
        identity = await Client.link(tmp_path / "laptop", origin, Linking().talk, name="laptop")
        accepting.cancel()  # it waits for the word that it will not hear
        await asyncio.gather(accepting, return_exceptions=True)
        await events_of(alice)  # the new device has asked
        await alice.flush()
        async with Client.open(tmp_path / "laptop") as laptop:
            assert laptop.whoami() == identity
            await events_of(laptop)
            await laptop.send("bob", "here I am")
        assert await texts(bob) == ["here I am"]


async def test_a_new_device_killed_before_the_manager_heard_its_yes_begins_anew(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        alice = await people.enter("alice")
        linking = Linking()
        clock = Fast()
        system = replace(clock.system, reached=machine_killed_at(Step.JOINING_KEPT).reached)
        joining = asyncio.create_task(
            Client.link(tmp_path / "laptop", alice.whoami().relay, linking.talk, name="laptop", system=system)
        )
        accepting = asyncio.create_task(alice.devices.accept(str(await linking.link), linking.wishes()))
        with pytest.raises(Crash):
            await joining
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
        clock.pass_seconds(120)
        with pytest.raises(LinkFailed, match="start a new link"):
            await Client.link(
                tmp_path / "laptop", alice.whoami().relay, linking.talk, name="laptop", system=clock.system
            )
        assert (await link_device(alice, tmp_path / "laptop")).name == "laptop"


@pytest.mark.parametrize("step", [Step.LINK_ANSWERED, Step.MANIFEST_TAKEN])
async def test_a_manager_killed_at_a_step_leaves_a_link_that_works_or_can_begin_anew(tmp_path, step):
    async with open_people(tmp_path, "alice", "bob") as people, AsyncExitStack() as stack:
        clock = Fast()
        people.machines["alice"] = replace(clock.system, reached=machine_killed_at(step).reached)
        async with people.client("alice") as alice:
            linking = Linking()
            origin = alice.whoami().relay
            joining = asyncio.create_task(
                Client.link(tmp_path / "laptop", origin, linking.talk, name="laptop", system=clock.system)
            )
            with pytest.raises(Crash):
                await alice.devices.accept(str(await linking.link), linking.wishes())
        people.machines["alice"] = clock.system
        alice = await people.enter("alice")
        if step is Step.LINK_ANSWERED:
            clock.pass_seconds(120)
            with pytest.raises(LinkFailed):
                await joining
            await link_device(alice, tmp_path / "laptop", system=clock.system)
        else:
            await joining
            await events_of(alice)  # what the new device asks; the list that this one has uploaded comes too
        await alice.flush()
        laptop = await stack.enter_async_context(Client.open(tmp_path / "laptop", system=clock.system))
        assert await given(laptop)
        assert {one.name for one in await laptop.devices.list()} >= {"laptop"}
        assert not [one for one in await events_of(alice) if isinstance(one, Unopened)]


async def test_a_device_that_another_one_put_into_the_list_does_not_come_in(tmp_path):
    """Who answers with the digits must be who signs: else somebody else has added this device to an account of theirs."""
    async with open_people(tmp_path, "alice") as people:
        await add_device(people, "alice", tmp_path / "second")
        alice = await people.enter("alice")
        first = await account_of(people, "alice")
        linked = await link_device(alice, tmp_path / "laptop")
        chain = await own_chain(alice)
        adding = next(
            signed
            for signed in chain.chain
            if any(one.device_id == decode_id(linked.device, 16) for one in signed.manifest.devices)
        )
        assert adding.signer == first.device_id
