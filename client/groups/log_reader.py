"""Reads a group's log to its end, with the read token of the newest epoch known; what a log is, for this client."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Protocol

from client.errors import DevicesRefused, Refused, TrustError
from client.logs import LogKeys, LogPage
from client.mailbox_batch import Released
from client.mailbox_round import Taken, take_released
from client.store.database import Database, Transaction
from client.store.group_held import held_for_log, last_held
from client.store.group_returns import find_return, forget_return, note_refused
from client.store.group_senders import find_sender
from client.store.groups import (
    GroupRow,
    Status,
    find_group,
    note_missing,
    note_read,
    set_status,
    told_entry,
)
from client.system import System

from .following import Applied, apply_entries, leave_if_told_out, note_whether_missing

MEMBERS_AT_ONCE: Final = (
    20_000  # of the states that one transaction makes: each entry makes one of all members
)
_HELD_AT_ONCE: Final = 64  # envelopes that one transaction opens
_TOKENS_TRIED: Final = 8
LIST_WAIT_MS: Final = 10 * 60_000
"""So long is a device list asked for without which the log cannot be read on."""
_ROUNDS: Final = 1_000  # of pages and device lists, in one reading


class GroupLogs(Protocol):
    """The relay's group logs. Each raises Refused and RelayUnreachable."""

    async def create(self, log_id: bytes, keys: LogKeys, entry: bytes) -> None:
        """Make a log with entry 0; the same again is harmless."""

    async def append(
        self, log_id: bytes, index: int, entry: bytes, write_seed: bytes, following: LogKeys | None
    ) -> None:
        """Put an entry at the end; the same again is harmless. Refused is `conflict` or `not_allowed`."""

    async def read(self, log_id: bytes, read_token: bytes, from_index: int) -> LogPage:
        """What is there from an index on. Refused is `not_allowed`."""


