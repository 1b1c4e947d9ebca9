"""Mailboxes in SQLite: calls that wait are applied together by the writer; reading is in mailbox_pages.py."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from relay.adapters.mailbox_calls import Acknowledgement, Append, Attempt
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
from relay.wire.errors import NotFound, StorageFull
from relay.wire.frames import MissedReason

from . import missed
from .mailbox_counters import Counters, MailboxCounters
from .mailbox_group import MailboxGroup
from .mailbox_pages import MailboxPages
from .reader import Reader
from .records import Records
from .writer import Transaction, Writer

_NOTHING = AppendResult(())
_EMPTY = sha256()


def _digest(ciphertext: bytes) -> bytes:
    """The first 16 B of its SHA-256. A copy of an empty hash costs half of what a new one does in OpenSSL 3."""
    running = _EMPTY.copy()
    running.update(ciphertext)
    return running.digest()[: limits.DIGEST_BYTES]


@dataclass(slots=True, eq=False)
class _Calls:
    """Calls that wait for the writer."""

    appends: list[Append] = field(default_factory=list)
    acks: list[Acknowledgement] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)

    def all(self) -> list[Append | Acknowledgement | Attempt]:
        return [*self.appends, *self.acks, *self.attempts]


class SqliteMailboxes:
    """MailboxStore on one file."""

    def __init__(self, writer: Writer, reader: Reader, quotas: Quotas) -> None:
        self._writer = writer
        self._reader = reader
        self._counters = MailboxCounters()
        self._records = Records(writer, reader)
        self._group = MailboxGroup(self._counters, self._records, quotas)
        self._pages = MailboxPages(reader)
        self._swept = (0, 0)
        self._waiting = _Calls()
        self._queued = False
        writer.on_rollback.append(self._counters.forget_all)

    def change_quotas(self, quotas: Quotas) -> None:
        """Other quotas from the next group on."""
        self._group.change_quotas(quotas)

    async def open(self) -> None:
        """Make ready; before the first call."""
        await self._records.open()

    def forget(self, device_ids: Iterable[bytes]) -> None:
        """These devices are removed, by a transaction that is committed."""
        gone = tuple(device_ids)
        self._counters.forget(gone)
        self._pages.forget(gone)

    async def append(self, submissions: Sequence[Submission], *, now_ms: int) -> AppendResult:
        """Store what these say, in one commit."""
        digests = [
            (_digest(submission.ciphertexts[0]),)  # as a rule there is one
            if len(submission.ciphertexts) == 1
            else tuple(map(_digest, submission.ciphertexts))
            for submission in submissions
        ]
        call = Append(result=_NOTHING, submissions=submissions, digests=digests, now_ms=now_ms)
        self._queue()
        self._waiting.appends.append(call)
        return await call.done

    async def ack(self, device_id: bytes, *, up_to: int, also: Sequence[int] = ()) -> None:
        """Delete what is acknowledged."""
        call = Acknowledgement(result=None, device_id=device_id, up_to=up_to, also=also)
        self._queue()
        self._waiting.acks.append(call)
        await call.done

    async def count_attempt(self, device_id: bytes, sequence: int) -> bool:
        """Note a delivery of the lowest unacknowledged envelope."""
        call = Attempt(result=False, device_id=device_id, sequence=sequence)
        self._queue()
        self._waiting.attempts.append(call)
        return await call.done

    def _queue(self) -> None:
        """Have the writer apply what waits in its next group, once for all; raises Unavailable."""
        if self._queued:
            return
        taken: list[_Calls] = []

        async def apply(transaction: Transaction) -> None:
            if not taken:  # else this is the second try, on a full disk
                taken.append(self._take())
            await self._apply(transaction, taken[0])

        def told(done: "asyncio.Future[None]") -> None:
            """Whoever waits hears of a group that failed, even before its turn came."""
            error = None if done.cancelled() else done.exception()
            if error is not None:
                for call in (taken[0] if taken else self._take()).all():
                    call.refuse(error)

        self._writer.enqueue(apply, frees=True, single=True, defers=True).add_done_callback(told)
        self._queued = True

    def _take(self) -> "_Calls":
        calls, self._waiting = self._waiting, _Calls()
        self._queued = False
        return calls

    async def _apply(self, transaction: Transaction, waiting: "_Calls") -> None:
        calls = waiting.all()

        def answer() -> None:
            for call in calls:
                call.answer()

        transaction.after_commit(answer)
        for call in calls:
            call.error = None
        if transaction.freeing_only:
            for append in waiting.appends:
                append.error = StorageFull()
        elif waiting.appends:
            await self._group.append(transaction, waiting.appends)
        if waiting.acks or waiting.attempts:
            await self._group.settle(transaction, waiting.acks, waiting.attempts)

    async def read(
        self, device_id: bytes, *, after: int, max_envelopes: int, max_bytes: int, now_ms: int
    ) -> Page:
        """What stands above `after`."""
        while True:
            found = await self._pages.read(
                device_id, after=after, max_envelopes=max_envelopes, max_bytes=max_bytes, now_ms=now_ms
            )
            if isinstance(found, Page):
                return found
            if found.expired:
                await self._settle(device_id, lambda tx, counters: missed.expire(tx, counters, now_ms))
            for sequence in found.damaged:
                await self._remove_damaged(device_id, sequence)

    async def _remove_damaged(self, device_id: bytes, sequence: int) -> None:
        async def remove(transaction: Transaction, counters: Counters) -> int:
            return await missed.replace_by_missed(
                transaction, counters, "sequence = ?", (sequence,), MissedReason.REMOVED
            )

        await self._settle(device_id, remove)

    async def _settle(
        self, device_id: bytes, change: Callable[[Transaction, Counters], Awaitable[int]]
    ) -> int:
        async def operation(transaction: Transaction) -> int:
            counters = await self._counters.of(transaction, device_id)
            if counters is None:
                raise NotFound("there is no such device")
            return await change(transaction, counters)

        return await self._writer.run(operation, frees=True)

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

        async def change(transaction: Transaction, counters: Counters) -> int:
            return await missed.replace_by_missed(
                transaction, counters, "sequence <= ?", (up_to,), MissedReason.REMOVED
            )

        await self._settle(device_id, change)

    async def expire(self, *, now_ms: int, limit: int) -> int:
        """Look at the next `limit` envelopes, in turns, and replace the expired ones."""
        rows = await self._reader.rows(
            """SELECT device_number, sequence, expires_at_ms FROM envelopes INDEXED BY envelopes_by_mailbox
               WHERE (device_number, sequence) > (?, ?) ORDER BY device_number, sequence LIMIT ?""",
            (*self._swept, limit),
        )
        self._swept = (rows[-1][0], rows[-1][1]) if len(rows) == limit else (0, 0)
        count = 0
        for number in sorted({number for number, _, expires_at_ms in rows if expires_at_ms <= now_ms}):
            device = await self._reader.one(
                "SELECT device_id FROM devices WHERE device_number = ?", (number,)
            )
            if device is not None:
                count += await self._settle(
                    device[0], lambda tx, counters: missed.expire(tx, counters, now_ms)
                )
        return count

    async def remove_old_records(self, *, now_ms: int, limit: int) -> int:
        """Forget idempotency records whose time is over."""
        return await self._records.remove_old(now_ms=now_ms, limit=limit)

    async def begin_epoch(self) -> None:
        """Every sequence jumps by RESTORE_GAP."""
        await self._writer.run(self.jump)

    async def jump(self, transaction: Transaction) -> None:
        """The same inside a transaction of the caller's."""
        await transaction.rows(
            """UPDATE mailboxes AS m SET given_up_to = max(given_up_to,
                   coalesce((SELECT max(sequence) FROM envelopes WHERE device_number = m.device_number), 0),
                   coalesce((SELECT max(to_sequence) FROM missed WHERE device_number = m.device_number), 0))"""
        )
        await transaction.rows(
            "INSERT INTO missed SELECT device_number, given_up_to + 1, given_up_to + ?, ? FROM mailboxes",
            (RESTORE_GAP, int(MissedReason.RESTORED)),
        )
        await transaction.rows("UPDATE mailboxes SET given_up_to = given_up_to + ?", (RESTORE_GAP,))
        self._counters.forget_all()
