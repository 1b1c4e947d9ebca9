"""What the user calls each own device: a shared item, so that all of them say the same."""

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from client.errors import UsageError
from client.store.database import Transaction
from client.store.shared import find_item
from crypto.limits import MAX_DEVICE_NAME_BYTES
from crypto.manifest import DeviceEntry
from relay.wire.limits import DEVICE_ID_BYTES
from relay.wire.links import decode_id, encode_id

PREFIX: Final = "device"


class DeviceName(msgspec.Struct, frozen=True, array_like=True):
    """The value of an item `device/<hex of the device id>`."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_DEVICE_NAME_BYTES)]


_decoder: Final = msgspec.msgpack.Decoder(DeviceName)


def key_of(device_id: bytes) -> str:
    """The key of its item."""
    return f"{PREFIX}/{device_id.hex()}"


def device_name(tx: Transaction, device_id: bytes) -> str:
    """How to call it: its name, else the beginning of its id."""
    item = find_item(tx, key_of(device_id))
    try:
        return encode_id(device_id)[:8] if item is None else _decoder.decode(item.value).name
    except (msgspec.DecodeError, UnicodeDecodeError):
        return encode_id(device_id)[:8]  # in a form of a newer version


def checked_name(name: str) -> str:
    """The name without spaces around it. Raises UsageError for one that is empty, too long or not printable."""
    text = name.strip()
    if not text or len(text.encode()) > MAX_DEVICE_NAME_BYTES or not text.isprintable():
        raise UsageError(f"a device's name is 1 to {MAX_DEVICE_NAME_BYTES} bytes of printable text")
    return text


def encode_name(name: str) -> bytes:
    """The value of a name; raises UsageError."""
    return msgspec.msgpack.encode(DeviceName(checked_name(name)))


def choose_device(tx: Transaction, listed: Iterable[DeviceEntry], wanted: str) -> DeviceEntry:
    """The listed device of this id or beginning of it, or of this name if one alone has it. Raises UsageError."""
    entries = list(listed)
    text = wanted.strip()
    try:
        device_id = decode_id(text.lower(), DEVICE_ID_BYTES)
        found = [entry for entry in entries if entry.device_id == device_id]
    except ValueError:
        found = [entry for entry in entries if device_name(tx, entry.device_id) == text]
        if not found and len(text) >= 4:
            found = [entry for entry in entries if encode_id(entry.device_id).startswith(text.lower())]
    if not found:
        raise UsageError("no device of this account has that name or id: see `tokenim device list`")
    if len(found) > 1:
        raise UsageError("several devices have that name: give the id")
    return found[0]
