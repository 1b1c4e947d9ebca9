"""What lets nobody into a group: a request by it changes nothing, and nobody answers."""

import pytest

from client.groups import invitations
from client.store import group_doors, queue
from client.store.group_doors import JoinState
from crypto.group_changes import Ban, Remove, Unban
from tests.group_town import Citizen, Town, open_town
from tests.unit.test_client_group_joining import SECRET, come_by_link, invite, members, open_link


async def unknown_secret(town: Town, alice: Citizen, bob: Citizen, group: bytes) -> bytes:
    return b"unknown secret.."


async def used_up(town: Town, alice: Citizen, bob: Citizen, group: bytes) -> bytes:
    carol = town.citizens[2]
    await open_link(town, alice, group, uses=1)
    await come_by_link(carol, alice, group)
    await town.settle()
    assert carol.id in await members(alice, group)
    return SECRET


async def of_another_group(town: Town, alice: Citizen, bob: Citizen, group: bytes) -> bytes:
    await open_link(town, alice, await alice.create())
    return SECRET


async def given_to_another(town: Town, alice: Citizen, bob: Citizen, group: bytes) -> bytes:
    carol = town.citizens[2]
    await invite(alice, group, carol)
    await town.settle()
    join = await carol.do(lambda tx: group_doors.find_join(tx, group))
    assert join is not None
    return join.secret


async def taken_out(town: Town, alice: Citizen, bob: Citizen, group: bytes) -> bytes:
    await open_link(town, alice, group)
    await come_by_link(bob, alice, group)
    await town.settle()
    await alice.want(group, Remove(bob.id))
    await town.settle()
    assert bob.id not in await members(alice, group)
    return SECRET


async def banned_since(town: Town, alice: Citizen, bob: Citizen, group: bytes) -> bytes:
    await open_link(town, alice, group)
    await alice.want(group, Ban(bob.id))
    await town.settle()
    return SECRET


async def banned_for_a_while(town: Town, alice: Citizen, bob: Citizen, group: bytes) -> bytes:
    await banned_since(town, alice, bob, group)
    await alice.want(group, Unban(bob.id))
    await town.settle()
    assert not (await alice.row(group)).view.state.is_banned(bob.id)
    return SECRET


async def banned_out_for_a_while(town: Town, alice: Citizen, bob: Citizen, group: bytes) -> bytes:
    await open_link(town, alice, group)
    await come_by_link(bob, alice, group)
    await town.settle()
    for change in (Ban(bob.id), Unban(bob.id)):
        await alice.want(group, change)
        await town.settle()
    assert bob.id not in await members(alice, group)
    return SECRET


@pytest.mark.proves("M-GROUP-06")
@pytest.mark.parametrize(
    "way",
    [
        unknown_secret,
        used_up,
        of_another_group,
        given_to_another,
        taken_out,
        banned_since,
        banned_for_a_while,
        banned_out_for_a_while,
    ],
)
async def test_a_request_by_what_lets_nobody_in_gets_no_answer(tmp_path, way):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, _carol)):
        group = await alice.create()
        await town.settle()
        secret = await way(town, alice, bob, group)
        before, told, came = await members(alice, group), await alice.person.told(), bob.person.sequence
        await bob.do(lambda tx: invitations.want_in(tx, group, alice.id, bytes(16), secret))
        await town.settle()
        join = await bob.do(lambda tx: group_doors.find_join(tx, group))
        assert join is not None
        assert join.state is JoinState.ASKED
        assert bob.person.sequence == came, "nothing came back"
        assert await alice.do(lambda tx: queue.next_drafts(tx, 10)) == [], "and nothing is on its way"
        assert await members(alice, group) == before
        assert await alice.do(lambda tx: group_doors.waiting_in(tx, group)) == []
        assert await alice.person.told() == told
