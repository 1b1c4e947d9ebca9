"""What own devices share: the last writer wins on both sides, in any order, once or twice; nobody else shares anything."""

import os
from dataclasses import replace
from itertools import permutations

import msgspec
import pytest

from client.account import load_account, save_account
from client.contents import ContentType
from client.devices.device_names import choose_device, device_name, encode_name, key_of
from client.devices.hand_over import hand_over
from client.devices.settings import set_silence_days, silence_days
from client.devices.shared_items import (
    SharedItems,
    apply_items,
    ask_for_all,
    decode_items,
    encode_items,
    everything,
    parts_of,
    put_item,
    share_changes,
    stamp_changes,
)
from client.errors import UsageError
from client.message import Unopened, Warned
from client.signals import draft_signal
from client.store import facts, queue
from client.store.contact_rows import block_peer, unblock_peer
from client.store.peers import (
    accept,
    drop_token,
    ensure_peer,
    find_by_handle,
    find_peer,
    learn_handle,
    learn_token,
)
from client.store.shared import MAX_VALUE_BYTES, Item, all_items, changed_keys, find_item
from crypto.errors import InvalidEncoding
from relay.wire.links import encode_id
from tests.client_pair import Person, open_pair
from tests.own_device_pair import carry, two_devices


async def settle(one: Person, other: Person) -> int:
    """Share what changed, both ways, until nobody has anything to say; how many envelopes it took."""
    total = 0
    for _ in range(10):
        for sender in (one, other):
            await sender.database.run(lambda tx, s=sender: share_changes(tx, s.system))
        sent = await carry(one, other) + await carry(other, one)
        total += sent
        if not sent:
            return total
    raise AssertionError("they never stop telling each other")


async def test_a_contact_and_its_token_come_to_the_other_device(tmp_path):
    async with two_devices(tmp_path) as (phone, laptop, bob):
        await phone.database.run(lambda tx: learn_handle(tx, bob.id, "bob"))
        await settle(phone, laptop)
        theirs = await laptop.database.read(lambda tx: find_by_handle(tx, "bob"))
        assert theirs is not None
        assert (theirs.account_id, theirs.token, theirs.token_class) == (bob.id, bytes(16), "public")
        assert not theirs.accepted
        # A change on the laptop comes back, and no echo of it.
        await laptop.database.run(lambda tx: learn_token(tx, bob.id, b"t" * 16, "contact"))
        assert await settle(phone, laptop) == 1
        peer = await phone.database.read(lambda tx: find_peer(tx, bob.id))
        assert peer is not None
        assert (peer.token, peer.token_class) == (b"t" * 16, "contact")


async def test_the_own_token_goes_to_the_other_device_and_a_temporary_one_nowhere(tmp_path):
    async with two_devices(tmp_path) as (phone, laptop, _):
        token, _ = await phone.database.read(lambda tx: facts.token_row(tx, "contact"))

        def temporary(tx):
            tx.run("DELETE FROM tokens")
            facts.own_token(tx, "contact", os.urandom)
            tx.run("DELETE FROM to_share")

        await laptop.database.run(temporary)
        await settle(phone, laptop)
        assert await laptop.database.read(lambda tx: facts.token_row(tx, "contact")) == (token, True)
        assert await phone.database.read(lambda tx: facts.token_row(tx, "contact")) == (token, True)


async def test_a_token_that_the_relay_does_not_have_yet_is_not_shared(tmp_path):
    async with two_devices(tmp_path) as (phone, laptop, _):
        await settle(phone, laptop)
        await phone.database.run(lambda tx: facts.own_token(tx, "link", os.urandom))
        assert await settle(phone, laptop) == 0
        await phone.database.run(lambda tx: facts.token_registered(tx, "link"))
        assert await settle(phone, laptop) == 1
        link, _ = await phone.database.read(lambda tx: facts.token_row(tx, "link"))
        assert await laptop.database.read(lambda tx: facts.token_row(tx, "link")) == (link, True)


