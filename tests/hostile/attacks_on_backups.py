"""A relay that lies to somebody who has nothing left but the words of the account: old backups, nonsense, those of others."""

from dataclasses import dataclass, replace
from typing import Any

from client import Client
from client.cli.recovery_work import words_of
from client.logs import account_log_entries
from client.recovery.backup_content import encode_backup
from client.recovery.backup_parts import LOG_NAME, parts_of, whole_backups
from client.recovery.restoring import Restored, RestoreWishes
from client.transport import Transport
from crypto.recovery import RecoveryKey, SignedBackup, open_backup, seal_backup
from relay.wire.links import encode_bytes, encode_id
from tests.hostile.attacks import Guard, attack, nothing
from tests.hostile.attacks_on_device_lists import account_of
from tests.hostile.attacks_on_own_devices import linked
from tests.hostile.middleman import Exchange
from tests.hostile.stage import Person, Stage

WISHES = RestoreWishes("new phone")
BACKUPS = "/v1/logs/backup"


def _open_without_warning(*arguments: Any, outdated_is_fine: bool = False) -> bytes:
    """Any backup of the account is as good as another."""
    return open_backup(*arguments, outdated_is_fine=True)


async def confirms(person: Person) -> str:
    """The words of the account, which are written down from here on."""
    async with person.client() as client:
        words = " ".join(await client.recovery.words())
        await client.recovery.confirm(words)
    return words


async def _backs_up(person: Person) -> None:
    async with person.client() as client:
        await client.recovery.back_up()


async def _backup_of(stage: Stage, person: Person) -> SignedBackup:
    """The one that lies at the relay now."""
    account = await account_of(person)
    async with Transport(stage.relay.origin, person.system, account) as transport:
        (backup,) = whole_backups([one.entry async for one in account_log_entries(transport, LOG_NAME)])
    return backup


def _gives(stage: Stage, *backups: SignedBackup) -> None:
    """From now on these lie in the log, and nothing else."""
    parts = [part for backup in backups for part in parts_of(backup.encode())]

    def answer(exchange: Exchange) -> None:
        entries = [{"index": n, "entry": encode_bytes(part), "at_ms": 1} for n, part in enumerate(parts)]
        exchange.json = {"entries": entries, "next_index": len(parts), "first_index": 0}

    stage.relay.changes_answers("GET", BACKUPS, answer)


def _opens_nothing_amiss(*_: Any, **__: Any) -> bytes:
    """Whoever made a backup, it is taken."""
    return encode_backup([])


async def _restores(stage: Stage, new: Person, words: str, wishes: RestoreWishes = WISHES) -> Restored:
    restored = await Client.restore(new.home, stage.relay.origin, words, wishes, system=new.system)
    new.is_(restored.identity)
    return restored


@attack(Guard("client.recovery.restoring.open_backup", _open_without_warning))
async def gives_a_backup_of_a_removed_device(stage: Stage) -> None:
    """gives the backup of before its device was removed to somebody who restores the account"""
    (bob,) = await stage.people("bob")
    words = await confirms(bob)
    tablet = await linked(stage, bob)
    old = await _backup_of(stage, bob)
    async with tablet.client() as client:
        await client.devices.revoke(encode_id(bob.device_id))
    await _backs_up(tablet)
    new = stage.stranger("bob's new phone")
    _gives(stage, old)
    await stage.refuses(new, _restores(stage, new, words), "backup_outdated")


@dataclass(frozen=True)
class _Outdated:
    """Somebody who met `carla` after the old backup, and then, on a new phone, got the old one."""

    bob: Person
    carla: Person
    new: Person
    restored: Restored


async def _restores_what_is_outdated(stage: Stage, wishes: RestoreWishes = WISHES) -> _Outdated:
    """The older backup is by a device that is still listed."""
    bob, carla, dora = await stage.people("bob", "carla", "dora")
    words = await confirms(bob)
    old = await _backup_of(stage, bob)
    await bob.says(dora, "hello")
    await _backs_up(bob)
    await bob.says(carla, "hello")
    await carla.listens()
    new = stage.stranger("bob's new phone")
    _gives(stage, old)
    restored = await _restores(stage, new, words, wishes)
    stage.holds(restored.backup_made_at_ms == old.head.made_at_ms, "the time of the old backup is told")
    stage.shows(f"{new.name}: {words_of(restored)}")
    return _Outdated(bob, carla, new, restored)


@attack(Guard("client.transparency.backups._compare", nothing))
async def gives_an_older_backup(stage: Stage) -> None:
    """gives an older backup to somebody who restores the account, and has a contact who heard of the newest"""
    found = await _restores_what_is_outdated(stage)
    await found.new.says(found.carla, "it is me")
    await found.carla.listens()
    await found.carla.says(found.bob, "welcome back")
    await found.new.listens()
    stage.tells(found.new, "backup_outdated")


@attack(Guard("client.transparency.backups._compare", nothing))
async def gives_an_older_backup_though_a_device_is_kept(stage: Stage) -> None:
    """gives an older backup to somebody who restores the account beside a device that is still there"""
    found = await _restores_what_is_outdated(stage, replace(WISHES, keep_devices=True))
    new, bob = found.new, found.bob
    stage.holds(found.restored.contacts == 0, "the backup lacks whom bob met since")
    for device in (new, bob, bob, new):
        await device.flushes()
        await device.listens()
    async with new.client() as client:
        known = [one.account for one in await client.contacts()]
    stage.holds(encode_id(found.carla.account_id) in known, "the new phone hears of carla from the kept one")
    stage.tells(new, "backup_outdated")


@attack(cannot="there may never have been a backup; that there is none is told")
async def gives_no_backup(stage: Stage) -> None:
    """says that there is no backup to somebody who restores the account"""
    (bob,) = await stage.people("bob")
    words = await confirms(bob)
    new = stage.stranger("bob's new phone")
    _gives(stage)
    stage.shows(f"{new.name}: {words_of(await _restores(stage, new, words))}")


@attack(cannot="what does not open gives nothing")
async def gives_nonsense_as_a_backup(stage: Stage) -> None:
    """gives nonsense under the head of a backup to somebody who restores the account"""
    (bob,) = await stage.people("bob")
    words = await confirms(bob)
    true = await _backup_of(stage, bob)
    new = stage.stranger("bob's new phone")
    _gives(stage, replace(true, sealed=bytes(len(true.sealed))))
    await stage.refuses(new, _restores(stage, new, words), "backup_refused")


@attack(Guard("client.recovery.restoring.open_backup", _opens_nothing_amiss))
async def gives_a_backup_of_another_account(stage: Stage) -> None:
    """gives a backup that the device of another account made and sealed for these words"""
    bob, mallory = await stage.people("bob", "mallory")
    words = await confirms(bob)
    public = RecoveryKey.from_words(words).sealing().public_bytes()
    other = await account_of(mallory)
    forged = seal_backup(encode_backup([]), public, other.local, other.own, 9, bob.system.now_ms())
    new = stage.stranger("bob's new phone")
    _gives(stage, forged)
    await stage.refuses(new, _restores(stage, new, words), "backup_refused")
