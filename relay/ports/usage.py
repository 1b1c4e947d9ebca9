"""How much a relay was used, by day (UTC): numbers alone, nobody's name and nothing to tell one person by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class UsageDay:
    """One day, counted in days since 1970: devices that were here, and envelopes accepted by size class."""

    day: int
    active_devices: int = 0
    accepted: Mapping[str, int] = field(default_factory=dict)


class UsageStore(Protocol):
    """Every change is durable when the method returns."""

    async def devices_seen(self, day: int) -> int:
        """Devices that were last here on this day: while it lasts, those that were here on it at all."""

    async def put(self, days: Sequence[UsageDay]) -> None:
        """Each in the place of what was known of its day, in one transaction."""

    async def list(self, *, since_day: int) -> tuple[UsageDay, ...]:
        """That day and those after it that are known, in their order."""

    async def remove_before(self, day: int) -> int:
        """Forget the days before this one; how many it were."""
