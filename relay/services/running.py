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
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(self._run(work))
        self._tasks.add(task)
        return task

    async def _run(self, work: Coroutine[object, object, None]) -> None:
        # Not a done callback: that would be one more turn of the event loop for each message.
        try:
            await work
        except Exception as error:  # noqa: BLE001  (whatever it is, it is a bug of ours)
            self._failed(error)
        finally:
            task = asyncio.current_task()
            if task is not None:
                self._tasks.discard(task)

    async def drain(self) -> None:
        """Return when nothing is under way; the caller sets the time limit."""
        while self._tasks:
            done, _ = await asyncio.wait(self._tasks)
            self._tasks -= done  # one that was cancelled before its first step is still there

    async def cancel(self) -> None:
        """Give up what is still under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await self.drain()
