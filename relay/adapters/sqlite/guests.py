"""Guests in SQLite."""

from collections.abc import Iterable

from relay.ports.guests import Guest

from .reader import Reader
from .writer import Transaction


class SqliteGuests:
    """GuestStore on one file."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def find(self, account_id: bytes) -> Guest | None:
        """The guest with its hosts: in one statement, so that both are of one moment."""
        rows = await self._reader.rows(
            """SELECT expires_at_ms, host_id FROM guests LEFT JOIN guest_hosts USING (account_id)
               WHERE account_id = ?""",
            (account_id,),
        )
        if not rows:
            return None
        return Guest(rows[0][0], frozenset(host_id for _, host_id in rows if host_id is not None))

    async def lapsed(self, role: str, *, now_ms: int, limit: int) -> tuple[bytes, ...]:
        """Those whose time is over."""
        rows = await self._reader.rows(
            """SELECT account_id FROM guests JOIN accounts USING (account_id)
               WHERE expires_at_ms <= ? AND role = ? AND account_id NOT IN (SELECT account_id FROM account_deletions)
               ORDER BY expires_at_ms LIMIT ?""",
            (now_ms, role, limit),
        )
        return tuple(account_id for (account_id,) in rows)


async def add_guest(
    transaction: Transaction, account_id: bytes, expires_at_ms: int, hosts: Iterable[bytes]
) -> None:
    """A new account is a guest of these, in the transaction of its registration."""
    await transaction.rows("INSERT INTO guests VALUES (?, ?)", (account_id, expires_at_ms))
    for host_id in hosts:
        await transaction.rows("INSERT INTO guest_hosts VALUES (?, ?)", (account_id, host_id))
