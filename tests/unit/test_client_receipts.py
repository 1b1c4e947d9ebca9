"""Receipts: to contacts alone, together, after a random wait, seldom; and never to strangers, whatever they send (C1)."""

from dataclasses import replace
from itertools import pairwise

import pytest

from client import receipts
from client.act_bodies import MAX_RECEIPTS, DeleteBody, ReactionBody, ReceiptBody
from client.contents import ContentType, Reference, decode_body
from client.conversation_care import next_due_ms, tend
from client.envelopes import Encrypted
from client.privacy import Privacy, keep_privacy
from client.store import acts, history, queue
from client.store.peers import accept
from tests.client_pair import Person, open_pair
from tests.own_device_pair import carry, two_devices

ANY = Reference(bytes(32), bytes(16), bytes(32))


async def tended(person: Person) -> bool:
    result = await person.database.run(lambda tx: tend(tx, person.system, is_listening=True))
    return result.drafted


async def due(person: Person) -> int | None:
    return await person.database.read(lambda tx: next_due_ms(tx, is_listening=True))


async def read_all(person: Person) -> None:
    def mark(tx):
        for row in history.not_given(tx, 0, 10_000):
            receipts.mark_read(tx, row, person.system)

    await person.database.run(mark)


async def given(giver: Person, to: Person) -> list[tuple[int, int]]:
    """(Delivered, read) of each receipt that waits; they arrive."""
    drafts = await giver.database.read(lambda tx: queue.next_drafts(tx, 100))
    rows = [await giver.database.read(lambda tx, d=d: history.find(tx, d.message_n)) for d in drafts]
    bodies = [
        decode_body(ReceiptBody, row.body)
        for row in rows
        if row is not None and row.type == ContentType.RECEIPT
    ]  # also the empty ones that let the ratchet turn are among them
    if drafts:
        assert isinstance(await giver.encrypt(to), Encrypted)
        await to.receive([row.envelopes[0].ciphertext for row in await giver.outgoing()])
    return [(len(body.delivered), len(body.read)) for body in bodies]


async def befriended(alice: Person, bob: Person) -> None:
    """Bob has written to Alice."""
    await bob.receive(await alice.say(bob, "hello"))
    await alice.receive(await bob.say(alice, "hello to you"))


async def test_c1_a_thousand_probes_a_minute_of_a_stranger_give_nothing_at_all(tmp_path):
    async with open_pair(tmp_path) as (stranger, bob):
        for number in range(20):
            probes = await stranger.say(bob, *["are you there?"] * 46)
            empty = ReceiptBody(bob.id, [], [])
            probes += await stranger.signal(bob, ContentType.RECEIPT, empty)
            probes += await stranger.signal(bob, ContentType.REACTION, ReactionBody(ANY, "👀"))
            probes += await stranger.signal(bob, ContentType.DELETE, DeleteBody(ANY))
            probes += [probes[0]]  # the same again
            assert not (await bob.receive(probes)).drafted
            await read_all(bob)  # the user reads it, and does not answer
            bob.clock.ms += 3_000
            assert not await tended(bob)
            assert await due(bob) is None, number
        bob.clock.ms += 60_000
        assert not await tended(bob)
        assert await bob.database.read(queue.waiting) == 0
        assert await bob.outgoing() == []


