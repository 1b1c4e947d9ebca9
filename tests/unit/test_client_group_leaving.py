"""Who leaves a group: members who never talked to it follow, and who was away reads past what it did before."""

import os
from dataclasses import replace

import pytest

from client.account import Account
from client.groups import requests
from client.groups.following import quit_group
from client.message_groups import GroupChanged
from client.store.groups import Status, find_group
from client.store.peers import find_peer
from crypto.group_changes import Answer, ChangeSetting, Request, RequestKind, SetRole, sign_request
from crypto.group_rights import Right, Role
from crypto.group_state import BROADCAST, NAME, Setting
from crypto.keys import LocalDevice
from crypto.limits import DAY_MS, LEAVES_SHARE_A_CUT_MS
from tests.group_town import Citizen, Town, open_town
from tests.unit.test_client_group_joining import accept_each_other, invite, members

NAMES = ("alice", "bob", "carol", "dave")
AS_BROADCAST = (Setting(BROADCAST, b"\x01", critical=True),)


async def leave(citizen: Citizen, group: bytes, account: Account | None = None) -> None:
    """As `Membership.leave` does."""

    def job(tx):
        requests.ask(
            tx, account or citizen.person.account, group, RequestKind.LEAVE, 0, citizen.person.system
        )
        quit_group(tx, group, find_group(tx, group).view.state.member(citizen.id).since)

    await citizen.do(job)


async def knows(citizen: Citizen, other: Citizen) -> bool:
    """Whether it has the other's device list."""
    peer = await citizen.do(lambda tx: find_peer(tx, other.id))
    return peer is not None and peer.chain is not None


async def wait_for_leaves(town: Town) -> None:
    """Until the leaves that were asked for are committed."""
    await town.settle()
    town.clock.ms += LEAVES_SHARE_A_CUT_MS
    await town.settle()


async def heard_from(speaker: Citizen, listener: Citizen, group: bytes, town: Town) -> bool:
    """Whether what is said now is heard."""
    before = len(await listener.texts(group))
    await speaker.say(group, "who hears this?")
    await town.settle()
    return len(await listener.texts(group)) == before + 1


@pytest.mark.parametrize("settings", [(), AS_BROADCAST], ids=["group", "broadcast"])
async def test_one_leaves_and_members_who_do_not_know_its_devices_read_on(tmp_path, settings):
    async with open_town(tmp_path, *NAMES, strangers=True) as (town, (alice, bob, carol, dave)):
        roles = {one.id: Role.LISTENER for one in (bob, carol, dave)}
        group = await town.group_of(alice, bob, carol, dave, roles=roles, settings=settings)
        assert not await knows(carol, bob)
        await leave(bob, group)
        await town.settle()
        town.tokens[bob.id].clear()  # nothing reaches it any more, as after its account is deleted
        await wait_for_leaves(town)
        for one in (carol, dave):
            assert await members(one, group) == {alice.id, carol.id, dave.id}
            assert await heard_from(alice, one, group, town)
        assert not await knows(carol, bob)


async def test_what_a_listener_wants_stops_nobody_from_reading_on(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol", strangers=True) as (town, (alice, bob, carol)):
        roles = {one.id: Role.LISTENER for one in (bob, carol)}
        group = await town.group_of(alice, bob, carol, roles=roles, settings=AS_BROADCAST)
        for wants in (0, int(Right.HEAR)):
            town.clock.ms += 1
            await bob.do(
                lambda tx, wants=wants: requests.ask(
                    tx, bob.person.account, group, RequestKind.WANT, wants, bob.person.system
                )
            )
            await town.settle()
            await carol.look(group)
            assert (await carol.row(group)).view.state.member(bob.id).wants == wants
            assert await heard_from(alice, carol, group, town)
        assert not await knows(carol, bob)


@pytest.mark.parametrize("is_reached", [True, False], ids=["reached", "not reached"])
async def test_who_was_away_reads_past_commits_of_somebody_who_left(tmp_path, is_reached):
    """Its list is to be had for a week after it left; else a member who may commit gives a welcome to the present state."""
    async with open_town(tmp_path, "alice", "bob", "carol", strangers=True) as (town, (alice, bob, carol)):
        if is_reached:
            group = await alice.create()
            for one in (bob, carol):
                await accept_each_other(alice, one)
                await invite(alice, group, one)
            await town.settle()
        else:
            group = await town.group_of(alice, bob, carol)  # nobody told carol a token of bob
        assert await members(carol, group) == {alice.id, bob.id, carol.id}
        assert not await knows(carol, bob)
        town.offline.add("carol")
        await alice.want(group, SetRole(bob.id, Role.ADMIN))
        await town.settle()
        await bob.want(group, ChangeSetting(Setting(NAME, b"a better name")))
        await town.settle()
        await leave(bob, group)
        await wait_for_leaves(town)
        assert await members(alice, group) == {alice.id, carol.id}
        town.clock.ms += 3 * DAY_MS
        town.offline.clear()
        await carol.say(group, "I am back")
        await carol.look(group)
        assert not await alice.texts(group), "sent under a state that is not the newest one"
        for _ in range(4):
            await town.settle()
            town.clock.ms += 11 * 60_000
        assert (await carol.row(group)).status is Status.MEMBER
        assert await members(carol, group) == {alice.id, carol.id}
        assert await knows(carol, bob) == is_reached
        assert len(await alice.texts(group)) == 1
        assert await heard_from(alice, carol, group, town)


async def test_a_leave_that_nobody_signed_is_told_as_a_removal(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await town.group_of(alice, bob, carol)
        since = (await alice.row(group)).view.state.member(bob.id).since
        stranger = LocalDevice.generate(bob.id, os.urandom)
        asked = Request(group, bob.id, bob.device, since, RequestKind.LEAVE, 0, 5)
        await alice.want(group, Answer(sign_request(asked, stranger)))
        await town.settle()
        told = [one for one in await carol.person.told() if isinstance(one, GroupChanged)]
        assert [one.kind for one in told[-1].changes] == ["removed"]
        assert await members(carol, group) == {alice.id, carol.id}
        assert (await bob.row(group)).status is Status.OUT


@pytest.mark.proves("M-GROUP-02")
async def test_a_request_that_its_member_did_not_sign_is_granted_by_nobody(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob)
        account = bob.person.account
        other_key = LocalDevice.generate(bob.id, os.urandom).signing
        forged = replace(account, local=replace(account.local, signing=other_key))
        await leave(bob, group, forged)
        await wait_for_leaves(town)
        assert bob.id in await members(alice, group)
        assert await alice.refused()
