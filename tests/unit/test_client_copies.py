"""What one own device sends, another shows: as sent by the user, once, with what became of it; and nobody else sends copies."""

import os
from dataclasses import replace

import msgspec
import pytest

from client.contents import ContentType, direct_conversation
from client.devices.copies import Copy
from client.envelopes import Encrypted
from client.message import State, Unopened
from client.signals import draft_signal
from client.store import history, queue
from client.store.peers import find_peer
from client.submit_answers import Answer, file_answers
from relay.wire.frames import Outcome
from tests.client_pair import Person, bodies, open_pair
from tests.own_device_pair import carry, two_devices


async def shown(device: Person, other: Person) -> list[history.MessageRow]:
    conversation = direct_conversation(device.id, other.id)
    return await device.database.read(lambda tx: history.of_conversation(tx, conversation, None))


async def test_a_message_is_on_the_other_device_as_sent_by_its_user(tmp_path):
    async with two_devices(tmp_path) as (phone, laptop, bob):
        number = await phone.draft(bob, "from the phone")
        assert isinstance(await phone.encrypt(bob), Encrypted)
        sent = await phone.database.read(lambda tx: history.find(tx, number))
        assert sent is not None
        await carry(phone, laptop)
        (row,) = await shown(laptop, bob)
        assert (row.message_id, row.body, row.sent_at_ms) == (sent.message_id, sent.body, sent.sent_at_ms)
        assert (row.account_id, row.outgoing, row.state) == (phone.id, True, State.ACCEPTED)
        peer = await laptop.database.read(lambda tx: find_peer(tx, bob.id))
        assert peer is not None
        assert peer.accepted


async def test_the_copy_is_drafted_with_the_envelope_or_not_at_all(tmp_path):
    class Crash(Exception):
        pass

    async with two_devices(tmp_path) as (phone, _, bob):

        def crash(step):
            raise Crash

        await phone.draft(bob, "half way")
        healthy = phone.system
        phone.system = replace(phone.system, reached=crash)
        with pytest.raises(Crash):
            await phone.encrypt(bob)
        waiting = await phone.database.read(lambda tx: queue.next_drafts(tx, 10))
        assert [draft.account_id for draft in waiting if draft.account_id != phone.id] == [bob.id]
        assert await phone.outgoing() == []
        phone.system = healthy
        await phone.encrypt(bob)
        kinds = await phone.database.read(
            lambda tx: [
                row.type
                for draft in queue.next_drafts(tx, 10)
                if (row := history.find(tx, draft.message_n)) is not None
            ]
        )
        assert kinds.count(ContentType.COPY) == 1


async def test_a_copy_that_comes_twice_is_one_message(tmp_path):
    async with two_devices(tmp_path) as (phone, laptop, bob):
        await phone.draft(bob, "once")
        await phone.encrypt(bob)
        await phone.encrypt(phone, laptop)
        rows = [row for row in await phone.outgoing() if row.account_id == phone.id]
        contents = [row.content for row in rows]
        await laptop.receive([row.envelopes[0].ciphertext for row in rows])

        def again(tx):
            for row, content in zip(rows, contents, strict=True):
                queue.add_draft(tx, row.message_n, "alice", phone.id, content=content)

        await phone.database.run(again)
        await carry(phone, laptop)
        assert [row.body for row in await shown(laptop, bob)] == bodies("once")


async def test_what_the_relay_refuses_for_good_is_shown_so_on_the_other_device_too(tmp_path):
    async with two_devices(tmp_path) as (phone, laptop, bob):
        await phone.draft(bob, "to nobody")
        await phone.encrypt(bob)
        (row,) = [row for row in await phone.outgoing() if row.account_id == bob.id]
        answer = Answer(row, (Outcome.NOT_ALLOWED,))
        filed = await phone.database.run(lambda tx: file_answers(tx, [answer], phone.system))
        assert filed.redrafted  # the draft worker is woken
        await carry(phone, laptop)
        (shown_there,) = await shown(laptop, bob)
        assert (shown_there.state, shown_there.refusal) == (State.REFUSED, "not_allowed")


async def test_what_clients_tell_each_other_unseen_is_not_copied(tmp_path):
    async with two_devices(tmp_path) as (phone, _, bob):
        await phone.database.run(
            lambda tx: draft_signal(tx, phone.account, [bob.id], ContentType.EMPTY, b"\xc0", phone.system)
        )
        await phone.encrypt(bob)
        drafts = await phone.database.read(lambda tx: queue.next_drafts(tx, 10))
        types = await phone.database.read(
            lambda tx: [history.find(tx, draft.message_n).type for draft in drafts]
        )
        assert ContentType.COPY not in types


async def test_who_has_one_device_copies_nothing(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await alice.draft(bob, "alone")
        await alice.encrypt(bob)
        assert await alice.database.read(lambda tx: queue.next_drafts(tx, 10)) == []


@pytest.mark.parametrize("kind", [ContentType.EMPTY, ContentType.SHARED_ITEMS, ContentType.COPY])
async def test_a_copy_of_what_has_none_is_refused(tmp_path, kind):
    async with two_devices(tmp_path) as (phone, laptop, bob):
        await forge(phone, laptop, Copy(bob.id, content_of(phone, bob, kind)))
        assert Unopened("invalid_encoding") in await laptop.told()


async def test_a_copy_names_the_conversation_that_it_was_sent_to(tmp_path):
    async with two_devices(tmp_path) as (phone, laptop, bob):
        await forge(phone, laptop, Copy(os.urandom(32), content_of(phone, bob, ContentType.TEXT)))
        assert Unopened("invalid_encoding") in await laptop.told()
        assert await shown(laptop, bob) == []


async def test_a_contact_that_sends_a_copy_is_refused(tmp_path):
    async with two_devices(tmp_path) as (phone, laptop, bob):
        await bob.knows(phone)
        await forge(bob, phone, Copy(phone.id, content_of(bob, phone, ContentType.TEXT)), to=(phone, laptop))
        assert Unopened("invalid_encoding") in await phone.told()
        assert await shown(phone, bob) == []


def content_of(author: Person, other: Person, kind: ContentType) -> bytes:
    conversation = direct_conversation(author.id, other.id)
    body = msgspec.Raw(bodies("forged")[0])
    return msgspec.msgpack.encode(
        [kind, conversation, os.urandom(16), 1, b"", author.clock.now(), 0, None, body]
    )


async def forge(sender: Person, receiver: Person, copy: Copy, *, to: tuple[Person, ...] = ()) -> None:
    """Send this as a copy, to the own other device or to all devices of somebody else."""
    recipient = to[0] if to else sender
    body = msgspec.msgpack.encode(copy)
    await sender.database.run(
        lambda tx: draft_signal(tx, sender.account, [recipient.id], ContentType.COPY, body, sender.system)
    )
    assert isinstance(await sender.encrypt(recipient, *(to or (receiver,))), Encrypted)
    envelopes = [one for row in await sender.outgoing() for one in row.envelopes]
    mine = receiver.account.device_id
    await receiver.receive([one.ciphertext for one in envelopes if one.device_id == mine])
