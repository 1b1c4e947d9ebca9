"""What clients tell each other beside messages: hidden, for one account or many, also for the own other devices."""

import os
from dataclasses import replace

from client.account import Account
from client.contents import EMPTY_BODY, ContentType, direct_conversation
from client.envelopes import Encrypted, can_encrypt
from client.signals import draft_signal
from client.store import history, queue
from client.store.contact_rows import accept_peer, block_peer
from client.store.peers import find_peer, learn_token, mark_stale, save_chain
from client.store.shared import changed_keys, note_compared
from client.submit_answers import grant_for
from crypto.keys import LocalDevice
from tests.client_pair import Clock, Person, bodies, open_pair, open_person, with_device


async def signal(person: Person, *to: bytes) -> int:
    return await person.database.run(
        lambda tx: draft_signal(tx, person.account, to, ContentType.EMPTY, EMPTY_BODY, person.system)
    )


async def test_one_signal_goes_to_many_and_no_history_shows_it(tmp_path):
    async with (
        open_pair(tmp_path) as (alice, bob),
        open_person(tmp_path / "carol", "carol", Clock()) as carol,
    ):
        await alice.knows(carol)
        number = await signal(alice, bob.id, carol.id)
        for other in (bob, carol):
            assert isinstance(await alice.encrypt(other), Encrypted)
        rows = await alice.outgoing()
        assert [row.account_id for row in rows] == [bob.id, carol.id]
        assert {row.message_n for row in rows} == {number}
        for other, row in zip((bob, carol), rows, strict=True):
            taken = await other.receive([row.envelopes[0].ciphertext])
            assert taken.messages == 1
            assert await other.texts(alice) == []
        conversation = direct_conversation(alice.id, bob.id)
        assert await alice.database.read(lambda tx: history.of_conversation(tx, conversation, None)) == []
        assert await alice.database.read(lambda tx: history.find(tx, number)) is not None
        await alice.database.run(history.forget_settled_signals)
        assert await alice.database.read(lambda tx: history.find(tx, number)) is None


async def test_a_signal_accepts_nobody_and_a_message_does(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):

        async def is_accepted() -> bool:
            peer = await alice.database.read(lambda tx: find_peer(tx, bob.id))
            assert peer is not None
            return peer.accepted

        await signal(alice, bob.id)
        await alice.encrypt(bob)
        assert not await is_accepted()
        await alice.say(bob, "hello")
        assert await is_accepted()
        await signal(alice, bob.id)
        await alice.encrypt(bob)
        assert await is_accepted()


async def test_a_signal_tells_a_contact_how_to_answer_and_neither_a_stranger_nor_who_is_blocked(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):

        async def what_bob_learns() -> str | None:
            await signal(alice, bob.id)
            await alice.encrypt(bob)
            ((envelope,),) = [row.envelopes for row in await alice.outgoing()]
            await bob.receive([envelope.ciphertext])
            peer = await bob.database.read(lambda tx: find_peer(tx, alice.id))
            assert peer is not None
            return peer.token_class

        assert await what_bob_learns() is None
        await alice.database.run(lambda tx: block_peer(tx, bob.id))
        assert await what_bob_learns() is None
        await alice.database.run(lambda tx: accept_peer(tx, bob.id))
        assert await what_bob_learns() == "contact"


