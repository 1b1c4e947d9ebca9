"""How far this node's clock is from that of the database, and so from those of the other nodes: they share what expires.

One that is ahead deletes what others still hold for alive, and forgets nonces that they would still take again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from relay.ports.clock import Clock
from relay.wire.errors import Unavailable

from .database import Database, Transaction

_log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 60.0
OFF_SECONDS: Final = 2.0
"""A clock that a time service keeps is within a tenth of one."""
_NOW: Final = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"


class ClockWatch:
    """Compares the clocks, and tells the database object what it found."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def look(self, session: Transaction | None = None) -> float:
        """By how many seconds this node is ahead of the database, at least; negative if it is behind. Raises Unavailable.

        `session`: on which the database is asked, if it is one of the caller's.
        """
        before = self._clock.now_ms()
        row = await (session or self._database).one(_NOW)
        after = self._clock.now_ms()
        there = before if row is None else int(row[0])
        # The database looked at its clock at some moment between: within that nothing is known.
        ahead_ms = max(before - there, 0) + min(after - there, 0)
        was_off = abs(self._database.clock_ahead_seconds) > OFF_SECONDS
        self._database.clock_ahead_seconds = ahead = ahead_ms / 1_000
        if abs(ahead) > OFF_SECONDS and not was_off:
            _log.error("clock_off")
        return ahead

    async def run(self) -> None:
        """Look after each minute, until cancelled."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
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
    try:
        await watch.look()
    except Unavailable:
        _log.info("clock_not_compared")
    task = asyncio.create_task(watch.run(), name="clock-watch")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
