"""What a relay that keeps back or reorders cannot hide: the count of each sending device, from its first content on."""

from contextlib import AsyncExitStack
from dataclasses import replace

from client.account import as_registered, new_account
from client.contents import direct_conversation
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
        assert await bob.warned() == ["reordered"]
        assert await bob.texts(alice) == bodies("one", "two", "three")


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


async def test_what_comes_late_stands_where_its_device_sent_it(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        sent = [f"message {number}" for number in range(12)]
        ciphertexts = await alice.say(bob, *sent)
        for at in (3, 1, 7, 2, 0, 11, 5, 4, 6, 9, 8, 10):
            await bob.receive([ciphertexts[at]])
        assert await bob.texts(alice) == bodies(*sent)
        conversation = direct_conversation(alice.id, bob.id)
        newest = await bob.database.read(lambda tx: history.of_conversation(tx, conversation, 3))
        assert [row.body for row in newest] == bodies(*sent[-3:])
        by_arrival = await bob.database.read(lambda tx: history.not_given(tx, 0, 100))
        assert [row.body for row in by_arrival][:3] == bodies("message 3", "message 1", "message 7")
