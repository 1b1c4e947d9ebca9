"""A clock that moves only when told to: timers, sleepers and timeouts come due by `advance`."""

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count


@dataclass(order=True, slots=True)
class ManualTimer:
    """A call due at `due_ms` of the monotonic time."""

    due_ms: float
    number: int
    callback: Callable[[], None] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        """The call will not come."""
        self.cancelled = True


class ManualClock:
    """Starts at `now_ms` and stands still."""

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self._now_ms = now_ms
        self._monotonic_ms: float = 0
        self._timers: list[ManualTimer] = []
        self._numbers = count()

    def now_ms(self) -> int:
        """Milliseconds since 1970, as told."""
        return self._now_ms

    def monotonic_ms(self) -> int:
        """Milliseconds that were advanced so far."""
        return int(self._monotonic_ms)

    def monotonic_seconds(self) -> float:
        """The same in seconds."""
        return self._monotonic_ms / 1_000

    def call_later(self, seconds: float, callback: Callable[[], None]) -> ManualTimer:
        """Call `callback` once the time was advanced by `seconds`."""
        timer = ManualTimer(self._monotonic_ms + seconds * 1_000, next(self._numbers), callback)
        heapq.heappush(self._timers, timer)
        return timer

    async def sleep(self, seconds: float) -> None:
        """Return once the time was advanced by `seconds`; with 0 after others had their turn."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.Event()
        timer = self.call_later(seconds, woken.set)
        try:
            await woken.wait()
        finally:
            timer.cancel()

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Cancel the block once the time was advanced by `seconds`, and raise TimeoutError from it."""
        return self._timeout(seconds)

    @asynccontextmanager
    async def _timeout(self, seconds: float) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as scope:
            timer = self.call_later(seconds, lambda: scope.reschedule(loop.time()))
            try:
                yield
            finally:
                timer.cancel()

    def waiting(self) -> int:
        """How many timers are to come; a test waits for this before it advances."""
        return sum(not timer.cancelled for timer in self._timers)

    def jump(self, *, seconds: float) -> None:
        """Move the wall clock alone, as when somebody sets it (F10): no timer comes due."""
        self._now_ms += round(seconds * 1_000)

    async def advance(self, *, seconds: float) -> None:
        """Move on by `seconds`, call what comes due in its order, and let what it woke run."""
        target_ms = self._monotonic_ms + seconds * 1_000
        for timer in self._due(target_ms):
            timer.callback()
            await self._settle()
        self._move_to(target_ms)
        await self._settle()

    def _due(self, target_ms: float) -> Iterator[ManualTimer]:
        while self._timers and self._timers[0].due_ms <= target_ms:
            timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                self._move_to(max(timer.due_ms, self._monotonic_ms))
                yield timer

    def _move_to(self, monotonic_ms: float) -> None:
        self._now_ms += round(monotonic_ms - self._monotonic_ms)
        self._monotonic_ms = monotonic_ms

    @staticmethod
    async def _settle() -> None:
        """Let tasks that became ready run, a few turns long."""
        for _ in range(10):
            await asyncio.sleep(0)
