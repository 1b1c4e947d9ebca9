"""The clock, the timers and the randomness of this machine: the one place of the client that touches them."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class System:
    """What the client takes from its machine; tests bring their own.

    `now_ms`: milliseconds since 1970 UTC. `monotonic_seconds`: for intervals. `random`: that many random bytes.
    `sleep`: waits seconds.
    """

    now_ms: Callable[[], int]
    monotonic_seconds: Callable[[], float]
    random: Callable[[int], bytes]
    sleep: Callable[[float], Awaitable[None]]


def this_machine() -> System:
    """The real one."""
    return System(
        now_ms=lambda: time.time_ns() // 1_000_000,
        monotonic_seconds=time.monotonic,
        random=os.urandom,
        sleep=asyncio.sleep,
    )
