"""A device that is revoked is out at once, and what it knew is changed; one that is silent for long goes by itself (D6)."""

import asyncio
from dataclasses import replace
from hashlib import sha256

import pytest

from client.client import Client
from client.errors import DeviceRevoked, UsageError
from client.message import Message, Unopened, Warned
from client.store import facts
from client.store.group_tokens import known_own_token
from client.system import System, this_machine
from relay.wire.links import decode_id, parse_contact
from relay.wire.resources import DeliveryTokensAnswer
from tests.chatting import open_people, texts, waiting
from tests.own_devices import link_device

DAY_MS = 86_400_000


async def listen(client: Client) -> None:
    async for _ in client.events():
        pass


@pytest.mark.proves("M-REG-06")
async def test_d6_a_revoked_device_is_cut_off_within_a_second(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        linked = await link_device(alice, tmp_path / "laptop")
        async with Client.open(tmp_path / "laptop") as laptop:
            inbox = laptop._account._inbox
            listening = asyncio.create_task(listen(laptop))
            async with asyncio.timeout(20):
                await inbox.caught_up.wait()
            revoked = await alice.devices.revoke("laptop")
            assert revoked.device == linked.device
            with pytest.raises(DeviceRevoked, match="removed from its account"):
                await asyncio.wait_for(listening, 1)
            with pytest.raises(DeviceRevoked):
                await laptop.send("bob", "nobody hears this")
            with pytest.raises(DeviceRevoked):
                await laptop.devices.list()
        store = people.world.relay.services.store
        assert await store.accounts.device(decode_id(linked.device, 16)) is None
        # What is said from now on is for the others alone.
        await bob.send("alice", "after it")
        assert await texts(alice) == ["after it"]
        assert len(await alice.devices.list()) == 1


async def test_a_revoked_device_keeps_its_history_and_a_new_start_says_why_it_stops(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        await link_device(alice, tmp_path / "laptop")
        async with Client.open(tmp_path / "laptop") as laptop:
            await bob.send("alice", "to all of you")
            assert await texts(laptop) == ["to all of you"]
        await alice.devices.revoke("laptop")
        async with Client.open(tmp_path / "laptop") as laptop:
            with pytest.raises(DeviceRevoked):
                await texts(laptop)
            history = await laptop.history(bob.whoami().account)
            assert [one.text for one in history] == ["to all of you"]


async def test_the_tokens_that_a_revoked_device_knew_are_changed(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        await bob.send("alice", "hello")
        (hello,) = await waiting(alice)
        await hello.reply("hello to you")
        await texts(bob)
        old_link = await alice.contact_link()
        database = alice._account._database
        old, _ = await database.read(lambda tx: facts.token_row(tx, "contact"))
        group = decode_id((await alice.create_group("a group")).id, 32)
        old_group, _ = await database.read(lambda tx: known_own_token(tx, group))
        await link_device(alice, tmp_path / "laptop")
        await alice.devices.revoke("laptop")
        new, is_registered = await database.read(lambda tx: facts.token_row(tx, "contact"))
        # The group's is changed by the same call, and the old one ends.
        new_group, _ = await database.read(lambda tx: known_own_token(tx, group))
        answer = await alice._account._transport.ask("GET", "/v1/delivery-tokens", signed=True)
        ends = {one.token_hash: one.expires_at_ms for one in answer.read(DeliveryTokensAnswer).tokens}
        assert ends[sha256(new_group).digest()] is None
        assert ends[sha256(old_group).digest()] <= this_machine().now_ms() + 7 * DAY_MS
        assert new != old
        assert is_registered
        assert parse_contact(await alice.contact_link()).token != parse_contact(old_link).token
        await alice.flush()
        await texts(bob)  # he is told the new one
        await bob.send("alice", "still here")
        assert await texts(alice) == ["still here"]


class Killed(BaseException):
    """As by SIGKILL: nothing after it happens."""


async def test_d6_killed_after_the_list_was_changed_the_tokens_are_changed_later(
    tmp_path, monkeypatch: pytest.MonkeyPatch
):
    async with open_people(tmp_path, "alice", "bob") as people:
        bob = await people.enter("bob")
        async with people.client("alice") as alice:
            await bob.send("alice", "hello")
            (hello,) = await waiting(alice)
            await hello.reply("hello to you")
            await texts(bob)
            database = alice._account._database
            old, _ = await database.read(lambda tx: facts.token_row(tx, "contact"))
            await link_device(alice, tmp_path / "laptop")

            def kill(*_: object) -> None:
                raise Killed

            with monkeypatch.context() as patched:
                patched.setattr("client.devices.revoking.change_due_tokens", kill)
                with pytest.raises(Killed):
                    await alice.devices.revoke("laptop")
            kept, _ = await database.read(lambda tx: facts.token_row(tx, "contact"))
            assert kept == old
        async with people.client("alice") as alice:
            database = alice._account._database
            await texts(alice)
            async with asyncio.timeout(30):
                while (await database.read(lambda tx: facts.token_row(tx, "contact")))[0] == old:
                    await texts(alice)
            await alice.flush()
            await texts(bob)
            await bob.send("alice", "still here")
            assert await texts(alice) == ["still here"]


async def test_a_device_does_not_revoke_itself(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        alice = await people.enter("alice")
        with pytest.raises(UsageError, match="you are on"):
            await alice.devices.revoke(alice.whoami().device)


def machine_in(days: float) -> System:
    real = this_machine()
    return replace(real, now_ms=lambda: real.now_ms() + round(days * DAY_MS))


async def test_a_device_that_was_silent_for_45_days_is_removed_and_the_user_told(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        async with people.client("alice") as alice:
            await link_device(alice, tmp_path / "laptop")
        for days, is_removed in ((45, False), (46.1, True)):
            people.machines["alice"] = machine_in(days)
            async with people.client("alice") as later:
                assert await later.devices.remove_silent() is is_removed
                assert not await later.devices.remove_silent()  # once a day
                assert len(await later.devices.list()) == (1 if is_removed else 2)
                events = [event async for event in later.events(until_caught_up=True)]
                told = [one for one in events if isinstance(one, Warned) and one.kind == "device_removed"]
                assert len(told) == is_removed
                if is_removed:
                    assert "laptop" in told[0].detail
                    assert "45 days" in told[0].detail


async def test_silent_devices_stay_if_the_user_says_so_and_only_a_manager_removes_them(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        async with people.client("alice") as alice:
            await link_device(alice, tmp_path / "laptop")
            await alice.devices.set_silence_days(0)
        async with Client.open(tmp_path / "laptop", system=machine_in(50)) as laptop:
            await texts(laptop)
            assert not await laptop.devices.remove_silent()
        people.machines["alice"] = machine_in(100)
        async with people.client("alice") as later:
            assert not await later.devices.remove_silent()
            await later.devices.set_silence_days(30)
        people.machines["alice"] = machine_in(102)
        async with people.client("alice") as later:
            assert await later.devices.remove_silent()


async def test_what_a_revoked_device_sent_before_its_contacts_knew_is_no_alarm_afterwards(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        await link_device(alice, tmp_path / "laptop")
        async with Client.open(tmp_path / "laptop") as laptop:
            await laptop.send("bob", "from the laptop")
            assert await texts(bob) == ["from the laptop"]
        await alice.devices.revoke("laptop")
        await alice.send("bob", "from the phone")
        events = [event async for event in bob.events(until_caught_up=True)]
        assert [one.text for one in events if isinstance(one, Message)] == ["from the phone"]
        assert not [one for one in events if isinstance(one, Unopened)]
