"""How far this node's clock is from that of the database, and so from those of the other nodes: they share what expires.

One that is ahead deletes what others still hold for alive, and forgets nonces that they would still take again. Mail goes by
the server's clock: by this node's and the difference that was found, which a clock that is set makes wrong from one moment to the
next. The monotonic clock shows by how much it was set.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from relay.ports.clock import Clock
from relay.wire.errors import Unavailable

from .database import Database, Transaction

_log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 60.0
LOOK_AGAIN_SECONDS: Final = 1.0
"""At the soonest, after the clock was set."""
OFF_SECONDS: Final = 2.0
"""A clock that a time service keeps is within a tenth of one."""
_NOW: Final = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"


class ClockWatch:
    """Compares the clocks, and tells the database object what it found."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._was_set = asyncio.Event()

    def wall_over_monotonic(self) -> int:
        """Of this node's clocks, in milliseconds: what it is now and was at a look tells whether the clock was set."""
        return self._clock.now_ms() - self._clock.monotonic_ms()

    def moved_ms(self) -> int:
        """By how much the clock was set forward since the last look; 0 for what a time service does bit by bit."""
        moved = self.wall_over_monotonic() - self._database.wall_over_monotonic_ms
        if abs(moved) <= OFF_SECONDS * 1_000:
            return 0
        self._was_set.set()
        return moved

    async def look(self, session: Transaction | None = None) -> float:
        """By how many seconds this node is ahead of the database, at least; negative if it is behind. Raises Unavailable.

        `session`: on which the database is asked, if it is one of the caller's.
        """
        before = self._clock.now_ms()
        row = await (session or self._database).one(_NOW)
        after = self._clock.now_ms()
        self._database.wall_over_monotonic_ms = self.wall_over_monotonic()
        there = before if row is None else int(row[0])
        # The database looked at its clock at some moment between: within that nothing is known.
        ahead_ms = max(before - there, 0) + min(after - there, 0)
        was_off = abs(self._database.clock_ahead_seconds) > OFF_SECONDS
        self._database.clock_ahead_seconds = ahead = ahead_ms / 1_000
        if abs(ahead) > OFF_SECONDS and not was_off:
            _log.error("clock_off")
        return ahead

    async def run(self) -> None:
        """Look after each minute, and once the clock was set, until cancelled."""
        while True:
            await self._clock.sleep(LOOK_AGAIN_SECONDS)
            with suppress(TimeoutError):
                async with self._clock.timeout(LOOK_SECONDS - LOOK_AGAIN_SECONDS):
                    await self._was_set.wait()
            self._was_set.clear()
            try:
                await self.look()
            except Unavailable:
                _log.info("clock_not_compared")
            except Exception as error:  # noqa: BLE001  (whatever it is: the next look tries again)
                _log.error("look_failed", exc_info=error)


@asynccontextmanager
async def watching_clock(database: Database, clock: Clock) -> AsyncIterator[None]:
    """It looks at once, and each minute until the block ends."""
    watch = ClockWatch(database, clock)
    database.wall_over_monotonic_ms = watch.wall_over_monotonic()
    try:
        await watch.look()
    except Unavailable:
        _log.info("clock_not_compared")
    database.moved_ms = watch.moved_ms
    task = asyncio.create_task(watch.run(), name="clock-watch")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
