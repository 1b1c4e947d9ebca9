"""What a peer may try with its own messages: times, names, keys, copies. Nothing of it breaks the recipient's client."""

import pytest

from client.errors import UsageError
from client.media import seal_file
from client.message import Unopened, Warned
from client.outbox import text_message
from client.store.prekey_rows import load_prekeys
from client.store.session_rows import all_sessions, save_sessions
from client.system import this_machine
from client.times import iso_time
from crypto.prekeys import Bundle, KeyClass, KeyKind
from relay.wire.links import encode_id
from tests.client_pair import DAY_MS, Person, bodies, open_pair, open_person


@pytest.mark.parametrize(
    ("ms", "shown"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_800_000_000_123, "2027-01-15T08:00:00.123Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, "9999-12-31T23:59:59.999Z"),
        (2**53, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_every_time_that_a_content_may_claim_can_be_shown(ms, shown):
    assert iso_time(ms) == shown


def test_what_is_not_utf_8_is_wrong_usage_before_anything_is_kept(tmp_path):
    with pytest.raises(UsageError, match="not UTF-8"):
        text_message("cut \udcff")
    path = tmp_path / "name \udcff"
    path.write_bytes(b"x")
    with pytest.raises(UsageError, match="rename"):
        seal_file(path, tmp_path / "spool", this_machine().random)
    assert not (tmp_path / "spool").exists()


async def last_resort_bundle(person: Person) -> Bundle:
    """What a relay gives that keeps the one-time keys back."""
    keys = (await person.database.read(load_prekeys)).keys
    wanted = [
        (KeyKind.SIGNED, KeyClass.ROTATING),
        (KeyKind.KEM, KeyClass.LAST_RESORT),
        (KeyKind.SEALING, KeyClass.ROTATING),
    ]
    return Bundle.of(key.signed(person.account.local) for key in keys if (key.kind, key.key_class) in wanted)


async def test_a1_last_resort_keys_while_one_time_keys_are_left_are_told_once(tmp_path, monkeypatch):
    async with open_pair(tmp_path) as (alice, bob):
        monkeypatch.setattr(bob, "bundle", lambda: last_resort_bundle(bob))
        await bob.receive(await alice.say(bob, "one", "two"))
        assert await bob.texts(alice) == bodies("one", "two")
        told = [one for one in await bob.told() if isinstance(one, Warned)]
        assert [(one.kind, one.account) for one in told] == [("last_resort_key", encode_id(alice.id))]


async def test_a1_last_resort_keys_for_many_who_come_at_once_are_told_once_a_day(tmp_path, monkeypatch):
    async with (
        open_pair(tmp_path) as (alice, bob),
        open_person(tmp_path / "carol", "carol", bob.clock) as carol,
        open_person(tmp_path / "dave", "dave", bob.clock) as dave,
    ):
        monkeypatch.setattr(bob, "bundle", lambda: last_resort_bundle(bob))
        for other in (carol, dave):
            await other.knows(bob)
        await bob.receive(await alice.say(bob, "one") + await carol.say(bob, "two"))
        assert await bob.warned() == ["last_resort_key"]
        bob.clock.ms += DAY_MS
        await bob.receive(await dave.say(bob, "three"))
        assert await bob.warned() == ["last_resort_key", "last_resort_key"]


async def test_a1_one_time_keys_and_an_empty_stock_are_no_reason_to_warn(tmp_path, monkeypatch):
    async with open_pair(tmp_path) as (alice, bob):
        await bob.receive(await alice.say(bob, "by a one-time key"))
        assert await bob.warned() == []
    async with open_pair(tmp_path / "emptied") as (alice, bob):

        def empty(tx):
            before = load_prekeys(tx)
            after = before.stock_seen(KeyKind.KEM, (), now_ms=bob.clock.now())
            tx.cache["prekeys"] = after

        monkeypatch.setattr(bob, "bundle", lambda: last_resort_bundle(bob))
        await bob.database.run(empty)
        await bob.receive(await alice.say(bob, "there was no other"))
        assert await bob.texts(alice) == bodies("there was no other")
        assert await bob.warned() == []


@pytest.mark.proves("M-RATCHET-08")
async def test_b4_a_copied_state_in_use_is_told_with_the_account(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await bob.receive(await alice.say(bob, "hello"))
        await alice.receive(await bob.say(alice, "hello to you"))
        await bob.receive(await alice.say(bob, "opens the chain"))
        own = alice.account.account_id, alice.account.device_id
        copied = dict(await alice.database.read(lambda tx: all_sessions(tx, own)))
        await bob.receive(await alice.say(bob, "real"))
        await alice.database.run(lambda tx: save_sessions(tx, own, copied, alice.clock.now()))
        taken = await bob.receive(await alice.say(bob, "from the copy"))
        assert taken.messages == 0
        assert await bob.texts(alice) == bodies("hello", "opens the chain", "real")
        warned = [one for one in await bob.told() if isinstance(one, Warned | Unopened)]
        assert [(one.kind, one.account) for one in warned if isinstance(one, Warned)] == [
            ("copied_state", encode_id(alice.id))
        ]
        assert [one.reason for one in warned if isinstance(one, Unopened)] == ["copied_state"]
