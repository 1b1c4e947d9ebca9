"""Invites in SQLite."""

from collections.abc import Iterable
from dataclasses import replace

from relay.ports.audit import AuditEntry
from relay.ports.guests import Guest
from relay.ports.invites import Invite
from relay.wire.errors import Conflict, InviteInvalid, NotFound, QuotaExceeded

from .audit import append_entry
from .reader import Reader
from .writer import Row, Transaction, Writer

_COLUMNS = "secret_hash, role, uses_left, expires_at_ms, created_at_ms, made_by, stay_seconds"
_HOSTS = "SELECT host_id FROM invite_hosts WHERE secret_hash = ? ORDER BY host_id"
_CAN_BE_SPENT = """uses_left > 0 AND (expires_at_ms IS NULL OR expires_at_ms > ?)
    AND (made_by IS NULL OR EXISTS (SELECT 1 FROM accounts WHERE account_id = made_by AND suspended = 0))"""


class SqliteInvites:
    """InviteStore on one file."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def create(
        self, invite: Invite, *, audited: AuditEntry | None = None, most: int | None = None
    ) -> None:
        """Keep it."""

        async def operation(transaction: Transaction) -> None:
            if most is not None:
                ((count,),) = await transaction.rows(
                    f"SELECT count(*) FROM invites WHERE made_by = ? AND {_CAN_BE_SPENT}",  # noqa: S608
                    (invite.made_by, invite.created_at_ms),
                )
                if count >= most:
                    raise QuotaExceeded("you have as many open invites as this relay allows: revoke one")
            added = await transaction.rows(
                "INSERT OR IGNORE INTO invites VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING 1",
                (
                    invite.secret_hash,
                    invite.role,
                    invite.uses_left,
                    invite.expires_at_ms,
                    invite.created_at_ms,
                    invite.made_by,
                    invite.stay_seconds,
                ),
            )
            if not added:
                raise Conflict("there is an invite with this secret")
            for host_id in invite.hosts:
                if not await transaction.rows("SELECT 1 FROM accounts WHERE account_id = ?", (host_id,)):
                    raise NotFound("one of the hosts has no account here")
                await transaction.rows(
                    "INSERT INTO invite_hosts VALUES (?, ?)", (invite.secret_hash, host_id)
                )
            await append_entry(transaction, audited)

        await self._writer.run(operation)

    async def get(self, secret_hash: bytes, *, now_ms: int) -> Invite:
        """The invite as long as it can be spent."""
        found = await self._reader.one(
            f"""SELECT {_COLUMNS} FROM invites
                WHERE secret_hash = ? AND {_CAN_BE_SPENT}""",  # noqa: S608
            (secret_hash, now_ms),
        )
        if found is None:
            raise InviteInvalid
        (invite,) = await self._with_hosts([found])
        return invite

    async def list(self, made_by: bytes | None = None) -> tuple[Invite, ...]:
        """All that are kept, oldest first."""
        whose = "" if made_by is None else "WHERE made_by = ?"
        rows = await self._reader.rows(
            f"SELECT {_COLUMNS} FROM invites {whose} ORDER BY created_at_ms, secret_hash",  # noqa: S608
            () if made_by is None else (made_by,),
        )
        return await self._with_hosts(rows)

    async def _with_hosts(self, rows: Iterable[Row]) -> tuple[Invite, ...]:
        found = []
        for row in rows:
            hosts: tuple[bytes, ...] = ()
            if row[-1] is not None:
                named = await self._reader.rows(_HOSTS, (row[0],))
                hosts = tuple(host_id for (host_id,) in named)
            found.append(replace(Invite(*row), hosts=hosts))
        return tuple(found)

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


async def spend_invite(transaction: Transaction, secret_hash: bytes, now_ms: int) -> tuple[str, Guest | None]:
    """Take one use of the invite, in the transaction of a registration: (its role, what a guest gets by it).

    Raises InviteInvalid, also for one whose hosts are all gone.
    """
    spent = await transaction.rows(
        f"""UPDATE invites SET uses_left = uses_left - 1
           WHERE secret_hash = ? AND {_CAN_BE_SPENT} RETURNING role, stay_seconds""",  # noqa: S608
        (secret_hash, now_ms),
    )
    if not spent:
        raise InviteInvalid
    ((role, stay_seconds),) = spent
    if stay_seconds is None:
        return str(role), None
    hosts = frozenset(host_id for (host_id,) in await transaction.rows(_HOSTS, (secret_hash,)))
    if not hosts:
        raise InviteInvalid
    return str(role), Guest(now_ms + stay_seconds * 1_000, hosts)
