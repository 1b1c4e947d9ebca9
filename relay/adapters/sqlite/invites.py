"""Invites in SQLite."""

from relay.ports.audit import AuditEntry
from relay.ports.invites import Invite
from relay.wire.errors import Conflict, InviteInvalid, NotFound

from .audit import append_entry
from .reader import Reader
from .writer import Transaction, Writer

_COLUMNS = "secret_hash, role, uses_left, expires_at_ms, created_at_ms"


class SqliteInvites:
    """InviteStore on one file."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def create(self, invite: Invite, *, audited: AuditEntry | None = None) -> None:
        """Keep it."""

        async def operation(transaction: Transaction) -> None:
            added = await transaction.rows(
                "INSERT OR IGNORE INTO invites VALUES (?, ?, ?, ?, ?) RETURNING 1",
                (
                    invite.secret_hash,
                    invite.role,
                    invite.uses_left,
                    invite.expires_at_ms,
                    invite.created_at_ms,
                ),
            )
            if not added:
                raise Conflict("there is an invite with this secret")
            await append_entry(transaction, audited)

        await self._writer.run(operation)

    async def get(self, secret_hash: bytes, *, now_ms: int) -> Invite:
        """The invite as long as it can be spent."""
        found = await self._reader.one(
            f"""SELECT {_COLUMNS} FROM invites
                WHERE secret_hash = ? AND uses_left > 0 AND (expires_at_ms IS NULL OR expires_at_ms > ?)""",  # noqa: S608
            (secret_hash, now_ms),
        )
        if found is None:
            raise InviteInvalid
        return Invite(*found)

    async def list(self) -> tuple[Invite, ...]:
        """All that are kept, oldest first."""
        rows = await self._reader.rows(f"SELECT {_COLUMNS} FROM invites ORDER BY created_at_ms, secret_hash")  # noqa: S608
        return tuple(Invite(*row) for row in rows)

    async def revoke(self, secret_hash: bytes, *, audited: AuditEntry | None = None) -> None:
        """It can no longer be spent."""

        async def operation(transaction: Transaction) -> None:
            if not await transaction.rows(
                "DELETE FROM invites WHERE secret_hash = ? RETURNING 1", (secret_hash,)
            ):
                raise NotFound("there is no such invite")
            await append_entry(transaction, audited)

        await self._writer.run(operation, frees=True)

    async def remove_expired(self, *, now_ms: int, limit: int) -> int:
        """Forget expired and used up ones."""

        async def operation(transaction: Transaction) -> int:
            gone = await transaction.rows(
                """DELETE FROM invites WHERE secret_hash IN (
                       SELECT secret_hash FROM invites WHERE uses_left = 0 OR expires_at_ms <= ? LIMIT ?) RETURNING 1""",
                (now_ms, limit),
            )
            return len(gone)

        return await self._writer.run(operation, frees=True, single=True)


async def spend_invite(transaction: Transaction, secret_hash: bytes, now_ms: int) -> str:
    """Take one use of the invite, in the transaction of a registration; its role. Raises InviteInvalid."""
    spent = await transaction.rows(
        """UPDATE invites SET uses_left = uses_left - 1
           WHERE secret_hash = ? AND uses_left > 0 AND (expires_at_ms IS NULL OR expires_at_ms > ?) RETURNING role""",
        (secret_hash, now_ms),
    )
    if not spent:
        raise InviteInvalid
    return str(spent[0][0])
