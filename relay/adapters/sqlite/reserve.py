"""Room on the disk that is kept for deleting: acknowledgements need a little of it when everything else is full."""

import os
from pathlib import Path


class Reserve:
    """A file of `size_bytes` beside the database, given up when the disk is full and made again when there is room."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self._size_bytes = size_bytes

    @property
    def stands(self) -> bool:
        """Whether the room is reserved."""
        try:
            return self._path.stat().st_size >= self._size_bytes
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Give the room to the database."""
        self._path.unlink(missing_ok=True)

    def restore(self) -> bool:
        """Reserve the room again; False if the disk has none, and then it takes nothing."""
        if self.stands:
            return True
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if self._size_bytes:
                os.posix_fallocate(file, 0, self._size_bytes)
        except OSError:
            self.release()
            return False
        finally:
            os.close(file)
        return True
