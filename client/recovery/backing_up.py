"""Makes backups: when what is shared has changed and rests for a moment, by any manager, one counter for all of them.

A backup is whole in the log before the one before it goes; cut off in between, the next look makes it anew.
docs/protocol.md, "Backups".
"""

from dataclasses import dataclass, field
from typing import Final

import msgspec

from client.account import Account, load_account
from client.archive.writing import make_room
from client.devices.shared_items import put_item
from client.errors import Refused
from client.logs import append_account_log, read_account_log, trim_account_log
from client.message import Warned
from client.store import notices
from client.store.backup_rows import find_restored_from
from client.store.database import Database, Transaction
from client.store.shared import Item
from client.system import Step, System
from client.transparency.backups import (
    STATE,
    BackupState,
    backup_state,
    verified_head,
)
from client.transport import Transport
from crypto.limits import MAX_BACKUP_COUNTER
from crypto.recovery import SignedBackup, seal_backup
from relay.wire.links import encode_id

from .backup_content import digest_of, encode_backup, items_to_back_up, sealing_key
from .backup_parts import LOG_NAME, parts_of, whole_backups

REST_MS: Final = 20_000
"""So long after the last change a backup is made."""
MOST_MS: Final = 600_000
"""So long after the last backup one is made, though changes go on."""
_TRIES: Final = 12
"""Appends that find no place: each time another manager was first, or room had to be made."""


@dataclass(frozen=True, slots=True)
class _Plan:
    items: list[Item] = field(repr=False)
    digest: bytes
    sealing_public: bytes
    counter: int


async def back_up_if_due(
    transport: Transport,
    database: Database,
    system: System,
    *,
    at_once: bool = False,
    is_lost: bool = False,
) -> bool:
    """Make a backup if one is due here; whether one was made. `at_once`: though changes go on. `is_lost`: though there was one.

    Raises RelayUnreachable, Refused, RelayMisbehaved.
    """
    for _ in range(_TRIES):
        # Each time anew: a backup that comes later must not hold what was shared earlier.
        plan = await database.run(lambda tx: _plan(tx, system, at_once=at_once or is_lost, is_lost=is_lost))
        if plan is None:
            return False
        known, next_index = await backups_in_log(transport)
        account = await database.read(load_account)
        heads = [backup.signed_head for backup in known]
        # What no manager signed counts for nothing: else the relay could use the numbers up.
        counters = [one.head.counter for one in heads if verified_head(one.encode(), account.own)]
        counter = min(max([plan.counter, *counters]) + 1, MAX_BACKUP_COUNTER)
        backup = _seal(account, plan, counter, system.now_ms())
        try:
            for index, part in enumerate(parts_of(backup.encode()), next_index):
                await append_account_log(transport, LOG_NAME, index, part)
        except Refused as refused:
            # On a conflict another manager makes one at this moment: this one goes on top of its.
            if refused.reason == "quota_exceeded":
                if not await make_room(transport, database):
                    await database.run(_tell_no_room)
                    raise
            elif refused.reason != "conflict":
                raise
            continue
        system.reached(Step.BACKED_UP)
        head = backup.signed_head.encode()
        state = msgspec.msgpack.encode(BackupState(counter, plan.digest, backup.head.made_at_ms, head))
        await database.run(lambda tx: put_item(tx, STATE, state, system))  # noqa: B023  # awaited here
        if next_index:
            await trim_account_log(transport, LOG_NAME, next_index)
        return True
    raise Refused("conflict", "the backup found no place in the log: it is tried again", retryable=True)


def _tell_no_room(tx: Transaction) -> None:
    account = load_account(tx)
    detail = (
        "the relay has no room left for a backup of this account: the recovery words bring back what was there at the"
        " last one; ask who runs the relay"
    )
    notices.tell_once(tx, Warned("backup_no_room", detail, encode_id(account.account_id)))


async def back_up_if_lost(transport: Transport, database: Database, system: System) -> bool:
    """Make a backup if the relay has lost the newest; whether one was made. Raises what `back_up_if_due` raises."""
    newest = (await database.read(backup_state)).counter
    known, _ = await backups_in_log(transport)
    if newest <= max((backup.head.counter for backup in known), default=0):
        return False
    return await back_up_if_due(transport, database, system, is_lost=True)


def _plan(tx: Transaction, system: System, *, at_once: bool, is_lost: bool) -> _Plan | None:
    account = load_account(tx)
    sealing_public = sealing_key(tx)
    is_manager = any(
        one.device_id == account.device_id and one.manager for one in account.own.manifest.devices
    )
    if sealing_public is None or not is_manager:
        return None
    items, state, now_ms = items_to_back_up(tx, system), backup_state(tx), system.now_ms()
    digest = digest_of(items)
    if digest == state.digest and not is_lost:
        return None
    rests = now_ms - max((item.changed_at_ms for item in items), default=0) >= REST_MS
    if not (at_once or rests or now_ms - state.made_at_ms >= MOST_MS):
        return None
    restored = find_restored_from(tx)
    counter = max(state.counter, restored.heard if restored else 0)
    return _Plan(items, digest, sealing_public, counter)


def _seal(account: Account, plan: _Plan, counter: int, now_ms: int) -> SignedBackup:
    content = encode_backup(plan.items)
    return seal_backup(content, plan.sealing_public, account.local, account.own, counter, now_ms)


async def backups_in_log(transport: Transport) -> tuple[list[SignedBackup], int]:
    """The whole backups in the log, and the index of its next entry."""
    entries: list[bytes] = []
    index = 0
    while True:
        page = await read_account_log(transport, LOG_NAME, index)
        entries += [entry.entry for entry in page.entries]
        if not page.entries or page.entries[-1].index + 1 >= page.next_index:
            return whole_backups(entries), page.next_index
        index = page.entries[-1].index + 1
