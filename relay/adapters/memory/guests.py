"""Guests in memory."""

from relay.ports.guests import Guest

from .image import Gate


class MemoryGuests:
    """GuestStore in memory."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._image = gate.image

    async def find(self, account_id: bytes) -> Guest | None:
        """The guest with its hosts."""
        self._gate.check()
        return self._image.guests.get(account_id)

    async def lapsed(self, role: str, *, now_ms: int, limit: int) -> tuple[bytes, ...]:
        """Those whose time is over."""
        self._gate.check()
        image = self._image
        over = [
            (guest.expires_at_ms, account_id)
            for account_id, guest in image.guests.items()
            if guest.expires_at_ms <= now_ms
            and image.accounts[account_id].role == role
            and account_id not in image.deletions
        ]
        return tuple(account_id for _, account_id in sorted(over)[:limit])
