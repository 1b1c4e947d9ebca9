"""A new key for what the store seals: begun, then piece by piece while everybody goes on, then the old one is forgotten.

After a kill at any step it is asked for again, and goes on; a new key is made only once the last one has sealed everything.
"""

from dataclasses import dataclass
from typing import Final

from relay.ports.clock import Clock
from relay.ports.sealing import KeyUse, Sealing

STEP_VALUES: Final = 200
PAUSE_SECONDS: Final = 0.005
"""Between two pieces: others write in the meantime."""
CALL_SECONDS: Final = 5.0
"""So long one call works at most, a piece more or less."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a call did: values sealed anew, keys that were forgotten; `done`: the newest key alone is left."""

    values: int
    forgotten: tuple[int, ...]
    done: bool


class KeyRotation:
    """The keys of one relay's store."""

    def __init__(self, sealing: Sealing, clock: Clock) -> None:
        self._sealing = sealing
        self._clock = clock

    async def keys(self) -> tuple[KeyUse, ...]:
        """All there are, with what each has sealed."""
        return await self._sealing.keys()

    async def rotate(self, *, begin: bool) -> Rotated:
        """Work on it for CALL_SECONDS. `begin`: with a new key, unless an earlier rotation is to be finished first."""
        if begin:
            await self._sealing.begin()
        until = self._clock.monotonic_seconds() + CALL_SECONDS
        values = 0
        while step := await self._sealing.reseal(limit=STEP_VALUES):
            values += step
            if self._clock.monotonic_seconds() >= until:
                return Rotated(values, (), done=False)
            await self._clock.sleep(PAUSE_SECONDS)
        return Rotated(values, await self._sealing.finish(), done=True)
