"""Usage by day, in memory."""

from collections.abc import Sequence

from relay.ports.usage import UsageDay

from .image import Gate


class MemoryUsage:
    """UsageStore in memory."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._image = gate.image

    async def devices_seen(self, day: int) -> int:
        """Devices that were last here on this day."""
        self._gate.check()
        return sum(seen == day for seen in self._image.seen_days.values())

    async def put(self, days: Sequence[UsageDay]) -> None:
        """In the place of what was known."""
        await self._gate.commit(lambda: self._image.usage.update({one.day: one for one in days}))

    async def list(self, *, since_day: int) -> tuple[UsageDay, ...]:
        """From that day on."""
        self._gate.check()
        return tuple(one for day, one in sorted(self._image.usage.items()) if day >= since_day)

    async def remove_before(self, day: int) -> int:
        """Forget what is older."""

        def change() -> int:
            old = [each for each in self._image.usage if each < day]
            for each in old:
                del self._image.usage[each]
            return len(old)

        return await self._gate.commit(change)