class LogReader:
    """`read` follows one group."""

    def __init__(
        self,
        logs: GroupLogs,
        database: Database,
        system: System,
        *,
        fetch_list: Callable[[bytes], Awaitable[None]],
        on_taken: Callable[[Taken], None],
    ) -> None:
        self._logs = logs
        self._database = database
        self._system = system
        self._fetch_list = fetch_list
        self._on_taken = on_taken

    async def read(self, group_id: bytes) -> bool:
        """Read to the end, and open what waited for that; False if it cannot be read to the end now.

        Raises RelayUnreachable, and Refused for what is no matter of tokens.
        """
        up_to = await self._database.read(last_held)
        fetched: set[bytes] = set()
        for _ in range(_ROUNDS):
            row = await self._database.read(lambda tx: find_group(tx, group_id))
            if row is None or row.status is not Status.MEMBER:
                return False
            page, token = await self._page(row)
            if page is None:
                if await self._is_told_out(group_id):
                    return False
                await self._database.run(partial(_note_shut, group_id=group_id, now_ms=self._system.now_ms()))
                return False
            if page.first_index > row.view.next_entry:
                await self._database.run(lambda tx: set_status(tx, group_id, Status.BEHIND))
                return False
            applied = await self._apply(row, page, set(fetched))
            if applied.list_needed is not None:
                if not await self._fetch_needed(group_id, applied.list_needed):
                    return False
                fetched.add(applied.list_needed)
            elif applied.stopped:
                return False
            elif not page.entries or applied.next_entry >= page.next_index:
                shut = partial(
                    _is_not_borne_out, group_id=group_id, token=token, now_ms=self._system.now_ms()
                )
                if await self._database.run(shut):
                    return False
                await self._read_to_the_end(group_id, up_to)
                return True
        return False

    async def _is_told_out(self, group_id: bytes) -> bool:
        """Whether the log is shut because this account was taken out, by what somebody who may do that told of it."""
        told = await self._database.read(partial(told_entry, group_id=group_id))
        if told is None:
            return False
        await self.fetch(told[1])
        return await self._database.run(
            partial(leave_if_told_out, group_id=group_id, now_ms=self._system.now_ms())
        )

    async def _apply(self, row: GroupRow, page: LogPage, fetched: set[bytes]) -> Applied:
        """Follow the entries of a page as far as it goes, in transactions that are short in a large group too."""
        entries = [(one.index, one.entry) for one in page.entries]
        at_once = max(1, MEMBERS_AT_ONCE // len(row.view.state.members))
        applied = Applied(row.view.next_entry)
        for at in range(0, len(entries), at_once):
            part = entries[at : at + at_once]
            applied = await self._database.run(
                partial(
                    apply_entries,
                    group_id=row.group_id,
                    entries=part,
                    system=self._system,
                    fetched=fetched,
                )
            )
            if applied.stopped or applied.list_needed is not None:
                break
        return applied

    async def _page(self, row: GroupRow) -> tuple[LogPage | None, bytes]:
        """The entries from the next one on, and what token read them; None if no token that is known here reads the log."""
        group_id, view = row.group_id, row.view
        newest = sorted(view.waiting, key=lambda given: -given.epoch)[:_TOKENS_TRIED]
        for token in [given.keys().read_token for given in newest] + [row.read_token]:
            try:
                return await self._logs.read(group_id, token, view.next_entry), token
            except Refused as error:
                if error.reason != "not_allowed":
                    raise
        return None, b""

    async def fetch(self, account_id: bytes) -> bool:
        """Get an account's device list; whether it was to be had."""
        try:
            await self._fetch_list(account_id)
        except (Refused, TrustError):
            return False
        return True

    async def _fetch_needed(self, group_id: bytes, account_id: bytes) -> bool:
        """Get a device list without which the next entry cannot be judged; whether it was to be had.

        Until it is, nothing is sent: what was read is not the newest state. One that stays away, of somebody who is out and
        whom nothing reaches, is gone past with a welcome; one that contradicts what is known is not.
        """
        try:
            await self._fetch_list(account_id)
        except Refused as error:
            may_be_passed = not error.retryable
        except TrustError as error:
            may_be_passed = isinstance(error, DevicesRefused)
        else:
            return True
        now_ms = self._system.now_ms()
        await self._database.run(
            partial(_note_list_lacking, group_id=group_id, may_be_passed=may_be_passed, now_ms=now_ms)
        )
        return False

    async def _read_to_the_end(self, group_id: bytes, up_to: int) -> None:
        """Open or refuse what came before the reading: who is not in the group now is out."""

        def waiting(tx: Transaction) -> tuple[list[Released], set[bytes]]:
            note_read(tx, group_id, self._system.now_ms())
            forget_return(tx, group_id)
            note_whether_missing(tx, group_id, self._system.now_ms())
            held = held_for_log(tx, group_id, up_to)
            senders = [find_sender(tx, group_id, device) for _, _, device in held if device is not None]
            return [Released(*one[:2]) for one in held], {one.account for one in senders if one is not None}

        held, senders = await self._database.run(waiting)
        for account_id in senders:
            await self.fetch(account_id)
        current = frozenset((group_id,))
        for at in range(0, len(held), _HELD_AT_ONCE):
            part = held[at : at + _HELD_AT_ONCE]
            self._on_taken(
                await self._database.run(
                    partial(take_released, envelopes=part, system=self._system, current_groups=current)
                )
            )


def _is_not_borne_out(tx: Transaction, *, group_id: bytes, token: bytes, now_ms: int) -> bool:
    """Whether this device came back by a welcome to a state that is not the group's, though a later secret reads the log:
    then what was read does not lead to the epoch whose token the relay takes.
    """
    row = find_group(tx, group_id)
    if row is None or find_return(tx, group_id) is None or row.read_token == token:
        return False
    _note_shut(tx, group_id, now_ms)
    return True


def _note_list_lacking(tx: Transaction, *, group_id: bytes, may_be_passed: bool, now_ms: int) -> None:
    """Wait for it; after a while this device fell behind: who may commit is asked for a welcome to where the group is now."""
    row = find_group(tx, group_id)
    if row is None:
        return
    if row.missing_since_ms is None:
        note_missing(tx, group_id, now_ms)
    elif may_be_passed and now_ms - row.missing_since_ms >= LIST_WAIT_MS:
        set_status(tx, group_id, Status.BEHIND)


def _note_shut(tx: Transaction, group_id: bytes, now_ms: int) -> None:
    """The log is shut by a cut whose secret has not come, or this account is out: others are asked after a while."""
    row = find_group(tx, group_id)
    if row is not None and row.missing_since_ms is None:
        note_missing(tx, group_id, now_ms)
    note_refused(tx, group_id, True)
