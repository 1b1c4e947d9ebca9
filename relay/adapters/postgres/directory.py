"""Accounts listed, from PostgreSQL. What waits is summed up in the mailboxes' rows: no envelope is looked at."""

from collections.abc import Mapping
from typing import Final

from relay.ports.directory import ListedAccount, Wanted

from .database import Database

_PAGE: Final = """
    SELECT a.account_id, a.role, a.suspended, a.handle, a.created_at_ms, count(m.device_id),
           coalesce(max(o.seen_day), 0), coalesce(sum(m.envelopes), 0), coalesce(sum(m.bytes), 0),
           (SELECT coalesce(sum(b.length), 0) FROM blobs AS b WHERE b.owner_id = a.account_id)
    FROM (SELECT * FROM accounts WHERE account_id > $1{} ORDER BY account_id LIMIT $2) AS a
        LEFT JOIN devices AS d ON d.account_id = a.account_id
        LEFT JOIN device_owners AS o ON o.device_id = d.device_id
        LEFT JOIN mailboxes AS m ON m.device_id = d.device_id
    GROUP BY a.account_id, a.role, a.suspended, a.handle, a.created_at_ms ORDER BY a.account_id"""
_SUSPENDED: Final = {True: " AND suspended", False: " AND NOT suspended"}  # words: an index is of those
_OF_HANDLES: Final = (
    " AND account_id IN (SELECT account_id FROM handles WHERE handle >= ${} AND handle < ${})"
)
_PAST_ALL: Final = "\x7f"  # above every character of a handle


def page_query(wanted: Wanted, *, after: bytes, limit: int) -> tuple[str, list[object]]:
    """(Statement, parameters): only what is asked for stands in it, so that the indices of roles and suspensions are used."""
    conditions, given = "", list[object]([after, limit])
    if wanted.role:
        given.append(wanted.role)
        conditions += f" AND role = ${len(given)}"
    if wanted.suspended is not None:
        conditions += _SUSPENDED[wanted.suspended]
    if begins := wanted.handle_begins:
        given += [begins, begins + _PAST_ALL]
        conditions += _OF_HANDLES.format(len(given) - 1, len(given))
    return _PAGE.format(conditions), given


class PostgresDirectory:
    """AccountDirectory on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, wanted: Wanted, *, after: bytes, limit: int) -> tuple[ListedAccount, ...]:
        """Accounts with ids above `after`."""
        statement, given = page_query(wanted, after=after, limit=limit)
        return tuple(
            ListedAccount(
                account_id, role, suspended, handle, created_at_ms, devices, seen_day, *map(int, sums)
            )
            for account_id, role, suspended, handle, created_at_ms, devices, seen_day, *sums in await self._database.rows(
                statement, *given
            )
        )

    async def roles_in_use(self) -> Mapping[str, int]:
        """Each role with its number of accounts."""
        rows = await self._database.rows("SELECT role, count(*) FROM accounts GROUP BY role ORDER BY role")
        return {row[0]: row[1] for row in rows}

    async def ids_between(self, low: bytes, high: bytes, *, limit: int) -> tuple[bytes, ...]:
        """Ids from `low` to `high`."""
        rows = await self._database.rows(
            "SELECT account_id FROM accounts WHERE account_id BETWEEN $1 AND $2 ORDER BY account_id LIMIT $3",
            low,
            high,
            limit,
        )
        return tuple(account_id for (account_id,) in rows)