async def test_a_contact_is_told_once_for_all_within_the_wait(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await befriended(alice, bob)
        for _ in range(3):
            await bob.receive(await alice.say(bob, "one", "two"))
            bob.clock.ms += 1
        at_ms = await due(bob)
        assert at_ms is not None
        assert bob.clock.ms - 3 <= at_ms <= bob.clock.ms + receipts.JITTER_MS
        bob.clock.ms = at_ms - 1
        assert not await tended(bob)
        bob.clock.ms = at_ms
        await read_all(bob)
        assert await tended(bob)
        assert await given(bob, alice) == [(0, 7)]  # "hello" came before Bob wrote: it was read since
        assert await due(bob) is None
        marks = await alice.database.read(lambda tx: tx.all("SELECT read_at_ms IS NOT NULL FROM receipts"))
        assert marks == [(1,)] * 7


async def test_the_wait_is_spread_over_its_whole_range(tmp_path):
    async with open_pair(tmp_path) as (alice, _):
        for share, expected in (
            (0, 0),
            (2**31, receipts.JITTER_MS // 2),
            (2**32 - 1, receipts.JITTER_MS - 1),
        ):
            system = replace(alice.system, random=lambda size, share=share: share.to_bytes(size, "big"))
            assert receipts._jitter_ms(system) == expected


async def test_c1_receipts_to_one_account_are_apart_and_bounded(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await befriended(alice, bob)
        await alice.receive(await bob.say(alice, "go on"))
        sizes = []
        sent_at = []
        await bob.receive(await alice.say(bob, *(str(number) for number in range(MAX_RECEIPTS + 44))))
        for _ in range(60):  # a minute in which a text comes each second
            await bob.receive(await alice.say(bob, "more"))
            if await tended(bob):
                sizes += await given(bob, alice)
                sent_at.append(bob.clock.ms)
            bob.clock.ms += 1_000
            alice.clock.ms = bob.clock.ms
        assert sizes[0] == (MAX_RECEIPTS, 0)
        assert 6 <= len(sizes) <= 13
        assert all(later - one >= receipts.APART_MS for one, later in pairwise(sent_at))


async def test_receipts_can_be_switched_off_also_for_those_that_are_due(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await befriended(alice, bob)
        await bob.receive(await alice.say(bob, "one"))
        await bob.database.run(lambda tx: keep_privacy(tx, Privacy(receipts=False)))
        await bob.receive(await alice.say(bob, "two"))
        bob.clock.ms += 20_000
        await read_all(bob)
        assert not await tended(bob)
        assert await due(bob) is None
        await bob.database.run(lambda tx: keep_privacy(tx, Privacy()))
        await bob.receive(await alice.say(bob, "three"))
        bob.clock.ms += 20_000
        assert await tended(bob)
        assert await given(bob, alice) == [(1, 0)]


async def test_who_only_looks_in_for_a_moment_tells_nothing(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await befriended(alice, bob)
        await bob.receive(await alice.say(bob, "one"))
        bob.clock.ms += 20_000
        result = await bob.database.run(lambda tx: tend(tx, bob.system, is_listening=False))
        assert not result.drafted
        assert await bob.database.read(lambda tx: next_due_ms(tx, is_listening=False)) is None


@pytest.mark.parametrize("is_accepted", [False, True])
async def test_what_was_read_before_the_first_answer_is_told_once_it_is_read_again(tmp_path, is_accepted):
    async with open_pair(tmp_path) as (alice, bob):
        await bob.receive(await alice.say(bob, "hello"))
        if is_accepted:
            await bob.database.run(lambda tx: accept(tx, alice.id))
        await read_all(bob)
        bob.clock.ms += 20_000
        assert await tended(bob) is is_accepted


async def test_what_was_read_on_one_device_is_read_on_the_others(tmp_path):
    async with two_devices(tmp_path) as (phone, laptop, bob):
        await bob.knows(phone, laptop)
        await bob.draft(phone, "hello")
        assert isinstance(await bob.encrypt(phone, phone, laptop), Encrypted)
        (row,) = await bob.outgoing()
        given = {one.device_id: one.ciphertext for one in row.envelopes}
        for device in (phone, laptop):
            await device.receive([given[device.account.device_id]])
        await phone.database.run(lambda tx: keep_privacy(tx, Privacy(receipts=False)))
        await read_all(phone)
        assert not await tended(phone), "together, after a while"
        phone.clock.ms = await due(phone) or 0
        assert await tended(phone)
        assert await due(phone) is None
        assert await carry(phone, laptop) >= 1

        def read_at(tx) -> int | None:
            (message,) = history.not_given(tx, 0, 10)
            return next((read for own, _, read in acts.receipts(tx, message.n) if own == laptop.id), None)

        assert await laptop.database.read(read_at) is not None
        assert "act_refused" not in await laptop.warned()
        await read_all(laptop)
        assert await due(laptop) is None, "what the others know is not told again"


async def test_who_has_no_other_device_tells_nobody_what_was_read(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await bob.receive(await alice.say(bob, "hello"))
        await read_all(bob)
        assert await due(bob) is None
