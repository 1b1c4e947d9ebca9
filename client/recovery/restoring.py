"""From the words to a device that works: the root key signs a list with this device, the backup is opened, keys go up.

Cut off at any moment, the same words go on where it was: the device's keys are kept before the relay sees them, the words
never. docs/protocol.md, "Recovery".
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from client.account import as_registered, find_account, save_account
from client.account_requests import put_signed_manifest, request_recovery
from client.archive.keys import take_sealed_keys
from client.devices.arriving import arrive
from client.devices.device_names import checked_name, encode_name, key_of
from client.devices.revoking import change_own_tokens
from client.devices.shared_items import apply_items, ask_for_all, has_other_devices, put_item
from client.devices.shared_kinds import TOKEN
from client.errors import (
    AccountExists,
    BackupOutdated,
    BackupRefused,
    DevicesRefused,
    RecoveryImpossible,
    Refused,
    RelayMisbehaved,
    UsageError,
)
from client.groups.returning import LOST, waiting_groups
from client.message import Identity
from client.message_groups import GroupInfo
from client.registration import register_token
from client.store import facts
from client.store.backup_rows import RestoredFrom, keep_restored_from
from client.store.database import Database, Transaction
from client.store.restoring_rows import Restoring, find_restoring, forget_restoring, keep_restoring
from client.store.shared import Item, items_under
from client.system import Step, System
from client.times import iso_time
from client.transparency.backups import STATE, BackupState
from client.transport import Transport
from client.trust import believe
from crypto import errors as crypto_errors
from crypto.keys import LocalDevice
from crypto.keys import account_id as account_id_of
from crypto.manifest import DeviceEntry, SignedManifest, build_manifest, device_entry, sign_manifest
from crypto.manifest_chain import VerifiedManifest
from crypto.recovery import RecoveryKey, SignedBackup, open_backup
from relay.wire.limits import MAX_DEVICES

from .backing_up import backups_in_log
from .backup_content import SEALING_KEY, decode_backup, encode_sealing_key

_TRIES: Final = 4
_OLDER: Final = "whom you met since is not in it; --accept-older takes it all the same"


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back."""

    identity: Identity
    contacts: int
    backup_made_at_ms: int | None
    """None: there was no backup."""
    groups: int = 0
    """Groups that this device asks to be let into again."""
    lost_groups: tuple[str, ...] = ()
    """Names of groups that nobody can let it into."""

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        shown = self.identity.as_json()
        return {
            **shown,
            "type": "restored",
            "contacts": self.contacts,
            "groups": self.groups,
            "groups_lost": list(self.lost_groups),
            "backup": self.backup_made_at_ms is not None,
            "backup_at": None if self.backup_made_at_ms is None else iso_time(self.backup_made_at_ms),
        }


@dataclass(frozen=True, slots=True)
class RestoreWishes:
    """`keep_devices`: the others stay in the list; else the new device is alone. `accept_older`: the user was warned."""

    name: str
    keep_devices: bool = False
    accept_older: bool = False


def key_of_words(words: str) -> RecoveryKey:
    """The key of typed words; raises UsageError."""
    try:
        return RecoveryKey.from_words(words)
    except crypto_errors.InvalidEncoding as error:
        raise UsageError(f"these are not 24 recovery words: {error}") from error


async def restore_account(
    database: Database, origin: str, key: RecoveryKey, wishes: RestoreWishes, system: System
) -> Restored:
    """Make this empty store a device of the account of these words.

    Raises AccountExists, UsageError, RecoveryImpossible, BackupOutdated (call again with `accept_older`), BackupRefused,
    DevicesRefused, RelayKeyChanged, RelayUnreachable, Refused.
    """
    name = checked_name(wishes.name)
    await database.read(_require_free)
    async with Transport(origin, system) as unsigned:
        document = await unsigned.relay_document(None)
        await _whole_chain(unsigned, account_id_of(key.root().public), key, system)
    restoring = await database.run(lambda tx: _begin(tx, origin, key, system))
    system.reached(Step.RESTORE_KEPT)
    async with Transport(origin, system, restoring) as transport:
        before, own = await _come_in(transport, restoring, key, wishes, system)
        system.reached(Step.MANIFEST_TAKEN)
        account = await arrive(transport, database, restoring.local, document.signing_key, own, system)
        asked_at_ms = system.now_ms()
        backups, _ = await backups_in_log(transport)
        backup, items = _open_newest(backups, key, before, wishes)
        restored = _restored_from(backup, asked_at_ms)
        if all(item.key != f"{TOKEN}/contact" for item in items):
            await register_token(transport, database, "contact", system)
        done = as_registered(account, account.role)

        def take(tx: Transaction) -> tuple[int, list[GroupInfo]]:
            save_account(tx, done)
            forget_restoring(tx)
            apply_items(tx, items, system.now_ms())
            take_sealed_keys(tx, key.sealing())
            sealing = encode_sealing_key(key.sealing().public_bytes())
            put_item(tx, SEALING_KEY, sealing, system)
            if has_other_devices(done):
                ask_for_all(tx, system)  # they know what came after the backup, and its counter
            else:
                change_own_tokens(tx, system)  # those that are out of the account now know the old ones
                state = BackupState(
                    restored.counter, bytes(32), 0, restored.head
                )  # the next one counts above it
                put_item(tx, STATE, msgspec.msgpack.encode(state), system)
            keep_restored_from(tx, restored)
            put_item(tx, key_of(done.device_id), encode_name(name), system)
            facts.set_number(tx, facts.HANDED_OVER, 1)
            return len(items_under(tx, "contact")), waiting_groups(tx)

        contacts, groups = await database.run(take)
        identity = (await database.read(lambda tx: find_account(tx) or done)).identity()
        made_at_ms = None if backup is None else backup.head.made_at_ms
        # Devices that stay let this one in, if nobody else can.
        lost = () if has_other_devices(done) else tuple(one.called for one in groups if one.status == LOST)
        return Restored(identity, contacts, made_at_ms, len(groups) - len(lost), lost)


