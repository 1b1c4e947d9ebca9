"""Registrations at push services and the outbox of wakeups, in SQLite. Addresses and tokens are sealed."""

from collections.abc import Sequence
from typing import Final

import msgspec

from relay.ports.pusher import PushAddress
from relay.ports.pushes import PendingWakeup, PushRegistration
from relay.wire.errors import NotFound
from relay.wire.push_resources import PushKind

from .reader import Reader
from .sealing import PUSH_ADDRESS
from .writer import Row, Transaction, Writer

_ONE: Final = "SELECT device_id, registration_id, kind, sealed FROM push_registrations WHERE device_id = ?"
_PAGE: Final = """SELECT device_id, registration_id, kind, sealed FROM push_registrations
    WHERE device_id > ? ORDER BY device_id LIMIT ?"""
_PENDING: Final = """SELECT device_id, registration_id, begun_at_ms, due_at_ms, attempts, urgent, sent_at_ms
    FROM push_wakeups JOIN push_registrations USING (device_id) WHERE device_id > ? ORDER BY device_id LIMIT ?"""
_NOTE: Final = """INSERT OR REPLACE INTO push_wakeups SELECT device_id, ?, ?, ?, ?, ? FROM push_registrations
    WHERE device_id = ? AND registration_id = ?"""
_UNWOKEN: Final = """SELECT device_id FROM push_registrations AS r JOIN devices AS d USING (device_id)
    WHERE device_id > ?
      AND EXISTS (SELECT 1 FROM envelopes AS e WHERE e.device_number = d.device_number AND NOT e.quarantined)
      AND NOT EXISTS (SELECT 1 FROM push_wakeups AS w WHERE w.device_id = r.device_id
        AND (w.sent_at_ms IS NULL OR w.sent_at_ms >= (SELECT e.received_at_ms FROM envelopes AS e
            WHERE e.device_number = d.device_number AND NOT e.quarantined ORDER BY e.sequence LIMIT 1)))
    ORDER BY device_id LIMIT ?"""
_WOKEN: Final = """SELECT device_id FROM push_wakeups AS w JOIN devices AS d USING (device_id)
    WHERE device_id > ? AND w.sent_at_ms IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM envelopes AS e WHERE e.device_number = d.device_number AND NOT e.quarantined)
    ORDER BY device_id LIMIT ?"""


class _Sealed(msgspec.Struct, array_like=True, frozen=True):
    """What stands in the sealed column."""

    target: str
    p256dh: bytes
    auth: bytes
    token: bytes


_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(_Sealed).decode


class SqlitePushes:
    """PushStore on one file."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def register(self, registration: PushRegistration) -> None:
        """In place of the one before."""
        device_id, address = registration.device_id, registration.address
        plain = _ENCODE(_Sealed(address.target, address.p256dh, address.auth, registration.token))

        async def operation(transaction: Transaction) -> None:
            if not await transaction.rows("SELECT 1 FROM devices WHERE device_id = ?", (device_id,)):
                raise NotFound("there is no such device")
            sealed = transaction.keys.seal(PUSH_ADDRESS, device_id, plain)
            transaction.later("DELETE FROM push_registrations WHERE device_id = ?", (device_id,))
            await transaction.rows(
                "INSERT INTO push_registrations VALUES (?, ?, ?, ?)",
                (device_id, registration.registration_id, address.kind, sealed),
            )

        await self._writer.run(operation)

    async def unregister(self, device_id: bytes, registration_id: bytes | None = None) -> bool:
        """The wakeup hangs on it."""

        async def operation(transaction: Transaction) -> bool:
            return bool(
                await transaction.rows(
                    """DELETE FROM push_registrations WHERE device_id = ?1 AND registration_id = coalesce(?2, registration_id)
                       RETURNING 1""",
                    (device_id, registration_id),
                )
            )

        return await self._writer.run(operation, frees=True, single=True)

    async def registration(self, device_id: bytes) -> PushRegistration | None:
        """The device's."""
        row = await self._reader.one(_ONE, (device_id,))
        return None if row is None else self._opened(row)

    async def registrations(self, *, after: bytes = b"", limit: int) -> tuple[PushRegistration, ...]:
        """A page of all."""
        return tuple(self._opened(row) for row in await self._reader.rows(_PAGE, (after, limit)))

    def _opened(self, row: Row) -> PushRegistration:
        device_id, registration_id, kind, sealed = row
        inside = _DECODE(self._reader.keys.open(PUSH_ADDRESS, device_id, sealed))
        known: PushKind = kind
        address = PushAddress(known, inside.target, inside.p256dh, inside.auth)
        return PushRegistration(device_id, registration_id, address, inside.token)

    async def note(self, pending: Sequence[PendingWakeup], ended: Sequence[bytes]) -> None:
        """As they are now."""

        async def operation(transaction: Transaction) -> None:
            for device_id in ended:
                transaction.later("DELETE FROM push_wakeups WHERE device_id = ?", (device_id,))
            for one in pending:
                transaction.later(
                    _NOTE,
                    (
                        one.begun_at_ms,
                        one.due_at_ms,
                        one.attempts,
                        int(one.urgent),
                        one.sent_at_ms,
                        one.device_id,
                        one.registration_id,
                    ),
                )
            await transaction.flush()

        await self._writer.run(operation, frees=not pending)

    async def pending(self, *, after: bytes = b"", limit: int) -> tuple[PendingWakeup, ...]:
        """A page of the outbox."""
        rows = await self._reader.rows(_PENDING, (after, limit))
        return tuple(
            PendingWakeup(device_id, registration_id, begun, due, attempts, bool(urgent), sent)
            for device_id, registration_id, begun, due, attempts, urgent, sent in rows
        )

    async def unwoken(self, *, after: bytes = b"", limit: int) -> tuple[bytes, ...]:
        """A page of those for which something waits."""
        return tuple(row[0] for row in await self._reader.rows(_UNWOKEN, (after, limit)))

    async def woken(self, *, after: bytes = b"", limit: int) -> tuple[bytes, ...]:
        """A page of those for which nothing waits any more."""
        return tuple(row[0] for row in await self._reader.rows(_WOKEN, (after, limit)))
