"""Groups through a real relay and real clients."""

import asyncio

import pytest

from client.client import Client
from client.errors import NotEntitled, NotInGroup, UnknownGroup
from client.groups import hand_outs, rooms
from client.groups.state_blobs import fetch_state
from client.message import State
from crypto.group_changes import Remove, SetRole
from crypto.group_rights import Role
from crypto.group_state import parse_state
from tests.chatting import open_people
from tests.group_people_online import account_of, acquaint, group_of, hear, is_in, until
from tests.own_devices import link_device


@pytest.mark.timeout(180)
async def test_a_group_talks_changes_and_loses_a_member(tmp_path):
    async with open_people(tmp_path, "alice", "bob", "carol") as people:
        clients = await acquaint(people, "alice", "bob", "carol")
        alice, bob, carol = (clients[name] for name in ("alice", "bob", "carol"))
        group = await group_of(clients, "alice", "bob", "carol")
        assert [member.role for member in group.members if member.me] == ["owner"]
        sent = await alice.send(f"group:{group.id}", "welcome", patience_seconds=40)
        assert (sent.state, sent.group, sent.role) == (State.ACCEPTED, group.id, "owner")
        for client in (bob, carol):
            (heard,) = await hear(client, group.id, "welcome")
            assert (heard.name, heard.group, heard.role, heard.outgoing) == (
                "alice",
                group.id,
                "owner",
                False,
            )
        answer = await (await bob.history(f"group:{group.id}"))[0].reply("thanks")
        assert answer.group == group.id
        for client in (alice, carol):
            await hear(client, group.id, "thanks")
        with pytest.raises(NotEntitled):
            await bob.commit_changes(group.id, [Remove(account_of(carol))], patience_seconds=40)
        after = await alice.commit_changes(group.id, [Remove(account_of(carol))], patience_seconds=40)
        assert (after.epoch, len(after.members)) == (2, 2)

        async def is_out(client):
            return (await client.group(group.id)).status == "out"

        await until(carol, is_out)
        await alice.send(f"group:{group.id}", "the two of us", patience_seconds=40)
        await hear(bob, group.id, "the two of us")
        with pytest.raises(NotInGroup):
            await carol.send(f"group:{group.id}", "hello?")
        assert "the two of us" not in [one.text for one in await carol.history(f"group:{group.id}")]
        with pytest.raises(UnknownGroup):
            await alice.group("group:nowhere")


@pytest.mark.timeout(180)
async def test_b15_two_admins_commit_at_once_at_a_real_relay(tmp_path):
    names = ("alice", "bob", "carol", "dave")
    async with open_people(tmp_path, *names) as people:
        clients = await acquaint(people, *names)
        group = await group_of(clients, "alice", "bob", "carol", "dave", admins=("bob",))
        alice, bob, carol, dave = (clients[name] for name in names)

        async def has_write_key(client):
            return (await client.group(group.id)).is_ready

        await until(bob, has_write_key)
        results = await asyncio.gather(
            alice.commit_changes(group.id, [Remove(account_of(dave))], patience_seconds=60),
            bob.commit_changes(group.id, [SetRole(account_of(carol), Role.MODERATOR)], patience_seconds=60),
        )
        assert {one.id for one in results} == {group.id}

        async def agrees(client):
            seen = await client.group(group.id)
            roles = {member.name: member.role for member in seen.members}
            return len(roles) == 3 and "moderator" in roles.values() and seen.is_ready

        for client in (alice, bob, carol):
            await until(client, agrees)
        views = [await client.group(group.id) for client in (alice, bob, carol)]
        assert len({(one.epoch, one.commits) for one in views}) == 1
        for client, text in ((alice, "a"), (bob, "b"), (carol, "c")):
            await client.send(f"group:{group.id}", text, patience_seconds=40)
        for client, others in ((alice, "bc"), (bob, "ac"), (carol, "ab")):
            await hear(client, group.id, *others)


@pytest.mark.proves("M-GROUP-05")
@pytest.mark.timeout(240)
async def test_two_devices_each_hear_and_speak_and_a_revoked_one_hears_nothing_more(tmp_path, monkeypatch):
    # As in a group of thousands, the state of which is too large for an envelope.
    monkeypatch.setattr(hand_outs, "MAX_INLINE_STATE_BYTES", 10)
    fetched = []

    async def fetch_and_note(transport, pointer):
        fetched.append(await fetch_state(transport, pointer))
        return fetched[-1]

    monkeypatch.setattr(rooms, "fetch_state", fetch_and_note)
    async with open_people(tmp_path, "alice", "bob") as people:
        clients = await acquaint(people, "alice", "bob")
        alice, bob = clients["alice"], clients["bob"]
        group = await group_of(clients, "alice", "bob")
        linked = await link_device(bob, people.home("laptop"))
        async with Client.open(people.home("laptop")) as laptop:
            await until(bob, lambda client: is_in(laptop, group.id), also=laptop)
            # alice gave bob, and bob his laptop, the state as a blob of the relay.
            states = [parse_state(state) for state in fetched]
            assert [sorted(one.by_account) for one in states] == [sorted(map(account_of, (alice, bob)))] * 2

            async def knows_the_laptop(client):
                return (await client.group(group.id)).commits == 3  # created, bob added, bob's newer list

            await until(alice, knows_the_laptop, also=bob)
            await alice.send(f"group:{group.id}", "to all devices", patience_seconds=40)
            for client in (bob, laptop):
                await hear(client, group.id, "to all devices")
            await laptop.send(f"group:{group.id}", "from the laptop", patience_seconds=40)
            (seen,) = [one for one in await hear(bob, group.id, "from the laptop") if one.outgoing]
            assert seen.text == "from the laptop"
            await hear(alice, group.id, "from the laptop")
        await bob.devices.revoke(linked.device)

        async def has_cut(client):
            return (await client.group(group.id)).epoch > 1

        await until(alice, has_cut, also=bob)
        await until(bob, has_cut, also=alice)
        await alice.send(f"group:{group.id}", "without the laptop", patience_seconds=40)
        await hear(bob, group.id, "without the laptop")
