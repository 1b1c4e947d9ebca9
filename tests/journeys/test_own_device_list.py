"""The list of the own devices, changed by several managers of one account on a real relay."""

import asyncio
import os

import pytest

from client.client import Client
from client.devices.own_manifest import DeviceChange, change_devices
from client.errors import DeviceRevoked, NotManager, Refused, UsageError
from client.message import Warned
from client.system import this_machine
from client.transport import Transport
from crypto.keys import LocalDevice
from crypto.manifest import device_entry
from tests.chatting import open_people, texts
from tests.own_devices import account_of, add_device, own_chain


def newcomer(account_id: bytes):
    """The entry of a device that nobody knows yet."""
    return device_entry(LocalDevice.generate(account_id, os.urandom), added_at_ms=1_800_000_000_000)


async def change(client: Client, change: DeviceChange):
    opened = client._account
    return await change_devices(opened._transport, opened._database, opened.account, opened._system, change)


async def told(client: Client) -> list[Warned]:
    return [event async for event in client.events(until_caught_up=True) if isinstance(event, Warned)]


async def test_a13_of_two_managers_at_once_one_wins_and_the_others_change_lands_on_top(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        await add_device(people, "alice", tmp_path / "second")
        first = await people.enter("alice")
        second = await people.stack.enter_async_context(Client.open(tmp_path / "second"))
        one, other = newcomer(first._account.account.account_id), newcomer(first._account.account.account_id)
        await asyncio.gather(
            change(first, DeviceChange(add=(one,))), change(second, DeviceChange(add=(other,)))
        )
        await asyncio.gather(told(first), told(second))
        chains = [await own_chain(client) for client in (first, second)]
        for chain in chains:
            assert {one.device_id, other.device_id} < {each.device_id for each in chain.manifest.devices}
        assert chains[0].version == chains[1].version == 4


async def test_a13_what_the_other_manager_changed_is_told_and_the_own_change_is_not(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        await add_device(people, "alice", tmp_path / "second")
        first = await people.enter("alice")
        second = await people.stack.enter_async_context(Client.open(tmp_path / "second"))
        account_id = first._account.account.account_id
        theirs, ours = newcomer(account_id), newcomer(account_id)
        await change(second, DeviceChange(add=(theirs,)))
        # The first one has not heard of it: it tries the version that is taken.
        await change(first, DeviceChange(add=(ours,)))
        news = [one for one in await told(first) if one.kind == "device_added"]
        assert len(news) == 1
        assert "was added to your account by" in news[0].detail
        assert not [one for one in await told(first) if one.kind == "device_added"]
        news = [one for one in await told(second) if one.kind.startswith("device_")]
        assert [one.kind for one in news] == ["device_added"]


async def test_a13_a_manager_that_was_removed_changes_nothing_any_more(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        await add_device(people, "alice", tmp_path / "second")
        first = await account_of(people, "alice")
        async with Client.open(tmp_path / "second") as second:
            await change(second, DeviceChange(remove=frozenset((first.device_id,))))
            chain = await own_chain(second)
            async with people.client("alice") as removed:
                with pytest.raises(DeviceRevoked):
                    await change(removed, DeviceChange(add=(newcomer(first.account_id),)))
                with pytest.raises(DeviceRevoked):
                    await texts(removed)
                with pytest.raises(DeviceRevoked):
                    await removed.send("alice.friend", "nobody hears this")
            await told(second)
            assert (await own_chain(second)).hash == chain.hash


async def test_a_device_that_is_no_manager_is_told_so(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        await add_device(people, "alice", tmp_path / "second")
        first = await people.enter("alice")
        async with Client.open(tmp_path / "second") as second:
            name = second.whoami().device
            assert not (await first.devices.set_manager(name, False)).manager
            with pytest.raises(NotManager):
                await second.devices.revoke(first.whoami().device)
            with pytest.raises(UsageError, match="no manager would be left"):
                await first.devices.set_manager(first.whoami().device, False)


async def test_a_change_whose_answer_was_lost_is_made_once(tmp_path):
    class Cut(Transport):
        """The relay takes the list, its answer is lost."""

        async def ask(self, method, target, **options):
            answered = await super().ask(method, target, **options)
            if method == "POST":
                raise ConnectionAbortedError
            return answered

    async with open_people(tmp_path, "alice") as people:
        first = await people.enter("alice")
        opened = first._account
        entry = newcomer(opened.account.account_id)
        wanted = DeviceChange(add=(entry,))
        async with Cut(opened.account.origin, this_machine(), opened.account) as transport:
            with pytest.raises(ConnectionAbortedError):
                await change_devices(transport, opened._database, opened.account, opened._system, wanted)
        assert (await own_chain(first)).version == 1
        assert (await change(first, wanted)).version == 2
        assert (await change(first, wanted)).version == 2


async def test_a_list_that_the_relay_did_not_take_is_shown_to_nobody(tmp_path):
    class Refusing(Transport):
        """Takes no list."""

        async def ask(self, method, target, **options):
            if method == "POST":
                raise Refused("manifest_invalid", "the manifest's shape, keys or signatures break a rule")
            return await super().ask(method, target, **options)

    async with open_people(tmp_path, "alice", "bob") as people:
        first, bob = await people.enter("alice"), await people.enter("bob")
        opened = first._account
        wanted = DeviceChange(add=(newcomer(opened.account.account_id),))
        async with Refusing(opened.account.origin, this_machine(), opened.account) as transport:
            with pytest.raises(Refused, match="manifest_invalid"):
                await change_devices(transport, opened._database, opened.account, opened._system, wanted)
        assert (await own_chain(first)).version == 1
        # A set-up carries the newest list: Bob sees version 1, and no alarm.
        await first.send("bob", "hello")
        events = [event async for event in bob.events(until_caught_up=True)]
        assert not [event for event in events if isinstance(event, Warned)]