async def test_of_two_writers_the_later_wins_on_both_and_the_order_of_arrival_is_nothing(tmp_path):
    async with two_devices(tmp_path) as (phone, laptop, _):
        first, second, third = (
            Item("setting/x", value, at_ms, device)
            for value, at_ms, device in ((b"a", 5, b"1" * 16), (b"b", 7, b"1" * 16), (b"c", 7, b"2" * 16))
        )
        for number, order in enumerate(permutations((first, second, third, second))):
            items = [replace_key(item, f"setting/{number}") for item in order]
            for device in (phone, laptop):
                await device.database.run(lambda tx, i=items: apply_items(tx, i, 10))
                kept = await device.database.read(lambda tx, n=number: find_item(tx, f"setting/{n}"))
                assert kept is not None
                assert kept.value == b"c"


def replace_key(item: Item, key: str) -> Item:
    return msgspec.structs.replace(item, key=key)


async def test_a_change_counts_above_the_one_before_whatever_the_clock_says(tmp_path):
    async with two_devices(tmp_path) as (phone, laptop, _):
        laptop.clock.ms += 3_600_000
        await laptop.database.run(lambda tx: put_item(tx, "setting/x", b"by the fast clock", laptop.system))
        await settle(phone, laptop)
        laptop.clock.ms -= 3_600_000
        await phone.database.run(lambda tx: put_item(tx, "setting/x", b"by who came later", phone.system))
        await settle(phone, laptop)
        for device in (phone, laptop):
            item = await device.database.read(lambda tx: find_item(tx, "setting/x"))
            assert item is not None
            assert item.value == b"by who came later"


async def test_what_is_changed_on_both_at_once_ends_the_same_on_both(tmp_path):
    async with two_devices(tmp_path) as (phone, laptop, bob):
        await settle(phone, laptop)
        await phone.database.run(lambda tx: learn_token(tx, bob.id, b"p" * 16, "contact"))
        await laptop.database.run(lambda tx: learn_token(tx, bob.id, b"l" * 16, "contact"))
        await settle(phone, laptop)
        peers = [await device.database.read(lambda tx: find_peer(tx, bob.id)) for device in (phone, laptop)]
        tokens = {peer.token for peer in peers if peer is not None}
        assert len(tokens) == 1
        items = [await device.database.read(all_items) for device in (phone, laptop)]
        assert items[0] == items[1]


async def test_a_token_that_one_device_lost_is_told_it_again_by_the_other(tmp_path):
    async with two_devices(tmp_path) as (phone, laptop, bob):
        await settle(phone, laptop)
        await phone.database.run(lambda tx: drop_token(tx, bob.id, bytes(16)))
        await settle(phone, laptop)
        for device in (phone, laptop):
            peer = await device.database.read(lambda tx: find_peer(tx, bob.id))
            assert peer is not None
            assert peer.token == bytes(16)


async def test_c7_who_is_blocked_on_one_device_is_blocked_on_all_and_may_ask_again_on_all(tmp_path):
    async with two_devices(tmp_path) as (phone, laptop, bob):
        await settle(phone, laptop)
        for cut, blocked in ((block_peer, True), (unblock_peer, False)):
            phone.clock.ms += 1_000
            await phone.database.run(lambda tx, cut=cut: cut(tx, bob.id))
            await settle(phone, laptop)
            peer = await laptop.database.read(lambda tx: find_peer(tx, bob.id))
            assert peer is not None
            assert (peer.blocked, peer.accepted) == (blocked, False)


