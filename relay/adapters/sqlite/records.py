"""Idempotency records: which (target device, envelope id) was accepted with which digest.

New ones are noted in order in `recent_records`, with an index in memory (`temp.recent`), and merged into `records` many at
a time. A record is forgotten when its sequence was settled 7 days ago or more, by the daily marks.
"""

from typing import Final

from relay.wire import limits

from . import multi_row
from .reader import Reader
from .writer import Transaction, Writer

MERGE_AT: Final = 20_000  # recent records; 50 B of memory each
DAY_MS: Final = 86_400_000
_KEPT_DAYS: Final = limits.IDEMPOTENCY_SECONDS // 86_400 + 1  # a mark knows the day only: one more

_OPEN: Final = (
    """CREATE TEMP TABLE recent (device_number INTEGER, envelope_id BLOB, digest BLOB, sequence INTEGER,
                               PRIMARY KEY (device_number, envelope_id)) WITHOUT ROWID""",
    """CREATE TEMP TRIGGER record_indexed AFTER INSERT ON main.envelopes
       BEGIN
           INSERT INTO recent VALUES (new.device_number, new.envelope_id, new.digest, new.sequence);
       END""",
    "INSERT INTO temp.recent SELECT device_number, envelope_id, digest, sequence FROM recent_records",
)


class Records:
    """The records of every mailbox, on the writer's connection."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader
        self._recent = 0
        self._merging = False
        self._swept: tuple[int, bytes] = (0, b"")
        self._marked = 0

    async def open(self) -> None:
        """Build the index of the recent ones; before the first operation."""

        async def build(transaction: Transaction) -> int:
            for statement in _OPEN:
                await transaction.rows(statement)
            ((count,),) = await transaction.rows("SELECT count(*) FROM temp.recent")
            return int(count)

        self._recent = await self._writer.run(build, frees=True)

    async def find(self, transaction: Transaction, asked: list[object]) -> dict[tuple[int, bytes], bytes]:
        """The digests that stand for `asked` (device number, envelope id, device number …)."""
        found: dict[tuple[int, bytes], bytes] = {}
        for rows, parameters in multi_row.chunks(asked, 2):
            for number, envelope_id, digest in await transaction.rows(
                f"""WITH asked(number, id) AS MATERIALIZED (SELECT column1, column2 FROM {multi_row.values(rows, 2)})
                    SELECT r.device_number, r.envelope_id, r.digest FROM asked
                        CROSS JOIN temp.recent AS r ON r.device_number = asked.number AND r.envelope_id = asked.id
                    UNION ALL
                    SELECT r.device_number, r.envelope_id, r.digest FROM asked
                        CROSS JOIN records AS r ON r.device_number = asked.number AND r.envelope_id = asked.id""",  # noqa: S608
                parameters,
            ):
                found[number, envelope_id] = digest
        return found

    def noted(self, count: int) -> None:
        """`count` more were committed; merge in a later group if it is time."""
        self._recent += count
        if self._recent >= MERGE_AT and not self._merging:
            self._merging = True
            self._writer.enqueue(self._merge, frees=False, single=False).add_done_callback(self._merge_over)

    def _merge_over(self, done: object) -> None:
        self._merging = False

    async def _merge(self, transaction: Transaction) -> None:
        # In the order of the key: each page of the tree is written once for all records that fall on it.
        await transaction.rows(
            """INSERT OR REPLACE INTO records (device_number, envelope_id, digest, sequence)
               SELECT device_number, envelope_id, digest, sequence FROM temp.recent"""
        )
        await transaction.rows("DELETE FROM recent_records")
        await transaction.rows("DELETE FROM temp.recent")

        def merged() -> None:
            self._recent = 0

        transaction.after_commit(merged)

    async def remove_old(self, *, now_ms: int, limit: int) -> int:
        """Mark what is settled by today, and forget at most `limit` records that were settled long enough ago."""
        today = now_ms // DAY_MS
        if self._recent:
            await self._writer.run(self._merge)
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
