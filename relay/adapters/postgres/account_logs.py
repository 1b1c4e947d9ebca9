"""The logs of accounts in PostgreSQL."""

from typing import Final

from relay.ports.sealed_logs import Appended, LogPage, LogQuota, PageSize
from relay.wire.errors import Conflict, NotFound, QuotaExceeded

from .database import Database, Transaction
from .log_pages import page_of, page_statement

_PAGE: Final = page_statement(
    "account_logs",
    "account_log_entries",
    "g.account_id = $4 AND g.name = $5",
    "s.account_id = g.account_id AND s.name = g.name",
)


class PostgresAccountLogs:
    """AccountLogStore on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
            # The account's row orders what its devices append, by whichever node, and its quota counts all its logs.
            if not await transaction.rows(
                "SELECT 1 FROM accounts WHERE account_id = $1 FOR UPDATE", account_id
            ):
                raise NotFound("there is no such account")
            found = await transaction.one(
                "SELECT next_index FROM account_logs WHERE account_id = $1 AND name = $2", account_id, name
            )
            next_index = 0 if found is None else int(found[0])
            if index < next_index:
                standing = await transaction.one(
                    """SELECT at_ms FROM account_log_entries
                       WHERE account_id = $1 AND name = $2 AND entry_index = $3 AND entry = $4""",
                    account_id,
                    name,
                    index,
                    entry,
                )
                if standing is None:
                    raise Conflict("another entry stands at this index: read on from it")
                return Appended(standing[0], is_new=False)
            if index > next_index:
                raise Conflict("this log is not that long: read where it ends")
            await _check_room(transaction, account_id, len(entry), quota, 0 if found else max_logs)
            await transaction.execute(
                """INSERT INTO account_logs VALUES ($1, $2, 0, 1, $3) ON CONFLICT (account_id, name)
                   DO UPDATE SET next_index = account_logs.next_index + 1, bytes = account_logs.bytes + $3""",
                account_id,
                name,
                len(entry),
            )
            await transaction.execute(
                "INSERT INTO account_log_entries VALUES ($1, $2, $3, $4, $5)",
                account_id,
                name,
                index,
                now_ms,
                entry,
            )
            return Appended(now_ms, is_new=True)

        return await self._database.run(operation)

    async def read(self, account_id: bytes, name: str, *, from_index: int, size: PageSize) -> LogPage:
        """The entries from this index on."""
        rows = await self._database.rows(_PAGE, from_index, size.entries, size.bytes, account_id, name)
        return page_of(rows) or LogPage((), 0, 0)

    async def trim(self, account_id: bytes, name: str, *, before: int, limit: int) -> int:
        """Remove the oldest."""

        async def operation(transaction: Transaction) -> int:
            await transaction.rows("SELECT 1 FROM accounts WHERE account_id = $1 FOR UPDATE", account_id)
            found = await transaction.one(
                "SELECT first_index, next_index FROM account_logs WHERE account_id = $1 AND name = $2",
                account_id,
                name,
            )
            first_index, next_index = (0, 0) if found is None else found
            if before > next_index:
                raise Conflict("this log is not that long: read where it ends")
            up_to = min(before, first_index + limit)
            gone = await transaction.rows(
                """DELETE FROM account_log_entries WHERE account_id = $1 AND name = $2 AND entry_index < $3
                   RETURNING length(entry)""",
                account_id,
                name,
                up_to,
            )
            if gone:
                await transaction.execute(
                    """UPDATE account_logs SET first_index = $3, bytes = bytes - $4
                       WHERE account_id = $1 AND name = $2""",
                    account_id,
                    name,
                    up_to,
                    sum(row[0] for row in gone),
                )
            return len(gone)

        return await self._database.run(operation)


async def _check_room(
    transaction: Transaction, account_id: bytes, size: int, quota: LogQuota, max_logs: int
) -> None:
    """Raise QuotaExceeded unless the account may have one more entry of this size; `max_logs` 0: no new log."""
    ((logs, entries, used),) = await transaction.rows(
        """SELECT count(*), coalesce(sum(next_index - first_index), 0), coalesce(sum(bytes), 0)
           FROM account_logs WHERE account_id = $1""",
        account_id,
    )
    if max_logs and logs >= max_logs:
        raise QuotaExceeded(f"an account has at most {max_logs} logs")
    if entries >= quota.entries or used + size > quota.bytes:
        raise QuotaExceeded("the account's logs are full: trim one of them")
