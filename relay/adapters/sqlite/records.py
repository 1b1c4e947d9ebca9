"""Idempotency records: which (target device, envelope id) was accepted with which digest.

New ones are noted a commit at a time in `recent_records`, and remembered; many at a time they are merged into `records`, in
the order of its key. A record is forgotten when its sequence was settled 7 days ago or more, by the daily marks.
"""

import asyncio
import struct
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Final, TypeAlias

from relay.wire import limits
from relay.wire.errors import Unavailable

from . import multi_row
from .reader import Reader
from .writer import Operation, Row, Transaction, Writer

MERGE_AT: Final = 16_384  # recent records; about 200 B of memory each; sorting them takes 2 ms
DAY_MS: Final = 86_400_000
_KEPT_DAYS: Final = limits.IDEMPOTENCY_SECONDS // 86_400 + 1  # a mark knows the day only: one more
SLICE_ROWS: Final = 2_048  # merged in one group: no commit waits for all of them
RECORD: Final = struct.Struct(">Q16s16sQ")  # key and value: device number, envelope id, digest, sequence

NUMBER_BYTES: Final = 8
Key: TypeAlias = bytes
"""Device number (u64 big-endian) ‖ envelope id (16 B): in the order of the table's key, and hashed once."""
Fresh: TypeAlias = dict[Key, bytes]
"""Digest (16 B) ‖ sequence (u64 big-endian) of records that are not in `records` yet."""


def record_key(device_number: int, envelope_id: bytes) -> Key:
    """The key of a record."""
    return device_number.to_bytes(NUMBER_BYTES, "big") + envelope_id


def record_value(digest: bytes, sequence: int) -> bytes:
    """The value of a record."""
    return digest + sequence.to_bytes(8, "big")


