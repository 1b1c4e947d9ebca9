"""The logs of accounts in SQLite."""

from typing import Final

from relay.ports.sealed_logs import Appended, LogPage, LogQuota, PageSize
from relay.wire.errors import Conflict, NotFound, QuotaExceeded

from .log_pages import page_of, page_statement
from .reader import Reader
from .writer import Transaction, Writer

_PAGE: Final = page_statement("account_logs", "account_log_entries", "g.account_id = ? AND g.name = ?")


class SqliteAccountLogs:
    """AccountLogStore on one file."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def append(
        self,
        account_id: bytes,
        name: str,
        index: int,
        entry: bytes,
        *,
        now_ms: int,
        quota: LogQuota,
        max_logs: int,
    ) -> Appended:
        """Put the entry at the end."""

        async def operation(transaction: Transaction) -> Appended:
            found = await transaction.rows(
                "SELECT log_number, next_index FROM account_logs WHERE account_id = ? AND name = ?",
                (account_id, name),
            )
            number, next_index = found[0] if found else (0, 0)
            if index < next_index:
                standing = await transaction.rows(
                    """SELECT at_ms FROM account_log_entries
                       WHERE log_number = ? AND entry_index = ? AND entry = ?""",
                    (number, index, entry),
                )
                if not standing:
                    raise Conflict("another entry stands at this index: read on from it")
                return Appended(standing[0][0], is_new=False)
            if index > next_index:
                raise Conflict("this log is not that long: read where it ends")
            await _check_room(transaction, account_id, len(entry), quota, 0 if found else max_logs)
            if not found:
                ((number,),) = await transaction.rows(
                    "INSERT INTO account_logs (account_id, name, first_index, next_index, bytes) "
                    "VALUES (?, ?, 0, 0, 0) RETURNING log_number",
                    (account_id, name),
                )
            transaction.later(
                "INSERT INTO account_log_entries VALUES (?, ?, ?, ?)", (number, index, now_ms, entry)
            )
            transaction.later(
                "UPDATE account_logs SET next_index = next_index + 1, bytes = bytes + ? WHERE log_number = ?",
                (len(entry), number),
            )
            return Appended(now_ms, is_new=True)

        return await self._writer.run(operation)

    async def read(self, account_id: bytes, name: str, *, from_index: int, size: PageSize) -> LogPage:
        """The entries from this index on."""
        rows = await self._reader.rows(_PAGE, (from_index, size.entries, size.bytes, account_id, name))
        return page_of(rows) or LogPage((), 0, 0)

    async def trim(self, account_id: bytes, name: str, *, before: int, limit: int) -> int:
        """Remove the oldest."""

        async def operation(transaction: Transaction) -> int:
            found = await transaction.rows(
                "SELECT log_number, first_index, next_index FROM account_logs WHERE account_id = ? AND name = ?",
                (account_id, name),
            )
            number, first_index, next_index = found[0] if found else (0, 0, 0)
            if before > next_index:
                raise Conflict("this log is not that long: read where it ends")
            up_to = min(before, first_index + limit)
            gone = await transaction.rows(
                "DELETE FROM account_log_entries WHERE log_number = ? AND entry_index < ? RETURNING length(entry)",
                (number, up_to),
            )
            if gone:
                transaction.later(
                    "UPDATE account_logs SET first_index = ?, bytes = bytes - ? WHERE log_number = ?",
                    (up_to, sum(row[0] for row in gone), number),
                )
            return len(gone)

        return await self._writer.run(operation, frees=True)


async def _check_room(
    transaction: Transaction, account_id: bytes, size: int, quota: LogQuota, max_logs: int
) -> None:
    """Raise NotFound or QuotaExceeded unless the account may have one more entry of this size; `max_logs` 0: no new log."""
    ((known, logs, entries, used),) = await transaction.rows(
        """SELECT EXISTS (SELECT 1 FROM accounts WHERE account_id = ?1), count(*),
                  coalesce(sum(next_index - first_index), 0), coalesce(sum(bytes), 0)
           FROM account_logs WHERE account_id = ?1""",
        (account_id,),
    )
    if not known:
        raise NotFound("there is no such account")
    if max_logs and logs >= max_logs:
        raise QuotaExceeded(f"an account has at most {max_logs} logs")
    if entries >= quota.entries or used + size > quota.bytes:
        raise QuotaExceeded("the account's logs are full: trim one of them")
