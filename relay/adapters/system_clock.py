"""The machine's time and randomness. The only module of the relay that asks for them."""

import asyncio
import os
import time
from collections.abc import Callable


class SystemClock:
    """Clock of the machine; timers of the running event loop."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 (UTC)."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Milliseconds from an unknown start; never goes back."""
        return time.monotonic_ns() // 1_000_000

    def monotonic_seconds(self) -> float:
        """The same in seconds, to the nanosecond."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Call `callback` on the event loop after `seconds`."""
        return asyncio.get_running_loop().call_later(seconds, callback)

    def timeout(self, seconds: float) -> asyncio.Timeout:
        """Cancel the block after `seconds` and raise TimeoutError from it."""
        return asyncio.timeout(seconds)


def system_randomness(count: int) -> bytes:
    """`count` unpredictable bytes of the kernel, fit for keys."""
    return os.urandom(count)