async def test_who_has_one_device_tells_nobody_and_keeps_what_to_tell_a_new_one(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        assert await alice.database.read(changed_keys)
        assert not await alice.database.run(lambda tx: share_changes(tx, alice.system))
        assert await alice.database.read(queue.waiting) == 0
        keys = [item.key for item in await alice.database.read(all_items)]
        assert keys == [f"contact/{bob.id.hex()}", "token/contact"]


async def test_a_device_that_asks_is_told_everything_once(tmp_path):
    async with two_devices(tmp_path) as (phone, laptop, bob):
        await laptop.database.run(lambda tx: tx.run("DELETE FROM to_share"))
        await phone.database.run(lambda tx: share_changes(tx, phone.system))
        await phone.database.run(lambda tx: tx.run("DELETE FROM drafts"))
        await laptop.database.run(lambda tx: ask_for_all(tx, laptop.system))
        await carry(laptop, phone)
        assert await carry(phone, laptop) == 1
        assert await laptop.database.read(lambda tx: facts.number(tx, facts.HANDED_OVER)) == 1
        peer = await laptop.database.read(lambda tx: find_peer(tx, bob.id))
        assert peer is not None
        assert peer.chain is not None  # the signed list: no relay can show an older one
        assert peer.chain.hash == bob.account.own.hash
        await laptop.database.run(lambda tx: ask_for_all(tx, laptop.system))
        await carry(laptop, phone)
        assert await carry(phone, laptop) == 0
        phone.clock.ms += 600_000
        await laptop.database.run(lambda tx: ask_for_all(tx, laptop.system))
        await carry(laptop, phone)
        assert await carry(phone, laptop) == 1


async def test_the_pinned_relay_key_replaces_one_that_only_the_relay_named(tmp_path):
    async with two_devices(tmp_path) as (phone, laptop, _):
        for key, warnings in ((bytes(32), []), (b"k" * 32, ["relay_key_changed"])):
            wrong = replace(laptop.account, relay_key=key)
            await laptop.database.run(lambda tx, wrong=wrong: save_account(tx, wrong))
            await phone.database.run(lambda tx: hand_over(tx, laptop.account.device_id, phone.system))
            await carry(phone, laptop)
            account = await laptop.database.read(load_account)
            assert account.relay_key == phone.account.relay_key == bytes(32)
            assert [one.kind for one in await laptop.told() if isinstance(one, Warned)] == warnings
            await laptop.database.run(
                lambda tx: tx.run("DELETE FROM shared_items WHERE key = 'pinned/relay'")
            )
            phone.clock.ms += 600_000


async def test_a_contact_that_sends_shared_items_changes_nothing(tmp_path):
    async with two_devices(tmp_path) as (phone, laptop, bob):
        await bob.knows(phone)
        item = Item(f"contact/{bytes(32).hex()}", b"\x95\xc0\xa4evil\xc0\xc0\xc3", 2**52, bytes(16))
        await bob.database.run(
            lambda tx: draft_signal(
                tx, bob.account, [phone.id], ContentType.SHARED_ITEMS, encode_items([item]), bob.system
            )
        )
        await bob.encrypt(phone, phone, laptop)
        (row,) = await bob.outgoing()
        mine = [one.ciphertext for one in row.envelopes if one.device_id == phone.account.device_id]
        await phone.receive(mine)
        assert Unopened("invalid_encoding") in await phone.told()
        assert await phone.database.read(lambda tx: find_item(tx, item.key)) is None


async def test_what_a_newer_version_shares_is_kept_and_passed_on(tmp_path):
    async with two_devices(tmp_path) as (phone, _, bob):
        key = f"contact/{bob.id.hex()}"
        odd = [
            Item("future/thing", b"\xc1", 2**50, bytes(16)),
            Item(key, b"not a contact", 2**50, bytes(16)),
            Item("contact/nonsense", b"\x90", 2**50, bytes(16)),
            Item("token/contact", b"\x90", 2**50, bytes(16)),
        ]
        await phone.database.run(lambda tx: apply_items(tx, odd, phone.clock.now()))
        told = await phone.database.run(lambda tx: everything(tx, phone.system))
        assert set(odd) <= set(told)
        peer = await phone.database.read(lambda tx: find_peer(tx, bob.id))
        assert peer is not None
        assert peer.token == bytes(16)


def test_items_are_parted_so_that_each_part_fits_a_content():
    items = [Item(f"setting/{n}", bytes(MAX_VALUE_BYTES), n, bytes(16)) for n in range(10)]
    parts = list(parts_of(items))
    assert [item for part in parts for item in part] == items
    assert all(len(encode_items(part)) < 200_000 for part in parts)
    assert list(parts_of([])) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc0",
        b"\x91\x91\x94\xa0\xc4\x00\x01\xc4\x10" + bytes(16),  # an empty key
        b"\x91\x91\x94\xa1x\xc4\x00\x01\xc4\x0f" + bytes(15),  # a device id of 15 B
        b"\x91\x91\x94\xa1x\xc4\x00\xff\xc4\x10" + bytes(16),  # a time before 1970
    ],
)
def test_a_body_that_is_none_is_refused(body):
    with pytest.raises(InvalidEncoding):
        decode_items(body)


