"""Who may have the history, and give it: managers and who they chose; own devices that were not chosen get nothing by a claim."""

import os
from dataclasses import replace

import msgspec
import pytest

from client.archive.choice import SEALED_KEYS, ArchiveSetting, archive_setting, put_setting
from client.archive.giving import Gift, HistoryKeysBody, sealing_history_key
from client.archive.history_archive import HistoryArchive
from client.archive.keys import give_keys, make_key
from client.contents import ContentType, direct_conversation, encode_body
from client.devices.shared_items import put_item
from client.envelopes import Encrypted
from client.errors import NotManager
from client.message import State
from client.next_content import next_content
from client.signals import draft_signal
from client.store import history, migrate, queue
from client.store.archive_rows import history_keys, save_history_keys
from client.store.shared import find_item
from crypto.history_archive import Giving, HistoryKey, seal_given_keys
from crypto.limits import DAY_MS, MAX_HISTORY_KEY_MS, MAX_HISTORY_KEYS
from relay.wire.links import encode_id
from tests.client_pair import Person
from tests.own_device_pair import carry
from tests.unit.test_client_history_gifts import encrypt_by, give, kept, quiet_devices, say_keys


async def choose(person: Person, *devices: bytes, is_on: bool = True) -> None:
    """Write the setting, whether this device may or not, later than whatever was written before."""
    person.clock.ms += 1_000
    setting = ArchiveSetting(is_on, sorted(devices))
    await person.database.run(lambda tx: put_setting(tx, setting, person.system))


async def chosen(person: Person) -> ArchiveSetting:
    return await person.database.read(archive_setting)


def fresh(person: Person, ahead_ms: int = 0) -> HistoryKey:
    return HistoryKey(os.urandom(32), person.clock.now() + ahead_ms)


@pytest.mark.proves("M-HIST-05")
async def test_a_contact_gives_no_history_keys(tmp_path):
    async with quiet_devices(tmp_path) as (phone, laptop, bob):
        made = await give(phone)
        await bob.knows(phone)
        bundle = await phone.bundle()
        giving = Giving(phone.id, bob.account.device_id, phone.account.device_id)
        sealed = seal_given_keys([fresh(phone)], bundle.sealing, giving)
        gift = Gift(phone.account.device_id, bundle.sealing.key_id, sealed)

        def draft(tx):
            number = draft_signal(tx, bob.account, [], ContentType.HISTORY_KEYS, b"", bob.system)
            row = history.find(tx, number)
            assert row is not None
            told = replace(row, body=encode_body(HistoryKeysBody([gift])))
            content = next_content(tx, told, direct_conversation(bob.id, phone.id), phone.id)
            queue.add_draft(tx, number, encode_id(phone.id), phone.id, content=content.encoded)

        await bob.database.run(draft)
        await bob.encrypt(phone, phone, laptop)
        envelopes = [
            one for row in await bob.outgoing() if row.account_id == phone.id for one in row.envelopes
        ]
        mine = [one.ciphertext for one in envelopes if one.device_id == phone.account.device_id]
        assert len(mine) == 1
        await phone.receive(mine)
        assert await kept(phone) == made
        (unopened,) = await phone.told()
        assert (unopened.reason, await phone.warned()) == ("invalid_encoding", [])


@pytest.mark.proves("M-HIST-06")
@pytest.mark.parametrize("manager", [True, False])
@pytest.mark.parametrize("is_chosen", [True, False])
async def test_keys_are_taken_from_managers_and_from_who_was_chosen(tmp_path, manager, is_chosen):
    async with quiet_devices(tmp_path, manager=manager) as (phone, laptop, _):
        await choose(phone, phone.account.device_id, *([laptop.account.device_id] if is_chosen else []))
        made = await give(phone)
        given = fresh(phone)
        await say_keys(laptop, phone, [given])
        await carry(laptop, phone)
        is_taken = manager or is_chosen
        assert (given in await kept(phone)) is is_taken
        assert set(made) <= set(await kept(phone))
        assert await phone.warned() == ([] if is_taken else ["history_refused"])
        assert await phone.database.read(history.untold_absent) == frozenset()


