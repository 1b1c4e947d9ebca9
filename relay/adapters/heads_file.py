"""The file of signed heads of the audit log, best on another machine's disk: only ever appended to."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

from relay.ports.audit import HeadsNotKept


class DiskHeadsFile:
    """HeadsFile on a path. Nothing is kept open: what is mounted there may come and go."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def lines(self) -> list[str]:
        """All there are."""
        return await asyncio.to_thread(self._read)

    async def add(self, line: str) -> None:
        """One more, on the disk."""
        await asyncio.to_thread(self._append, line)

    def _read(self) -> list[str]:
        try:
            return self._path.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise HeadsNotKept(f"{self._path}: cannot be read") from error

    def _append(self, line: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            descriptor = os.open(self._path, flags, 0o600)
            try:
                _append_line(descriptor, line.encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            raise HeadsNotKept(f"{self._path}: cannot be written") from error


def _append_line(descriptor: int, line: bytes) -> None:
    """On a full disk nothing of it stays; after half a line of a power cut it begins one of its own."""
    size = os.fstat(descriptor).st_size
    ended = not size or os.pread(descriptor, 1, size - 1) == b"\n"
    try:
        view = memoryview((b"" if ended else b"\n") + line + b"\n")
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):  # a file that can only grow keeps it
            os.ftruncate(descriptor, size)
        raise
