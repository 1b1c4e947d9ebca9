"""Work that was begun for a connection and that the relay finishes before it stops. A failure in it is a bug, and told."""

import asyncio
from collections.abc import Callable, Coroutine


class Running:
    """Holds its tasks: the event loop alone would not."""

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        """`failed` is called with whatever a work raises."""
        self._failed = failed
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._begun = 0

    def begin(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Start it; works begun one after another take their first steps in that order."""
        self._begun = number = self._begun + 1
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(self._run(number, work))
        self._tasks[number] = task
        return task

    async def _run(self, number: int, work: Coroutine[object, object, None]) -> None:
        # Not a done callback: that would be one more turn of the event loop for each message.
        try:
            await work
        except Exception as error:  # noqa: BLE001  (whatever it is, it is a bug of ours)
            self._failed(error)
        finally:
            self._tasks.pop(number, None)

    async def drain(self) -> None:
        """Return when nothing is under way; the caller sets the time limit."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())
            # One that was cancelled before its first step is still there.
            self._tasks = {number: task for number, task in self._tasks.items() if not task.done()}

    async def cancel(self) -> None:
        """Give up what is still under way."""
        for task in tuple(self._tasks.values()):
            task.cancel()
        await self.drain()
