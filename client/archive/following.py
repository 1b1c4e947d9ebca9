"""Reads the archive's log: what is not here becomes history, what is missing or does not open is told.

Every device with the keys reads, so each knows what need not be written, and can go on when the one that writes is gone.
Cut off anywhere, it goes on at the entry it was at. docs/protocol.md, "History archive".
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Final

from client.account import load_account
from client.errors import RelayMisbehaved
from client.logs import LogEntry, read_account_log
from client.message import HistoryRestored, Warned
from client.store import notices
from client.store.archive_rows import (
    LogPosition,
    history_keys,
    log_position,
    note_lost,
    save_position,
)
from client.store.database import Database, Transaction
from client.system import System
from client.transport import Transport
from crypto.errors import CryptoError
from crypto.history_archive import entry_key_id, open_entry
from relay.wire.links import encode_id

from .importing import take_records
from .records import ArchiveContent, Record, decode_archive

LOG_NAME: Final = "history"
_AT_ONCE: Final = 100
"""Records of one transaction: others have the store between two."""


@dataclass(frozen=True, slots=True)
class _Opened:
    content: ArchiveContent
    records: list[Record]


async def follow(transport: Transport, database: Database, system: System) -> bool:
    """Read to the log's end; whether there is something to tell. Raises RelayUnreachable, Refused, RelayMisbehaved."""
    at = await database.read(log_position)
    if at is None:
        at = await _begin(transport, database, None)
    is_anew = False
    while True:
        page = await read_account_log(transport, LOG_NAME, at.next_index)
        if page.next_index < at.next_index:
            if is_anew:
                raise RelayMisbehaved("the relay's log of the history archive is shorter with each answer")
            is_anew = True
            await database.run(lambda tx: _tell_gap(tx, "the relay's log of it is shorter than it was"))
            await database.run(lambda tx: note_lost(tx, page.next_index))  # noqa: B023  # awaited here
            at = await _begin(transport, database, at)
            continue
        for entry in page.entries:
            after = await _take(database, system, entry)
            if after is None:
                return False  # it was switched off meanwhile
            at = after
        if not page.entries or page.entries[-1].index + 1 >= page.next_index:
            return await database.run(lambda tx: _finish(tx, page.first_index))  # noqa: B023  # awaited here


async def _begin(transport: Transport, database: Database, before: LogPosition | None) -> LogPosition:
    """The position of a first look, or of one anew: where the newest entry says that the archive begins."""
    page = await read_account_log(transport, LOG_NAME, 2**53)
    start, end = page.first_index, page.next_index
    begins_at = end if start == end else 0  # 0: each entry says it for itself
    if start < end:
        tip = (await read_account_log(transport, LOG_NAME, end - 1)).entries
        opened = await database.read(lambda tx: _open(tx, tip[0])) if tip else None
        if opened is not None:
            start = begins_at = min(opened.content.begins_at, end)

    def save(tx: Transaction) -> LogPosition:
        at = LogPosition(start, b"", begins_at, floor=start)
        if before is not None:
            at = replace(before, next_index=start, last_hash=b"", begins_at=begins_at, lacks_key=False)
        save_position(tx, at)
        return at

    return await database.run(save)


def _open(tx: Transaction, entry: LogEntry) -> _Opened | None:
    """None for what no key here opens, and what is no entry."""
    try:
        content = open_entry(entry.entry, history_keys(tx), load_account(tx).account_id, entry.index)
        return _Opened(*decode_archive(content))
    except CryptoError:
        return None


async def _take(database: Database, system: System, entry: LogEntry) -> LogPosition | None:
    """Take over one entry, some records a transaction; the last one moves the position."""
    opened = await database.read(lambda tx: _open(tx, entry))
    records = [] if opened is None else opened.records
    last = max(len(records) - 1, 0) // _AT_ONCE * _AT_ONCE
    for start in range(0, last, _AT_ONCE):
        some = records[start : start + _AT_ONCE]
        await database.run(lambda tx: _keep(tx, entry, some, system.now_ms()))  # noqa: B023  # awaited here
    return await database.run(lambda tx: _keep_last(tx, entry, records[last:], system.now_ms(), opened))


def _keep(tx: Transaction, entry: LogEntry, records: list[Record], now_ms: int) -> LogPosition | None:
    at = log_position(tx)
    if at is None or entry.index < at.next_index:  # switched off; or another process of this device was here
        return at
    count, newest_ms = take_records(tx, load_account(tx), records, entry.index, now_ms)
    at = replace(at, restored=at.restored + count, newest_ms=max(at.newest_ms, newest_ms))
    save_position(tx, at)
    return at


def _keep_last(
    tx: Transaction, entry: LogEntry, records: list[Record], now_ms: int, opened: _Opened | None
) -> LogPosition | None:
    at = _keep(tx, entry, records, now_ms)
    if at is not None and entry.index >= at.next_index:
        at = _past(tx, at, entry, opened)
        save_position(tx, at)
    return at


def _past(tx: Transaction, at: LogPosition, entry: LogEntry, opened: _Opened | None) -> LogPosition:
    """The position behind the entry; tells if it does not open, or does not follow the one before."""
    if opened is None:
        lacks_key = at.lacks_key or _lacks_key(tx, entry)
        _tell(
            tx, "history_refused", "an entry of the history archive does not open: what it held is not here"
        )
        at = replace(at, lacks_key=lacks_key)
    else:
        is_next = entry.index == at.next_index
        previous = opened.content.previous_hash
        if is_next and at.last_hash and previous and previous != at.last_hash:
            _tell_gap(tx, "an entry does not follow the one before it")
        at = replace(at, begins_at=max(at.begins_at, opened.content.begins_at))
    digest = hashlib.sha256(entry.entry).digest()
    return replace(at, next_index=entry.index + 1, last_hash=digest)


def _lacks_key(tx: Transaction, entry: LogEntry) -> bool:
    """Whether it names a key that is not here: that may come."""
    account_id = load_account(tx).account_id
    try:
        key_id = entry_key_id(entry.entry)
    except CryptoError:
        return False
    return all(one.id_for(account_id) != key_id for one in history_keys(tx))


def _finish(tx: Transaction, first_index: int) -> bool:
    """The end was reached: is what should be there, there? Tells how much came back."""
    at = log_position(tx)
    if at is None:
        return False
    is_short = first_index > at.begins_at
    if is_short:
        _tell_gap(tx, "its oldest entries are not in the relay's log any more")
        at = replace(at, begins_at=first_index)
    if at.restored:
        notices.tell(tx, HistoryRestored(at.restored, at.newest_ms))
    is_told = is_short or at.restored > 0
    save_position(tx, replace(at, restored=0, newest_ms=0))
    return is_told


def tell_misbehaviour(tx: Transaction) -> None:
    """What the relay answers is no log: the user hears, for what lies there does not come."""
    _tell_gap(tx, "the relay's answer is not a piece of its log")


def _tell_gap(tx: Transaction, why: str) -> None:
    _tell(tx, "history_gap", f"messages may be missing from the history archive: {why}")


def _tell(tx: Transaction, kind: str, detail: str) -> None:
    notices.tell_once(tx, Warned(kind, detail, encode_id(load_account(tx).account_id)))
