"""What the own devices share, as rows: an item by its key, who wrote it last, and which keys may have changed here."""

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from relay.wire.limits import DEVICE_ID_BYTES

from .database import Transaction

MAX_KEY_CHARACTERS: Final = 128
MAX_VALUE_BYTES: Final = 65_536


class Item(msgspec.Struct, frozen=True, array_like=True):
    """One item as it is kept and sent. Of two with one key the later one counts, at one time that of the higher device id."""

    key: Annotated[str, Meta(min_length=1, max_length=MAX_KEY_CHARACTERS)]
    value: Annotated[bytes, Meta(max_length=MAX_VALUE_BYTES)]
    changed_at_ms: Annotated[int, Meta(ge=0, le=2**53)]
    device_id: Annotated[bytes, Meta(min_length=DEVICE_ID_BYTES, max_length=DEVICE_ID_BYTES)]

    def __repr__(self) -> str:
        return f"Item(key={self.key!r}, changed_at_ms={self.changed_at_ms})"

    @property
    def rank(self) -> tuple[int, bytes]:
        """What decides between two of one key."""
        return self.changed_at_ms, self.device_id


def find_item(tx: Transaction, key: str) -> Item | None:
    """The item of a key."""
    row = tx.one("SELECT key, value, changed_at_ms, device_id FROM shared_items WHERE key = ?", key)
    return None if row is None else Item(*row)


def all_items(tx: Transaction) -> list[Item]:
    """Every item, ordered by key."""
    rows = tx.all("SELECT key, value, changed_at_ms, device_id FROM shared_items ORDER BY key")
    return [Item(*row) for row in rows]


def items_under(tx: Transaction, prefix: str) -> list[Item]:
    """The items whose key is `prefix/…`, ordered by key."""
    return [
        Item(*row)
        for row in tx.all(
            "SELECT key, value, changed_at_ms, device_id FROM shared_items WHERE key > ? AND key < ? ORDER BY key",
            f"{prefix}/",
            f"{prefix}0",  # the character after the slash
        )
    ]


def save_item(tx: Transaction, item: Item) -> None:
    """Keep it in the place of the one before."""
    tx.run(
        "INSERT INTO shared_items (key, value, changed_at_ms, device_id) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value, changed_at_ms = excluded.changed_at_ms,"
        " device_id = excluded.device_id",
        item.key,
        item.value,
        item.changed_at_ms,
        item.device_id,
    )


def changed_keys(tx: Transaction) -> list[str]:
    """The keys whose tables changed here since they were last compared."""
    return [row[0] for row in tx.all("SELECT key FROM to_share ORDER BY key")]


def note_compared(tx: Transaction, keys: Iterable[str]) -> None:
    """What is shared of these is what their tables say."""
    tx.many("DELETE FROM to_share WHERE key = ?", [(key,) for key in keys])


def group_key(group_id: bytes) -> str:
    """The key of the item of a group."""
    return f"group/{group_id.hex()}"


def note_changed(tx: Transaction, key: str) -> None:
    """Its table says more than what is shared."""
    tx.run("INSERT OR IGNORE INTO to_share (key) VALUES (?)", key)
