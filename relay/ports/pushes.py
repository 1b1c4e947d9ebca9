"""Where devices are woken, and the outbox of wakeups: one for a device until it connects. Knows no envelope."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .pusher import PushAddress


@dataclass(frozen=True, slots=True)
class PushRegistration:
    """A device's address at a push service, and the token (16 B) that is all that a wakeup carries.

    The token and `registration_id` (16 B, random) are others each time that it registers.
    """

    device_id: bytes
    registration_id: bytes
    address: PushAddress
    token: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PendingWakeup:
    """One of the outbox, of the registration that stood when it began; `sent_at_ms` None: the service has not taken it yet."""

    device_id: bytes
    registration_id: bytes
    begun_at_ms: int
    due_at_ms: int
    attempts: int
    urgent: bool
    sent_at_ms: int | None = None


class PushStore(Protocol):
    """Each change is durable when the method returns. Both go with the device."""

    async def register(self, registration: PushRegistration) -> None:
        """In place of the one that the device had, whose wakeup goes. Raises NotFound if there is no such device."""

    async def unregister(self, device_id: bytes, registration_id: bytes | None = None) -> bool:
        """Forget the device's registration and wakeup; with `registration_id` only if it is that one. Whether there was one."""

    async def registration(self, device_id: bytes) -> PushRegistration | None:
        """The device's."""

    async def registrations(self, *, after: bytes = b"", limit: int) -> tuple[PushRegistration, ...]:
        """A page of all, in the order of their devices' ids, from the first above `after` on."""

    async def note(self, pending: Sequence[PendingWakeup], ended: Sequence[bytes]) -> None:
        """In one commit: `pending` stand in the outbox as they are now, of `ended` (device ids) nothing is under way.

        What is of a registration that is no more is passed over.
        """

    async def pending(self, *, after: bytes = b"", limit: int) -> tuple[PendingWakeup, ...]:
        """A page of the outbox, in the order of their devices' ids."""

    async def unwoken(self, *, after: bytes = b"", limit: int) -> tuple[bytes, ...]:
        """A page of devices that are registered, and were not woken for what waits: no wakeup stands in the outbox, or a service
        took it before the oldest of what waits came, so they have been here since.

        (An envelope is accepted before its wakeup is written: after a kill between the two this finds it.)
        """

    async def woken(self, *, after: bytes = b"", limit: int) -> tuple[bytes, ...]:
        """A page of devices that came: a service took their wakeup, and nothing waits for them any more."""
