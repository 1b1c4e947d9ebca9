"""Settings that all own devices share, each an item `setting/<name>`; what is not set has its default."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from client.errors import UsageError
from client.store.database import Transaction
from client.store.shared import find_item
from client.system import System

from .shared_items import put_item

DEVICE_SILENCE_DAYS: Final = "device_silence_days"
"""After so many days without a connection a manager removes a device; 0: never."""
HISTORY_ARCHIVE: Final = "history_archive"
"""Whether the archive is on, and which devices have its keys: client/archive/choice.py."""
DEFAULT_SILENCE_DAYS: Final = 45
MAX_DAYS: Final = 3_650

_days: Final = msgspec.msgpack.Decoder(Annotated[int, Meta(ge=0, le=MAX_DAYS)])


def setting_key(name: str) -> str:
    """The key of the item."""
    return f"setting/{name}"


def silence_days(tx: Transaction) -> int:
    """How many days of silence end a linked device; 0: none do."""
    item = find_item(tx, setting_key(DEVICE_SILENCE_DAYS))
    try:
        return DEFAULT_SILENCE_DAYS if item is None else _days.decode(item.value)
    except msgspec.DecodeError:
        return DEFAULT_SILENCE_DAYS  # in a form of a newer version


def set_silence_days(tx: Transaction, days: int, system: System) -> bool:
    """Set it for all own devices; whether something was drafted. Raises UsageError."""
    if not 0 <= days <= MAX_DAYS:
        raise UsageError(f"days of silence are 0 (never) to {MAX_DAYS}")
    return put_item(tx, setting_key(DEVICE_SILENCE_DAYS), msgspec.msgpack.encode(days), system)
