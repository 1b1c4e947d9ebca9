"""When the node that wakes looks into the store for what it may not have heard of the others. Looks at nothing itself.

What is lost of the bus would else cost a night: mail of another node would wake nobody, and who came there and read would be
taken to be woken still. Another node may be back on the bus a little later than this one: so the last look is a while after.
"""

from math import inf
from typing import Final

DOUBT_SECONDS: Final = 10.0
AGAIN_SECONDS: Final = 5.0
REGISTRATIONS_A_SECOND: Final = 2_000
"""A look asks the database for each of them: of many it looks more seldom."""


class Missed:
    """Of one node."""

    def __init__(self) -> None:
        self._until = -inf
        self._looked_at = -inf

    def happened(self, now: float) -> None:
        """Something may have been missed, and for a while more may be."""
        self._until = now + DOUBT_SECONDS

    def next_look(self, registrations: int) -> float:
        """A monotonic time; infinite, if nothing is in doubt."""
        if self._looked_at >= self._until:
            return inf
        return self._looked_at + max(AGAIN_SECONDS, registrations / REGISTRATIONS_A_SECOND)

    def looked(self, now: float) -> None:
        """A look begins."""
        self._looked_at = now
