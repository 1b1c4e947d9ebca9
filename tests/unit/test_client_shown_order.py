"""What a relay that keeps back or reorders cannot hide: the count of each sending device, from its first content on."""

from contextlib import AsyncExitStack
from dataclasses import replace

from client.account import as_registered, new_account
from client.store import history
from relay.wire.links import InviteLink
from tests.client_pair import Clock, bodies, open_pair, open_person, with_device


async def absent(person):
    return await person.database.run(history.tell_absent)


async def test_b9_withheld_first_messages_of_a_conversation_show_as_a_gap(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        first, second, third = await alice.say(bob, "one", "two", "three")
        await bob.receive([third])
        assert [(account, count) for _, account, count in await absent(bob)] == [(alice.id, 2)]
        assert await absent(bob) == []  # told once
        await bob.receive([first, second])
        left = await bob.database.read(lambda tx: tx.one("SELECT count(*) FROM absent"))
        assert left == (0,)
        assert await bob.warned() == []
        assert sorted(await bob.texts(alice)) == sorted(bodies("one", "two", "three"))


async def test_b9_a_device_that_joined_later_misses_nothing_from_before(tmp_path):
    clock = Clock()
    async with AsyncExitStack() as stack:
        alice = await stack.enter_async_context(open_person(tmp_path / "alice", "alice", clock))
        bob = await stack.enter_async_context(open_person(tmp_path / "bob", "bob", clock))
        await alice.knows(bob)
        await bob.receive(await alice.say(bob, "before"))
        invite = InviteLink("http://relay.example", bytes(32), bytes(16))
        fresh = new_account(invite, None, now_ms=clock.now(), random=alice.system.random)
        local = replace(fresh.local, account_id=bob.id)
        with_device(bob, replace(fresh, local=local))
        joined = as_registered(replace(fresh, local=local, own=bob.account.own), "member")
        second = await stack.enter_async_context(
            open_person(tmp_path / "second", "bob's second", clock, joined)
        )
        assert not second.account.is_founding_device
        await alice.knows(bob)
        await alice.draft(bob, "after")
        await alice.encrypt(bob, second)
        (row,) = await alice.outgoing()
        mine = [one for one in row.envelopes if one.device_id == second.account.device_id]
        await second.receive([mine[0].ciphertext])
        assert await second.texts(alice) == bodies("after")
        assert await absent(second) == []
