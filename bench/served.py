"""A server under measurement: a process of its own, pinned to the first core while the driver has the second."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SERVER_CORE = 0
DRIVER_CORE = 1


@dataclass(frozen=True, slots=True)
class Served:
    """A running server."""

    url: str
    invite: str  # empty for the floor
    data: Path
    process_id: int
    admin_url: str = ""

    def cpu_seconds(self) -> float:
        """Processor time it has used, all its threads; proc(5), stat, utime and stime."""
        fields = Path(f"/proc/{self.process_id}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self) -> int:
        """Memory it holds; proc(5), statm."""
        pages = Path(f"/proc/{self.process_id}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


def pin(core: int) -> None:
    """Keep this process to one core, if there are two."""
    if len(os.sched_getaffinity(0)) > core:
        os.sched_setaffinity(0, {core})


@contextmanager
def pinned_driver() -> Iterator[None]:
    """This process on its core, and back at the end."""
    before = os.sched_getaffinity(0)
    pin(DRIVER_CORE)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def serving(command: list[str], data: Path) -> Iterator[Served]:
    """Start, wait for `ready URL`, stop at the end."""
    before = os.sched_getaffinity(0)
    pin(SERVER_CORE)  # a child inherits it
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(0, before)
    try:
        said: dict[str, str] = {}
        assert process.stdout is not None
        for line in process.stdout:
            word, _, rest = line.strip().partition(" ")
            said[word] = rest
            if word == "ready":
                break
        if "ready" not in said:
            raise RuntimeError(f"{command[0]} ended before it was ready")
        yield Served(said["ready"], said.get("invite", ""), data, process.pid, said.get("admin", ""))
    finally:
        process.terminate()
        process.wait(timeout=30)
        if process.stdout is not None:
            process.stdout.close()


def relay_command() -> str:
    """The installed command beside this Python."""
    return str(Path(sys.executable).with_name("tokenim-relay"))


@contextmanager
def serving_relay(settings: str = "", *options: str) -> Iterator[Served]:
    """`tokenim-relay serve` with default settings, or these (TOML), on a fresh data folder."""
    with tempfile.TemporaryDirectory(prefix="tokenim-bench-") as folder:
        data, config = Path(folder) / "data", Path(folder) / "relay.toml"
        config.write_text(settings)
        command = [relay_command(), "serve", "--data", str(data), "--listen", "127.0.0.1:0"]
        with serving([*command, "--config", str(config), *options], data) as served:
            yield served


@contextmanager
def serving_floor() -> Iterator[Served]:
    """The bare server of floor.py."""
    with serving([sys.executable, "-m", "bench.floor"], Path()) as served:
        yield served


def invite_link(served: Served, uses: int) -> str:
    """An invite for so many accounts, made by the command as an operator does."""
    made = subprocess.run(
        [relay_command(), "invite", "create", "--data", str(served.data), "--uses", str(uses)],
        check=True,
        capture_output=True,
        text=True,
    )
    return made.stdout.split()[-1]
