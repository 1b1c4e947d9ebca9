"""What is refused while there is too much to do or too little room: new accounts first, then uploads, then new connections.

Who is connected goes on writing and reading: envelopes of existing users are refused last, by the store, when nothing fits on
the disk any more. Each second the event loop, every few seconds memory and disk are looked at. A level is left again only
once the measures have stayed well below it for a while, so that it does not swing. docs/operations.md, "Load".
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Final

from relay.config import ShedSettings
from relay.observe.figures import Figures
from relay.ports.clock import Clock
from relay.ports.machine import MachineReader, Readings
from relay.wire.errors import Overloaded

LOOK_SECONDS: Final = 5.0
CALM_SECONDS: Final = 15.0
"""So long measures have to be so good that a loop a quarter later, a disk a quarter fuller and memory a twentieth larger
would not ask for the level either, before it is left."""
RETRY_MS: Final = 30_000
SMALL_DISK_PARTS: Final = 20
"""Of a disk of less than so many times the room of the settings, one part is asked for: a small one is of use as well."""
_SMOOTH: Final = 0.3  # of the newest lateness of the event loop: one long turn is no load
_MOST_LATE: Final = (
    6  # times the setting: a machine that stood still for a minute refuses new accounts at most
)


class Shed(IntEnum):
    """What is refused; each level what those below it refuse, too."""

    NOTHING = 0
    ACCOUNTS = 1
    UPLOADS = 2
    CONNECTIONS = 3


_KINDS: Final = {Shed.ACCOUNTS: "account", Shed.UPLOADS: "upload", Shed.CONNECTIONS: "connection"}


def level_of(late_seconds: float, readings: Readings | None, settings: ShedSettings) -> Shed:
    """What these measures ask for: by the worst of them.

    The loop: at once, twice and five times the time of the settings. Memory: at the share of the settings, and at a third and
    two thirds of the way from there to all of it. Disk: at twice and once the room of the settings, or a twentieth of a disk so
    small that this is less; connections need none.
    """
    late = late_seconds * 1_000 / settings.loop_late_ms
    found = [Shed.CONNECTIONS if late >= 5 else Shed.UPLOADS if late >= 2 else Shed(late >= 1)]
    if readings is not None:
        share = 100 * readings.memory_used / readings.memory
        step = (100 - settings.memory_percent) / 3
        above = share - settings.memory_percent
        found.append(Shed(0 if above < 0 else 1 + (above >= step) + (above >= 2 * step)))
        room = min(settings.disk_free_bytes, readings.disk // SMALL_DISK_PARTS)
        found.append(Shed((readings.disk_free < 2 * room) + (readings.disk_free < room)))
    return max(found)


class Load:
    """The level of one relay."""

    def __init__(
        self,
        reader: MachineReader,
        figures: Figures,
        clock: Clock,
        settings: ShedSettings,
        *,
        told: Callable[[Shed], None] = lambda _: None,
    ) -> None:
        """`told` hears of each new level."""
        self._reader = reader
        self._figures = figures
        self._clock = clock
        self._settings = settings
        self._told = told
        self._late_seconds = 0.0
        self._readings: Readings | None = None
        self._looked_at: float | None = None
        self._calm_since: float | None = None
        self.level = Shed.NOTHING
        figures.set("load_level", self.level)

    def change(self, settings: ShedSettings) -> None:
        """Other thresholds from the next look on."""
        self._settings = settings

    def admit(self, kind: Shed) -> None:
        """Raise Overloaded while this is refused."""
        if self.level >= kind:
            self._figures.add("shed_total", label=_KINDS[kind])
            raise Overloaded(retry_after_ms=RETRY_MS)

    async def look(self, late_seconds: float) -> None:
        """A second has passed, and the event loop was late by this much."""
        late_seconds = min(late_seconds, _MOST_LATE * self._settings.loop_late_ms / 1_000)
        self._late_seconds += _SMOOTH * (late_seconds - self._late_seconds)
        now = self._clock.monotonic_seconds()
        if self._looked_at is None or now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            try:
                self._readings = await self._reader.read()
            except OSError:
                self._readings = None  # what is not known refuses nobody
        self._set(now)

    def _set(self, now: float) -> None:
        wanted = level_of(self._late_seconds, self._readings, self._settings)
        if wanted >= self.level:
            self._calm_since = None
            self._go(wanted)
            return
        if not self._is_calm():
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since = now
        elif now - self._calm_since >= CALM_SECONDS:
            self._calm_since = None
            self._go(Shed(self.level - 1))

    def _is_calm(self) -> bool:
        """Whether measures a little worse would not ask for this level either."""
        readings = self._readings
        worse = readings and Readings(
            readings.memory_used * 21 // 20, readings.memory, readings.disk, readings.disk_free * 3 // 4
        )
        return level_of(self._late_seconds * 5 / 4, worse, self._settings) < self.level

    def _go(self, level: Shed) -> None:
        if level is not self.level:
            self.level = level
            self._figures.set("load_level", level)
            self._told(level)