@pytest.mark.proves("M-HIST-07")
async def test_a_key_of_a_time_to_come_is_told_and_what_is_given_with_it_is_kept(tmp_path):
    async with quiet_devices(tmp_path) as (phone, laptop, _):
        good, late, later = fresh(phone), fresh(phone, DAY_MS), fresh(phone, DAY_MS + 1)
        await say_keys(laptop, phone, [later, late, good])
        await carry(laptop, phone)
        assert await kept(phone) == [late, good]
        assert await phone.warned() == ["history_refused"]


@pytest.mark.parametrize("ahead_ms", [0, 2 * DAY_MS, MAX_HISTORY_KEY_MS])
async def test_a_key_that_is_made_seals_at_once_and_stays_whatever_is_there(tmp_path, ahead_ms):
    async with quiet_devices(tmp_path) as (phone, _, _):

        def fill(tx):
            newest_ms = min(phone.clock.now() + ahead_ms, MAX_HISTORY_KEY_MS - 1)
            crowd = [HistoryKey(os.urandom(32), newest_ms - age) for age in range(MAX_HISTORY_KEYS)]
            save_history_keys(tx, crowd)
            make_key(tx, phone.system)
            newest = history_keys(tx)[0]
            return newest not in crowd and phone.clock.now() <= newest.made_at_ms <= MAX_HISTORY_KEY_MS

        assert await phone.database.run(fill)


@pytest.mark.proves("M-HIST-08")
async def test_a_device_that_is_no_manager_lets_nobody_have_the_history(tmp_path):
    async with quiet_devices(tmp_path, manager=False) as (phone, laptop, _):
        mine, other = phone.account.device_id, laptop.account.device_id
        await choose(laptop, mine, other)  # switched on by it
        await carry(laptop, phone)
        assert await chosen(phone) == ArchiveSetting()
        assert await phone.warned() == ["history_claimed"]
        await choose(phone, mine, bytes(16))
        await carry(phone, laptop)
        assert (await chosen(laptop)).devices == sorted([mine, bytes(16)])
        await choose(laptop, mine, other, bytes(16))  # itself let have it
        await carry(laptop, phone)
        assert (await chosen(phone)).devices == sorted([mine, bytes(16)])
        await choose(laptop, bytes(16))  # the phone taken out, which is in the account
        await carry(laptop, phone)
        assert (await chosen(phone)).devices == sorted([mine, bytes(16)])
        await choose(laptop, mine)  # what is no device of the account taken out
        await carry(laptop, phone)
        assert (await chosen(phone)).devices == [mine]
        await choose(phone, mine, other)
        await carry(phone, laptop)
        assert (await chosen(laptop)).devices == sorted([mine, other])
        await choose(laptop, is_on=False)
        await carry(laptop, phone)
        assert not (await chosen(phone)).is_on
        assert set(await phone.warned()) == {"history_claimed"}
        assert await laptop.warned() == []


@pytest.mark.proves("M-HIST-10")
@pytest.mark.parametrize("manager", [True, False])
@pytest.mark.parametrize("is_chosen", [True, False])
@pytest.mark.parametrize("is_on", [True, False])
async def test_keys_for_the_words_are_those_of_who_may_give_keys(tmp_path, manager, is_chosen, is_on):
    async with quiet_devices(tmp_path, manager=manager) as (phone, laptop, _):
        devices = [phone.account.device_id, *([laptop.account.device_id] if is_chosen else [])]
        await choose(phone, *devices, is_on=is_on)
        await phone.database.run(lambda tx: put_item(tx, SEALED_KEYS, b"true", phone.system))
        phone.clock.ms += 1_000
        await laptop.database.run(lambda tx: put_item(tx, SEALED_KEYS, b"other", phone.system))
        await carry(laptop, phone)
        item = await phone.database.read(lambda tx: find_item(tx, SEALED_KEYS))
        assert item is not None
        assert item.value == (b"other" if manager or is_chosen or not is_on else b"true")


async def test_a_manager_lets_devices_have_the_history_and_no_other_switches_it_on(tmp_path):
    async with quiet_devices(tmp_path, manager=False) as (phone, laptop, _):
        archive = HistoryArchive(None, laptop.database, laptop.system, on_drafts=lambda: None, send_out=None)
        with pytest.raises(NotManager):
            await archive.turn_on()
    async with quiet_devices(tmp_path / "both") as (phone, laptop, _):
        both = sorted([phone.account.device_id, laptop.account.device_id])
        await choose(laptop, *both)
        await carry(laptop, phone)
        assert (await chosen(phone)).devices == both


