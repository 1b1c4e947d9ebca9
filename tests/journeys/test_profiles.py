"""Profiles between real clients: told to contacts, sealed for the relay, never an older one or one of somebody else."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from client.client import Client
from client.contents import ContentType
from client.devices.shared_items import put_item
from client.errors import RelayMisbehaved, UsageError
from client.profiles import OWN, ProfileKey, find_key, find_own
from client.signals import draft_signal
from relay.ports.profiles import Profile
from relay.wire.links import decode_id
from tests import command
from tests.chatting import open_people, waiting
from tests.journeys.test_contacts import befriend
from tests.running_relay import World


def account_id(client: Client) -> bytes:
    return decode_id(client.whoami().account, 32)


async def kept(world: World, client: Client) -> Profile:
    found = await world.relay.services.store.profiles.get(account_id(client))
    assert found is not None
    return found


async def force(world: World, client: Client, profile: Profile) -> None:
    """The relay shows this one from now on, whatever the account put."""
    world.relay.services.store.profiles._image.profiles[account_id(client)] = profile  # type: ignore[attr-defined]


async def test_a_profile_is_seen_by_contacts_as_it_is_now(tmp_path: Path) -> None:
    async with open_people(tmp_path, "alice", "bob", "carol") as people:
        await befriend(people, "alice", "bob")
        async with people.client("alice") as alice, people.client("bob") as bob:
            assert await alice.profile() is None
            with pytest.raises(UsageError, match="shown you no profile"):
                await bob.profile("alice")
            put = await alice.profiles.set("Alice L.", "at sea until May")
            assert await alice.profile() == put
            await waiting(bob)
            seen = await bob.profile("alice")
            assert seen == put
            assert seen.as_json() == {
                "type": "profile",
                "account": alice.whoami().account,
                "name": "Alice L.",
                "about": "at sea until May",
                "version": 1,
            }
            first = await kept(people.world, alice)
            assert b"Alice" not in first.sealed
            await alice.profiles.set("Alice")
            await waiting(bob)
            changed = await bob.profile("alice")
            assert changed is not None
            assert (changed.name, changed.about, changed.version) == ("Alice", "", 2)

            # A relay that shows the older one, or puts it in the place of the newer, is found out.
            newest = await kept(people.world, alice)
            await force(people.world, alice, first)
            with pytest.raises(RelayMisbehaved, match="older profile"):
                await bob.profile("alice")
            await force(people.world, alice, replace(first, version=2))
            with pytest.raises(RelayMisbehaved, match="not the profile of"):
                await bob.profile("alice")
            await force(people.world, alice, newest)
            assert await bob.profile("alice") == changed


@pytest.mark.proves("M-PROF-03")
async def test_the_newest_version_that_was_told_of_is_remembered_whatever_comes_after_it(
    tmp_path: Path,
) -> None:
    async with open_people(tmp_path, "alice", "bob") as people:
        await befriend(people, "alice", "bob")
        async with people.client("alice") as alice:
            await alice.profiles.set("Alice L.")
            database, system = alice._account._database, alice._account._system
            first, told_first = await kept(people.world, alice), await database.read(find_own)
            await alice.profiles.set("Alice")
            newest = await kept(people.world, alice)
            async with people.client("bob") as bob:
                await waiting(bob)
                to = account_id(bob)
                assert (await bob.profile("alice")).version == 2  # type: ignore[union-attr]

            # A device of alice that was away tells the first one once more, and the relay shows just that.
            assert told_first is not None
            body = msgspec.msgpack.encode(ProfileKey(told_first.key, told_first.version))
            account = alice._account.account
            await database.run(
                lambda tx: draft_signal(tx, account, [to], ContentType.PROFILE_KEY, body, system)
            )
            await alice.send("bob", "did it come?")
            await force(people.world, alice, first)
            of_alice = account_id(alice)
        for _ in range(2):  # and when it is opened anew, it remembers
            async with people.client("bob") as bob:
                await waiting(bob)
                known = await bob._account._database.read(lambda tx: find_key(tx, of_alice))
                assert known is not None
                assert known.version == 2
                with pytest.raises(RelayMisbehaved, match="older profile"):
                    await bob.profile("alice")
        async with people.client("alice") as alice, people.client("bob") as bob:
            await force(people.world, alice, newest)
            assert (await bob.profile("alice")).name == "Alice"  # type: ignore[union-attr]


async def test_who_is_blocked_is_told_no_newer_version_and_who_is_accepted_later_is(tmp_path: Path) -> None:
    async with open_people(tmp_path, "alice", "bob", "carol") as people:
        await befriend(people, "alice", "bob")
        async with people.client("alice") as alice, people.client("bob") as bob:
            of_alice = account_id(alice)
            await alice.profiles.set("Alice")
            await waiting(bob)
            await alice.block("bob")
            await alice.profiles.set("Alice, changed")
        async with people.client("bob") as bob:
            await waiting(bob)
            known = await bob._account._database.read(lambda tx: find_key(tx, of_alice))
            assert known is not None
            assert known.version == 1
        await befriend(people, "alice", "carol")
        async with people.client("alice") as alice:
            await alice._account.contact_book.profiles.look()
            await alice._account.contact_book._tell_others(20)
        async with people.client("carol") as carol:
            await waiting(carol)
            seen = await carol.profile("alice")
            assert seen is not None
            assert (seen.name, seen.version) == ("Alice, changed", 2)


@pytest.mark.parametrize(("name", "about"), [("", ""), ("x" * 65, ""), ("a\nb", ""), ("Alice", "x" * 501)])
async def test_what_is_no_profile_is_refused_before_anything_happens(
    tmp_path: Path, name: str, about: str
) -> None:
    async with open_people(tmp_path, "alice") as people, people.client("alice") as alice:
        with pytest.raises(UsageError):
            await alice.profiles.set(name, about)
        assert await alice.profile() is None


async def test_another_device_that_was_first_costs_a_number_and_nothing_else(tmp_path: Path) -> None:
    async with open_people(tmp_path, "alice") as people, people.client("alice") as alice:
        await people.world.relay.services.store.profiles.put(
            account_id(alice), Profile(6, b"of another device")
        )
        assert (await alice.profiles.set("Alice")).version == 7
        assert (await kept(people.world, alice)).version == 7


async def test_when_the_device_that_signed_is_gone_another_puts_the_profile_anew(tmp_path: Path) -> None:
    async with open_people(tmp_path, "alice") as people, people.client("alice") as alice:
        await alice.profiles.set("Alice", "here")
        database, system = alice._account._database, alice._account._system
        own = await database.read(find_own)
        assert own is not None
        await alice.profiles.look()
        assert (await kept(people.world, alice)).version == 1
        gone = msgspec.msgpack.encode(msgspec.structs.replace(own, signer=bytes(16)))
        await database.run(lambda tx: put_item(tx, OWN, gone, system))
        await alice.profiles.look()
        again = await alice.profile()
        assert again is not None
        assert (again.name, again.about, again.version) == ("Alice", "here", 2)
        assert (await kept(people.world, alice)).version == 2


async def test_the_command_sets_and_shows_profiles(tmp_path: Path) -> None:
    async with open_people(tmp_path, "alice", "bob") as people:
        await befriend(people, "alice", "bob")
        alice, bob = people.home("alice"), people.home("bob")
        (put,) = await command.done(alice, "profile", "set", "Alice L.", "--about", "at sea")
        assert (put["type"], put["name"], put["version"]) == ("profile", "Alice L.", 1)
        assert await command.done(alice, "profile", "show") == [put]
        await command.done(bob, "listen", "--until-caught-up")
        assert await command.done(bob, "profile", "show", "alice") == [put]
        status, _, said = await command.call(bob, "profile", "show")
        assert (status, "has no profile" in said) == (2, True)
