"""Time, timers and randomness as arguments. Nothing else in the relay asks the machine what time it is."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

Randomness: TypeAlias = Callable[[int], bytes]
"""`randomness(n)` gives n unpredictable bytes, fit for keys."""


class Timer(Protocol):
    """A call that is still to come."""

    def cancel(self) -> None:
        """The call will not come; without effect once it came."""


class Clock(Protocol):
    """What time it is, and waiting for a later one. Methods do not block."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 (UTC). It can jump: only for what is compared with other machines or kept on disk."""

    def monotonic_ms(self) -> int:
        """Milliseconds from an unknown start; never goes back. For durations within this process."""

    def monotonic_seconds(self) -> float:
        """The same in seconds, as fine as the machine tells it: for how long something took."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`; with 0 at once, after others had their turn."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` on the event loop after `seconds`; a raise in it is a bug and goes to the loop's handler."""

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Cancel the block after `seconds` and raise TimeoutError from it."""
