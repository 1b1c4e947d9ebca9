"""`tokenim-relay` as a process of its own: a command to its end, or a relay that serves.

As it is installed it takes a second to import what it needs; here it is a copy that has that already (tests/warm).
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.warm.commands import program


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOKENIM")}
    return {**kept, **more}


def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command to its end."""
    return subprocess.run(
        [*program("tokenim-relay"), *arguments],
        capture_output=True,
        text=True,
        env=environment(**more),
        timeout=50,
        check=False,
    )


@dataclass
class Served:
    """A relay process and what it printed."""

    process: subprocess.Popen[str]
    url: str
    invite: str | None
    admin_url: str = ""

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit code and standard error."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@contextmanager
def serving(data: Path, *arguments: str, **more: str) -> Iterator[Served]:
    """`tokenim-relay serve` on a free port until the block ends; `more` stands in its environment."""
    process = subprocess.Popen(
        [*program("tokenim-relay"), "serve", "--data", str(data), "--listen", "127.0.0.1:0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**{"TOKENIM_RELAY_SHED__LOOP_LATE_MS": "60000", **more}),  # a slow machine is no load
    )
    try:
        said = {}
        for line in process.stdout:
            name, _, rest = line.strip().partition(" ")
            said[name] = rest
            if name == "ready":
                break
        assert "ready" in said, process.communicate(timeout=10)[1]
        yield Served(process, said["ready"], said.get("invite"), said.get("admin", ""))
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)
