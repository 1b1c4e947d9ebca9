"""Holds in PostgreSQL. A statement that deletes by age looks here; so does the end of an account."""

from typing import Final

from relay.ports.audit import AuditEntry
from relay.ports.holds import Hold
from relay.wire.errors import Conflict, NotFound

from .audit import append_entry
from .database import Database, Row, Transaction

_HOLDS: Final = """SELECT account_id, reason, made_at_ms, until_ms,
       (SELECT count(*) FROM held_envelopes AS e WHERE e.account_id = h.account_id),
       (SELECT coalesce(sum(bytes), 0) FROM held_envelopes AS e WHERE e.account_id = h.account_id),
       EXISTS (SELECT 1 FROM account_deletions AS g WHERE g.account_id = h.account_id)
    FROM holds AS h"""


def _hold(row: Row) -> Hold:
    account_id, reason, made_at_ms, until_ms, envelopes, envelope_bytes, is_deleted = row
    return Hold(account_id, reason, made_at_ms, until_ms, envelopes, envelope_bytes, is_deleted)


class PostgresHolds:
    """HoldStore on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, hold: Hold, *, audited: AuditEntry | None = None) -> None:
        """Hold the account."""

        async def operation(transaction: Transaction) -> None:
            if not await transaction.rows(
                "SELECT 1 FROM accounts WHERE account_id = $1 FOR UPDATE", hold.account_id
            ):
                raise NotFound("there is no such account")
            ((is_going, is_held),) = await transaction.rows(
                """SELECT EXISTS (SELECT 1 FROM account_deletions WHERE account_id = $1),
                          EXISTS (SELECT 1 FROM holds WHERE account_id = $1)""",
                hold.account_id,
            )
            if is_going and not is_held:
                raise Conflict("this account is being deleted: it is too late for a hold")
            await transaction.execute(
                """INSERT INTO holds VALUES ($1, $2, $3, $4) ON CONFLICT (account_id) DO UPDATE
                   SET reason = excluded.reason, made_at_ms = excluded.made_at_ms, until_ms = excluded.until_ms""",
                hold.account_id,
                hold.reason,
                hold.made_at_ms,
                hold.until_ms,
            )
            await append_entry(transaction, audited)

        await self._database.run(operation)

    async def release(self, account_id: bytes, *, audited: AuditEntry | None = None) -> None:
        """The hold is over."""

        async def operation(transaction: Transaction) -> None:
            if not await transaction.rows("DELETE FROM holds WHERE account_id = $1 RETURNING 1", account_id):
                raise NotFound("there is no hold on this account")
            await append_entry(transaction, audited)

        await self._database.run(operation)

    async def find(self, account_id: bytes) -> Hold | None:
        """The account's."""
        row = await self._database.one(f"{_HOLDS} WHERE account_id = $1", account_id)
        return None if row is None else _hold(row)

    async def list(self) -> tuple[Hold, ...]:
        """All."""
        return tuple(_hold(row) for row in await self._database.rows(f"{_HOLDS} ORDER BY account_id"))

    async def remove_released(self, *, limit: int) -> int:
        """Forget what no hold keeps."""
        gone = await self._database.change(
            """DELETE FROM held_envelopes WHERE (account_id, held_number) IN (
                   SELECT account_id, held_number FROM held_envelopes
                   WHERE account_id NOT IN (SELECT account_id FROM holds) LIMIT $1) RETURNING 1""",
            limit,
        )
        return len(gone)

    async def audited_from_ms(self) -> int | None:
        """Of the oldest row that names one."""
        ((oldest,),) = await self._database.rows(
            """SELECT min(at_ms) FROM (
                   SELECT a.at_ms FROM holds JOIN audit_rows AS a ON a.actor_id = account_id
                   UNION ALL SELECT a.at_ms FROM holds JOIN audit_rows AS a ON a.subject_id = account_id) AS named"""
        )
        return None if oldest is None else int(oldest)
