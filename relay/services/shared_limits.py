"""Rate limits and budgets that hold over all nodes of a relay: each tells the others what it let take, a few times a second.

In memory and on the bus only, by keyed hashes. What is told late, or is lost, lets somebody take a little more: as much again
as the burst for each node, at most, while the bus is away.
"""

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Final

from relay.ports.bus import Announcement, Bus, LimitsSpent
from relay.ports.clock import Clock

from .rate_limit import Gcra

TELL_SECONDS: Final = 0.2
MOST_TOLD: Final = 4_096
"""In one announcement; what is more comes in the next."""


class SharedLimits:
    """Of one node. `limits` stand in the same order on each."""

    def __init__(self, limits: Sequence[Gcra], *, bus: Bus, clock: Clock) -> None:
        self._limits = tuple(limits)
        self._bus = bus
        self._clock = clock
        self._spent: dict[tuple[int, bytes], int] = {}
        self._told: set[LimitsSpent] = set()
        self._is_due = False
        for number, limit in enumerate(self._limits):
            limit.taken = partial(self._taken, number)
        bus.subscribe(LimitsSpent, self._hear)

    def _taken(self, number: int, key: Hashable, units: int) -> None:
        if not isinstance(key, bytes):
            raise TypeError("keys of limits that are shared are hashes")
        self._spent[number, key] = self._spent.get((number, key), 0) + units
        if not self._is_due:
            self._is_due = True
            self._clock.call_later(TELL_SECONDS, self._tell)

    def _tell(self) -> None:
        self._is_due = False
        spent = [(number, key, units) for (number, key), units in self._spent.items()]
        self._spent.clear()
        for first in range(0, len(spent), MOST_TOLD):
            told = LimitsSpent(tuple(spent[first : first + MOST_TOLD]))
            self._told.add(told)
            self._bus.publish(told)

    def _hear(self, announcement: Announcement) -> None:
        if not isinstance(announcement, LimitsSpent):
            raise TypeError(f"not subscribed to {type(announcement).__name__}")
        if announcement in self._told:  # the bus brings back what this node said
            self._told.discard(announcement)
            return
        for number, key, units in announcement.spent:
            if 0 <= number < len(self._limits) and units > 0:  # a later version may have more limits
                self._limits[number].taken_elsewhere(key, units)