async def give_withheld(phone: Person, laptop: Person) -> HistoryKey:
    """A new key of the phone, of which the laptop gets nothing: the relay gives no bundle of it."""

    def draft(tx):
        make_key(tx, phone.system)
        give_keys(tx, phone.account, [laptop.account.device_id], phone.system)
        return history_keys(tx)[0]

    new = await phone.database.run(draft)
    assert isinstance(await encrypt_by(phone, {laptop.account.device_id: None}), Encrypted)
    (row,) = [one for one in await phone.outgoing() if one.account_id == phone.id]
    await laptop.receive([row.envelopes[0].ciphertext])
    return new


async def sealing(person: Person) -> HistoryKey | None:
    return await person.database.read(lambda tx: sealing_history_key(tx, person.account))


@pytest.mark.proves("M-HIST-09")
async def test_a_chosen_device_that_got_no_new_key_says_so_and_seals_under_no_old_one(tmp_path):
    async with quiet_devices(tmp_path, manager=False) as (phone, laptop, _):
        await choose(phone, phone.account.device_id, laptop.account.device_id)
        await give(phone, laptop.account.device_id)
        await carry(phone, laptop)
        await carry(laptop, phone)
        assert await sealing(laptop) == await sealing(phone) == (await kept(laptop))[0]
        new = await give_withheld(phone, laptop)
        assert (await phone.warned(), await laptop.warned()) == (["history_not_given"], ["history_not_given"])
        assert await sealing(phone) == new
        assert await sealing(laptop) is None
        # What is given to others alone, under the key that is awaited, changes nothing.
        await give(phone, bytes(16), keys=0)
        await carry(phone, laptop)
        assert await sealing(laptop) is None
        archive = HistoryArchive(None, phone.database, phone.system, on_drafts=lambda: None, send_out=None)
        await phone.database.run(archive._tend)
        assert await carry(phone, laptop) == 0  # a day has not gone by
        phone.clock.ms += DAY_MS
        await phone.database.run(archive._tend)
        await carry(phone, laptop)
        assert await sealing(laptop) == new
        await phone.database.run(archive._tend)
        assert await carry(phone, laptop) == 0  # all have it
        assert await laptop.warned() == ["history_not_given"]


async def test_who_may_not_have_the_history_awaits_no_key_and_who_has_it_no_gift(tmp_path):
    async with quiet_devices(tmp_path) as (phone, laptop, _):
        await choose(phone, phone.account.device_id)
        await give(phone)
        await carry(phone, laptop)
        await carry(laptop, phone)
        await give_withheld(phone, laptop)
        assert await laptop.warned() == []
        await choose(phone, phone.account.device_id, laptop.account.device_id)
        await give(phone, laptop.account.device_id)
        await carry(phone, laptop)
        await give(phone, bytes(16), keys=0)  # linked with the history, say: the gift is for it alone
        await carry(phone, laptop)
        assert await laptop.warned() == []
        assert await sealing(laptop) == await sealing(phone) is not None


async def test_a_draft_of_before_keys_were_sealed_goes_and_they_are_given_anew(tmp_path):
    async with quiet_devices(tmp_path) as (phone, laptop, _):
        await choose(phone, phone.account.device_id, laptop.account.device_id)
        made = await give(phone)
        await carry(phone, laptop)
        await carry(laptop, phone)
        assert await kept(laptop) == []
        old = msgspec.msgpack.encode([[[one.key, one.made_at_ms] for one in made]])

        def draft(tx):
            number = draft_signal(tx, phone.account, [], ContentType.HISTORY_KEYS, old, phone.system)
            only = [laptop.account.device_id]
            queue.add_draft(tx, number, encode_id(phone.id), phone.id, only_devices=only)
            for statement in migrate._statements(dict(migrate.migrations())[29]):
                tx.run(statement)
            return history.find(tx, number)

        row = await phone.database.run(draft)
        assert row is not None
        assert (row.body, row.state) == (b"", State.ACCEPTED)
        assert await carry(phone, laptop) == 0
        archive = HistoryArchive(None, phone.database, phone.system, on_drafts=lambda: None, send_out=None)
        await phone.database.run(archive._tend)
        await carry(phone, laptop)
        assert await kept(laptop) == made
