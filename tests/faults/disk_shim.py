"""Runs a program of this folder on a disk that fails when told to; disk_shim.c is compiled for it, once a run."""

import os
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
CONTROL = struct.Struct(
    "6q"
)  # writes, syncs, kill_at_step, tear_write, fail_sync_at, room; as in disk_shim.c


@cache
def shim() -> Path:
    """The shared object; it lies in a folder of its own until the machine forgets its temporary files."""
    made = Path(tempfile.gettempdir()) / f"tokenim-disk-shim-{os.getuid()}-{os.getpid()}.so"
    subprocess.run(
        [
            "gcc",
            "-O1",
            "-Wall",
            "-Werror",
            "-shared",
            "-fPIC",
            "-o",
            str(made),
            str(HERE / "disk_shim.c"),
            "-ldl",
        ],
        check=True,
    )
    return made


@dataclass(frozen=True)
class Run:
    """How a program ended, what it said line by line, and what the disk did."""

    exit_code: int
    lines: list[str]
    writes: int
    syncs: int

    @property
    def steps(self) -> int:
        return self.writes + self.syncs


@dataclass
class Disk:
    """A disk's faults, and the folder on it."""

    folder: Path
    kill_at_step: int = 0
    tear_write: bool = False
    fail_sync_at: int = 0
    room: int = -1
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str) -> Run:
        """Run store_driver.py with these arguments; its control page is `control` in the folder."""
        control = self.folder / "control"
        control.write_bytes(
            CONTROL.pack(0, 0, self.kill_at_step, self.tear_write, self.fail_sync_at, self.room)
        )
        done = subprocess.run(
            [sys.executable, str(HERE / "store_driver.py"), str(self.folder), *arguments],
            env=os.environ
            | {
                "LD_PRELOAD": str(shim()),
                "DISK_SHIM_CONTROL": str(control),
                "PYTHONPATH": str(HERE.parent.parent),
            }
            | self.environment,
            stdout=subprocess.PIPE,
            check=False,
            timeout=50,
        )
        writes, syncs, *_ = CONTROL.unpack(control.read_bytes())
        return Run(done.returncode, done.stdout.decode().splitlines(), writes, syncs)
