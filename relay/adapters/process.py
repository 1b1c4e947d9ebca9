"""What the machine gives this process: open files, memory, room on a disk. Reads what Linux tells of it."""

import asyncio
import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from relay.ports.machine import Readings

SPARE_DESCRIPTORS: Final = 256
"""For the database, blob files, both listeners and what libraries open."""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_MEMBERSHIP: Final = Path("/proc/self/cgroup")
_GROUPS: Final = Path("/sys/fs/cgroup")
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


def memory_bytes(membership: Path = _MEMBERSHIP, groups: Path = _GROUPS) -> int:
    """What this process may have: the least limit of its control groups (version 2), or all that the machine has."""
    least = _PAGE * os.sysconf("SC_PHYS_PAGES")
    for group in _groups_of(membership, groups):
        with suppress(OSError):  # the outermost one has no limit
            told = (group / "memory.max").read_text("ascii").strip()
            least = min(int(told), least) if told.isdigit() else least
    return least


def _groups_of(membership: Path, groups: Path) -> Iterator[Path]:
    """The folders of the group that the process is in, as a service of systemd is, and of those around it."""
    own = groups
    with suppress(OSError):
        for line in membership.read_text("utf-8").splitlines():
            path = PurePosixPath(line.removeprefix("0::/"))
            if line.startswith("0::/") and ".." not in path.parts:
                own = groups / path
    yield own
    while own != groups:
        own = own.parent
        yield own


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
