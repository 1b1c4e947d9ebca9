"""Removes what has expired, a bounded piece at a time, for as long as the relay runs. One fault does not end it.

Nothing depends on it being in time: what has expired is refused by whoever reads it. It only gives the room back.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from relay.ports.blob_files import BlobFiles
from relay.ports.clock import Clock
from relay.ports.leadership import Leadership, Work
from relay.ports.store import Store
from relay.services.sealed_logs import used_since_day
from relay.services.usage import DAY_MS, USAGE_DAYS
from relay.wire import limits

from .beside import beside, while_leading

ROUND_SECONDS: Final = 30
RECLAIM_SECONDS: Final = (
    2  # a disk that was full and has room again: envelopes are taken after this time at most
)
PAUSE_SECONDS: Final = 0.02  # between two steps: others write in the meantime
STEP_ROWS: Final = 1_000
STEP_LOG_ENTRIES: Final = 100  # of up to 256 KiB
STEP_RELEASED: Final = 100  # envelopes of up to 256 KiB
STEPS_A_ROUND: Final = 20


class Housekeeping:
    """The chores of one relay."""

    def __init__(
        self,
        store: Store,
        files: BlobFiles,
        *,
        clock: Clock,
        failed: Callable[[BaseException], None],
        group_log_idle_seconds: Callable[[], int] = lambda: limits.GROUP_LOG_IDLE_SECONDS,
        note_present: Callable[[], Awaitable[None]] | None = None,
        delete_accounts: Callable[[], Awaitable[int]] | None = None,
        end_holds: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        """`failed` is told what a chore raises; the chore is tried again in the next round.

        `note_present` is called each round, to note who is connected and how much the relay is used; `delete_accounts` as a
        chore, to finish what was begun; `end_holds` too, before all others.
        """
        self._store = store
        self._files = files
        self._clock = clock
        self._failed = failed
        self._listed = b""
        self._note_present = note_present
        self._group_log_idle_seconds = group_log_idle_seconds
        self._chores: dict[str, Callable[[], Awaitable[int]]] = {
            **({} if end_holds is None else {"holds": end_holds}),
            "nonces": self._nonces,
            "idempotency_records": self._records,
            "delivery_tokens": self._tokens,
            "invites": self._invites,
            "handles": self._handles,
            "blobs": self._blobs,
            "group_logs": self._group_logs,
            "orphaned_files": self._orphans,
            "held_envelopes": self._released,
            "usage": self._usage,
            **({} if delete_accounts is None else {"accounts": delete_accounts}),
        }

    async def run(self) -> None:
        """Round after round, until it is cancelled."""
        while True:
            await self.round()
            for _ in range(ROUND_SECONDS // RECLAIM_SECONDS):
                await self._clock.sleep(RECLAIM_SECONDS)
                await self._careful(self._store.reclaim)

    async def note_present(self) -> None:
        """Who is connected to this process and how much it was used, each ROUND_SECONDS until it is cancelled."""
        if self._note_present is None:
            return
        while True:
            await self._clock.sleep(ROUND_SECONDS)
            await self._careful(self._note_present)

    async def round(self) -> None:
        """Each chore, until it finds nothing more or has had its steps."""
        await self._careful(self._sweep)
        for chore in self._chores.values():
            await self._careful(lambda chore=chore: self._repeat(chore))  # type: ignore[misc]

    async def run_once(self) -> dict[str, int]:
        """Each chore up to its steps, now; kind → how many were removed. What one raises is passed on."""
        return {"envelopes": await self._sweep()} | {
            kind: await self._repeat(chore)
            for kind, chore in self._chores.items()
            if kind != "orphaned_files"  # which says how many it looked at
        }

    async def _careful(self, chore: Callable[[], Awaitable[object]]) -> None:
        try:
            await chore()
        except Exception as error:  # noqa: BLE001  # whatever it is: the other chores go on, and this one later
            self._failed(error)

    async def _repeat(self, chore: Callable[[], Awaitable[int]]) -> int:
        """What its steps said, together."""
        total = 0
        for _ in range(STEPS_A_ROUND):
            count = await chore()
            if not count:
                break
            total += count
            await self._clock.sleep(PAUSE_SECONDS)
        return total

    async def _sweep(self) -> int:
        """Envelopes are looked at in turns: a step that finds none says nothing of the next."""
        total = 0
        for _ in range(STEPS_A_ROUND):
            total += await self._store.mailboxes.expire(now_ms=self._clock.now_ms(), limit=STEP_ROWS)
            await self._clock.sleep(PAUSE_SECONDS)
        return total

    async def _released(self) -> int:
        return await self._store.holds.remove_released(limit=STEP_RELEASED)

    async def _usage(self) -> int:
        return await self._store.usage.remove_before(self._clock.now_ms() // DAY_MS - USAGE_DAYS)

    async def _nonces(self) -> int:
        return await self._store.accounts.remove_expired_nonces(now_ms=self._clock.now_ms(), limit=STEP_ROWS)

    async def _records(self) -> int:
        return await self._store.mailboxes.remove_old_records(now_ms=self._clock.now_ms(), limit=STEP_ROWS)

    async def _tokens(self) -> int:
        return await self._store.delivery_tokens.remove_expired(now_ms=self._clock.now_ms(), limit=STEP_ROWS)

    async def _invites(self) -> int:
        return await self._store.invites.remove_expired(now_ms=self._clock.now_ms(), limit=STEP_ROWS)

    async def _handles(self) -> int:
        return await self._store.accounts.free_handles(now_ms=self._clock.now_ms(), limit=STEP_ROWS)

    async def _blobs(self) -> int:
        expired = await self._store.blobs.expired(now_ms=self._clock.now_ms(), limit=STEP_ROWS)
        for blob_id in expired:
            await self._store.blobs.remove(blob_id)
            await self._files.remove(blob_id)
        return len(expired)

    async def _group_logs(self) -> int:
        day = used_since_day(self._clock.now_ms(), self._group_log_idle_seconds())
        return await self._store.group_logs.remove_idle(used_before_day=day, limit=STEP_LOG_ENTRIES)

    async def _orphans(self) -> int:
        """Files whose blob is gone: a kill came between the two."""
        listed = await self._files.list(after=self._listed, limit=STEP_ROWS)
        self._listed = listed[-1] if len(listed) == STEP_ROWS else b""
        for blob_id in set(listed) - await self._store.blobs.known(listed):
            await self._files.remove(blob_id)
        return len(listed) if self._listed else 0


@asynccontextmanager
async def open_housekeeping(
    store: Store,
    files: BlobFiles,
    leadership: Leadership,
    *,
    clock: Clock,
    failed: Callable[[BaseException], None],
    group_log_idle_seconds: Callable[[], int] = lambda: limits.GROUP_LOG_IDLE_SECONDS,
    note_present: Callable[[], Awaitable[None]] | None = None,
    delete_accounts: Callable[[], Awaitable[int]] | None = None,
    end_holds: Callable[[], Awaitable[int]] | None = None,
) -> AsyncIterator[Housekeeping]:
    """Housekeeping at work until the block ends, where this process is the one that does it; presence is noted by each."""
    housekeeping = Housekeeping(
        store,
        files,
        clock=clock,
        failed=failed,
        group_log_idle_seconds=group_log_idle_seconds,
        note_present=note_present,
        delete_accounts=delete_accounts,
        end_holds=end_holds,
    )
    async with (
        beside(while_leading(leadership, Work.HOUSEKEEPING, housekeeping.run), "housekeeping"),
        beside(housekeeping.note_present(), "presence"),
    ):
        yield housekeeping
