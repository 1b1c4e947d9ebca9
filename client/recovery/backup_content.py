"""What is in a backup: all items that the own devices share, and the signed device lists of contacts. No key of a device.

docs/protocol.md, "Backups".
"""

import hashlib
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from client.devices.shared_items import everything
from client.devices.shared_kinds import CHAIN
from client.store.database import Transaction
from client.store.shared import Item, find_item
from client.system import System
from client.transparency.backups import STATE
from crypto.errors import InvalidEncoding

SEALING_KEY: Final = "recovery/sealing"
"""The public key that backups are sealed to."""
_VERSION: Final = 1


class BackupContent(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed. A higher version may mean other items, never another array."""

    version: Annotated[int, Meta(ge=1)]
    items: list[Item]

    def __repr__(self) -> str:
        return f"BackupContent({len(self.items)} items)"


_content: Final = msgspec.msgpack.Decoder(BackupContent)
_sealing: Final = msgspec.msgpack.Decoder(bytes)


def items_to_back_up(tx: Transaction, system: System) -> list[Item]:
    """All but what says which backup there is."""
    return [item for item in everything(tx, system) if item.key != STATE]


def digest_of(items: list[Item]) -> bytes:
    """32 B over the shared items; device lists are left out, for devices may have begun them at different versions."""
    shared = [item for item in items if not item.key.startswith(f"{CHAIN}/")]
    return hashlib.sha256(msgspec.msgpack.encode(shared)).digest()


def encode_backup(items: list[Item]) -> bytes:
    """The bytes that are sealed."""
    return msgspec.msgpack.encode(BackupContent(_VERSION, items))


def decode_backup(content: bytes) -> list[Item]:
    """The items of a backup; raises InvalidEncoding."""
    try:
        return _content.decode(content).items
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEncoding("not the content of a backup") from error


def encode_sealing_key(public: bytes) -> bytes:
    """The value of `recovery/sealing`."""
    return msgspec.msgpack.encode(public)


def sealing_key(tx: Transaction) -> bytes | None:
    """The 1,216 B key that backups are sealed to, once the words were confirmed."""
    item = find_item(tx, SEALING_KEY)
    try:
        return None if item is None else _sealing.decode(item.value)
    except msgspec.DecodeError:
        return None
