"""Keys of the history archive on their way to chosen own devices: all count the content, who was chosen opens it."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from client.archive.giving import Gift, HistoryKeysBody, draft_gifts
from client.contents import ContentType, decode_content, direct_conversation, encode_body
from client.envelopes import Encrypted, Missing, can_encrypt, encrypt_drafts
from client.first_contact import Fetched
from client.next_content import next_content
from client.signals import draft_signal
from client.store import history, queue
from client.store.archive_rows import history_keys, save_history_keys
from client.store.shared import changed_keys, note_compared
from crypto.history_archive import Giving, HistoryKey, seal_given_keys
from crypto.prekeys import Bundle
from relay.wire.links import encode_id
from tests.client_pair import Person
from tests.own_device_pair import carry, two_devices

ANOTHER = bytes(16)
replaced = msgspec.structs.replace


@asynccontextmanager
async def quiet_devices(
    folder: Path, *, manager: bool = True
) -> AsyncIterator[tuple[Person, Person, Person]]:
    """As `two_devices`, with nothing to share but what a test gives."""
    async with two_devices(folder, manager=manager) as people:
        for device in people[:2]:
            await device.database.run(lambda tx: note_compared(tx, changed_keys(tx)))
        yield people


async def give(giver: Person, *devices: bytes, keys: int = 2) -> list[HistoryKey]:
    """Draft what the device has made, for these devices."""
    made = [HistoryKey.generate(os.urandom, giver.clock.now() - age) for age in range(keys)]

    def draft(tx):
        save_history_keys(tx, made)
        draft_gifts(tx, giver.account, devices, giver.system)

    await giver.database.run(draft)
    return made


async def kept(person: Person) -> list[HistoryKey]:
    return await person.database.read(history_keys)


async def encrypt_by(giver: Person, bundles: dict[bytes, Bundle | None]) -> Encrypted | Missing:
    """All that waits for the own devices, with these bundles from the relay."""
    drafts = await giver.database.read(lambda tx: queue.next_drafts(tx, 100))
    mine = [draft for draft in drafts if draft.account_id == giver.id]
    fetched = Fetched(bundles, giver.clock.now())
    return await giver.database.run(lambda tx: encrypt_drafts(tx, giver.id, mine, fetched, giver.system))


async def sent(giver: Person) -> list[tuple[int, HistoryKeysBody]]:
    """(Number, body) of each content with history keys that went out, as all own devices get it."""
    conversation = direct_conversation(giver.id, giver.id)
    rows = await giver.database.read(
        lambda tx: tx.all("SELECT content FROM sent_contents WHERE conversation_id = ?", conversation)
    )
    contents = [decode_content(row[0]) for row in rows]
    return [
        (one.counter, msgspec.msgpack.decode(bytes(one.body), type=HistoryKeysBody))
        for one in contents
        if one.type == ContentType.HISTORY_KEYS
    ]


async def test_who_is_chosen_opens_the_keys_and_who_is_not_lacks_no_number(tmp_path):
    async with quiet_devices(tmp_path) as (phone, laptop, _):
        made = await give(phone, laptop.account.device_id)
        await carry(phone, laptop)
        assert await kept(laptop) == made
        before = await give(phone, ANOTHER)
        await carry(phone, laptop)
        await carry(laptop, phone)
        ((first, one), (second, other)) = await sent(phone)
        assert second == first + 1
        assert [gift.device_id for gift in one.gifts] == [laptop.account.device_id]
        assert other.gifts == []  # the account lists no such device
        assert await kept(laptop) == made
        assert len(await kept(phone)) == len(made) + len(before)
        assert await laptop.database.read(history.untold_absent) == frozenset()
        assert await laptop.told() == await phone.told() == []


async def test_no_key_lies_in_what_the_store_keeps_of_the_content(tmp_path):
    async with quiet_devices(tmp_path) as (phone, laptop, _):
        made = await give(phone, laptop.account.device_id)

        def bodies(tx):
            rows = tx.all("SELECT body FROM messages WHERE type = ?", ContentType.HISTORY_KEYS)
            return b"".join(row[0] for row in [*rows, *tx.all("SELECT content FROM sent_contents")])

        for _ in range(2):  # as a draft, and once it is on its way
            everything = await phone.database.read(bodies)
            assert everything
            assert not any(one.key in everything for one in made)
            await carry(phone, laptop)


async def test_sealing_takes_a_bundle_also_where_a_session_is(tmp_path):
    async with quiet_devices(tmp_path) as (phone, laptop, _):
        await give(phone, laptop.account.device_id)
        await carry(phone, laptop)
        await carry(laptop, phone)
        made = await give(phone, laptop.account.device_id)
        drafts = await phone.database.read(lambda tx: queue.next_drafts(tx, 100))
        now_ms = phone.clock.now()
        assert not await phone.database.read(lambda tx: can_encrypt(tx, phone.id, drafts, now_ms))
        missing = await encrypt_by(phone, {})
        assert missing == Missing(phone.id, devices=(laptop.account.device_id,))
        assert isinstance(
            await encrypt_by(phone, {laptop.account.device_id: await laptop.bundle()}), Encrypted
        )
        (row,) = [one for one in await phone.outgoing() if one.account_id == phone.id]
        await laptop.receive([row.envelopes[0].ciphertext])
        assert set(made) <= set(await kept(laptop))


@pytest.mark.proves("M-HIST-03")
async def test_keys_are_sealed_by_no_key_that_the_device_did_not_sign(tmp_path):
    async with quiet_devices(tmp_path) as (phone, laptop, bob):
        await give(phone, laptop.account.device_id)
        await carry(phone, laptop)
        await carry(laptop, phone)
        made = await kept(laptop)
        good = await laptop.bundle()
        bundles = [
            replace(good, sealing=(await bob.bundle()).sealing),  # of another account
            replace(good, sealing=replace(good.sealing, made_at_ms=good.sealing.made_at_ms + 1)),
            None,  # the relay gives none
        ]
        for tries, bundle in enumerate(bundles, 1):
            await give(phone, laptop.account.device_id)
            assert isinstance(await encrypt_by(phone, {laptop.account.device_id: bundle}), Encrypted)
            assert await phone.warned() == ["history_not_given"] * tries
            (row,) = [one for one in await phone.outgoing() if one.account_id == phone.id]
            await laptop.receive([row.envelopes[0].ciphertext])
        assert [len(body.gifts) for _, body in await sent(phone)] == [1, 0, 0, 0]
        assert await kept(laptop) == made
        assert await laptop.database.read(history.untold_absent) == frozenset()


async def say_keys(giver: Person, receiver: Person, keys: list[HistoryKey]) -> None:
    """A content that gives the receiver these keys, well sealed."""
    bundle = await receiver.bundle()
    giving = Giving(giver.id, giver.account.device_id, receiver.account.device_id)
    sealed = seal_given_keys(keys, bundle.sealing, giving)
    await say_gift(giver, Gift(receiver.account.device_id, bundle.sealing.key_id, sealed))


@pytest.mark.proves("M-HIST-04")
@pytest.mark.parametrize("made_at_ms", [2**53 + 1, 2**63, 2**64 - 1])
async def test_a_key_of_an_impossible_time_is_told_and_what_comes_behind_it_is_read(tmp_path, made_at_ms):
    async with quiet_devices(tmp_path) as (phone, laptop, _):
        await give(phone, laptop.account.device_id)
        await carry(phone, laptop)
        made = await kept(laptop)
        await say_keys(phone, laptop, [HistoryKey(bytes(32), made_at_ms)])
        later = await give(phone, laptop.account.device_id, keys=1)
        await carry(phone, laptop)
        assert await laptop.warned() == ["history_refused"]
        assert sorted(one.key for one in await kept(laptop)) == sorted(one.key for one in [*made, *later])
        assert await laptop.database.read(history.untold_absent) == frozenset()


async def say_gift(giver: Person, gift: Gift) -> None:
    """A content that no honest device makes, as the next of this device."""
    conversation = direct_conversation(giver.id, giver.id)

    def draft(tx):
        number = draft_signal(tx, giver.account, [], ContentType.HISTORY_KEYS, b"", giver.system)
        row = history.find(tx, number)
        assert row is not None
        told = replace(row, body=encode_body(HistoryKeysBody([gift])))
        made = next_content(tx, told, conversation, giver.id)
        queue.add_draft(tx, number, encode_id(giver.id), giver.id, content=made.encoded)

    await giver.database.run(draft)


async def test_a_gift_that_does_not_open_is_told_and_its_content_counts(tmp_path):
    async with quiet_devices(tmp_path) as (phone, laptop, _):
        await give(phone, laptop.account.device_id)
        await carry(phone, laptop)
        ((_, body),) = await sent(phone)
        made, gift = await kept(laptop), body.gifts[0]
        damaged = gift.sealed[:-1] + bytes([gift.sealed[-1] ^ 1])
        for tries, wrong in enumerate(
            (replaced(gift, sealed=damaged), replaced(gift, sealing_key_id=gift.sealing_key_id + 1)), 1
        ):
            await say_gift(phone, wrong)
            await carry(phone, laptop)
            assert await laptop.warned() == ["history_refused"] * tries
        # Given on by another device than the one that sealed it, it opens as little.
        await say_gift(laptop, replaced(gift, device_id=phone.account.device_id))
        await carry(laptop, phone)
        assert await phone.warned() == ["history_refused"]
        assert await kept(laptop) == made
        for device in (phone, laptop):
            assert await device.database.read(history.untold_absent) == frozenset()
