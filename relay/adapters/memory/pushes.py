"""Registrations at push services and the outbox of wakeups, in memory."""

from collections.abc import Sequence

from relay.ports.pushes import PendingWakeup, PushRegistration
from relay.wire.errors import NotFound

from .image import Gate


class MemoryPushes:
    """PushStore in memory."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._image = gate.image

    async def register(self, registration: PushRegistration) -> None:
        """In place of the one before."""

        def change() -> None:
            if registration.device_id not in self._image.devices:
                raise NotFound("there is no such device")
            self._image.pushes.forget(registration.device_id)
            self._image.pushes.registrations[registration.device_id] = registration

        await self._gate.commit(change)

    async def unregister(self, device_id: bytes, registration_id: bytes | None = None) -> bool:
        """The wakeup, too."""

        def change() -> bool:
            known = self._image.pushes.registrations.get(device_id)
            if known is None or registration_id not in (None, known.registration_id):
                return False
            self._image.pushes.forget(device_id)
            return True

        return await self._gate.commit(change)

    async def registration(self, device_id: bytes) -> PushRegistration | None:
        """The device's."""
        self._gate.check()
        return self._image.pushes.registrations.get(device_id)

    async def registrations(self, *, after: bytes = b"", limit: int) -> tuple[PushRegistration, ...]:
        """A page of all."""
        self._gate.check()
        rows = self._image.pushes.registrations
        return tuple(rows[one] for one in sorted(rows) if one > after)[:limit]

    async def note(self, pending: Sequence[PendingWakeup], ended: Sequence[bytes]) -> None:
        """As they are now."""

        def change() -> None:
            rows = self._image.pushes
            for device_id in ended:
                rows.wakeups.pop(device_id, None)
            for one in pending:
                known = rows.registrations.get(one.device_id)
                if known is not None and known.registration_id == one.registration_id:
                    rows.wakeups[one.device_id] = one

        await self._gate.commit(change)

    async def pending(self, *, after: bytes = b"", limit: int) -> tuple[PendingWakeup, ...]:
        """A page of the outbox."""
        self._gate.check()
        rows = self._image.pushes.wakeups
        return tuple(rows[one] for one in sorted(rows) if one > after)[:limit]

    async def unwoken(self, *, after: bytes = b"", limit: int) -> tuple[bytes, ...]:
        """A page of those for which something waits."""
        self._gate.check()
        rows = self._image.pushes

        def is_woken(device_id: bytes, oldest_ms: int) -> bool:
            wakeup = rows.wakeups.get(device_id)
            return wakeup is not None and (wakeup.sent_at_ms is None or wakeup.sent_at_ms >= oldest_ms)

        waiting = ((one, self._oldest_ms(one)) for one in sorted(rows.registrations) if one > after)
        return tuple(one for one, at_ms in waiting if at_ms is not None and not is_woken(one, at_ms))[:limit]

    async def woken(self, *, after: bytes = b"", limit: int) -> tuple[bytes, ...]:
        """A page of those for which nothing waits any more."""
        self._gate.check()
        sent = (one.device_id for one in self._image.pushes.wakeups.values() if one.sent_at_ms is not None)
        return tuple(one for one in sorted(sent) if one > after and self._oldest_ms(one) is None)[:limit]

    def _oldest_ms(self, device_id: bytes) -> int | None:
        """When the first of what waits came."""
        waiting = self._image.mailboxes[device_id].waiting
        return next(
            (
                waiting[sequence].envelope.received_at_ms
                for sequence in sorted(waiting)
                if not waiting[sequence].quarantined
            ),
            None,
        )