def test_fields_that_a_newer_version_adds_are_ignored():
    body = msgspec.msgpack.encode([[], True, False, "more"])
    assert decode_items(body) == SharedItems([], is_all=True)


async def test_names_and_settings_are_what_the_other_device_set(tmp_path):
    async with two_devices(tmp_path) as (phone, laptop, _):
        device = laptop.account.device_id
        assert await phone.database.read(silence_days) == 45
        await laptop.database.run(
            lambda tx: put_item(tx, key_of(device), encode_name(" my laptop "), laptop.system)
        )
        await laptop.database.run(lambda tx: set_silence_days(tx, 0, laptop.system))
        await settle(phone, laptop)
        assert await phone.database.read(lambda tx: device_name(tx, device)) == "my laptop"
        assert await phone.database.read(silence_days) == 0
        listed = phone.account.own.manifest.devices
        for wanted in ("my laptop", encode_id(device), encode_id(device)[:6].upper()):
            found = await phone.database.read(lambda tx, w=wanted: choose_device(tx, listed, w))
            assert found.device_id == device
        for wanted in ("phone", "", "a"):
            with pytest.raises(UsageError):
                await phone.database.read(lambda tx, w=wanted: choose_device(tx, listed, w))
        for days in (-1, 3_651):
            with pytest.raises(UsageError):
                await phone.database.run(lambda tx, d=days: set_silence_days(tx, d, phone.system))


@pytest.mark.parametrize("name", ["", "   ", "x" * 65, "bell\x07"])
def test_a_name_that_no_terminal_should_see_is_refused(name):
    with pytest.raises(UsageError):
        encode_name(name)


async def test_what_an_older_item_knows_of_a_contact_fills_what_is_not_known_here(tmp_path):
    async with two_devices(tmp_path) as (phone, laptop, bob):
        await phone.database.run(lambda tx: learn_handle(tx, bob.id, "bob"))
        await phone.database.run(lambda tx: stamp_changes(tx, phone.account, phone.clock.now()))
        older = await phone.database.read(lambda tx: find_item(tx, f"contact/{bob.id.hex()}"))
        assert older is not None
        laptop.clock.ms += 1_000

        def meet(tx):
            ensure_peer(tx, bob.id)
            accept(tx, bob.id)
            stamp_changes(tx, laptop.account, laptop.clock.now())
            apply_items(tx, [older], laptop.clock.now())

        await laptop.database.run(meet)
        peer = await laptop.database.read(lambda tx: find_peer(tx, bob.id))
        assert peer is not None
        assert (peer.handle, peer.token, peer.accepted) == ("bob", bytes(16), True)
        await settle(phone, laptop)
        items = [
            await device.database.read(lambda tx: find_item(tx, older.key)) for device in (phone, laptop)
        ]
        assert items[0] == items[1]
