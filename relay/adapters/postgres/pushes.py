"""Registrations at push services and the outbox of wakeups, in PostgreSQL. Addresses and tokens are sealed."""

from collections.abc import Sequence
from typing import Final

import msgspec

from relay.ports.pusher import PushAddress
from relay.ports.pushes import PendingWakeup, PushRegistration
from relay.wire.errors import NotFound
from relay.wire.push_resources import PushKind

from .database import Database, Row, Transaction
from .sealing import PUSH_ADDRESS, seal

_ONE: Final = "SELECT device_id, registration_id, kind, sealed FROM push_registrations WHERE device_id = $1"
_PAGE: Final = """SELECT device_id, registration_id, kind, sealed FROM push_registrations
    WHERE device_id > $1 ORDER BY device_id LIMIT $2"""
_PENDING: Final = """SELECT device_id, registration_id, begun_at_ms, due_at_ms, attempts, urgent, sent_at_ms
    FROM push_wakeups JOIN push_registrations USING (device_id) WHERE device_id > $1 ORDER BY device_id LIMIT $2"""
_NOTE: Final = """INSERT INTO push_wakeups
    SELECT r.device_id, n.begun_at_ms, n.due_at_ms, n.attempts, n.urgent, n.sent_at_ms
    FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[], $5::integer[], $6::boolean[], $7::bigint[])
        AS n(device_id, registration_id, begun_at_ms, due_at_ms, attempts, urgent, sent_at_ms)
    JOIN push_registrations AS r ON r.device_id = n.device_id AND r.registration_id = n.registration_id
    ORDER BY r.device_id
    ON CONFLICT (device_id) DO UPDATE SET begun_at_ms = excluded.begun_at_ms, due_at_ms = excluded.due_at_ms,
        attempts = excluded.attempts, urgent = excluded.urgent, sent_at_ms = excluded.sent_at_ms"""
_UNWOKEN: Final = """SELECT r.device_id FROM push_registrations AS r
    CROSS JOIN LATERAL (SELECT e.received_at_ms FROM envelopes AS e
        WHERE e.device_id = r.device_id AND NOT e.quarantined ORDER BY e.sequence LIMIT 1) AS oldest
    WHERE r.device_id > $1 AND NOT EXISTS (SELECT 1 FROM push_wakeups AS w WHERE w.device_id = r.device_id
        AND (w.sent_at_ms IS NULL OR w.sent_at_ms >= oldest.received_at_ms))
    ORDER BY r.device_id LIMIT $2"""
_WOKEN: Final = """SELECT w.device_id FROM push_wakeups AS w
    WHERE w.device_id > $1 AND w.sent_at_ms IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM envelopes AS e WHERE e.device_id = w.device_id AND NOT e.quarantined)
    ORDER BY w.device_id LIMIT $2"""


class _Sealed(msgspec.Struct, array_like=True, frozen=True):
    """What stands in the sealed column."""

    target: str
    p256dh: bytes
    auth: bytes
    token: bytes


_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(_Sealed).decode


class PostgresPushes:
    """PushStore on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, registration: PushRegistration) -> None:
        """In place of the one before."""
        device_id, address = registration.device_id, registration.address
        plain = _ENCODE(_Sealed(address.target, address.p256dh, address.auth, registration.token))

        async def operation(transaction: Transaction) -> None:
            if not await transaction.rows(
                "SELECT 1 FROM device_owners WHERE device_id = $1 FOR UPDATE", device_id
            ):
                raise NotFound("there is no such device")
            sealed = await seal(transaction, PUSH_ADDRESS, device_id, plain)
            await transaction.execute("DELETE FROM push_registrations WHERE device_id = $1", device_id)
            await transaction.execute(
                "INSERT INTO push_registrations VALUES ($1, $2, $3, $4)",
                device_id,
                registration.registration_id,
                str(address.kind),
                sealed,
            )

        await self._database.run(operation)

    async def unregister(self, device_id: bytes, registration_id: bytes | None = None) -> bool:
        """The wakeup hangs on it."""
        gone = await self._database.change(
            """DELETE FROM push_registrations WHERE device_id = $1 AND registration_id = coalesce($2, registration_id)
               RETURNING 1""",
            device_id,
            registration_id,
        )
        return bool(gone)

    async def registration(self, device_id: bytes) -> PushRegistration | None:
        """The device's."""
        row = await self._database.one(_ONE, device_id)
        return None if row is None else self._opened(row)

    async def registrations(self, *, after: bytes = b"", limit: int) -> tuple[PushRegistration, ...]:
        """A page of all."""
        return tuple(self._opened(row) for row in await self._database.rows(_PAGE, after, limit))

    def _opened(self, row: Row) -> PushRegistration:
        device_id, registration_id, kind, sealed = row
        inside = _DECODE(self._database.keys.open(PUSH_ADDRESS, device_id, sealed))
        known: PushKind = kind
        address = PushAddress(known, inside.target, inside.p256dh, inside.auth)
        return PushRegistration(device_id, registration_id, address, inside.token)

    async def note(self, pending: Sequence[PendingWakeup], ended: Sequence[bytes]) -> None:
        """As they are now."""
        newest = {one.device_id: one for one in pending}

        async def operation(transaction: Transaction) -> None:
            if ended:
                await transaction.execute(
                    "DELETE FROM push_wakeups WHERE device_id = ANY($1::bytea[])", sorted(ended)
                )
            if newest:
                ordered = [newest[device_id] for device_id in sorted(newest)]
                await transaction.execute(
                    _NOTE,
                    [one.device_id for one in ordered],
                    [one.registration_id for one in ordered],
                    [one.begun_at_ms for one in ordered],
                    [one.due_at_ms for one in ordered],
                    [one.attempts for one in ordered],
                    [one.urgent for one in ordered],
                    [one.sent_at_ms for one in ordered],
                )

        await self._database.run(operation)

    async def pending(self, *, after: bytes = b"", limit: int) -> tuple[PendingWakeup, ...]:
        """A page of the outbox."""
        return tuple(PendingWakeup(*row) for row in await self._database.rows(_PENDING, after, limit))

    async def unwoken(self, *, after: bytes = b"", limit: int) -> tuple[bytes, ...]:
        """A page of those for which something waits."""
        return tuple(row[0] for row in await self._database.rows(_UNWOKEN, after, limit))

    async def woken(self, *, after: bytes = b"", limit: int) -> tuple[bytes, ...]:
        """A page of those for which nothing waits any more."""
        return tuple(row[0] for row in await self._database.rows(_WOKEN, after, limit))
