"""Tells authors that their messages are here and were read: contacts alone, many at once, after a random wait (C1).

The wait hides when a device was reached, and the batch how often; a stranger learns nothing. The own other devices are told
in the same way what was read here, whatever others are told. Functions of a Transaction.
"""

from typing import Final

from .account import Account, load_account
from .act_bodies import MAX_RECEIPTS, ReceiptBody, ReceiptEntry
from .acts import facts_of
from .contents import ContentType, encode_body
from .conversations import wants_receipts
from .devices.shared_items import has_other_devices
from .incoming import Incoming
from .privacy import accepted_contact, find_privacy
from .signals import draft_signal
from .store import acts, expiry_rows, history, receipts_due
from .store.database import Transaction
from .store.history import MessageRow
from .system import System

JITTER_MS: Final = 5_000
"""A receipt waits uniformly between 0 and this."""
APART_MS: Final = 5_000
"""At least this lies between two of them to one account, so at most 12 a minute go out."""
_RANDOM_BYTES: Final = 4


def note_arrival(incoming: Incoming) -> None:
    """A message was kept: its author is told, if the author is a contact."""
    tx = incoming.tx
    if incoming.is_own or not _may_be_told(tx, incoming.account_id):
        return
    row = history.find_by_id(tx, incoming.account_id, incoming.content.message_id)
    if row is not None:
        _put(tx, incoming.account, row, incoming.batch.system, is_read=False)


def mark_read(tx: Transaction, row: MessageRow, system: System) -> bool:
    """The user has seen a message; False if that was known, or it is an own one."""
    account = load_account(tx)
    if row.account_id == account.account_id:
        return False
    if not acts.put_receipt(tx, row.n, account.account_id, system.now_ms(), is_read=True):
        return False
    expiry_rows.start_timer(tx, row.n, system.now_ms())
    if has_other_devices(account) and facts_of(row) is not None:
        receipts_due.share(tx, row.n)
        _set_due(tx, account.account_id, system)
    if _may_be_told(tx, row.account_id):
        _put(tx, account, row, system, is_read=True)
    return True


def _may_be_told(tx: Transaction, account_id: bytes) -> bool:
    return find_privacy(tx).receipts and accepted_contact(tx, account_id) is not None


def _put(tx: Transaction, account: Account, row: MessageRow, system: System, *, is_read: bool) -> None:
    if facts_of(row) is None or not wants_receipts(tx, account, row):
        return
    if not receipts_due.add(tx, row.n, row.account_id, is_read=is_read):
        return
    _set_due(tx, row.account_id, system)


def _set_due(tx: Transaction, account_id: bytes, system: System) -> None:
    due_at_ms, sent_at_ms = receipts_due.due_at(tx, account_id)
    if due_at_ms is None:
        earliest_ms = max(system.now_ms(), sent_at_ms + APART_MS)
        receipts_due.set_due(tx, account_id, earliest_ms + _jitter_ms(system))


def _jitter_ms(system: System) -> int:
    return int.from_bytes(system.random(_RANDOM_BYTES), "big") * JITTER_MS >> 8 * _RANDOM_BYTES


def draft_due(tx: Transaction, system: System) -> bool:
    """Put what is due on its way, one content for each account; whether there was any."""
    account, now_ms = load_account(tx), system.now_ms()
    drafted = False
    for account_id in receipts_due.accounts_due(tx, now_ms):
        is_own = account_id == account.account_id
        if not is_own and not _may_be_told(tx, account_id):
            receipts_due.forget(tx, [account_id])
            continue
        for body in _read_bodies(tx) if is_own else _bodies(tx, account_id):
            draft_signal(tx, account, [account_id], ContentType.RECEIPT, encode_body(body), system)
            drafted = True
        is_more = receipts_due.are_shared_left(tx) if is_own else receipts_due.are_left(tx, account_id)
        next_at_ms = now_ms + APART_MS + _jitter_ms(system) if is_more else None
        receipts_due.note_given(tx, account_id, now_ms, next_at_ms)
    return drafted


def _bodies(tx: Transaction, account_id: bytes) -> list[ReceiptBody]:
    """The oldest receipts for this account; none if all of their messages are gone."""
    delivered: list[ReceiptEntry] = []
    read: list[ReceiptEntry] = []
    for n, is_read in receipts_due.take(tx, account_id, MAX_RECEIPTS):
        entry = _entry(tx, n)
        if entry is not None:
            (read if is_read else delivered).append(entry[1])
    return [ReceiptBody(account_id, delivered, read)] if delivered or read else []


def _read_bodies(tx: Transaction) -> list[ReceiptBody]:
    """The oldest that were read here, by author, for the own other devices."""
    by_author: dict[bytes, list[ReceiptEntry]] = {}
    for n in receipts_due.take_shared(tx, MAX_RECEIPTS):
        found = _entry(tx, n)
        if found is not None:
            by_author.setdefault(found[0], []).append(found[1])
    return [ReceiptBody(author, [], entries) for author, entries in by_author.items()]


def _entry(tx: Transaction, n: int) -> tuple[bytes, ReceiptEntry] | None:
    """(Author, what names the message); None if it is gone."""
    row = history.find(tx, n)
    target = None if row is None else facts_of(row)
    return None if target is None else (target.account, ReceiptEntry(target.message_id, target.reference()))
