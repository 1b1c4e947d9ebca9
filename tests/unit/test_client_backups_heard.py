"""Contacts remember the newest backup of an account and tell it to a device that came back; what was kept from it is told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from client.account import load_account, save_account
from client.contents import BackupHeads, decode_content
from client.devices.shared_items import put_item
from client.envelopes import Encrypted
from client.store.backup_rows import (
    RestoredFrom,
    backup_of,
    find_restored_from,
    keep_backup_of,
    keep_restored_from,
)
from client.store.log_rows import all_evidence
from client.transparency.backups import STATE, BackupState, hear_backups, hear_own_backup, verified_head
from client.transparency.gossip import EVERY_MS
from crypto.errors import InvalidEncoding
from crypto.keys import LocalDevice
from crypto.manifest_chain import VerifiedManifest
from crypto.recovery import RecoveryKey, SignedBackupHead, seal_backup
from tests.client_pair import START_MS, Clock, Person, open_pair, open_person
from tests.crypto_people import SeededRandom

PUBLIC = RecoveryKey(bytes(range(32))).sealing().public_bytes()
DIGEST = bytes(32)
_heads: dict[tuple[str, int, int], bytes] = {}


def head(of: Person, counter: int, *, made_at_ms: int = START_MS - 1_000) -> bytes:
    """The signed head of a backup that this device made; each is sealed once, for that takes a while."""
    key = of.account.device_id.hex(), counter, made_at_ms
    if key not in _heads:
        account = of.account
        backup = seal_backup(b"", PUBLIC, account.local, account.own, counter, made_at_ms)
        _heads[key] = backup.signed_head.encode()
    return _heads[key]


async def backed_up(person: Person, counter: int) -> bytes:
    """The newest backup is this one, as all own devices know."""
    encoded = head(person, counter)
    state = msgspec.msgpack.encode(BackupState(counter, DIGEST, START_MS - 1_000, encoded))
    await person.database.run(lambda tx: put_item(tx, STATE, state, person.system))
    return encoded


async def carried(sender: Person, to: Person) -> tuple[BackupHeads | None, list[bytes]]:
    """What the next text carries, and its envelopes."""
    await sender.draft(to, "more")
    assert isinstance(await sender.encrypt(to), Encrypted)
    (row,) = await sender.outgoing()
    return decode_content(row.content).backups, [one.ciphertext for one in row.envelopes]


@asynccontextmanager
async def came_back(
    folder: Path, counter: int = 1, *, at_ms: int = START_MS
) -> AsyncIterator[tuple[Person, Person]]:
    """Alice, as a device that came back from her backup of this number (0: from none), and another one that is lost."""
    async with open_person(folder / "lost", "lost", Clock()) as lost:
        new = LocalDevice.generate(lost.id, SeededRandom("new phone"))
        restored = replace(lost.account, local=new)
        async with open_person(folder / "new", "new", lost.clock, restored) as alice:
            known = head(lost, counter) if counter else b""
            row = RestoredFrom(counter, START_MS - 5_000 if counter else 0, known, at_ms)
            await alice.database.run(lambda tx: keep_restored_from(tx, row))
            yield alice, lost


async def hears(alice: Person, theirs: bytes) -> list[tuple[str, bytes, bytes]]:
    """What is kept as evidence once somebody told of this backup of hers."""
    told = BackupHeads(b"", theirs)
    await alice.database.run(lambda tx: hear_backups(tx, load_account(tx), bytes(32), told, START_MS))
    return [(row.kind, row.known, row.other) for row in await alice.database.read(all_evidence)]


async def test_a_contact_keeps_the_newest_and_tells_it_back(tmp_path: Path) -> None:
    async with open_pair(tmp_path) as (alice, bob):
        first = await backed_up(alice, 3)
        told, envelopes = await carried(alice, bob)
        assert told == BackupHeads(first, b"")
        await bob.receive(envelopes)
        assert await bob.database.read(lambda tx: backup_of(tx, alice.id)) == first
        assert (await carried(bob, alice))[0] == BackupHeads(b"", first)
        newer = await backed_up(alice, 4)
        assert (await carried(alice, bob))[0] is None, "a backup alone is no reason"
        alice.clock.ms += EVERY_MS
        told, envelopes = await carried(alice, bob)
        assert told == BackupHeads(newer, b"")
        await backed_up(alice, 2)
        alice.clock.ms += EVERY_MS
        await bob.receive(envelopes + (await carried(alice, bob))[1])
        assert await bob.database.read(lambda tx: backup_of(tx, alice.id)) == newer


async def test_who_has_no_backup_says_nothing(tmp_path: Path) -> None:
    async with open_pair(tmp_path) as (alice, bob):
        told, envelopes = await carried(alice, bob)
        assert told is None
        await bob.receive(envelopes)
        assert await bob.database.read(lambda tx: backup_of(tx, alice.id)) == b""


async def test_what_the_account_has_not_signed_is_not_kept(tmp_path: Path) -> None:
    async with open_pair(tmp_path) as (alice, bob):
        await bob.receive((await carried(alice, bob))[1])
        true = await backed_up(alice, 3)
        forged = true[:56] + b"\x09" + true[57:]
        for wrong in (forged, true[:-1], b"", head(bob, 5)):

            def hear(tx, told=wrong) -> None:
                hear_backups(tx, bob.account, alice.id, BackupHeads(told, b""), START_MS)

            await bob.database.run(hear)
            assert await bob.database.read(lambda tx: backup_of(tx, alice.id)) == b""
        await bob.database.run(lambda tx: keep_backup_of(tx, alice.id, forged))
        told = BackupHeads(true, b"")
        await bob.database.run(lambda tx: hear_backups(tx, bob.account, alice.id, told, START_MS))
        assert await bob.database.read(lambda tx: backup_of(tx, alice.id)) == true


@pytest.mark.proves("M-RECOV-04")
async def test_d3_a_newer_backup_than_the_restored_one_is_an_alarm_with_both(tmp_path: Path) -> None:
    async with came_back(tmp_path) as (alice, lost):
        assert await hears(alice, head(lost, 1)) == []
        newer = head(lost, 3)
        assert await hears(alice, newer) == [("backup_outdated", head(lost, 1), newer)]
        (warned,) = await alice.told()
        assert warned.kind == "backup_outdated"
        assert "backup 1 of " in warned.detail
        assert "backup 3 of " in warned.detail
        assert len(await hears(alice, newer)) == len(await hears(alice, head(lost, 2))) == 1
        restored = await alice.database.read(find_restored_from)
        assert restored is not None
        assert restored.heard == 3, "the next backup counts above it"


async def test_d3_that_there_was_a_backup_at_all_is_an_alarm_for_who_got_none(tmp_path: Path) -> None:
    async with came_back(tmp_path, 0) as (alice, lost):
        assert await hears(alice, head(lost, 1)) == [("backup_outdated", b"", head(lost, 1))]
        assert "gave you no backup" in (await alice.told())[0].detail


@pytest.mark.parametrize("which", ["forged", "another account", "made later", "nonsense"])
async def test_what_says_nothing_about_the_restored_backup_is_no_alarm(tmp_path: Path, which: str) -> None:
    async with came_back(tmp_path) as (alice, lost):
        true = head(lost, 3)
        told = {
            "forged": true[:56] + b"\x09" + true[57:],
            "another account": true[:1] + bytes(32) + true[33:],
            "made later": head(lost, 3, made_at_ms=START_MS + 1),
            "nonsense": bytes(201),
        }[which]
        assert await hears(alice, told) == []


async def test_a_backup_since_this_device_is_there_is_no_alarm_whatever_the_clock_says(
    tmp_path: Path,
) -> None:
    async with came_back(tmp_path) as (alice, lost):

        def in_the_list(tx) -> VerifiedManifest:
            account = load_account(tx)
            save_account(tx, replace(account, local=lost.account.local))  # whom the manifest lists
            return account.own

        own = await alice.database.run(in_the_list)
        assert verified_head(head(lost, 3), own) is not None
        assert await hears(alice, head(lost, 3)) == []


async def test_own_devices_tell_by_the_shared_item(tmp_path: Path) -> None:
    async with came_back(tmp_path) as (alice, lost):
        newer = head(lost, 4)

        def tell(tx, state: BackupState) -> int:
            put_item(tx, STATE, msgspec.msgpack.encode(state), alice.system)
            hear_own_backup(tx, load_account(tx), START_MS)
            return len(all_evidence(tx))

        for state, alarms in (
            (BackupState(1, DIGEST, START_MS - 1, head(lost, 1)), 0),
            (BackupState(4, DIGEST, START_MS - 1_000, newer), 1),
            (BackupState(5, DIGEST, START_MS + 9), 1),
            (BackupState(6, DIGEST, START_MS - 9), 2),  # of a device that tells no head: it is believed
        ):
            assert await alice.database.run(lambda tx, state=state: tell(tx, state)) == alarms


def test_a_head_is_of_one_length_and_of_possible_numbers() -> None:
    good = bytes((1,)) + bytes(200)
    assert SignedBackupHead.parse(good).encode() == good
    for wrong in (good[:-1], good + b"\0", bytes(201), good[:49] + b"\xff" + good[50:]):
        with pytest.raises(InvalidEncoding, match="backup"):
            SignedBackupHead.parse(wrong)
