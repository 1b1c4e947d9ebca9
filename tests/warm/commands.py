"""A process of ours without the second that Python needs to import it: a copy of one that has imported everything.

A test starts `door.py`, which takes 10 ms, in the place of the command. It hands its arguments, folder, environment and
the three files to the server of this test process (`server.py`), which forks; then it is a shadow of that copy: passes
signals on, ends as it ends, and where it is killed, the copy is killed too. What has to be the command as it is installed
(its start, its memory) is started by itself; who stops or
measures a copy asks `copy_of` for it.
"""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
DOOR: Final = str(HERE / "door.py")
ROOT: Final = HERE.parent.parent
TRUSTED: Final = os.environ.get("SSL_CERT_FILE")
"""As it was before any test set it, and as the server has it."""


@cache
def _socket() -> Path:
    """Where the server of this process listens; it is started by the first who asks, and ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="tokenim-warm-"))
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.warm.server", str(folder / "socket")],
        cwd=ROOT,
        stdin=subprocess.PIPE,  # whose end tells it that nobody asks any more
        stdout=subprocess.PIPE,
    )

    def stop() -> None:
        server.kill()
        server.communicate()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    if server.stdout.readline() != b"ready\n":
        raise RuntimeError("the server of warm processes did not come up")
    return folder / "socket"


def program(name: str) -> tuple[str, ...]:
    """What starts `tokenim`, `tokenim-relay`, or a module by its dotted name that has a `main`."""
    if os.environ.get("SSL_CERT_FILE") != TRUSTED:  # aiohttp reads it as it is imported
        return (str(Path(sys.executable).with_name(name)),)
    return (sys.executable, "-I", "-S", DOOR, str(_socket()), name)


def copy_of(pid: int) -> int:
    """The process that does what a `program` was started for: a copy, of which `pid` is the shadow, or `pid` itself."""
    process = Path(f"/proc/{pid}")
    while DOOR.encode() in (process / "cmdline").read_bytes().split(b"\0"):
        name, _, number = (process / "comm").read_text().partition(" ")
        if name == "copy":
            return int(number)
        time.sleep(0.001)  # it has only begun
    return pid
