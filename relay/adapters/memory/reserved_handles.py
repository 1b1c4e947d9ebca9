"""Handles that operators keep back, in memory."""

from relay.ports.audit import AuditEntry
from relay.ports.reserved_handles import ReservedHandle
from relay.wire.errors import NotFound

from .audit import append_entry
from .image import Gate


class MemoryReservedHandles:
    """ReservedHandleStore in memory."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._image = gate.image

    async def reserve(self, reserved: ReservedHandle, *, audited: AuditEntry | None = None) -> None:
        """Keep it back."""

        def change() -> None:
            self._image.reserved_handles[reserved.handle] = reserved
            append_entry(self._image, audited)

        await self._gate.commit(change)

    async def release(self, handle: str, *, audited: AuditEntry | None = None) -> None:
        """Keep it back no longer."""

        def change() -> None:
            if self._image.reserved_handles.pop(handle, None) is None:
                raise NotFound("this handle is not reserved")
            append_entry(self._image, audited)

        await self._gate.commit(change)

    async def list(self, *, after: str, limit: int) -> tuple[ReservedHandle, ...]:
        """A page of them."""
        self._gate.check()
        kept = [self._image.reserved_handles[handle] for handle in sorted(self._image.reserved_handles)]
        return tuple(one for one in kept if one.handle > after)[:limit]
