"""Accounts that go for ever, in PostgreSQL. What is left of them in its pages goes with its vacuum."""

from relay.ports.accounts import Account
from relay.ports.audit import AuditEntry
from relay.wire.log_leaves import account_gone_leaf

from .accounts import lock_standing, read_account, refuse_without_owner
from .audit import append_entry
from .database import Database, Transaction
from .devices import remove_devices
from .handles import keep_handle, unbind_handle
from .transparency import append_handle, append_leaf

_NAMED_ELSEWHERE = (
    "DELETE FROM nonces WHERE device_id = $1",  # of requests that the root key signed
    "DELETE FROM held_envelopes WHERE account_id = $1",
    "DELETE FROM blobs WHERE owner_id = $1",
    "DELETE FROM invites WHERE made_by = $1",
    "DELETE FROM invite_hosts WHERE host_id = $1",
    "DELETE FROM guest_hosts WHERE host_id = $1",
    "DELETE FROM reserved_handles WHERE account_id = $1",
    "UPDATE kept_handles SET owner_id = NULL WHERE owner_id = $1",
)
"""What names an account in tables that are not spread by it."""


class PostgresDeletions:
    """DeletionStore on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, account_id: bytes, *, owner: str, audited: AuditEntry | None = None) -> Account:
        """Mark it and suspend it."""

        async def operation(transaction: Transaction) -> Account:
            before = await lock_standing(transaction, account_id)
            await transaction.execute(
                "UPDATE accounts SET suspended = true WHERE account_id = $1", account_id
            )
            await refuse_without_owner(transaction, before, owner)
            await transaction.execute(
                "INSERT INTO account_deletions VALUES ($1) ON CONFLICT DO NOTHING", account_id
            )
            await append_entry(transaction, audited)
            return await read_account(transaction, account_id)

        return await self._database.run(operation)

    async def begun(self, *, limit: int) -> tuple[bytes, ...]:
        """Those that are marked."""
        rows = await self._database.rows(
            "SELECT account_id FROM account_deletions WHERE account_id NOT IN (SELECT account_id FROM holds) LIMIT $1",
            limit,
        )
        return tuple(row[0] for row in rows)

    async def finish(self, account_id: bytes, *, kept_until_ms: int = 0) -> None:
        """Forget it."""

        async def operation(transaction: Transaction) -> None:
            locked = await transaction.one(
                "SELECT manifest_version FROM accounts WHERE account_id = $1 FOR UPDATE", account_id
            )
            marked = await transaction.one(
                """SELECT 1 FROM account_deletions WHERE account_id = $1
                   AND account_id NOT IN (SELECT account_id FROM holds)""",
                account_id,
            )
            if locked is None or marked is None:
                return
            handle = await unbind_handle(transaction, account_id)
            listed = await transaction.rows("SELECT device_id FROM devices WHERE account_id = $1", account_id)
            await remove_devices(transaction, account_id, [row[0] for row in listed])
            for statement in _NAMED_ELSEWHERE:
                await transaction.execute(statement, account_id)
            await transaction.execute("DELETE FROM accounts WHERE account_id = $1", account_id)
            if handle is not None:
                await keep_handle(transaction, handle, None, kept_until_ms)
                await append_handle(transaction, handle, None)
            await append_leaf(transaction, account_gone_leaf(account_id, locked[0] + 1))

        await self._database.run(operation)

    async def erase_traces(self) -> bool:
        """Nothing to be done here: PostgreSQL uses the room again, and how long its log is kept is for its operator."""
        return False
