"""Work that was begun for a connection and that the relay finishes before it stops. A failure in it is a bug, and told."""

import asyncio
from collections.abc import Callable, Coroutine


class Running:
    """Holds its tasks: the event loop alone would not."""

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        """`failed` is called with whatever a work raises."""
        self._failed = failed
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Start it; works begun one after another take their first steps in that order."""
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)

    async def drain(self) -> None:
        """Return when nothing is under way; the caller sets the time limit."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def cancel(self) -> None:
        """Give up what is still under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await self.drain()