class Records:
    """The records of every mailbox, on the writer's connection."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader
        self.recent: Fresh = {}
        self.merging: Fresh = {}  # what was recent, and is on its way into `records`
        self._last_batch = 0  # of those in `recent`
        self._some_merged = False
        self._swept: tuple[int, bytes] = (0, b"")
        self._marked = 0

    async def open(self) -> None:
        """Remember the recent ones; before the first operation."""
        for number, batch in await self._reader.rows("SELECT batch_number, batch FROM recent_records"):
            self._last_batch = max(self._last_batch, number)
            for at in range(0, len(batch), RECORD.size):
                self.recent[batch[at : at + 24]] = batch[at + 24 : at + RECORD.size]
        self._some_merged = await self._reader.one("SELECT 1 FROM records LIMIT 1") is not None

    async def find_merged(self, transaction: Transaction, asked: Callable[[], Sequence[object]]) -> Fresh:
        """What stands in `records` for `asked()` (device number, envelope id, device number …)."""
        found: Fresh = {}
        if not self._some_merged:
            return found
        for rows, parameters in multi_row.chunks(asked(), 2):
            for number, envelope_id, digest, sequence in await transaction.rows(
                f"""SELECT r.device_number, r.envelope_id, r.digest, r.sequence
                    FROM {multi_row.values(rows, 2)} AS asked CROSS JOIN records AS r
                    ON r.device_number = asked.column1 AND r.envelope_id = asked.column2""",  # noqa: S608
                parameters,
            ):
                found[record_key(number, envelope_id)] = record_value(digest, sequence)
        return found

    def note(self, transaction: Transaction, fresh: Fresh) -> None:
        """Keep the records of this group; merge in a later one if it is time."""

        def remember(rows: list[Row]) -> None:
            ((batch_number,),) = rows
            transaction.after_commit(lambda: self._remember(fresh, batch_number))

        transaction.later(
            "INSERT INTO recent_records (batch) VALUES (?) RETURNING batch_number",
            (b"".join(chain.from_iterable(fresh.items())),),
            remember,
        )

    def _remember(self, fresh: Fresh, batch_number: int) -> None:
        self.recent.update(fresh)
        self._last_batch = batch_number
        if len(self.recent) >= MERGE_AT and not self.merging:
            self._begin_merge()

    def _begin_merge(self) -> None:
        """Merge what is remembered now, a slice in each of the next groups.

        What the group under way has noted comes after: its batch number is above `last_batch`.
        """
        self.merging, self.recent = self.recent, {}
        plan, last_batch = sorted(self.merging), self._last_batch

        def merge_next(start: int) -> None:
            keys = plan[start : start + SLICE_ROWS]
            following = start + len(keys)
            merge = self._merge_slice(keys, last_batch if following == len(plan) else None)
            try:
                done = self._writer.enqueue(merge, frees=False, single=False)
            except Unavailable:
                self._give_up_merge()
                return
            done.add_done_callback(lambda done: go_on(following, done))

        def go_on(following: int, done: "asyncio.Future[None]") -> None:
            if done.cancelled() or done.exception() is not None:
                self._give_up_merge()
            elif following < len(plan):
                merge_next(following)

        merge_next(0)

    def _give_up_merge(self) -> None:
        """All of it is merged again another time, from the start."""
        self.recent = self.merging | self.recent
        self.merging = {}

    def _merge_slice(self, keys: Sequence[Key], last_batch: int | None) -> Operation[None]:
        """Records in the order of the key: each page of the tree is written once for all that fall on it.

        With the last slice the batches up to `last_batch` go. Until then a restart remembers them, merged or not.
        """

        async def merge(transaction: Transaction) -> None:
            together = b"".join([part for key in keys for part in (key, self.merging[key])])
            flat: list[object] = list(chain.from_iterable(RECORD.iter_unpack(together)))
            for rows, parameters in multi_row.chunks(flat, 4):
                transaction.later(
                    f"""INSERT OR REPLACE INTO records (device_number, envelope_id, digest, sequence)
                        SELECT * FROM {multi_row.values(rows, 4)} WHERE column1 NOT NULL""",  # noqa: S608
                    parameters,
                )
            if last_batch is not None:
                transaction.later("DELETE FROM recent_records WHERE batch_number <= ?", (last_batch,))
            transaction.after_commit(forget)

        def forget() -> None:
            self._some_merged = True
            if last_batch is not None:
                self.merging = {}

        return merge

    async def remove_old(self, *, now_ms: int, limit: int) -> int:
        """Mark what is settled by today, and forget at most `limit` records that were settled long enough ago."""
        today = now_ms // DAY_MS
        if self.recent and not self.merging:
            self._begin_merge()
        await self._mark_settled(today, limit)
        rows = await self._reader.rows(
            """SELECT r.device_number, r.envelope_id,
                      d.device_number IS NULL OR r.sequence <= coalesce(
                          (SELECT max(settled_up_to) FROM settled_marks
                           WHERE device_number = r.device_number AND day <= ?), 0)
               FROM records AS r LEFT JOIN devices AS d ON d.device_number = r.device_number
               WHERE (r.device_number, r.envelope_id) > (?, ?)
               ORDER BY r.device_number, r.envelope_id LIMIT ?""",
            (today - _KEPT_DAYS, *self._swept, limit),
        )
        self._swept = (rows[-1][0], rows[-1][1]) if len(rows) == limit else (0, b"")
        old: list[object] = []
        for number, envelope_id, forgettable in rows:
            if forgettable:
                old += (number, envelope_id)
        if not old:
            return 0

        async def forget(transaction: Transaction) -> None:
            for count, parameters in multi_row.chunks(old, 2):
                await transaction.rows(
                    f"""DELETE FROM records WHERE (device_number, envelope_id) IN
                        (SELECT column1, column2 FROM {multi_row.values(count, 2)})""",  # noqa: S608
                    parameters,
                )

        await self._writer.run(forget, frees=True)
        return len(old) // 2

    async def _mark_settled(self, today: int, limit: int) -> None:
        """For the next `limit` mailboxes note up to where everything is settled, if that moved since the last mark."""
        numbers = await self._reader.rows(
            "SELECT device_number FROM mailboxes WHERE device_number > ? ORDER BY device_number LIMIT ?",
            (self._marked, limit),
        )
        first, self._marked = self._marked, (numbers[-1][0] if len(numbers) == limit else 0)
        if not numbers:
            return
        span = (first, numbers[-1][0])

        async def mark(transaction: Transaction) -> None:
            await transaction.rows(
                """WITH settled(number, up_to) AS (
                       SELECT device_number,
                              coalesce((SELECT min(sequence) FROM envelopes WHERE device_number = m.device_number) - 1,
                                       max(given_up_to, coalesce((SELECT max(to_sequence) FROM missed
                                                                  WHERE device_number = m.device_number), 0)))
                       FROM mailboxes AS m WHERE device_number > ? AND device_number <= ?)
                   INSERT OR IGNORE INTO settled_marks
                   SELECT number, ?, up_to FROM settled
                   WHERE up_to > coalesce((SELECT max(settled_up_to) FROM settled_marks WHERE device_number = number), 0)""",
                (*span, today),
            )
            # The newest mark that is old enough says all that older ones say.
            await transaction.rows(
                """DELETE FROM settled_marks AS old WHERE device_number > ? AND device_number <= ? AND day <= ?
                   AND EXISTS (SELECT 1 FROM settled_marks AS newer WHERE newer.device_number = old.device_number
                               AND newer.day > old.day AND newer.day <= ?)""",
                (*span, today - _KEPT_DAYS, today - _KEPT_DAYS),
            )

        await self._writer.run(mark)
