"""How long to wait before the next try: exponential with full jitter, so that many clients do not come back at once."""

from collections.abc import Callable
from typing import Final

FIRST_WAIT_SECONDS: Final = 0.25
LONGEST_WAIT_SECONDS: Final = 30.0
_RANDOM_BYTES: Final = 4


class Backoff:
    """Waits of one connection; `reset` after it worked.

    A wait is uniform between half and the whole of a bound that doubles from 0.25 s to 30 s: never so short that a
    relay which just came back is run over, never longer than somebody would wait.
    """

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._bound_seconds = FIRST_WAIT_SECONDS

    def next_seconds(self, at_least_seconds: float = 0.0) -> float:
        """The next wait; `at_least_seconds` is what the relay asked for."""
        share = int.from_bytes(self._random(_RANDOM_BYTES), "big") / float(1 << 8 * _RANDOM_BYTES)
        wait = self._bound_seconds * (1 + share) / 2
        self._bound_seconds = min(self._bound_seconds * 2, LONGEST_WAIT_SECONDS)
        return max(wait, at_least_seconds)

    def reset(self) -> None:
        """The connection worked: begin anew."""
        self._bound_seconds = FIRST_WAIT_SECONDS
