"""An account comes back from its words on a real relay: contacts are there, nothing older is taken unseen (D3)."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from client.account import load_account, save_account
from client.cli.recovery_work import words_of
from client.client import Client
from client.devices.own_manifest import DeviceChange, change_devices
from client.errors import (
    AccountExists,
    BackupOutdated,
    BackupRefused,
    DeviceRevoked,
    NotInGroup,
    RecoveryImpossible,
    Refused,
    UsageError,
)
from client.groups.relay_logs import RelayLogs
from client.logs import append_account_log, read_account_log, trim_account_log
from client.message import Unopened
from client.recovery.backing_up import MOST_MS, REST_MS, back_up_if_due
from client.recovery.backup_content import decode_backup
from client.recovery.backup_parts import LOG_NAME, parts_of, whole_backups
from client.recovery.restoring import RestoreWishes
from client.store.database import Database
from client.store.groups import find_group
from client.store.key_file import load_key
from client.system import Step, this_machine
from crypto.errors import InvalidEncoding
from crypto.keys import RootKeyPair
from crypto.recovery import RecoveryKey, seal_backup
from relay.wire.links import decode_id
from tests.chatting import People, open_people, texts
from tests.crypto_people import NOW_MS, Person
from tests.group_people_online import acquaint, group_of, hear, is_in, until
from tests.own_devices import link_device, own_chain

WISHES = RestoreWishes("new phone")


async def confirmed(client: Client) -> str:
    """The words, which the user has written down."""
    words = " ".join(await client.recovery.words())
    await client.recovery.confirm(words)
    return words


async def restore(people: People, words: str, home: Path, wishes: RestoreWishes = WISHES, **options):
    return await Client.restore(home, people.world.relay.url, words, wishes, **options)


async def test_contacts_come_back_and_hear_from_the_new_device(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        bob = await people.enter("bob")
        async with people.client("alice") as alice:
            await alice.send("bob", "before")
            assert await texts(bob) == ["before"]
            await bob.send("alice", "hello back")
            assert await texts(alice) == ["hello back"]
            words = await confirmed(alice)
            link = await alice.contact_link()
            await alice.recovery.back_up()
        restored = await restore(people, words, tmp_path / "new")
        assert (restored.contacts, restored.identity.handle) == (1, "alice")
        async with Client.open(tmp_path / "new") as again:
            assert await again.contact_link() == link
            await again.send("bob", "it is me")
            assert await texts(bob) == ["it is me"]
            await bob.send("alice", "welcome back")
            events = [event async for event in again.events(until_caught_up=True)]
            assert [getattr(event, "text", None) for event in events if hasattr(event, "text")] == [
                "welcome back"
            ]
            assert not [event for event in events if isinstance(event, Unopened)]
            assert [one.is_this for one in await again.devices.list()] == [True]
        async with people.client("alice") as old:
            with pytest.raises(DeviceRevoked):
                await texts(old)


@pytest.mark.timeout(120)
async def test_an_account_comes_back_into_its_groups_and_the_lost_device_reads_nothing_more(tmp_path):
    async with open_people(tmp_path, "alice", "bob", "carol") as people:
        clients = await acquaint(people, "alice", "bob", "carol")
        alice, carol = clients["alice"], clients["carol"]
        member = await group_of(clients, "alice", "bob", "carol")
        admin = await group_of(clients, "alice", "bob", admins=("bob",))
        lost = await clients["bob"].create_group("bob alone may commit here")
        words = await confirmed(clients["bob"])
        await clients["bob"].recovery.back_up()
        restored = await restore(people, words, tmp_path / "new")
        assert (restored.groups, restored.lost_groups) == (2, (lost.name,))
        async with Client.open(tmp_path / "new") as again:
            groups = {one.id: (one.name, one.status) for one in await again.groups()}
            assert groups == {
                member.id: ("a group", "waiting"),
                admin.id: ("a group", "waiting"),
                lost.id: (lost.name, "lost"),
            }
            with pytest.raises(NotInGroup, match="let into the group again"):
                await again.send(f"group:{member.id}", "not in yet")
            for group in (member, admin):

                async def is_cut(client, group=group):
                    return (await client.group(group.id)).epoch == group.epoch + 1

                await until(again, lambda client, group=group: is_in(client, group.id), also=alice)
                await until(alice, is_cut, also=again)
                await alice.send(f"group:{group.id}", "welcome back", patience_seconds=40)
                await hear(again, group.id, "welcome back")

                async def is_ready(client, group=group):  # it has read the log by the welcome, too
                    return (await client.group(group.id)).is_ready

                await until(again, is_ready, also=alice)
                await again.send(f"group:{group.id}", "thank you", patience_seconds=40)
                await hear(alice, group.id, "thank you")
            await hear(carol, member.id, "welcome back", "thank you")
            await again.membership.leave(lost.id)
            assert {one.status for one in await again.groups()} == {"member"}
        # What the lost device had opens neither the log nor the messages any more.
        old = clients["bob"]._account
        for group in (member, admin):
            group_id = decode_id(group.id, 32)
            row = await old._database.read(lambda tx, one=group_id: find_group(tx, one))
            with pytest.raises(Refused, match="not_allowed"):
                await RelayLogs(old._transport, old._database, this_machine()).read(
                    group_id, row.read_token, 0
                )
            assert await clients["bob"].history(f"group:{group.id}") == []


async def test_the_other_devices_stay_if_the_user_wishes(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        alice = await people.enter("alice")
        words = await confirmed(alice)
        await restore(people, words, tmp_path / "new", replace(WISHES, keep_devices=True))
        events = [event async for event in alice.events(until_caught_up=True)]
        kinds = [getattr(event, "kind", None) for event in events]
        assert "device_added" in kinds
        names = {one.name for one in await alice.devices.list()}
        assert len(names) == 2


async def test_after_the_yes_the_words_and_the_root_key_are_gone_from_the_store(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        alice = await people.enter("alice")
        database = alice._account._database
        words = await alice.recovery.words()
        assert words == await alice.recovery.words()  # until they are confirmed
        with pytest.raises(UsageError, match="other words"):
            await alice.recovery.confirm(" ".join(RecoveryKey.generate(os.urandom).words()))
        with pytest.raises(UsageError, match="24"):
            await alice.recovery.confirm("no words")
        assert (await database.read(load_account)).recovery_key is not None
        await alice.recovery.confirm(" ".join(words))
        account = await database.read(load_account)
        assert (account.recovery_key, account.root_seed) == (None, None)
        with pytest.raises(UsageError, match="cannot be shown again"):
            await alice.recovery.words()
        await link_device(alice, tmp_path / "laptop")
        async with Client.open(tmp_path / "laptop") as laptop:
            with pytest.raises(UsageError):
                await laptop.recovery.words()


async def test_an_account_of_a_version_without_words_is_told_that_there_are_none(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        home = people.home("alice")
        async with Database(home, load_key(home, None)) as database:

            def make_old(tx):
                seed = RootKeyPair.generate(os.urandom).seed
                save_account(tx, replace(load_account(tx), recovery_key=None, root_seed=seed))

            await database.run(make_old)
        async with people.client("alice") as alice:
            with pytest.raises(RecoveryImpossible, match="before there were recovery words"):
                await alice.recovery.words()
            with pytest.raises(RecoveryImpossible):
                await alice.recovery.confirm(" ".join(RecoveryKey.generate(os.urandom).words()))
            # The seed stays: it is all there is.
            assert (await alice._account._database.read(load_account)).root_seed is not None
            assert not await alice.recovery.back_up()


async def test_words_of_nobody_recover_nothing(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        with pytest.raises(RecoveryImpossible, match="no account"):
            await restore(people, " ".join(RecoveryKey.generate(os.urandom).words()), tmp_path / "new")
        with pytest.raises(UsageError):
            await restore(people, "abandon", tmp_path / "other")
        async with people.client("alice") as alice:
            words = await confirmed(alice)
        with pytest.raises(AccountExists):
            await restore(people, words, people.home("alice"))


async def test_d3_a_backup_of_a_manager_that_was_removed_warns(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice = await people.enter("alice")
        words = await confirmed(alice)
        first = alice._account.account.device_id
        await link_device(alice, tmp_path / "laptop", manager=True)
        async with Client.open(tmp_path / "laptop") as laptop:
            opened = laptop._account
            await change_devices(
                opened._transport,
                opened._database,
                opened.account,
                opened._system,
                DeviceChange(remove=frozenset((first,))),
            )
        with pytest.raises(BackupOutdated, match="--accept-older"):
            await restore(people, words, tmp_path / "new")
        restored = await restore(people, words, tmp_path / "new", replace(WISHES, accept_older=True))
        assert restored.backup_made_at_ms is not None


async def test_a_backup_that_the_relay_has_changed_is_not_taken(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        alice = await people.enter("alice")
        words = await confirmed(alice)
        transport = alice._account._transport
        page = await read_account_log(transport, LOG_NAME, 0)
        (backup,) = whole_backups(entry.entry for entry in page.entries)
        altered = backup.encode()
        altered = altered[:-1] + bytes((altered[-1] ^ 1,))
        altered = altered[:55] + b"\x7f" + altered[56:]  # a counter above all others
        for index, part in enumerate(parts_of(altered), page.next_index):
            await append_account_log(transport, LOG_NAME, index, part)
        with pytest.raises(BackupOutdated, match="damaged"):
            await restore(people, words, tmp_path / "new")
        restored = await restore(people, words, tmp_path / "new", replace(WISHES, accept_older=True))
        assert restored.backup_made_at_ms is not None


async def test_a_backup_that_nobody_signed_uses_up_no_numbers(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        alice = await people.enter("alice")
        await confirmed(alice)
        transport = alice._account._transport
        page = await read_account_log(transport, LOG_NAME, 0)
        (backup,) = whole_backups(entry.entry for entry in page.entries)
        forged = replace(backup, head=replace(backup.head, counter=2**53 - 1))
        for index, part in enumerate(parts_of(forged.encode()), page.next_index):
            await append_account_log(transport, LOG_NAME, index, part)
        (this,) = await alice.devices.list()
        await alice.devices.rename(this.device, "another name")
        assert await alice.recovery.back_up()
        page = await read_account_log(transport, LOG_NAME, page.next_index)
        newest = whole_backups(entry.entry for entry in page.entries)[-1]
        assert newest.head.counter == backup.head.counter + 1


async def test_a_backup_that_is_none_of_this_account_is_not_taken(tmp_path):
    async with open_people(tmp_path, "alice") as people:
        async with people.client("alice") as alice:
            words = await confirmed(alice)
            transport = alice._account._transport
            person = Person("somebody else", stock=0)
            key = RecoveryKey.from_words(words)
            public = key.sealing().public_bytes()
            forged = seal_backup(b"x", public, person.device, person.manifest, 9, NOW_MS)
            page = await read_account_log(transport, LOG_NAME, 0)
            (part,) = parts_of(forged.encode())
            await append_account_log(transport, LOG_NAME, page.next_index, part)
            await trim_account_log(transport, LOG_NAME, page.next_index)
        with pytest.raises(BackupRefused):
            await restore(people, words, tmp_path / "new")


@pytest.mark.proves("M-RECOV-03")
async def test_an_account_without_a_backup_comes_back_with_its_device_alone(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        async with people.client("alice") as alice:
            words = " ".join(await alice.recovery.words())
        restored = await restore(people, words, tmp_path / "new")
        assert (restored.contacts, restored.backup_made_at_ms) == (0, None)
        told = restored.as_json()
        assert (told["backup"], told["backup_at"]) == (False, None)
        assert "no backup was there; if there should be one, the relay keeps it back" in words_of(restored)
        async with Client.open(tmp_path / "new") as again:
            await again.send("bob", "from scratch")
        assert await texts(await people.enter("bob")) == ["from scratch"]


class Crash(BaseException):
    """The process is killed."""


@pytest.mark.parametrize("step", [Step.RESTORE_KEPT, Step.MANIFEST_TAKEN, Step.PREKEYS_UP])
async def test_a_restore_that_was_killed_goes_on_with_the_same_words(tmp_path, step):
    def reached(at: Step) -> None:
        if at is step:
            raise Crash

    async with open_people(tmp_path, "alice", "bob") as people:
        async with people.client("alice") as alice:
            await alice.send("bob", "before")
            words = await confirmed(alice)
        machine = replace(this_machine(), reached=reached)
        with pytest.raises(Crash):
            await restore(people, words, tmp_path / "new", system=machine)
        with pytest.raises((UsageError, RecoveryImpossible)):
            await restore(people, " ".join(RecoveryKey.generate(os.urandom).words()), tmp_path / "new")
        restored = await restore(people, words, tmp_path / "new")
        assert restored.contacts == 1
        async with Client.open(tmp_path / "new") as again:
            assert (await own_chain(again)).version == 2  # one new list, though it was begun twice
            await again.send("bob", "after")


async def test_a_backup_is_made_when_changes_rest_and_after_ten_minutes_at_the_latest(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        shift = 0
        real = this_machine()
        people.machines["alice"] = replace(real, now_ms=lambda: real.now_ms() + shift)
        alice = await people.enter("alice")
        await confirmed(alice)
        opened = alice._account

        async def look() -> bool:
            return await back_up_if_due(opened._transport, opened._database, opened._system)

        assert not await look()
        await alice.send("bob", "a new contact")
        assert not await look()  # it has just changed
        shift += REST_MS
        assert await look()
        assert not await look()
        page = await read_account_log(opened._transport, LOG_NAME, 0)
        (backup,) = whole_backups(entry.entry for entry in page.entries)
        assert (backup.head.counter, page.first_index) == (2, 1)  # the one before is gone
        shift += MOST_MS
        await alice.contact_link()
        assert await look()


async def test_a_backup_cut_off_before_the_old_one_went_is_made_anew(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        async with people.client("alice") as alice:
            words = await confirmed(alice)

        def reached(at: Step) -> None:
            if at is Step.BACKED_UP:
                raise Crash

        people.machines["alice"] = replace(this_machine(), reached=reached)
        async with people.client("alice") as dying:
            await dying.send("bob", "a contact")
            with pytest.raises(Crash):
                await dying.recovery.back_up()
        people.machines.pop("alice")
        async with people.client("alice") as alice:
            assert await alice.recovery.back_up()
            page = await read_account_log(alice._account._transport, LOG_NAME, 0)
            counters = [one.head.counter for one in whole_backups(e.entry for e in page.entries)]
            assert counters == [3]
        assert (await restore(people, words, tmp_path / "new")).contacts == 1


def test_a_backup_in_parts_is_whole_in_any_order_and_not_without_one():
    person = Person("owner", stock=0)
    key = RecoveryKey.generate(person.random)
    content = person.random(600_000)
    backup = seal_backup(content, key.sealing().public_bytes(), person.device, person.manifest, 1, NOW_MS)
    parts = parts_of(backup.encode())
    assert len(parts) == 3
    assert all(len(part) <= 262_144 for part in parts)
    assert [one.encode() for one in whole_backups(reversed(parts))] == [backup.encode()]
    assert whole_backups(parts[:2]) == []
    assert whole_backups([*parts[:2], parts[2][:-1] + b"\0"]) in ([], [backup])
    assert whole_backups([b"", b"short", bytes(300), b"\2" + parts[0][1:]]) == []
    with pytest.raises(InvalidEncoding):
        decode_backup(b"nothing")
