"""Small file systems that a test may fill or cut off from their disk; needs root, and says so when it cannot have them."""

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN, include/uapi/linux/fs.h
_NO_LOG_FLUSH = 2  # FS_SHUTDOWN_FLAGS_NOLOGFLUSH: nothing more reaches the disk, as when the power goes
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"


class NotPossible(Exception):
    """This machine does not let the test mount what it needs; the message is the reason."""


def _call(name: str, *arguments: str) -> None:
    program = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}")
    if program is None:
        raise NotPossible(f"there is no program {name}")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotPossible(f"{name} failed: {' '.join(done.stderr.split())}")


def require_root() -> None:
    """Raise NotPossible for anybody else: only root may mount."""
    if os.geteuid() != 0:
        raise NotPossible("only root may mount a file system")


class LoopDisk:
    """An ext4 in a file; `cut_power` loses what was not flushed, `mount` brings back what was."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self._image = folder / "disk.img"
        self.path = folder / "disk"
        self._size_bytes = size_bytes
        self._mounted = False

    def make(self) -> None:
        """A fresh, mounted disk. Raises NotPossible."""
        with self._image.open("wb") as image:
            image.truncate(self._size_bytes)
        _call("mkfs.ext4", "-q", "-F", str(self._image))
        self.path.mkdir()
        self.mount()

    def mount(self) -> None:
        """As it was last left, after a replay of the journal if need be. Raises NotPossible."""
        _call("mount", "-o", "loop", str(self._image), str(self.path))
        self._mounted = True

    def unmount(self) -> None:
        """Nothing, if it is not mounted."""
        if self._mounted:
            _call("umount", str(self.path))
            self._mounted = False

    def cut_power(self) -> None:
        """From now on nothing reaches the disk and every access fails."""
        handle = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        except OSError as error:
            raise NotPossible(f"this kernel cannot shut down a file system: {error.strerror}") from error
        finally:
            os.close(handle)


@contextmanager
def loop_disk(folder: Path, size_bytes: int = 256 << 20) -> Iterator[LoopDisk]:
    """A mounted LoopDisk in `folder`; raises NotPossible."""
    require_root()
    disk = LoopDisk(folder, size_bytes)
    try:
        disk.make()
        yield disk
    finally:
        disk.unmount()


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """A mounted tmpfs of that size; raises NotPossible."""
    require_root()
    path = folder / "small"
    path.mkdir()
    _call("mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=0700", "tmpfs", str(path))
    try:
        yield path
    finally:
        _call("umount", str(path))