async def test_a_signal_that_still_waits_is_not_forgotten(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        number = await signal(alice, bob.id)
        await alice.database.run(history.forget_settled_signals)
        assert await alice.database.read(lambda tx: queue.is_waiting(tx, number))
        assert isinstance(await alice.encrypt(bob), Encrypted)
        await alice.database.run(history.forget_settled_signals)
        assert await alice.database.read(lambda tx: history.find(tx, number)) is not None


async def test_many_accounts_fit_in_one_transaction_once_there_are_sessions(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):

        async def is_ready() -> bool:
            drafts = await alice.database.read(lambda tx: queue.next_drafts(tx, 10))
            return await alice.database.read(lambda tx: can_encrypt(tx, bob.id, drafts, alice.clock.now()))

        await signal(alice, bob.id)
        assert not await is_ready()
        await alice.encrypt(bob)
        await signal(alice, bob.id)
        assert await is_ready()
        await alice.database.run(lambda tx: mark_stale(tx, bob.id))
        assert not await is_ready()


def second_device(first: Person) -> Account:
    """Keys of another device of the same account."""
    local = LocalDevice.generate(first.id, os.urandom)
    return replace(first.account, local=local, root_seed=None)


async def test_own_devices_write_to_each_other_under_the_own_contact_token(tmp_path):
    async with open_pair(tmp_path) as (phone, _):
        other = second_device(phone)
        with_device(phone, other)
        async with open_person(
            tmp_path / "laptop", "alice", phone.clock, replace(other, own=phone.account.own)
        ) as laptop:
            await phone.database.run(lambda tx: save_chain(tx, phone.account.own))
            for device in (phone, laptop):  # nothing to share: the signals alone
                await device.database.run(lambda tx: note_compared(tx, changed_keys(tx)))
            await signal(phone, phone.id)
            assert isinstance(await phone.encrypt(phone, laptop), Encrypted)
            (row,) = await phone.outgoing()
            assert [one.device_id for one in row.envelopes] == [laptop.account.device_id]
            grant = await phone.database.read(lambda tx: grant_for(tx, phone.id))
            assert (len(grant.token), grant.manifest_version) == (16, 2)
            assert (await laptop.receive([row.envelopes[0].ciphertext])).messages == 1
            # And back, in the session that came.
            await signal(laptop, laptop.id)
            assert isinstance(await laptop.encrypt(laptop, phone), Encrypted)
            (row,) = await laptop.outgoing()
            assert (await phone.receive([row.envelopes[0].ciphertext])).messages == 1
            assert await phone.told() == await laptop.told() == []


async def test_an_own_device_that_is_new_here_is_believed_once_the_own_list_has_it(tmp_path):
    async with open_pair(tmp_path) as (phone, _):
        other = second_device(phone)
        with_device(phone, other)
        async with open_person(
            tmp_path / "laptop", "alice", phone.clock, replace(other, own=phone.account.own)
        ) as laptop:
            await signal(laptop, laptop.id)
            assert isinstance(await laptop.encrypt(laptop, phone), Encrypted)
            (row,) = await laptop.outgoing()
            taken = await phone.receive([row.envelopes[0].ciphertext])
            assert (taken.messages, taken.up_to, taken.gap_of) == (0, 0, phone.id)
            await phone.database.run(lambda tx: save_chain(tx, phone.account.own))
            phone.sequence = 0
            assert (await phone.receive([row.envelopes[0].ciphertext])).messages == 1


async def test_who_has_one_device_writes_nothing_to_itself(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await signal(alice, alice.id)
        result = await alice.encrypt(alice)
        assert isinstance(result, Encrypted)
        assert result.done
        assert await alice.outgoing() == []
        await bob.receive(await alice.say(bob, "hello"))
        assert await bob.texts(alice) == bodies("hello")


async def test_what_is_for_some_devices_goes_to_no_other(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        (setup,) = await alice.say(bob, "hello")
        await bob.receive([setup])
        number = await alice.draft(bob, "again")
        for only, expected in (((bytes(16),), 0), ((bob.account.device_id,), 1)):

            def draft(tx, only=only):
                queue.remove_drafts(tx, [one.n for one in queue.next_drafts(tx, 10)])
                learn_token(tx, bob.id, bytes(16), "public")
                queue.add_draft(tx, number, "bob", bob.id, only_devices=only)

            await alice.database.run(draft)
            assert isinstance(await alice.encrypt(bob), Encrypted)
            assert len(await alice.outgoing()) == expected
