"""Which backups there are, told where the relay cannot take it back: among the own devices, and by contacts.

A device that came back from the words knows only the backup that the relay gave it. Who held the account's newest one
before tells it, with the signature of the manager that made it. docs/protocol.md, "Backups that others know of".
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from client.account import Account
from client.contents import BackupHeads
from client.store.backup_rows import (
    RestoredFrom,
    backup_of,
    find_restored_from,
    keep_backup_of,
    note_backup_heard,
)
from client.store.database import Transaction
from client.store.peers import Peer, find_peer
from client.store.shared import find_item
from client.times import iso_time
from crypto.errors import CryptoError
from crypto.manifest_chain import VerifiedManifest
from crypto.recovery import SIGNED_BACKUP_HEAD_BYTES, SignedBackupHead, verify_backup_head

from .known_log import alarm

STATE: Final = "recovery/backup"
"""The shared item of the newest backup: so all devices know its counter, and whether something has changed since."""
OUTDATED: Final = "backup_outdated"


class BackupState(msgspec.Struct, frozen=True, array_like=True):
    """The value of `recovery/backup`."""

    counter: Annotated[int, Meta(ge=0, le=2**53)]
    digest: Annotated[bytes, Meta(min_length=32, max_length=32)]
    """SHA-256 of the shared items that it holds: the same on all devices."""
    made_at_ms: Annotated[int, Meta(ge=0, le=2**53)]
    head: Annotated[bytes, Meta(max_length=SIGNED_BACKUP_HEAD_BYTES)] = b""
    """Signed; empty if the device that tells this has none."""


_state: Final = msgspec.msgpack.Decoder(BackupState)
_NONE: Final = BackupState(0, bytes(32), 0)


def backup_state(tx: Transaction) -> BackupState:
    """Of the newest backup that this device knows of; counter 0 if it knows of none."""
    item = find_item(tx, STATE)
    try:
        return _NONE if item is None else _state.decode(item.value)
    except msgspec.DecodeError:
        return _NONE  # in a form of a newer version


def told_backups(tx: Transaction, peer: Peer) -> BackupHeads | None:
    """What goes along with gossip: the own newest backup, and theirs as far as it was heard of; None if neither is known."""
    heads = BackupHeads(backup_state(tx).head, backup_of(tx, peer.account_id))
    return heads if heads.own or heads.theirs else None


def hear_backups(
    tx: Transaction, account: Account, account_id: bytes, told: BackupHeads, now_ms: int
) -> None:
    """What another account tells. Anybody may, for what no manager of the account that it is of has signed says nothing."""
    peer = find_peer(tx, account_id)
    before = backup_of(tx, account_id)
    if peer is not None and peer.chain is not None and told.own != before:
        theirs, known = verified_head(told.own, peer.chain), verified_head(before, peer.chain)
        if theirs is not None and (known is None or known.head.counter < theirs.head.counter):
            keep_backup_of(tx, account_id, told.own)
    mine = verified_head(told.theirs, account.own)
    if mine is not None and not _lists(account, mine):
        _compare(tx, account, mine.head.counter, mine.head.made_at_ms, told.theirs, now_ms)


def hear_own_backup(tx: Transaction, account: Account, now_ms: int) -> None:
    """What the own other devices tell of the newest backup, as it is among the shared items now."""
    state = backup_state(tx)
    head = verified_head(state.head, account.own)
    if head is None or not _lists(account, head):
        _compare(tx, account, state.counter, state.made_at_ms, state.head, now_ms)


def verified_head(encoded: bytes, chain: VerifiedManifest) -> SignedBackupHead | None:
    """The head of a backup that a manager on this chain signed; None for anything else."""
    try:
        signed = SignedBackupHead.parse(encoded)
        verify_backup_head(signed, chain)
    except CryptoError:
        return None
    return signed


def _lists(account: Account, signed: SignedBackupHead) -> bool:
    """Whether this device was in the account when the backup was made: then it is from after it came back."""
    manifest = account.own.require(signed.head.manifest_version, signed.head.manifest_hash).manifest
    return any(entry.device_id == account.device_id for entry in manifest.devices)


def _compare(
    tx: Transaction, account: Account, counter: int, made_at_ms: int, head: bytes, now_ms: int
) -> None:
    """Tell, once for each higher counter, that the relay had a newer backup than it gave."""
    restored = find_restored_from(tx)
    if restored is None or counter <= max(restored.counter, restored.heard):
        return
    note_backup_heard(tx, counter)  # the next one counts above it
    if made_at_ms < restored.at_ms:
        detail = _detail(restored, counter, made_at_ms)
        alarm(tx, OUTDATED, detail, account.account_id, restored.head, head, now_ms)


def _detail(restored: RestoredFrom, counter: int, made_at_ms: int) -> str:
    newer = f"backup {counter} of {iso_time(made_at_ms)}"
    gave = (
        f"backup {restored.counter} of {iso_time(restored.made_at_ms)}" if restored.counter else "no backup"
    )
    return (
        f"the relay gave you {gave} to restore from, though there was {newer}:"
        " whom you met, blocked or removed in between may be missing"
    )
