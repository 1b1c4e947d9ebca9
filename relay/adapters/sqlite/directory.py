"""Accounts listed, from SQLite. What is counted of each is counted by indices alone: no ciphertext is read."""

from collections.abc import Mapping
from typing import Final

from relay.ports.directory import ListedAccount, Wanted

from .reader import Reader

_PAGE: Final = """
    SELECT a.account_id, a.role, a.suspended, h.handle, a.created_at_ms,
           (SELECT count(*) FROM devices AS d WHERE d.account_id = a.account_id),
           (SELECT coalesce(max(d.seen_day), 0) FROM devices AS d WHERE d.account_id = a.account_id),
           (SELECT count(*) FROM devices AS d JOIN envelopes AS e USING (device_number) WHERE d.account_id = a.account_id),
           (SELECT coalesce(sum(e.bytes), 0) FROM devices AS d JOIN envelopes AS e USING (device_number)
            WHERE d.account_id = a.account_id),
           (SELECT coalesce(sum(b.length), 0) FROM blobs AS b WHERE b.owner_id = a.account_id)
    FROM accounts AS a LEFT JOIN handles AS h USING (account_id)
    WHERE a.account_id > ?"""
_OF_ROLE: Final = " AND a.role = ?"
_SUSPENDED: Final = {
    True: " AND a.suspended = 1",
    False: " AND a.suspended = 0",
}  # words: an index is of those
_OF_HANDLES: Final = " AND a.account_id IN (SELECT account_id FROM handles WHERE handle >= ? AND handle < ?)"
_IN_ORDER: Final = " ORDER BY a.account_id LIMIT ?"
_PAST_ALL: Final = "\x7f"  # above every character of a handle


def page_query(wanted: Wanted, *, after: bytes, limit: int) -> tuple[str, tuple[object, ...]]:
    """(Statement, parameters): only what is asked for stands in it, so that the indices of roles and suspensions are used."""
    statement, given = _PAGE, list[object]([after])
    if wanted.role:
        statement += _OF_ROLE
        given.append(wanted.role)
    if wanted.suspended is not None:
        statement += _SUSPENDED[wanted.suspended]
    if begins := wanted.handle_begins:
        statement += _OF_HANDLES
        given += [begins, begins + _PAST_ALL]
    return statement + _IN_ORDER, (*given, limit)


class SqliteDirectory:
    """AccountDirectory on one file."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def page(self, wanted: Wanted, *, after: bytes, limit: int) -> tuple[ListedAccount, ...]:
        """Accounts with ids above `after`."""
        rows = await self._reader.rows(*page_query(wanted, after=after, limit=limit))
        return tuple(
            ListedAccount(account_id, role, bool(is_suspended), *rest)
            for account_id, role, is_suspended, *rest in rows
        )

    async def roles_in_use(self) -> Mapping[str, int]:
        """Each role with its number of accounts."""
        return dict(
            await self._reader.rows("SELECT role, count(*) FROM accounts GROUP BY role ORDER BY role")
        )

    async def ids_between(self, low: bytes, high: bytes, *, limit: int) -> tuple[bytes, ...]:
        """Ids from `low` to `high`."""
        rows = await self._reader.rows(
            "SELECT account_id FROM accounts WHERE account_id BETWEEN ? AND ? ORDER BY account_id LIMIT ?",
            (low, high, limit),
        )
        return tuple(account_id for (account_id,) in rows)
