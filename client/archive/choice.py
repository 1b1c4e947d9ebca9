"""Who may have the history: the setting that all own devices share, and whose word on it counts.

Managers alone say so: else any own device let itself have it, and the others gave it the keys. Functions of a
Transaction. docs/protocol.md, "Who has the keys".
"""

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from client.account import Account
from client.devices.settings import HISTORY_ARCHIVE, setting_key
from client.devices.shared_items import put_item
from client.message import Warned
from client.store import notices
from client.store.database import Transaction
from client.store.shared import Item, find_item
from client.system import System
from relay.wire import limits
from relay.wire.links import encode_id

_KEY: Final = setting_key(HISTORY_ARCHIVE)
SEALED_KEYS: Final = "history/keys"
_MAX_DEVICES: Final = 64

DeviceId = Annotated[bytes, Meta(min_length=limits.DEVICE_ID_BYTES, max_length=limits.DEVICE_ID_BYTES)]


class ArchiveSetting(msgspec.Struct, frozen=True, array_like=True):
    """The value of `setting/history_archive`. `devices`: who has the keys."""

    is_on: bool = False
    devices: Annotated[list[DeviceId], Meta(max_length=_MAX_DEVICES)] = []


_setting: Final = msgspec.msgpack.Decoder(ArchiveSetting)


def archive_setting(tx: Transaction) -> ArchiveSetting:
    """Whether the archive is on, and who has its keys. A value of a newer form counts as off."""
    return _decoded(find_item(tx, _KEY))


def put_setting(tx: Transaction, setting: ArchiveSetting, system: System) -> bool:
    """Set it for all own devices; whether something was drafted."""
    return put_item(tx, _KEY, msgspec.msgpack.encode(setting), system)


def is_manager(account: Account, device_id: bytes) -> bool:
    """Whether the own list says so."""
    return any(one.device_id == device_id and one.manager for one in account.own.manifest.devices)


def may_give(tx: Transaction, account: Account, device_id: bytes) -> bool:
    """Whether keys of the archive are taken from this own device."""
    return is_manager(account, device_id) or device_id in archive_setting(tx).devices


def without_claims(tx: Transaction, account: Account, items: Iterable[Item], told_by: bytes) -> list[Item]:
    """The items without a setting by which a device that is no manager changes who may have the history, and without the
    keys for the words of one that may not give any.

    It may take out who left the account, and switch the archive off. The one that tells counts, not the one that the item
    names: that anybody can write. What would let more devices have it is told.
    """
    if is_manager(account, told_by):
        return list(items)
    known, listed = archive_setting(tx), {one.device_id for one in account.own.manifest.devices}
    kept = []
    for item in items:
        if item.key == SEALED_KEYS:
            if not known.is_on or told_by in known.devices:
                kept.append(item)
            continue
        setting = _decoded(item)
        if item.key != _KEY or not setting.is_on or not _is_newer(tx, item):
            kept.append(item)
        elif not known.is_on or not set(setting.devices) <= set(known.devices):
            _tell_claim(tx, account, told_by)
        elif not (set(known.devices) - set(setting.devices)) & listed:
            kept.append(item)
    return kept


def _is_newer(tx: Transaction, item: Item) -> bool:
    before = find_item(tx, item.key)
    return before is None or before.rank < item.rank


def _tell_claim(tx: Transaction, account: Account, told_by: bytes) -> None:
    detail = (
        f"the device {told_by.hex()} is no manager, and would let other devices have the history archive"
        " than those that were chosen: `history-archive on` on a manager lets all that there are"
    )
    notices.tell_once(tx, Warned("history_claimed", detail, encode_id(account.account_id)))


def _decoded(item: Item | None) -> ArchiveSetting:
    """Off for what is none."""
    try:
        return ArchiveSetting() if item is None else _setting.decode(item.value)
    except msgspec.DecodeError:
        return ArchiveSetting()
