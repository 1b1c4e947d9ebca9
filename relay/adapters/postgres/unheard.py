"""A node that the bus does not reach says so in the database, which all nodes reach, so that the others doubt what they know.

Nodes that hear each other all the time would not miss what one that is cut off suspends or revokes. It holds an advisory
lock, shared, on a connection that is kept for that; the server frees it when the node is gone. The others look each second.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from relay.ports.bus import Bus
from relay.ports.clock import Clock
from relay.wire.errors import Unavailable

from .database import LOCK_SPACE, Database, Lock

LOOK_SECONDS: Final = 1.0
_TELL: Final = "SELECT pg_advisory_lock_shared($1, $2)"
_LOOK: Final = """SELECT EXISTS (
    SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
    WHERE datname = current_database() AND locktype = 'advisory' AND classid = $1::int AND objid = $2::int AND objsubid = 2
        AND granted)"""


class Unheard:
    """Of one node, whose announcements go by `bus`."""

    def __init__(self, database: Database, bus: Bus, clock: Clock) -> None:
        self._database = database
        self._bus = bus
        self._clock = clock

    async def run(self, failed: Callable[[BaseException], None]) -> None:
        """Tell, or look, until cancelled; `failed` is told what goes wrong, but for a database that is away."""
        while True:
            try:
                with suppress(Unavailable):  # without the database nobody can have changed anything either
                    if self._bus.is_connected:
                        await self.look()
                    else:
                        await self._tell()
            except Exception as error:  # noqa: BLE001  (whatever it is: the next look tries again)
                failed(error)
            await self._clock.sleep(LOOK_SECONDS)

    async def look(self) -> bool:
        """Whether a node tells that it is not heard; then this one doubts what it remembers. Raises Unavailable."""
        row = await self._database.one(_LOOK, LOCK_SPACE, int(Lock.UNHEARD))
        is_doubtful = row is not None and row[0]
        if is_doubtful:
            self._bus.doubt()
        return bool(is_doubtful)

    async def _tell(self) -> None:
        """As long as it lasts. Raises Unavailable once the connection is gone, and the lock with it."""
        async with self._database.session() as session:
            await session.rows(_TELL, LOCK_SPACE, int(Lock.UNHEARD))
            while not self._bus.is_connected:
                await self._clock.sleep(LOOK_SECONDS)
                await session.rows("SELECT 1")


@asynccontextmanager
async def telling_unheard(
    database: Database, bus: Bus, clock: Clock, failed: Callable[[BaseException], None]
) -> AsyncIterator[None]:
    """It tells and looks until the block ends."""
    task = asyncio.create_task(Unheard(database, bus, clock).run(failed), name="unheard")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
