"""Invites in PostgreSQL."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from relay.ports.audit import AuditEntry
from relay.ports.guests import Guest
from relay.ports.invites import Invite
from relay.wire.errors import Conflict, InviteInvalid, NotFound, QuotaExceeded

from .audit import append_entry
from .database import Database, Row, Transaction

_COLUMNS: Final = "secret_hash, role, uses_left, expires_at_ms, created_at_ms, made_by, stay_seconds"
_CAN_BE_SPENT: Final = """uses_left > 0 AND (expires_at_ms IS NULL OR expires_at_ms > $2)
    AND (made_by IS NULL OR EXISTS (SELECT 1 FROM accounts WHERE account_id = made_by AND NOT suspended))"""


class PostgresInvites:
    """InviteStore on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, invite: Invite, *, audited: AuditEntry | None = None, most: int | None = None
    ) -> None:
        """Keep it."""

        async def operation(transaction: Transaction) -> None:
            hosts = sorted(invite.hosts)
            concerned = sorted({*hosts, *([invite.made_by] if invite.made_by is not None else [])})
            await transaction.rows(  # neither is deleted meanwhile, and who makes two at once has to wait
                "SELECT 1 FROM accounts WHERE account_id = ANY($1::bytea[]) ORDER BY account_id FOR UPDATE",
                concerned,
            )
            if most is not None:
                ((count,),) = await transaction.rows(
                    f"SELECT count(*) FROM invites WHERE made_by = $1 AND {_CAN_BE_SPENT}",  # noqa: S608
                    invite.made_by,
                    invite.created_at_ms,
                )
                if count >= most:
                    raise QuotaExceeded("you have as many open invites as this relay allows: revoke one")
            added = await transaction.rows(
                "INSERT INTO invites VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING 1",
                invite.secret_hash,
                invite.role,
                invite.uses_left,
                invite.expires_at_ms,
                invite.created_at_ms,
                invite.made_by,
                invite.stay_seconds,
            )
            if not added:
                raise Conflict("there is an invite with this secret")
            known = await transaction.rows(
                "SELECT 1 FROM accounts WHERE account_id = ANY($1::bytea[])", hosts
            )
            if len(known) < len(hosts):
                raise NotFound("one of the hosts has no account here")
            await transaction.execute(
                "INSERT INTO invite_hosts SELECT $1, * FROM unnest($2::bytea[])", invite.secret_hash, hosts
            )
            await append_entry(transaction, audited)

        await self._database.run(operation)

    async def get(self, secret_hash: bytes, *, now_ms: int) -> Invite:
        """The invite as long as it can be spent."""
        found = await self._database.rows(
            f"SELECT {_COLUMNS} FROM invites WHERE secret_hash = $1 AND {_CAN_BE_SPENT}",  # noqa: S608
            secret_hash,
            now_ms,
        )
        if not found:
            raise InviteInvalid
        (invite,) = await self._with_hosts(found)
        return invite

    async def list(self, made_by: bytes | None = None) -> tuple[Invite, ...]:
        """All that are kept, oldest first."""
        rows = await self._database.rows(
            f"""SELECT {_COLUMNS} FROM invites WHERE $1::bytea IS NULL OR made_by = $1
                ORDER BY created_at_ms, secret_hash""",  # noqa: S608
            made_by,
        )
        return await self._with_hosts(rows)

    async def _with_hosts(self, rows: Iterable[Row]) -> tuple[Invite, ...]:
        invites = [Invite(*row) for row in rows]
        asked = [invite.secret_hash for invite in invites if invite.stay_seconds is not None]
        hosts: dict[bytes, list[bytes]] = {}
        for secret_hash, host_id in await self._database.rows(
            """SELECT secret_hash, host_id FROM invite_hosts WHERE secret_hash = ANY($1::bytea[])
               ORDER BY secret_hash, host_id""",
            asked,
        ):
            hosts.setdefault(secret_hash, []).append(host_id)
        return tuple(replace(invite, hosts=tuple(hosts.get(invite.secret_hash, ()))) for invite in invites)

    async def revoke(self, secret_hash: bytes, *, audited: AuditEntry | None = None) -> None:
        """It can no longer be spent."""

        async def operation(transaction: Transaction) -> None:
            if not await transaction.rows(
                "DELETE FROM invites WHERE secret_hash = $1 RETURNING 1", secret_hash
            ):
                raise NotFound("there is no such invite")
            await append_entry(transaction, audited)

        await self._database.run(operation)

    async def remove_expired(self, *, now_ms: int, limit: int) -> int:
        """Forget expired and used up ones."""

        async def operation(transaction: Transaction) -> int:
            gone = await transaction.rows(
                """DELETE FROM invites WHERE secret_hash IN (
                       SELECT secret_hash FROM invites WHERE uses_left = 0 OR expires_at_ms <= $1 LIMIT $2) RETURNING 1""",
                now_ms,
                limit,
            )
            return len(gone)

        return await self._database.run(operation)


async def spend_invite(transaction: Transaction, secret_hash: bytes, now_ms: int) -> tuple[str, Guest | None]:
    """Take one use of the invite, in the transaction of a registration: (its role, what a guest gets by it).

    Two nodes at once: the second waits for the first, and finds one use less. Raises InviteInvalid, also for one whose
    hosts are all gone.
    """
    spent = await transaction.rows(
        f"""UPDATE invites SET uses_left = uses_left - 1
           WHERE secret_hash = $1 AND {_CAN_BE_SPENT} RETURNING role, stay_seconds""",  # noqa: S608
        secret_hash,
        now_ms,
    )
    if not spent:
        raise InviteInvalid
    ((role, stay_seconds),) = spent
    if stay_seconds is None:
        return str(role), None
    named = await transaction.rows("SELECT host_id FROM invite_hosts WHERE secret_hash = $1", secret_hash)
    hosts = frozenset(row[0] for row in named)
    if not hosts:
        raise InviteInvalid
    return str(role), Guest(now_ms + stay_seconds * 1_000, hosts)
