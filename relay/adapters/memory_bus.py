"""The bus of a single process: announcements go to its own subscribers, in order, on the next turn of the loop."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from relay.ports.bus import Announcement, AnnouncementsLost, Handler
from relay.ports.clock import Clock

DOUBT_SECONDS: Final = 1.0
_log = logging.getLogger(__name__)


class MemorySubscription:
    """A handler that is listening."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end

    def cancel(self) -> None:
        """It is called no more."""
        self._end()


class MemoryBus:
    """Bus within one process. Open it by `open_memory_bus`."""

    def __init__(self) -> None:
        self._handlers: dict[type[Announcement], list[Handler]] = {}
        self._queue: deque[Announcement] = deque()
        self._scheduled: asyncio.Handle | None = None
        self._closed = False

    @property
    def is_connected(self) -> bool:
        """Always: there is nobody else to be heard by."""
        return True

    def publish(self, announcement: Announcement) -> None:
        """Enqueue for the next turn of the loop; nothing after closing."""
        if self._closed:
            return
        self._queue.append(announcement)
        if self._scheduled is None:
            self._scheduled = asyncio.get_running_loop().call_soon(self._hand_out)

    def doubt(self) -> None:
        """Tell the own subscribers that something may have been missed."""
        self.publish(AnnouncementsLost())

    def subscribe(self, kind: type[Announcement], handler: Handler) -> MemorySubscription:
        """Call `handler` with each announcement of exactly this type."""
        handlers = self._handlers.setdefault(kind, [])
        handlers.append(handler)

        def end() -> None:
            if handler in handlers:
                handlers.remove(handler)

        return MemorySubscription(end)

    def _hand_out(self) -> None:
        self._scheduled = None
        for _ in range(len(self._queue)):
            announcement = self._queue.popleft()
            for handler in tuple(self._handlers.get(type(announcement), ())):
                try:
                    handler(announcement)
                except Exception:  # noqa: BLE001  # one handler's bug must not cost the others the announcement
                    _log.exception("bus_handler_failed")

    def close(self) -> None:
        """Nothing is handed out any more."""
        self._closed = True
        self._queue.clear()
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None


@asynccontextmanager
async def open_memory_bus() -> AsyncIterator[MemoryBus]:
    """A bus for this process, closed at the end."""
    bus = MemoryBus()
    try:
        yield bus
    finally:
        bus.close()


@asynccontextmanager
async def open_deaf_bus(clock: Clock) -> AsyncIterator[MemoryBus]:
    """The same for a process beside which others may run on the same database: it never hears of what those do."""
    async with open_memory_bus() as bus:
        doubting = asyncio.create_task(_doubt(bus, clock), name="bus-doubt")
        try:
            yield bus
        finally:
            doubting.cancel()
            await asyncio.gather(doubting, return_exceptions=True)


async def _doubt(bus: MemoryBus, clock: Clock) -> None:
    while True:
        bus.doubt()
        await clock.sleep(DOUBT_SECONDS)
