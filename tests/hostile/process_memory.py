"""Looks into the memory of another process of the same user. Linux only: /proc/PID/maps and /proc/PID/mem."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tests.hostile.leak_scanner import Finding, LeakScanner

_PIECE = 8 << 20
_OVERLAP = 1 << 12
_WRITABLE = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw", re.MULTILINE)


class MemoryClosed(Exception):
    """The kernel does not let one process read another's memory."""


@contextmanager
def _memory_of(pid: int) -> Iterator[BinaryIO]:
    try:
        descriptor = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    except PermissionError as error:
        raise MemoryClosed from error
    with os.fdopen(descriptor, "rb", buffering=0) as memory:
        yield memory


def _pieces(pid: int) -> Iterator[tuple[str, bytes]]:
    maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
    with _memory_of(pid) as memory:
        for start, end in ((int(low, 16), int(high, 16)) for low, high in _WRITABLE.findall(maps)):
            for at in range(start, end, _PIECE):
                memory.seek(at)
                try:
                    yield f"memory at {at:x}", memory.read(min(_PIECE + _OVERLAP, end - at))
                except OSError:  # freed meanwhile, or not to be read by anybody
                    break


def find_in_memory(pid: int, scanner: LeakScanner) -> list[Finding]:
    """Every hit in what the process can write to; raises MemoryClosed."""
    return [hit for where, data in _pieces(pid) for hit in scanner.scan(data, where)]
