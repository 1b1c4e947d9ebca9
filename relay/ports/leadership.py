"""Work that only one process of a relay does at a time."""

from enum import IntEnum
from typing import Protocol


class Work(IntEnum):
    """What there is of it; the numbers are never given to other work."""

    HOUSEKEEPING = 101
    """What has expired is removed, deletions are finished, the audit log is verified."""
    PUSH = 102
    """Wakeups."""


class Leadership(Protocol):
    """Who does what. For a moment two processes may both believe that they lead: all such work bears that."""

    async def until_leading(self, work: Work) -> None:
        """Return once this process is the one that does it."""

    async def until_lost(self, work: Work) -> None:
        """Return once it is not that any more."""
