"""Which node does what only one may do: who holds an advisory lock, on a connection that is kept for that.

The server frees the locks of a node that is gone, or is frozen and says nothing. A node that lost its connection stops at the
next look, and so does one whose clock is far off: it would delete what others still hold for alive.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Final

from relay.ports.clock import Clock
from relay.ports.leadership import Work
from relay.wire.errors import Unavailable

from .clocks import ClockWatch
from .database import LOCK_SPACE, Database

_log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0


class PostgresLeadership:
    """Leadership by the locks of one database. `works`: what this process is there for."""

    def __init__(self, database: Database, works: Collection[Work], clock: Clock) -> None:
        self._database = database
        self._works = sorted(works)
        self._clock = clock
        self._clocks = ClockWatch(database, clock)
        self._leads = {work: asyncio.Event() for work in Work}
        self._lost = {work: asyncio.Event() for work in Work}

    async def until_leading(self, work: Work) -> None:
        """Return once the lock is held here."""
        await self._leads[work].wait()

    async def until_lost(self, work: Work) -> None:
        """Return once it is not."""
        await self._lost[work].wait()

    def _is_leading(self, work: Work) -> None:
        self._lost[work].clear()
        self._leads[work].set()

    def _is_not(self) -> None:
        for work in Work:
            self._leads[work].clear()
            self._lost[work].set()

    async def hold(self) -> None:
        """Try for the locks, and look whether they are still held, until cancelled."""
        try:
            while True:
                try:
                    if not self._database.is_clock_far_off:  # whoever watches the clock asks each minute
                        await self._hold_on_one_connection()
                except Exception as error:  # noqa: BLE001  (whatever it is: without a leader nothing is deleted or pushed)
                    self._is_not()
                    if not isinstance(error, Unavailable):
                        _log.error("leadership_failed", exc_info=error)
                await self._clock.sleep(LOOK_SECONDS)
        finally:
            self._is_not()

    async def _hold_on_one_connection(self) -> None:
        async with self._database.session() as session:
            while True:
                await self._clocks.look(session)  # raises once the connection is gone, and the locks with it
                if self._database.is_clock_far_off:
                    self._is_not()
                    return
                for work in self._works:
                    if not self._leads[work].is_set():
                        ((is_free,),) = await session.rows(
                            "SELECT pg_try_advisory_lock($1, $2)", LOCK_SPACE, int(work)
                        )
                        if is_free:
                            self._is_leading(work)
                await self._clock.sleep(LOOK_SECONDS)


@asynccontextmanager
async def leading(leadership: PostgresLeadership) -> AsyncIterator[None]:
    """Its locks are sought and held until the block ends."""
    task = asyncio.create_task(leadership.hold(), name="leadership")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
