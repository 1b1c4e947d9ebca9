"""The logs of groups in PostgreSQL. No statement here names an account or a device."""

from typing import Final

from relay.ports.sealed_logs import Appended, GroupAppend, LogPage, LogQuota, PageSize
from relay.wire.errors import Conflict, NotAllowed, QuotaExceeded

from .database import Database, Transaction
from .log_pages import page_of, page_statement

DAY_MS: Final = 86_400_000
_DROPPED_AT_ONCE: Final = 1_000  # entries that one append may push out

_PAGE: Final = page_statement(
    "group_logs", "group_log_entries", "g.log_id = $4 AND g.read_token_hash = $5", "s.log_id = g.log_id"
)


class PostgresGroupLogs:
    """GroupLogStore on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, first: GroupAppend, *, now_ms: int) -> Appended:
        """Make a log with its entry 0."""

        async def operation(transaction: Transaction) -> Appended:
            made = await transaction.rows(
                """INSERT INTO group_logs VALUES ($1, $2, $3, 0, 0, 0, 0)
                   ON CONFLICT DO NOTHING RETURNING 1""",
                first.log_id,
                first.next_write_key,
                first.next_read_token_hash,
            )
            if not made:
                standing = await transaction.one(
                    "SELECT at_ms, digest FROM group_log_entries WHERE log_id = $1 AND entry_index = 0",
                    first.log_id,
                )
                if standing is None or standing["digest"] != first.digest:
                    raise Conflict("another log has this id")
                return Appended(standing["at_ms"], is_new=False)
            await _insert(transaction, first, first.next_write_key or b"", now_ms)
            return Appended(now_ms, is_new=True)

        return await self._database.run(operation)

    async def write_key(self, log_id: bytes, index: int, *, used_since_day: int) -> bytes | None:
        """The key that signs at `index`; one look-up, whether the log is there or not."""
        row = await self._database.one(
            """SELECT CASE WHEN g.next_index <= $2 THEN g.write_key ELSE e.signed_by END FROM group_logs AS g
               LEFT JOIN group_log_entries AS e ON e.log_id = g.log_id AND e.entry_index = $2
               WHERE g.log_id = $1 AND g.used_day >= $3""",
            log_id,
            index,
            used_since_day,
        )
        return None if row is None else row[0]

    async def append(
        self, append: GroupAppend, *, signed_by: bytes, now_ms: int, quota: LogQuota, kept_since_ms: int
    ) -> Appended:
        """Put the entry at the end."""

        async def operation(transaction: Transaction) -> Appended:
            found = await transaction.one(
                """SELECT write_key, next_index, next_index - first_index, bytes
                   FROM group_logs WHERE log_id = $1 FOR UPDATE""",
                append.log_id,
            )
            if found is None:
                raise NotAllowed
            write_key, next_index, entries, used = found
            if append.index < next_index:
                standing = await transaction.one(
                    "SELECT at_ms FROM group_log_entries WHERE log_id = $1 AND entry_index = $2 AND digest = $3",
                    append.log_id,
                    append.index,
                    append.digest,
                )
                if standing is None:
                    raise Conflict("another entry stands at this index: read on from it")
                return Appended(standing[0], is_new=False)
            if write_key != signed_by:
                raise NotAllowed
            if append.index > next_index:
                raise Conflict("this log is not that long: read where it ends")
            excess = (entries + 1 - quota.entries, used + len(append.entry) - quota.bytes)
            if max(excess) > 0:
                await _make_room(transaction, append.log_id, *excess, kept_since_ms)
            await _insert(transaction, append, signed_by, now_ms)
            return Appended(now_ms, is_new=True)

        return await self._database.run(operation)

    async def read_token_hash(self, log_id: bytes, *, used_since_day: int) -> bytes | None:
        """The hash; one look-up, whether the log is there or not."""
        row = await self._database.one(
            "SELECT read_token_hash FROM group_logs WHERE log_id = $1 AND used_day >= $2",
            log_id,
            used_since_day,
        )
        return None if row is None else row[0]

    async def read(
        self, log_id: bytes, read_token_hash: bytes, *, from_index: int, size: PageSize
    ) -> LogPage | None:
        """The entries from this index on."""
        return page_of(
            await self._database.rows(_PAGE, from_index, size.entries, size.bytes, log_id, read_token_hash)
        )

    async def mark_used(self, log_id: bytes, *, day: int) -> None:
        """Note the day; a second time the same day writes nothing."""
        await self._database.change(
            "UPDATE group_logs SET used_day = $2 WHERE log_id = $1 AND used_day < $2", log_id, day
        )

    async def remove_idle(self, *, used_before_day: int, limit: int) -> int:
        """Remove entries of idle logs, then the logs."""

        async def operation(transaction: Transaction) -> int:
            entries = await transaction.rows(
                """DELETE FROM group_log_entries WHERE (log_id, entry_index) IN (
                       SELECT e.log_id, e.entry_index FROM group_log_entries AS e JOIN group_logs AS g USING (log_id)
                       WHERE g.used_day < $1 LIMIT $2) RETURNING 1""",
                used_before_day,
                limit,
            )
            logs = await transaction.rows(
                """DELETE FROM group_logs WHERE log_id IN (
                       SELECT log_id FROM group_logs AS g WHERE used_day < $1 AND NOT EXISTS (
                           SELECT 1 FROM group_log_entries AS e WHERE e.log_id = g.log_id)
                       LIMIT $2 FOR UPDATE) AND used_day < $1 RETURNING 1""",
                used_before_day,
                limit - len(entries),
            )
            return len(entries) + len(logs)

        return await self._database.run(operation)


async def _insert(transaction: Transaction, append: GroupAppend, signed_by: bytes, now_ms: int) -> None:
    await transaction.execute(
        "INSERT INTO group_log_entries VALUES ($1, $2, $3, $4, $5, $6)",
        append.log_id,
        append.index,
        now_ms,
        signed_by,
        append.digest,
        append.entry,
    )
    await transaction.execute(
        """UPDATE group_logs SET write_key = coalesce($2, write_key), read_token_hash = coalesce($3, read_token_hash),
               next_index = next_index + 1, bytes = bytes + $4, used_day = greatest(used_day, $5) WHERE log_id = $1""",
        append.log_id,
        append.next_write_key,
        append.next_read_token_hash,
        len(append.entry),
        now_ms // DAY_MS,
    )


async def _make_room(
    transaction: Transaction, log_id: bytes, entries: int, size: int, kept_since_ms: int
) -> None:
    """Remove oldest entries, at least so many and of so many bytes; raises QuotaExceeded if they came too lately."""
    oldest = await transaction.rows(
        """SELECT entry_index, length(entry), at_ms FROM group_log_entries WHERE log_id = $1
           ORDER BY entry_index LIMIT $2""",
        log_id,
        _DROPPED_AT_ONCE,
    )
    gone, freed = 0, 0
    while gone < entries or freed < size:
        if gone == len(oldest) or oldest[gone][2] >= kept_since_ms:
            raise QuotaExceeded("the log is full, and what is in it came too lately to make room")
        freed += oldest[gone][1]
        gone += 1
    up_to = oldest[gone - 1][0] + 1
    await transaction.execute(
        "DELETE FROM group_log_entries WHERE log_id = $1 AND entry_index < $2", log_id, up_to
    )
    await transaction.execute(
        "UPDATE group_logs SET first_index = $2, bytes = bytes - $3 WHERE log_id = $1", log_id, up_to, freed
    )
