"""Idempotency records: noted with each append, forgotten a week after their envelope was settled."""

from typing import Final

from relay.wire import limits

from .database import Database, Transaction

DAY_MS: Final = 86_400_000
_KEPT_DAYS: Final = limits.IDEMPOTENCY_SECONDS // 86_400 + 1  # a mark knows the day only: one more

_MARK: Final = """
    INSERT INTO settled_marks (device_id, day, settled_up_to)
    SELECT device_id, $3, up_to FROM (
        SELECT m.device_id, coalesce(
            (SELECT min(sequence) - 1 FROM envelopes AS e WHERE e.device_id = m.device_id), m.given_up_to) AS up_to
        FROM mailboxes AS m WHERE m.device_id > $1 AND m.device_id <= $2) AS settled
    WHERE up_to > coalesce(
        (SELECT max(settled_up_to) FROM settled_marks AS s WHERE s.device_id = settled.device_id), 0)
    ON CONFLICT DO NOTHING"""
_FORGET_MARKS: Final = """
    DELETE FROM settled_marks AS old WHERE device_id > $1 AND device_id <= $2 AND day <= $3
        AND EXISTS (SELECT 1 FROM settled_marks AS newer WHERE newer.device_id = old.device_id
                    AND newer.day > old.day AND newer.day <= $3)"""
"""The newest mark that is old enough says all that older ones say."""
_NEXT: Final = """
    SELECT r.device_id, r.envelope_id, r.sequence <= coalesce(
        (SELECT max(settled_up_to) FROM settled_marks AS s WHERE s.device_id = r.device_id AND s.day <= $1), 0)
    FROM records AS r WHERE (r.device_id, r.envelope_id) > ($2, $3) ORDER BY r.device_id, r.envelope_id LIMIT $4"""


class Records:
    """What is forgotten of them, in turns through the table. One process at a time does this work."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._swept = (b"", b"")
        self._marked = b""

    async def remove_old(self, *, now_ms: int, limit: int) -> int:
        """Mark what is settled by today, and forget at most `limit` records that were settled long enough ago."""
        today = now_ms // DAY_MS
        await self._mark_settled(today, limit)
        rows = await self._database.rows(_NEXT, today - _KEPT_DAYS, *self._swept, limit)
        self._swept = (rows[-1][0], rows[-1][1]) if len(rows) == limit else (b"", b"")
        old = [(device_id, envelope_id) for device_id, envelope_id, forgettable in rows if forgettable]
        if not old:
            return 0
        device_ids, envelope_ids = zip(*old, strict=True)

        async def forget(transaction: Transaction) -> None:
            await transaction.execute(
                """DELETE FROM records AS r USING unnest($1::bytea[], $2::bytea[]) AS old(device_id, envelope_id)
                   WHERE r.device_id = old.device_id AND r.envelope_id = old.envelope_id""",
                device_ids,
                envelope_ids,
            )

        await self._database.run(forget)
        return len(old)

    async def _mark_settled(self, today: int, limit: int) -> None:
        """For the next `limit` mailboxes note up to where everything is settled, if that moved since the last mark."""
        rows = await self._database.rows(
            "SELECT device_id FROM mailboxes WHERE device_id > $1 ORDER BY device_id LIMIT $2",
            self._marked,
            limit,
        )
        first, self._marked = self._marked, (rows[-1][0] if len(rows) == limit else b"")
        if not rows:
            return
        last = rows[-1][0]

        async def mark(transaction: Transaction) -> None:
            await transaction.execute(_MARK, first, last, today)
            await transaction.execute(_FORGET_MARKS, first, last, today - _KEPT_DAYS)

        await self._database.run(mark)
