"""Writes what is due into the archive's log: appended first, noted as archived then, so a kill makes at most a repetition.

Every append names the place that it expects, so of two devices that write at once one reads on first. The log is rewritten,
and the old part of it taken away, when a device that had the keys is out, and a month after something was deleted that lies in
it. docs/protocol.md, "History archive".
"""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Final

from client.account import Account, load_account
from client.errors import Refused
from client.logs import append_account_log, read_account_log, trim_account_log
from client.message import Warned
from client.store import notices
from client.store.archive_rows import (
    LogPosition,
    due,
    log_position,
    note_archived,
    oldest_due_ms,
    save_position,
)
from client.store.database import Database, Transaction
from client.system import Step, System
from client.transport import Transport
from crypto.history_archive import HistoryKey, seal_entry
from crypto.limits import DAY_MS
from relay.wire.links import encode_id

from .following import LOG_NAME, follow
from .giving import sealing_history_key
from .importing import records_of
from .records import Packed, encode_archive, packed

REWRITE_MS: Final = 30 * DAY_MS
"""So long after the last time what was deleted meanwhile goes from the log as well."""
_AT_ONCE: Final = 150
"""Messages of one look into the store."""
_TRIES: Final = 6
_ROOM_PART: Final = 8
"""A full log loses this part of its entries, the oldest."""


@dataclass(frozen=True, slots=True)
class _Plan:
    account: Account
    key: HistoryKey = field(repr=False)
    at: LogPosition
    entries: list[Packed] = field(repr=False)


async def write_due(transport: Transport, database: Database, system: System, patience_ms: int) -> bool:
    """Write what waits, if some of it does for so long; whether there is something to tell.

    Raises RelayUnreachable, Refused, RelayMisbehaved.
    """
    news = is_writing = False
    tries = 0
    while True:
        waits_ms = patience_ms if not is_writing else 0  # begun is finished
        plan = await database.run(lambda tx: _plan(tx, system.now_ms(), waits_ms))  # noqa: B023  # awaited here
        if plan is None:
            return news
        is_writing = True
        for entry in plan.entries:
            try:
                await _append(transport, database, system, plan, entry)
            except Refused as refused:
                tries += 1
                if tries == _TRIES or refused.reason not in ("conflict", "quota_exceeded"):
                    raise
                if refused.reason == "conflict":  # another device writes: what it wrote is read first
                    news = await follow(transport, database, system) or news
                else:
                    await make_room(transport, database)
                    news = True
                break
            tries = 0


def _plan(tx: Transaction, now_ms: int, waits_ms: int) -> _Plan | None:
    """What to write next; None if there is nothing, or it has time."""
    account, at = load_account(tx), log_position(tx)
    key = sealing_history_key(tx, account)
    if at is None or key is None:
        return None
    oldest_ms = oldest_due_ms(tx, at.floor, _AT_ONCE, now_ms)
    if oldest_ms is None or (oldest_ms > now_ms - waits_ms and at.rewriting_from is None):
        return None
    rows = due(tx, at.floor, _AT_ONCE)
    return _Plan(account, key, at, packed(records_of(tx, account, row) for row in rows))


async def _append(
    transport: Transport,
    database: Database,
    system: System,
    plan: _Plan,
    entry: Packed,
    *,
    begins_at: int | None = None,
) -> None:
    """One entry at the end of what is known of the log. Raises Refused (`conflict`, `quota_exceeded`), RelayUnreachable."""
    at = await database.read(log_position) or plan.at
    begins_at = at.begins_at if begins_at is None else begins_at
    device, account_id = plan.account.device_id, plan.account.account_id
    content = encode_archive(
        entry.records,
        previous_hash=at.last_hash,
        begins_at=begins_at,
        device=device,
        now_ms=system.now_ms(),
    )
    sealed = seal_entry(content, plan.key, account_id, at.next_index, system.random)
    await append_account_log(transport, LOG_NAME, at.next_index, sealed)
    system.reached(Step.ARCHIVED)
    digest = hashlib.sha256(sealed).digest()

    def note(tx: Transaction) -> None:
        known = log_position(tx)
        if known is None or known.next_index != at.next_index:
            return  # another process of this device has read it already, or the archive is off
        note_archived(tx, at.next_index, [(one.n, one.acted_at_ms) for one in entry.whole])
        after = replace(known, next_index=at.next_index + 1, last_hash=digest, begins_at=begins_at)
        save_position(tx, after)

    await database.run(note)


async def make_room(transport: Transport, database: Database) -> bool:
    """Take the oldest entries away from a log that is full, and tell; False if there is nothing to take.

    Raises RelayUnreachable, Refused.
    """
    page = await read_account_log(transport, LOG_NAME, 2**53)
    count = page.next_index - page.first_index
    if count < 2:
        return False
    before = page.first_index + max(1, count // _ROOM_PART)
    await trim_account_log(transport, LOG_NAME, before)

    def note(tx: Transaction) -> None:
        at = log_position(tx)
        if at is not None:
            save_position(tx, replace(at, begins_at=max(at.begins_at, before)))
        detail = "the relay keeps no more: the oldest messages are not in the history archive any more, but they are here"
        notices.tell_once(tx, Warned("history_full", detail, encode_id(load_account(tx).account_id)))

    await database.run(note)
    return True


# Writing the log anew


def begin_rewriting(tx: Transaction) -> None:
    """From now on all is due; what the log holds by now goes when it was written again."""
    at = log_position(tx)
    if at is not None:
        floor = at.next_index
        save_position(tx, replace(at, floor=floor, rewriting_from=floor))


def begin_if_due(tx: Transaction, now_ms: int) -> None:
    """Rewrite if something was deleted that the log still holds, and that is long ago."""
    at = log_position(tx)
    if at is None or at.rewriting_from is not None:
        return
    if not at.rewritten_at_ms:
        save_position(tx, replace(at, rewritten_at_ms=now_ms))
    elif at.emptied and now_ms - at.rewritten_at_ms >= REWRITE_MS:
        begin_rewriting(tx)


async def finish_rewriting(transport: Transport, database: Database, system: System) -> None:
    """Once all is written again: say so in the log, then take away what is older. Raises RelayUnreachable, Refused."""

    def plan(tx: Transaction) -> _Plan | None:
        account, at = load_account(tx), log_position(tx)
        key = sealing_history_key(tx, account)
        if at is None or key is None or at.rewriting_from is None or at.lacks_key:
            return None
        if oldest_due_ms(tx, at.floor, 1, system.now_ms()) is not None:
            return None
        return _Plan(account, key, at, [])

    planned = await database.read(plan)
    if planned is None or planned.at.rewriting_from is None:
        return
    before = planned.at.rewriting_from
    if before > planned.at.begins_at:  # said before it is done: a reader must not take it for a loss
        try:
            await _append(transport, database, system, planned, Packed(), begins_at=before)
        except Refused as refused:
            if refused.reason != "conflict":
                raise
            return  # another device writes: the next look goes on
    await trim_account_log(transport, LOG_NAME, before)

    def note(tx: Transaction) -> None:
        at = log_position(tx)
        if at is not None:
            done = replace(at, rewriting_from=None, rewritten_at_ms=system.now_ms(), emptied=0)
            save_position(tx, done)

    await database.run(note)
