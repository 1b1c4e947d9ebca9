"""What the machine has left for the relay."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Readings:
    """Bytes: resident memory of the process, what it may have of it, size of the disk of the data folder and room on it."""

    memory_used: int
    memory: int
    disk: int
    disk_free: int


class MachineReader(Protocol):
    """Tells how the machine stands."""

    async def read(self) -> Readings:
        """Now; raises OSError if it does not tell."""
