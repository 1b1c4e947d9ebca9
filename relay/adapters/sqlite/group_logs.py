"""The logs of groups in SQLite. No statement here names an account or a device."""

from typing import Final

from relay.ports.sealed_logs import Appended, GroupAppend, LogPage, LogQuota, PageSize
from relay.wire.errors import Conflict, NotAllowed, QuotaExceeded

from .log_pages import page_of, page_statement
from .reader import Reader
from .writer import Transaction, Writer

DAY_MS: Final = 86_400_000
_DROPPED_AT_ONCE: Final = 1_000  # entries that one append may push out

_PAGE: Final = page_statement("group_logs", "group_log_entries", "g.log_id = ? AND g.read_token_hash = ?")


class SqliteGroupLogs:
    """GroupLogStore on one file."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def create(self, first: GroupAppend, *, now_ms: int) -> Appended:
        """Make a log with its entry 0."""

        async def operation(transaction: Transaction) -> Appended:
            found = await transaction.rows(
                """SELECT e.at_ms, e.digest FROM group_logs AS g
                   LEFT JOIN group_log_entries AS e ON e.log_number = g.log_number AND e.entry_index = 0
                   WHERE g.log_id = ?""",
                (first.log_id,),
            )
            if found:
                at_ms, digest = found[0]
                if digest != first.digest:
                    raise Conflict("another log has this id")
                return Appended(at_ms, is_new=False)
            ((number,),) = await transaction.rows(
                """INSERT INTO group_logs
                       (log_id, write_key, read_token_hash, first_index, next_index, bytes, used_day)
                   VALUES (?, ?, ?, 0, 0, 0, 0) RETURNING log_number""",
                (first.log_id, first.next_write_key, first.next_read_token_hash),
            )
            _insert(transaction, number, first, first.next_write_key or b"", now_ms)
            return Appended(now_ms, is_new=True)

        return await self._writer.run(operation)

    async def write_key(self, log_id: bytes, index: int, *, used_since_day: int) -> bytes | None:
        """The key that signs at `index`; one look-up, whether the log is there or not."""
        row = await self._reader.one(
            """SELECT CASE WHEN g.next_index <= ?2 THEN g.write_key ELSE e.signed_by END FROM group_logs AS g
               LEFT JOIN group_log_entries AS e ON e.log_number = g.log_number AND e.entry_index = ?2
               WHERE g.log_id = ?1 AND g.used_day >= ?3""",
            (log_id, index, used_since_day),
        )
        return None if row is None else row[0]

    async def append(
        self, append: GroupAppend, *, signed_by: bytes, now_ms: int, quota: LogQuota, kept_since_ms: int
    ) -> Appended:
        """Put the entry at the end."""

        async def operation(transaction: Transaction) -> Appended:
            found = await transaction.rows(
                """SELECT log_number, write_key, next_index, next_index - first_index, bytes
                   FROM group_logs WHERE log_id = ?""",
                (append.log_id,),
            )
            if not found:
                raise NotAllowed
            number, write_key, next_index, entries, used = found[0]
            if append.index < next_index:
                standing = await transaction.rows(
                    "SELECT at_ms FROM group_log_entries WHERE log_number = ? AND entry_index = ? AND digest = ?",
                    (number, append.index, append.digest),
                )
                if not standing:
                    raise Conflict("another entry stands at this index: read on from it")
                return Appended(standing[0][0], is_new=False)
            if write_key != signed_by:
                raise NotAllowed
            if append.index > next_index:
                raise Conflict("this log is not that long: read where it ends")
            excess = (entries + 1 - quota.entries, used + len(append.entry) - quota.bytes)
            if max(excess) > 0:
                await _make_room(transaction, number, *excess, kept_since_ms)
            _insert(transaction, number, append, signed_by, now_ms)
            return Appended(now_ms, is_new=True)

        return await self._writer.run(operation)

    async def read_token_hash(self, log_id: bytes, *, used_since_day: int) -> bytes | None:
        """The hash; one look-up, whether the log is there or not."""
        row = await self._reader.one(
            "SELECT read_token_hash FROM group_logs WHERE log_id = ? AND used_day >= ?",
            (log_id, used_since_day),
        )
        return None if row is None else row[0]

    async def read(
        self, log_id: bytes, read_token_hash: bytes, *, from_index: int, size: PageSize
    ) -> LogPage | None:
        """The entries from this index on."""
        parameters = (from_index, size.entries, size.bytes, log_id, read_token_hash)
        return page_of(await self._reader.rows(_PAGE, parameters))

    async def mark_used(self, log_id: bytes, *, day: int) -> None:
        """Note the day; a second time the same day writes nothing."""
        if not await self._reader.one(
            "SELECT 1 FROM group_logs WHERE log_id = ? AND used_day < ?", (log_id, day)
        ):
            return

        async def operation(transaction: Transaction) -> None:
            await transaction.rows("UPDATE group_logs SET used_day = ? WHERE log_id = ?", (day, log_id))

        await self._writer.run(operation, frees=True, single=True)

    async def remove_idle(self, *, used_before_day: int, limit: int) -> int:
        """Remove entries of idle logs, then the logs."""

        async def operation(transaction: Transaction) -> int:
            entries = await transaction.rows(
                """DELETE FROM group_log_entries WHERE rowid IN (
                       SELECT e.rowid FROM group_log_entries AS e JOIN group_logs AS g USING (log_number)
                       WHERE g.used_day < ? LIMIT ?) RETURNING 1""",
                (used_before_day, limit),
            )
            logs = await transaction.rows(
                """DELETE FROM group_logs WHERE log_number IN (
                       SELECT log_number FROM group_logs AS g WHERE used_day < ? AND NOT EXISTS (
                           SELECT 1 FROM group_log_entries AS e WHERE e.log_number = g.log_number)
                       LIMIT ?) RETURNING 1""",
                (used_before_day, limit - len(entries)),
            )
            return len(entries) + len(logs)

        return await self._writer.run(operation, frees=True)


def _insert(
    transaction: Transaction, number: int, append: GroupAppend, signed_by: bytes, now_ms: int
) -> None:
    transaction.later(
        "INSERT INTO group_log_entries VALUES (?, ?, ?, ?, ?, ?)",
        (number, append.index, now_ms, signed_by, append.digest, append.entry),
    )
    transaction.later(
        """UPDATE group_logs SET write_key = coalesce(?, write_key), read_token_hash = coalesce(?, read_token_hash),
               next_index = next_index + 1, bytes = bytes + ?, used_day = max(used_day, ?) WHERE log_number = ?""",
        (
            append.next_write_key,
            append.next_read_token_hash,
            len(append.entry),
            now_ms // DAY_MS,
            number,
        ),
    )


async def _make_room(
    transaction: Transaction, number: int, entries: int, size: int, kept_since_ms: int
) -> None:
    """Remove oldest entries, at least so many and of so many bytes; raises QuotaExceeded if they came too lately."""
    oldest = await transaction.rows(
        """SELECT entry_index, length(entry), at_ms FROM group_log_entries WHERE log_number = ?
           ORDER BY entry_index LIMIT ?""",
        (number, _DROPPED_AT_ONCE),
    )
    gone, freed = 0, 0
    while gone < entries or freed < size:
        if gone == len(oldest) or oldest[gone][2] >= kept_since_ms:
            raise QuotaExceeded("the log is full, and what is in it came too lately to make room")
        freed += oldest[gone][1]
        gone += 1
    up_to = oldest[gone - 1][0] + 1
    transaction.later(
        "DELETE FROM group_log_entries WHERE log_number = ? AND entry_index < ?", (number, up_to)
    )
    transaction.later(
        "UPDATE group_logs SET first_index = ?, bytes = bytes - ? WHERE log_number = ?",
        (up_to, freed, number),
    )
