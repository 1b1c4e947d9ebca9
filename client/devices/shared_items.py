"""What all own devices know alike: contacts, own delivery tokens, names, settings. The last writer of an item wins.

Whoever changes a contact or a token need not know of this: the store notes which of them changed, and `share_changes`, at
the end of the transaction, compares and tells the others. docs/protocol.md, "Shared items".
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from client.account import Account, load_account
from client.contents import ContentType
from client.signals import draft_signal
from client.store.database import Transaction
from client.store.shared import (
    MAX_VALUE_BYTES,
    Item,
    all_items,
    changed_keys,
    find_item,
    note_changed,
    note_compared,
    save_item,
)
from client.system import System
from crypto.errors import InvalidEncoding

from .shared_kinds import CHAIN, CONTACT, HANDLE, KINDS, RELAY_KEY, Kind, read_chain

MAX_ITEMS: Final = 4_096  # of one content
_MAX_CONTENT_BYTES: Final = (
    100_000  # of values and keys in one content; what an envelope holds is above twice that
)
_OVERHEAD_BYTES: Final = 48  # of an item: time, device, lengths


class SharedItems(msgspec.Struct, frozen=True, array_like=True):
    """The body of shared items. `is_all`: with this the sender has told all that it knows. `asks`: tell me all."""

    items: Annotated[list[Item], Meta(max_length=MAX_ITEMS)]
    is_all: bool = False
    asks: bool = False


_decoder: Final = msgspec.msgpack.Decoder(SharedItems)


def decode_items(body: bytes) -> SharedItems:
    """The body; raises InvalidEncoding."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEncoding("not the body of shared items") from error


def encode_items(items: list[Item], *, is_all: bool = False, asks: bool = False) -> bytes:
    """The bytes of a body."""
    return msgspec.msgpack.encode(SharedItems(items, is_all, asks))


def has_other_devices(account: Account) -> bool:
    """Whether there is anybody to tell."""
    return any(entry.device_id != account.device_id for entry in account.own.manifest.devices)


def put_item(tx: Transaction, key: str, value: bytes, system: System) -> bool:
    """Set an item that has no table of its own, and tell the other devices; whether something was drafted.

    A value that is the same changes nothing.
    """
    account = load_account(tx)
    item = _stamp(tx, account, key, value, system.now_ms())
    return item is not None and _tell(tx, account, [item], system)


def share_changes(tx: Transaction, system: System) -> bool:
    """Tell the other devices what changed here; whether something was drafted."""
    if not changed_keys(tx):
        return False
    account = load_account(tx)
    return _tell(tx, account, stamp_changes(tx, account, system.now_ms()), system)


def stamp_changes(tx: Transaction, account: Account, now_ms: int) -> list[Item]:
    """Bring the items up to what their tables say; those that changed by it."""
    keys = changed_keys(tx)
    stamped = []
    for key in keys:
        kind, _, name = key.partition("/")
        value = KINDS[kind].read(tx, account, name)
        item = None if value is None else _stamp(tx, account, key, value, now_ms)
        if item is not None:
            stamped.append(item)
    note_compared(tx, keys)
    return stamped


def _stamp(tx: Transaction, account: Account, key: str, value: bytes, now_ms: int) -> Item | None:
    before = find_item(tx, key)
    if before is not None and before.value == value:
        return None
    # Above the one before, whatever this machine's clock says: what the user did last is what stays.
    at_ms = now_ms if before is None else max(now_ms, before.changed_at_ms + 1)
    item = Item(key, value, at_ms, account.device_id)
    save_item(tx, item)
    return item


def _tell(tx: Transaction, account: Account, items: list[Item], system: System) -> bool:
    if not items or not has_other_devices(account):
        return False
    for part in parts_of(items):
        _draft(tx, account, encode_items(part), system)
    return True


def _draft(tx: Transaction, account: Account, body: bytes, system: System) -> None:
    draft_signal(tx, account, [account.account_id], ContentType.SHARED_ITEMS, body, system)


def parts_of(items: Iterable[Item]) -> Iterator[list[Item]]:
    """The items in lists that each fit a content."""
    part: list[Item] = []
    size = 0
    for item in items:
        size += len(item.key) + len(item.value) + _OVERHEAD_BYTES
        if part and (size > _MAX_CONTENT_BYTES or len(part) == MAX_ITEMS):
            yield part
            part, size = [], len(item.key) + len(item.value) + _OVERHEAD_BYTES
        part.append(item)
    if part:
        yield part


def tell_all(tx: Transaction, items: list[Item], system: System) -> None:
    """Tell the other devices all of these; the last content says that it was all."""
    account = load_account(tx)
    parts = list(parts_of(items)) or [[]]
    for number, part in enumerate(parts, 1):
        _draft(tx, account, encode_items(part, is_all=number == len(parts)), system)


def ask_for_all(tx: Transaction, system: System) -> None:
    """Ask the other devices for all that they know."""
    _draft(tx, load_account(tx), encode_items([], asks=True), system)


def everything(tx: Transaction, system: System) -> list[Item]:
    """All that another device of this account should know, device lists of contacts and the pinned relay key included."""
    account = load_account(tx)
    stamp_changes(tx, account, system.now_ms())
    for key in (RELAY_KEY, HANDLE):
        kind, _, name = key.partition("/")
        value = KINDS[kind].read(tx, account, name)
        if value is not None:
            _stamp(tx, account, key, value, system.now_ms())
    items = all_items(tx)
    for contact in items:
        kind, _, name = contact.key.partition("/")
        chain = read_chain(tx, name) if kind == CONTACT else None
        if chain is not None and len(chain) <= MAX_VALUE_BYTES:
            items.append(Item(f"{CHAIN}/{name}", chain, contact.changed_at_ms, contact.device_id))
    return items


def apply_items(tx: Transaction, items: Iterable[Item], now_ms: int) -> None:
    """Take over what is newer than what is here. What this version does not understand is kept, and has no effect."""
    # What was changed here a moment ago has its time first: else an older one could take its place.
    stamp_changes(tx, load_account(tx), now_ms)
    for item in items:
        before = find_item(tx, item.key)
        is_newer = before is None or before.rank < item.rank
        kind_name, _, name = item.key.partition("/")
        if is_newer and kind_name != CHAIN:  # these are evidence: each says itself how new it is
            save_item(tx, item)
        kind = KINDS.get(kind_name)
        if kind is not None and (is_newer or kind.fill is not None):
            _apply(tx, kind, name, item, is_newer=is_newer)


def _apply(tx: Transaction, kind: Kind, name: str, item: Item, *, is_newer: bool) -> None:
    try:
        if not is_newer:
            if kind.fill is not None:
                kind.fill(tx, load_account(tx), name, item.value)  # what it changes is told by itself
            return
        kind.apply(tx, load_account(tx), name, item.value)
        mine = kind.read(tx, load_account(tx), name)
        if mine is None or mine == item.value:
            note_compared(tx, [item.key])
        else:  # more is known here than the item says, say a token: it is told again
            note_changed(tx, item.key)
    except InvalidEncoding:
        note_compared(tx, [item.key])
