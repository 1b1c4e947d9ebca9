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
    WHERE a.account_id > ?1 AND (?2 = '' OR a.role = ?2) AND (?3 IS NULL OR a.suspended = ?3)"""
_OF_HANDLES: Final = (
    " AND a.account_id IN (SELECT account_id FROM handles WHERE handle >= ?5 AND handle < ?6)"
)
_IN_ORDER: Final = " ORDER BY a.account_id LIMIT ?4"
_PAST_ALL: Final = "\x7f"  # above every character of a handle


class SqliteDirectory:
    """AccountDirectory on one file."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def page(self, wanted: Wanted, *, after: bytes, limit: int) -> tuple[ListedAccount, ...]:
        """Accounts with ids above `after`."""
        suspended = None if wanted.suspended is None else int(wanted.suspended)
        parameters: tuple[object, ...] = (after, wanted.role, suspended, limit)
        of_handles = ""
        if begins := wanted.handle_begins:
            of_handles, parameters = _OF_HANDLES, (*parameters, begins, begins + _PAST_ALL)
        rows = await self._reader.rows(_PAGE + of_handles + _IN_ORDER, parameters)
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