def _begin(tx: Transaction, origin: str, key: RecoveryKey, system: System) -> Restoring:
    """The new device of the account of these words, made once."""
    account_id = account_id_of(key.root().public)
    known = find_restoring(tx)
    _require_free(tx)
    if known is not None:
        if (known.origin, known.local.account_id) != (origin, account_id):
            raise UsageError("another account was being restored in this folder: choose another one")
        return known
    restoring = Restoring(origin, LocalDevice.generate(account_id, system.random))
    keep_restoring(tx, restoring)
    return restoring


def _require_free(tx: Transaction) -> None:
    """Raise unless this folder is empty, or a restore was begun in it."""
    account = find_account(tx)
    if account is not None and account.registered:
        raise AccountExists("there is an account in this folder already: choose another folder")
    if account is not None and find_restoring(tx) is None:
        raise UsageError("a registration was begun in this folder: choose another one")


async def _whole_chain(
    transport: Transport, account_id: bytes, key: RecoveryKey, system: System
) -> VerifiedManifest:
    """The account's chain from version 1: a backup names a version of it."""
    newest: VerifiedManifest | None = None
    version = 1
    while True:
        try:
            answer = await request_recovery(
                transport, account_id, key.root().seed, system.random, from_version=version
            )
        except Refused as refused:
            if refused.reason != "unauthenticated":
                raise
            raise RecoveryImpossible("no account at this relay has these words") from refused
        chain = [SignedManifest(one.body, one.signer, one.signature) for one in answer.manifests]
        if not chain:
            raise RelayMisbehaved("the relay knows the account, and no device list of it")
        newest = believe(account_id, newest, chain)
        last = chain[-1].manifest.version
        if last >= answer.latest or last < version:
            return newest
        version = last + 1


async def _come_in(
    transport: Transport, restoring: Restoring, key: RecoveryKey, wishes: RestoreWishes, system: System
) -> tuple[VerifiedManifest, VerifiedManifest]:
    """(The chain as it was before this device, the one that has it)."""
    account_id = restoring.local.account_id
    for _ in range(_TRIES):
        own = await _whole_chain(transport, account_id, key, system)
        if any(one.device_id == restoring.device_id for one in own.manifest.devices):
            return _before(own, restoring.device_id), own
        mine = device_entry(restoring.local, added_at_ms=system.now_ms(), manager=True)
        entries: list[DeviceEntry] = [mine, *(own.manifest.devices if wishes.keep_devices else ())]
        if len(entries) > MAX_DEVICES:
            raise UsageError(f"the account has {MAX_DEVICES} devices: they cannot all be kept")
        root = key.root()
        body = build_manifest(root.public, own.version + 1, own.hash, entries)
        signed = sign_manifest(body, root)
        try:
            await put_signed_manifest(transport, account_id, signed)
        except Refused as refused:
            if refused.reason != "manifest_conflict":
                raise
            continue  # another device changes the list at this moment: on top of that
        return own, believe(account_id, own, [signed])
    raise Refused("manifest_conflict", "the device list changes too quickly", retryable=True)


def _before(own: VerifiedManifest, device_id: bytes) -> VerifiedManifest:
    """The chain without the versions that list this device."""
    without = [
        signed for signed in own.chain if all(one.device_id != device_id for one in signed.manifest.devices)
    ]
    if not without:
        raise DevicesRefused("the account began with this device: there is nothing to restore")
    return VerifiedManifest(own.account_id, tuple(without))


def _restored_from(backup: SignedBackup | None, asked_at_ms: int) -> RestoredFrom:
    """What later tells of other backups are compared with."""
    if backup is None:
        return RestoredFrom(0, 0, b"", asked_at_ms)
    head = backup.head
    return RestoredFrom(head.counter, head.made_at_ms, backup.signed_head.encode(), asked_at_ms)


def _open_newest(
    backups: list[SignedBackup], key: RecoveryKey, before: VerifiedManifest, wishes: RestoreWishes
) -> tuple[SignedBackup | None, list[Item]]:
    """The newest backup that is one; (None, []) if there is none at all."""
    refused: crypto_errors.CryptoError | None = None
    for backup in sorted(backups, key=lambda one: one.head.counter, reverse=True):
        try:
            content = open_backup(backup, key, before, outdated_is_fine=wishes.accept_older)
            items = decode_backup(content)
        except crypto_errors.BackupOutdated as error:
            raise BackupOutdated(
                f"the relay's backup is not the newest there was ({error}): {_OLDER}"
            ) from error
        except crypto_errors.CryptoError as error:
            refused = error
            continue
        if refused is not None and not wishes.accept_older:
            raise BackupOutdated(f"a newer backup is damaged ({refused}): {_OLDER}")
        return backup, items
    if refused is not None:
        raise BackupRefused(f"the relay's backup is not taken: {refused}") from refused
    return None, []
