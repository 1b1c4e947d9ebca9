"""Looks after this account's groups: reads their logs, commits what is wanted, tells and asks, each when it is due.

When is in the store, so nothing is forgotten when the client ends; what was begun goes on where it was.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final

from client.account import load_account
from client.contents import FilePointer
from client.devices.shared_items import share_changes
from client.errors import ClientError, Refused, RelayUnreachable
from client.logs import LogKeys
from client.mailbox_round import Taken
from client.reconnect import Backoff
from client.store.database import Database, Transaction
from client.store.group_wants import Pending, Stage, find_pending, undecided
from client.store.group_welcomes import owed_welcomes
from client.store.groups import GroupRow, Status, all_due, find_group, make_due, next_due_ms, take_due
from client.store.peers import stale_members
from client.system import Step, System
from crypto.group_log import GroupView

from .committing import Spread, created, is_handed_out, prepare, spread
from .following import apply_entries, has_secret
from .hand_outs import StateBlob, give_owed
from .log_reader import GroupLogs, LogReader
from .state_blobs import StateBlobs, StoreState
from .upkeep import next_look_ms, tell_withheld, tend
from .welcomes import take_waiting

_ROUNDS: Final = 20  # of steps of commits, in one look: then other groups have their turn
_LISTS_AT_ONCE: Final = 32  # device lists that one look fetches
_AGAIN_MS: Final = 30_000
_AGAIN_SOON_SECONDS: Final = 2.0
"""Where the relay is away for a moment; later and later, up to _AGAIN_MS, if it stays away."""
_LONGEST_WAIT_SECONDS: Final = 15.0  # then it is asked what is due: another process may have said so


class GroupCare:
    """`run` until cancelled; `due` when there is something to look at."""

    def __init__(
        self,
        logs: GroupLogs,
        database: Database,
        system: System,
        *,
        fetch_list: Callable[[bytes], Awaitable[None]],
        care_for_token: Callable[[bytes, Status], Awaitable[None]],
        store_state: StoreState,
        on_way_in: Callable[[], Awaitable[bool]],
        fetch_state: Callable[[FilePointer], Awaitable[bytes]],
        on_drafts: Callable[[], None],
        on_news: Callable[[], None],
    ) -> None:
        self._logs = logs
        self._database = database
        self._system = system
        self._care_for_token = care_for_token
        self._blobs = StateBlobs(store_state, system)
        self._fetch_state = fetch_state
        self._on_way_in = on_way_in
        self._on_drafts = on_drafts
        self._on_news = on_news
        self._reader = LogReader(logs, database, system, fetch_list=fetch_list, on_taken=self.taken)
        self._due = asyncio.Event()
        self.idle: Final = asyncio.Event()
        """Set while nothing is due."""
        self._looked = asyncio.Condition()
        self._is_handing_out = False
        self._backoff = Backoff(system.random)
        self.last_error: ClientError | None = None

    def due(self) -> None:
        """Look at what is due."""
        self._due.set()
        self.idle.clear()

    def taken(self, taken: Taken) -> None:
        """Something was opened: wake whom it concerns."""
        if taken.drafted:
            self._on_drafts()
        if taken.errands:
            self._due.set()
        self._on_news()

    def answered(self) -> None:
        """The relay has answered submits: a commit may have waited for that."""
        if self._is_handing_out:
            self._due.set()

    async def run(self) -> None:
        """Look at all groups, then at each when it is due."""
        await self._database.run(all_due)
        while True:
            self._due.clear()
            wait_seconds = await self.look()
            if wait_seconds > 0 and not self._due.is_set():
                self.idle.set()
            try:
                async with asyncio.timeout(wait_seconds):
                    await self._due.wait()
            except TimeoutError:
                continue
            finally:
                self.idle.clear()

    async def look(self) -> float:
        """Do what is due now; in how many seconds something will be."""
        try:
            for taken in await take_waiting(self._database, self._system, self._fetch_state):
                self.taken(taken)
            if await self._on_way_in():
                self._on_drafts()
                self._on_news()
        except ClientError as error:
            self.last_error = error
        handing_out, self._is_handing_out = self._is_handing_out, False
        now_ms, wait_ms = self._system.now_ms(), 0
        for group_id in await self._database.run(partial(take_due, now_ms=now_ms, handing_out=handing_out)):
            try:
                again_ms = await self._look_at(group_id)
                self.last_error = None
                self._backoff.reset()
            except ClientError as error:
                self.last_error = error
                wait_ms = wait_ms or self._wait_ms(error)  # one for all that failed together
                again_ms = self._system.now_ms() + wait_ms
                if not isinstance(error, RelayUnreachable):
                    # Nor is an answer that makes no sense a way to keep something back unseen.
                    await self._database.run(
                        partial(tell_withheld, group_id=group_id, now_ms=self._system.now_ms())
                    )
                    self._on_news()
            await self._database.run(partial(make_due, group_id=group_id, at_ms=again_ms))
            async with self._looked:
                self._looked.notify_all()
        due_ms = await self._database.read(next_due_ms)
        return min(max(0.0, (due_ms - self._system.now_ms()) / 1_000), _LONGEST_WAIT_SECONDS)

    def _wait_ms(self, error: ClientError) -> int:
        """How long after this it is tried again."""
        if isinstance(error, RelayUnreachable):
            asked_seconds = 0.0
        elif isinstance(error, Refused) and error.retryable:
            asked_seconds = error.retry_after_ms / 1_000
        else:
            return _AGAIN_MS
        return round(self._backoff.next_seconds(max(asked_seconds, _AGAIN_SOON_SECONDS)) * 1_000)

    async def until_decided(self, numbers: Iterable[int], patience_seconds: float) -> str | None:
        """Wait until these wants are committed or refused; why one was refused. Raises what stood in the way, out of patience."""
        waiting = set(numbers)
        reason = None
        try:
            async with asyncio.timeout(patience_seconds), self._looked:
                while True:
                    waiting, refusal = await self._database.run(partial(undecided, numbers=waiting))
                    reason = reason or refusal
                    if not waiting:
                        return reason
                    await self._looked.wait()
        except TimeoutError:
            raise self.last_error or RelayUnreachable(
                "the change is not in the group yet: it goes on by itself"
            ) from None

    async def until_created(self, group_id: bytes, patience_seconds: float) -> None:
        """Wait until the relay has a new group's log. Raises what stood in the way, out of patience."""
        try:
            async with asyncio.timeout(patience_seconds), self._looked:
                while True:
                    row = await self._database.read(lambda tx: find_group(tx, group_id))
                    if row is not None and row.status is not Status.CREATING:
                        return
                    await self._looked.wait()
        except TimeoutError:
            raise self.last_error or RelayUnreachable(
                "the group is not at the relay yet: it goes on by itself"
            ) from None

    async def _look_at(self, group_id: bytes) -> int:
        """All that one group needs now; when it should be looked at again (ms)."""
        row = await self._row(group_id)
        await self._care_for_token(group_id, row.status)
        if row.status is Status.CREATING:
            await self._create(group_id)
        is_read = False
        if (await self._row(group_id)).status is Status.MEMBER:
            is_read = await self._reader.read(group_id)
            for account_id in await self._database.read(
                lambda tx: stale_members(tx, group_id, _LISTS_AT_ONCE)
            ):
                await self._reader.fetch(account_id)
        await self._database.run(partial(tend, group_id=group_id, system=self._system, is_read=is_read))
        is_done = await self._commit(group_id)
        await self._welcome(group_id)
        await self._database.run(partial(share_changes, system=self._system))
        self._on_drafts()
        self._on_news()
        if not is_done:
            return self._system.now_ms()
        return await self._database.read(partial(next_look_ms, group_id=group_id, system=self._system))

    async def _row(self, group_id: bytes) -> GroupRow:
        row = await self._database.read(lambda tx: find_group(tx, group_id))
        if row is None:
            raise RuntimeError("a group that was due is gone")
        return row

    async def _create(self, group_id: bytes) -> None:
        pending = await self._pending(group_id)
        if pending is None or pending.hand_out is None:
            return
        await self._logs.create(group_id, _keys(pending), pending.entry)
        await self._database.run(partial(created, group_id=group_id))

    async def _pending(self, group_id: bytes) -> Pending | None:
        return await self._database.read(lambda tx: find_pending(tx, group_id))

    async def _commit(self, group_id: bytes) -> bool:
        """Go on with the commit under way, then make those that are wanted; False if there is more to do at once."""
        for _ in range(_ROUNDS):
            pending = await self._pending(group_id)
            if pending is None:
                prepared = await self._database.run(partial(prepare, group_id=group_id, system=self._system))
                if prepared.list_needed is not None:
                    if not await self._reader.fetch(prepared.list_needed):
                        return True
                elif not prepared.is_made:
                    return True
                self._on_drafts()
            elif pending.stage is Stage.SPREADING:
                await self._spread(group_id)
            else:
                self._is_handing_out = True  # before looking: no answer is missed
                if not await self._database.read(lambda tx: is_handed_out(tx, pending)):  # noqa: B023  # awaited here
                    return True
                self._is_handing_out = False
                if not await self._append(pending):
                    return True
        return False

    async def _append(self, pending: Pending) -> bool:
        """Put the commit into the log; False if the group cannot go on now. Who lost the race reads on."""
        self._system.reached(Step.COMMIT_HANDED_OUT)
        group_id, index = pending.group_id, pending.entry_index
        row = await self._row(group_id)
        following = None if pending.hand_out is None else _keys(pending)
        try:
            await self._logs.append(group_id, index, pending.entry, row.view.write_seed, following)
        except Refused as error:
            if error.reason not in ("conflict", "not_allowed"):
                raise
            return await self._reader.read(group_id)
        self._system.reached(Step.COMMIT_APPENDED)
        entries = [(index, pending.entry)]
        await self._database.run(
            partial(apply_entries, group_id=group_id, entries=entries, system=self._system)
        )
        self._system.reached(Step.COMMIT_KEPT)
        return True

    async def _spread(self, group_id: bytes) -> None:
        """Tell everybody, some in each transaction."""
        how_far = Spread.MORE
        while how_far is not Spread.DONE:
            if how_far is Spread.NEEDS_BLOB:
                await self._blobs.make((await self._row(group_id)).view)
            blob = self._blobs.newest(group_id)
            how_far = await self._database.run(
                partial(spread, group_id=group_id, system=self._system, blob=blob)
            )
            self._on_drafts()

    async def _welcome(self, group_id: bytes) -> None:
        """Give the welcomes that wait for a blob."""
        while (view := await self._database.read(partial(_who_owes, group_id=group_id))) is not None:
            blob = self._blobs.newest(group_id)
            if not await self._database.run(
                partial(_give_owed, group_id=group_id, system=self._system, blob=blob)
            ):
                await self._blobs.make(view)
            self._on_drafts()


def _who_owes(tx: Transaction, *, group_id: bytes) -> GroupView | None:
    """What is known of the group, if this device owes somebody a welcome there and can give it."""
    row = find_group(tx, group_id)
    if row is None or row.status is not Status.MEMBER or not has_secret(row.view):
        return None
    return row.view if owed_welcomes(tx, group_id, 1) else None


def _give_owed(tx: Transaction, *, group_id: bytes, system: System, blob: StateBlob | None) -> bool:
    row = find_group(tx, group_id)
    if row is None or row.status is not Status.MEMBER or not has_secret(row.view):
        return True
    return give_owed(tx, load_account(tx), row, system, blob=blob)


def _keys(pending: Pending) -> LogKeys:
    """Write key and read token from a cut on."""
    if pending.hand_out is None:
        raise RuntimeError("only a cut has keys of its own")
    return LogKeys(pending.hand_out.write_seed, pending.hand_out.keys().read_token)
