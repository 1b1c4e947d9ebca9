"""How much the relay is used, by day (UTC), without anybody's name; docs/decisions/0028-usage-by-day.md.

The day that runs is counted exactly, so that it can go on after a restart, and told to nobody. Once it is over its numbers are
rounded down where they are kept, and a day with few devices tells no number at all.

Nothing is counted here on the way of an envelope: what `accepted_total` grew by is taken over each half a minute.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from relay.observe.figures import LARGEST, SIZE_CLASSES, Figures
from relay.ports.clock import Clock
from relay.ports.usage import UsageDay, UsageStore
from relay.wire.errors import RelayError

DAY_MS: Final = 86_400_000
USAGE_DAYS: Final = 400
"""So many days are kept: a year, and the month to compare it with."""
FEW_DEVICES: Final = 10
"""A day with fewer tells nothing but that; from there on devices are told in tens."""
FEW_ENVELOPES: Final = 100
"""Envelopes are told in hundreds, and large numbers by their first two digits."""
CLASSES: Final = (*(name for _, name in SIZE_CLASSES), LARGEST)


def rounded(count: int, step: int) -> int:
    """Down to a multiple of `step`, a power of ten, or of what its third digit stands for, whichever is coarser."""
    step = max(step, 10 ** max(len(str(count)) - 2, 0))
    return count // step * step


def rounded_day(day: UsageDay) -> UsageDay:
    """As it may be told and kept once it is over; a second time changes nothing."""
    if day.active_devices < FEW_DEVICES:
        return UsageDay(day.day)
    accepted = {name: rounded(count, FEW_ENVELOPES) for name, count in day.accepted.items()}
    return UsageDay(day.day, rounded(day.active_devices, FEW_DEVICES), accepted)


@dataclass(slots=True)
class _Running:
    """The day that runs: what is in the store of it, and up to where the figures of this process are in there."""

    day: UsageDay
    taken: Mapping[str, int]


class Usage:
    """Of one relay. One that runs calls `count` every now and then, and when it stops."""

    def __init__(self, store: UsageStore, figures: Figures, *, clock: Clock) -> None:
        self._store = store
        self._figures = figures
        self._clock = clock
        self._running: _Running | None = None

    def _today(self) -> int:
        return self._clock.now_ms() // DAY_MS

    def _accepted(self) -> dict[str, int]:
        """By this process so far."""
        return {name: int(self._figures.value("accepted_total", name) or 0) for name in CLASSES}

    async def count(self) -> None:
        """Bring the store up to date; no commit if nothing changed. What is over is rounded.

        Envelopes of the half a minute around midnight count for the day on which they are taken over. A clock that is set
        back goes on with the later day, which is not over for it.
        """
        today = self._today()
        running = self._running or await self._resume(today)
        changed: list[UsageDay] = []
        if running.day.day < today:
            changed.append(rounded_day(running.day))
            running = _Running(UsageDay(today), running.taken)
        before, accepted = running.day, self._accepted()
        grown = {
            name: count
            for name in CLASSES
            if (count := before.accepted.get(name, 0) + accepted[name] - running.taken.get(name, 0))
        }
        seen = await self._store.devices_seen(before.day)
        after = UsageDay(before.day, max(before.active_devices, seen), grown)
        if after != before:
            changed.append(after)
        if changed:
            await self._store.put(changed)
        self._running = _Running(after, accepted)

    async def finish(self) -> None:
        """Once more at the end; a store that has failed keeps what it had."""
        with suppress(RelayError):
            await self.count()

    async def _resume(self, today: int) -> _Running:
        """At the start: what an earlier process counted of today; days that ended while no relay ran are rounded."""
        kept = await self._store.list(since_day=0)
        over = [one for one in kept if one.day < today]
        unrounded = [one for one in over if rounded_day(one) != one]
        if unrounded:
            await self._store.put([rounded_day(one) for one in unrounded])
        day = kept[-1] if kept and kept[-1].day >= today else UsageDay(today)
        return _Running(day, {})

    async def days(self, count: int) -> tuple[UsageDay, ...]:
        """The days that are over, of the last `count` before today, oldest first, rounded."""
        today = self._today()
        kept = await self._store.list(since_day=today - count)
        return tuple(rounded_day(one) for one in kept if one.day < today)
