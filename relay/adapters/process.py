"""What the machine gives this process: open files, memory, room on a disk. Reads what Linux tells of it."""

import asyncio
import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from relay.ports.machine import Readings

SPARE_DESCRIPTORS: Final = 256
"""For the database, blob files, both listeners and what libraries open."""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_CGROUP: Final = Path("/sys/fs/cgroup/memory.max")
_STATM: Final = Path("/proc/self/statm")


def raise_descriptors() -> None:
    """Let the process have as many files and connections open as it may: shells begin with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def most_connections() -> int:
    """How many connections there can be."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 if soft == resource.RLIM_INFINITY else max(soft - SPARE_DESCRIPTORS, 1)


def memory_bytes() -> int:
    """What this process may have: the limit of its control group, or all that the machine has."""
    whole = _PAGE * os.sysconf("SC_PHYS_PAGES")
    try:
        told = _CGROUP.read_text("ascii").strip()
    except OSError:
        return whole
    return min(int(told), whole) if told.isdigit() else whole


@dataclass(frozen=True, slots=True)
class ProcessReader:
    """MachineReader of Linux; `disk` lies on the disk that matters."""

    disk: Path
    memory: int

    async def read(self) -> Readings:
        """In a thread: a disk that hangs must not stop the event loop."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> Readings:
        used = int(_STATM.read_text("ascii").split()[1]) * _PAGE
        disk = os.statvfs(self.disk)
        return Readings(used, self.memory, disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize)
