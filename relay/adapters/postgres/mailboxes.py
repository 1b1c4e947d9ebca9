"""Mailboxes in PostgreSQL: calls that wait are applied together, by one transaction at a time of each node."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any, Final, TypeVar

from relay.adapters.mailbox_calls import Acknowledgement, Append, Attempt, Call
from relay.ports.clock import Randomness
from relay.ports.mailboxes import (
    RESTORE_GAP,
    AppendResult,
    MailboxState,
    Page,
    QuarantinedEnvelope,
    Quotas,
    StoredEnvelope,
    Submission,
)
from relay.wire import limits
from relay.wire.errors import NotFound, RelayError, Unavailable
from relay.wire.frames import MissedReason

from . import mailbox_counters, missed
from .database import Database, Transaction, is_busy
from .held_calls import HeldCalls
from .mailbox_counters import Counters
from .mailbox_group import MailboxGroup
from .mailbox_pages import MailboxPages
from .mailbox_writes import MailboxWrites
from .records import Records

_log = logging.getLogger(__name__)
T = TypeVar("T")
_NOTHING: Final = AppendResult(())


def _digest(ciphertext: bytes) -> bytes:
    return sha256(ciphertext).digest()[: limits.DIGEST_BYTES]


class PostgresMailboxes:
    """MailboxStore on one database. Its calls are applied by `work`."""

    def __init__(self, database: Database, quotas: Quotas, randomness: Randomness) -> None:
        self._database = database
        self._group = MailboxGroup(quotas, randomness)
        self._held = HeldCalls(database, self._group)
        self._records = Records(database)
        self._pages = MailboxPages(database)
        self._waiting: list[Call[Any]] = []
        self._wake = asyncio.Event()
        self._closing = False

    def change_quotas(self, quotas: Quotas) -> None:
        """Other quotas from the next group on."""
        self._group.change_quotas(quotas)

    async def append(self, submissions: Sequence[Submission], *, now_ms: int) -> AppendResult:
        """Store what these say, in one commit."""
        digests = [tuple(map(_digest, submission.ciphertexts)) for submission in submissions]
        shared_ms = self._database.shared_ms(now_ms)
        call = Append(result=_NOTHING, submissions=submissions, digests=digests, now_ms=shared_ms)
        return await self._wait_for(call)

    async def ack(self, device_id: bytes, *, up_to: int, also: Sequence[int] = ()) -> None:
        """Delete what is acknowledged."""
        await self._wait_for(Acknowledgement(result=None, device_id=device_id, up_to=up_to, also=also))

    async def count_attempt(self, device_id: bytes, sequence: int) -> bool:
        """Note a delivery of the lowest unacknowledged envelope."""
        return await self._wait_for(Attempt(result=False, device_id=device_id, sequence=sequence))

    async def _wait_for(self, call: Call[T]) -> T:
        if self._closing:
            raise Unavailable
        self._waiting.append(call)
        self._wake.set()
        return await call.done

    async def work(self) -> None:
        """Apply group after group until `close`; always ends with nobody waiting."""
        calls: list[Call[Any]] = []
        try:
            while not (self._closing and not self._waiting):
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    calls, self._waiting = self._waiting, []
                    await self._apply(self._held.set_aside(calls))
            await self._held.finish()
        finally:
            self._closing = True
            for call in calls + self._waiting:
                call.refuse(Unavailable())

    def close(self) -> None:
        """Take no more; `work` ends after what waits."""
        self._closing = True
        self._wake.set()

    async def _apply(self, calls: Sequence[Call[Any]]) -> None:
        """All in one commit. If another node holds one mailbox for long, the others do not suffer for it."""
        if not calls:
            return
        try:
            await self._database.run(lambda transaction: self._group.apply(transaction, calls))
        except RelayError as error:
            if is_busy(error):
                await self._held.part(calls)
                return
            for call in calls:
                call.refuse(error)
        except Exception as error:  # noqa: BLE001  # who waits is told; none may end the work
            _log.error("store_operation_failed", exc_info=error)
            for call in calls:
                call.refuse(Unavailable())
        else:
            for call in calls:
                call.answer()

    async def read(
        self, device_id: bytes, *, after: int, max_envelopes: int, max_bytes: int, now_ms: int
    ) -> Page:
        """What stands above `after`."""
        # A node that is ahead would take mail from who can still have it.
        now_ms = self._database.shared_ms(now_ms)
        while True:
            found = await self._pages.read(
                device_id, after=after, max_envelopes=max_envelopes, max_bytes=max_bytes, now_ms=now_ms
            )
            if isinstance(found, Page):
                return found
            if found.expired:
                await self._settle(device_id, lambda tx, counters: missed.expire(tx, counters, now_ms))
            if damaged := found.damaged:
                await self._settle(
                    device_id, lambda tx, counters: missed.remove_damaged(tx, counters, damaged)
                )

    async def _settle(
        self, device_id: bytes, change: Callable[[Transaction, Counters], Awaitable[int]]
    ) -> int:
        async def operation(transaction: Transaction) -> int:
            counters = (await mailbox_counters.lock(transaction, [device_id])).get(device_id)
            if counters is None:
                raise NotFound("there is no such device")
            count = await change(transaction, counters)
            await MailboxWrites({}).write(transaction, [counters], {})
            return count

        return await self._database.run(operation)

    async def state(self, device_id: bytes) -> MailboxState:
        """Where the mailbox stands."""
        return await self._pages.state(device_id)

    async def newest(self, device_ids: Collection[bytes]) -> Mapping[bytes, int]:
        """What each has given."""
        return await self._pages.newest(device_ids)

    async def quarantined(self, device_id: bytes) -> tuple[QuarantinedEnvelope, ...]:
        """All quarantined ones, ascending."""
        return await self._pages.quarantined(device_id)

    async def fetch_quarantined(self, device_id: bytes, sequence: int) -> StoredEnvelope:
        """One of them."""
        return await self._pages.fetch_quarantined(device_id, sequence)

    async def remove(self, device_id: bytes, *, up_to: int) -> None:
        """Replace every envelope up to `up_to` by missed ranges."""
        await self._settle(device_id, lambda tx, counters: missed.remove_up_to(tx, counters, up_to))

    async def expire(self, *, now_ms: int, limit: int) -> int:
        """Replace what has expired in the mailboxes of the next `limit` envelopes that expire."""
        now_ms = self._database.shared_ms(now_ms)
        rows = await self._database.rows(
            """SELECT DISTINCT device_id FROM (
                   SELECT device_id FROM envelopes WHERE expires_at_ms <= $1 ORDER BY expires_at_ms LIMIT $2) AS next""",
            now_ms,
            limit,
        )
        count = 0
        for (device_id,) in rows:
            try:
                count += await self._settle(
                    device_id, lambda tx, counters: missed.expire(tx, counters, now_ms)
                )
            except NotFound:  # removed meanwhile, with all that was in it
                continue
        return count

    async def remove_old_records(self, *, now_ms: int, limit: int) -> int:
        """Forget idempotency records whose time is over."""
        return await self._records.remove_old(now_ms=now_ms, limit=limit)

    async def begin_epoch(self) -> None:
        """Every sequence jumps by RESTORE_GAP."""
        await self._database.run(jump)


async def jump(transaction: Transaction) -> None:
    """The same inside a transaction of the caller's."""
    await transaction.execute("LOCK TABLE mailboxes IN SHARE ROW EXCLUSIVE MODE")
    await transaction.execute(
        "INSERT INTO missed SELECT device_id, given_up_to + 1, given_up_to + $1, $2 FROM mailboxes",
        RESTORE_GAP,
        int(MissedReason.RESTORED),
    )
    await transaction.execute(
        "UPDATE mailboxes SET given_up_to = given_up_to + $1, has_missed = true", RESTORE_GAP
    )


@asynccontextmanager
async def working(mailboxes: PostgresMailboxes) -> AsyncIterator[None]:
    """Its calls are applied until the block ends; then what waits still is, and no more is taken."""
    task = asyncio.create_task(mailboxes.work(), name="store-mailboxes")
    try:
        yield
    finally:
        mailboxes.close()
        await task
