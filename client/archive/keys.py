"""The keys of the history, which only some own devices hold, and their way to others.

A key is no shared item, for each of those opens on every device: it goes sealed to the devices that the owner let have the
history (`giving`), and, sealed to the recovery words, along with the items. docs/protocol.md, "History archive".
"""

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from client.account import Account, load_account
from client.devices.shared_items import put_item
from client.errors import UsageError
from client.message import Warned
from client.store import facts, notices
from client.store.archive_rows import history_keys, save_history_keys
from client.store.database import Transaction
from client.store.link_rows import history_is_due, note_history_given
from client.store.shared import find_item
from client.system import System
from crypto import limits as crypto_limits
from crypto.errors import CryptoError
from crypto.history_archive import HistoryKey, open_history_keys, seal_history_keys
from crypto.primitives import HpkePrivateKey
from relay.wire.links import encode_id

from .choice import SEALED_KEYS, ArchiveSetting, archive_setting, put_setting
from .giving import KeyId, draft_gifts


class SealedKeys(msgspec.Struct, frozen=True, array_like=True):
    """The value of `history/keys`: the ids of the keys, and the keys sealed to the recovery words. Empty without an archive."""

    ids: Annotated[list[KeyId], Meta(max_length=crypto_limits.MAX_HISTORY_KEYS)] = []
    sealed: bytes = b""


_sealed: Final = msgspec.msgpack.Decoder(SealedKeys)


def make_key(tx: Transaction, system: System) -> None:
    """A new key, which seals from now on: it is newer than all that are here, whatever their clocks said."""
    newest_ms = max((one.made_at_ms + 1 for one in history_keys(tx)), default=0)
    at_ms = min(max(system.now_ms(), newest_ms), crypto_limits.MAX_HISTORY_KEY_MS)
    save_history_keys(tx, [HistoryKey.generate(system.random, at_ms)])
    facts.set_number(tx, facts.HISTORY_KEY_AWAITED, 0)


def give_keys(tx: Transaction, account: Account, devices: Iterable[bytes], system: System) -> bool:
    """Draft all keys for these own devices; whether something was drafted."""
    others = set(devices) - {account.device_id}
    if not others or not history_keys(tx):
        return False
    draft_gifts(tx, account, others, system)
    return True


def require_history(tx: Transaction) -> None:
    """Raise UsageError unless this device can give the history to another one."""
    if not archive_setting(tx).is_on or not history_keys(tx):
        raise UsageError(
            "there is no history archive here: `tokenim history-archive on`, or link without the history"
        )


def give_due_history(tx: Transaction, device_id: bytes, system: System) -> None:
    """Draft the keys for a device that was linked with the history, once."""
    if not history_is_due(tx, device_id):
        return
    note_history_given(tx, device_id)
    setting = archive_setting(tx)
    if setting.is_on and history_keys(tx):
        holders = sorted({*setting.devices, device_id})
        put_setting(tx, ArchiveSetting(True, holders), system)
        give_keys(tx, load_account(tx), [device_id], system)


def seal_for_words(tx: Transaction, recovery_public: bytes | None, system: System) -> bool:
    """Bring the item up to the keys that are here; whether something was drafted. Raises InvalidKey."""
    account_id = load_account(tx).account_id
    keys = history_keys(tx)
    ids = [one.id_for(account_id) for one in keys]
    item = find_item(tx, SEALED_KEYS)
    before = SealedKeys() if item is None else _decoded(item.value)
    if recovery_public is None or (before is not None and before.ids == ids):
        return False
    sealed = seal_history_keys(keys, recovery_public, account_id) if keys else b""
    return put_item(tx, SEALED_KEYS, msgspec.msgpack.encode(SealedKeys(ids, sealed)), system)


def take_sealed_keys(tx: Transaction, sealing: HpkePrivateKey) -> None:
    """Of a restored account: the keys that were sealed to its words. What does not open is told."""
    item = find_item(tx, SEALED_KEYS)
    kept = None if item is None else _decoded(item.value)
    if kept is None or not kept.sealed:
        return
    account_id = load_account(tx).account_id
    try:
        save_history_keys(tx, open_history_keys(kept.sealed, sealing, account_id))
    except CryptoError as error:
        detail = f"the keys of the history archive do not open: {error}"
        notices.tell(tx, Warned("history_refused", detail, encode_id(account_id)))


def _decoded(value: bytes) -> SealedKeys | None:
    try:
        return _sealed.decode(value)
    except msgspec.DecodeError:
        return None  # in a form of a newer version
