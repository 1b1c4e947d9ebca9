"""Guests in PostgreSQL."""

from collections.abc import Iterable

from relay.ports.guests import Guest

from .database import Database, Transaction


class PostgresGuests:
    """GuestStore on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, account_id: bytes) -> Guest | None:
        """The guest with its hosts: in one statement, so that both are of one moment."""
        rows = await self._database.rows(
            """SELECT expires_at_ms, host_id FROM guests LEFT JOIN guest_hosts USING (account_id)
               WHERE account_id = $1""",
            account_id,
        )
        if not rows:
            return None
        return Guest(rows[0][0], frozenset(host_id for _, host_id in rows if host_id is not None))

    async def lapsed(self, role: str, *, now_ms: int, limit: int) -> tuple[bytes, ...]:
        """Those whose time is over."""
        rows = await self._database.rows(
            """SELECT account_id FROM guests JOIN accounts USING (account_id)
               WHERE expires_at_ms <= $1 AND role = $2 AND account_id NOT IN (SELECT account_id FROM account_deletions)
               ORDER BY expires_at_ms LIMIT $3""",
            now_ms,
            role,
            limit,
        )
        return tuple(account_id for (account_id,) in rows)


async def add_guest(
    transaction: Transaction, account_id: bytes, expires_at_ms: int, hosts: Iterable[bytes]
) -> None:
    """A new account is a guest of these, in the transaction of its registration."""
    await transaction.execute("INSERT INTO guests VALUES ($1, $2)", account_id, expires_at_ms)
    await transaction.execute(
        "INSERT INTO guest_hosts SELECT $1, * FROM unnest($2::bytea[])", account_id, sorted(hosts)
    )
