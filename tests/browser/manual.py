"""docs/operations.md as its reader: a command is run only if it stands there, on another machine's paths."""

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.architecture.source import ROOT

DOCUMENT = (ROOT / "docs/operations.md").read_text("utf-8")
UNIT = (ROOT / "deploy/systemd/tokenim-relay.service").read_text("utf-8")
COMMANDS = frozenset(
    re.sub(r"\s+# .*$", "", line).strip()
    for block in re.findall(r"^```sh\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
)
SETTINGS = re.findall(r"^```toml\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


@dataclass
class Manual:
    """Its commands in a folder that stands for a machine: /opt/tokenim, /var/lib/tokenim and so on lie under it."""

    folder: Path
    relay: asyncio.subprocess.Process | None = None
    said: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("opt", "var/lib", "backups", "etc", "bin"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "bin/python3").symlink_to(Path(sys.executable).resolve())

    def on_this_machine(self, text: str) -> str:
        """The same with paths under the folder."""
        return re.sub(
            r"(?<![\w.])/(opt|var/lib|backups|etc)/", lambda found: f"{self.folder}/{found[1]}/", text
        )

    def environment(self) -> dict[str, str]:
        """Of a shell there: with what was installed first on its path, and the data folder that the document says."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("TOKENIM", "PYTHON"))
        }
        path = f"{self.folder}/bin:{self.folder}/opt/tokenim/bin:{kept['PATH']}"
        return {**kept, "PATH": path, "TOKENIM_RELAY_DATA": self.on_this_machine("/var/lib/tokenim")}

    async def run(self, command: str, *, says: int = 0, cwd: Path | None = None, **places: str) -> str:
        """Run a command of the document, and give what it prints. `places`: words of it that stand for others."""
        assert command in COMMANDS, f"not in the document: {command}"
        for word, meant in places.items():
            assert word in shlex.split(command), word
            command = re.sub(rf"(?<!\S){re.escape(word)}(?!\S)", meant, command)
        done = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-euc", self.on_this_machine(command)],
            capture_output=True,
            text=True,
            env=self.environment(),
            cwd=cwd or self.folder,
            timeout=170,
            check=False,
        )
        assert done.returncode == says, (command, done.stdout, done.stderr)
        return done.stdout.strip()

    async def start(self) -> None:
        """`systemctl start`: what the unit of deploy/ starts, with the second listener that the settings name."""
        (command,) = re.findall(r"^ExecStart=(.*)$", UNIT, re.MULTILINE)
        self.relay = await asyncio.create_subprocess_exec(
            *shlex.split(self.on_this_machine(command)),
            stdout=asyncio.subprocess.PIPE,
            env=self.environment(),
            cwd=self.folder,
        )
        assert self.relay.stdout is not None
        self.said = {}
        async with asyncio.timeout(30):
            while "ready" not in self.said:
                line = (await self.relay.stdout.readline()).decode()
                assert line, "the relay ended"
                word, _, rest = line.strip().partition(" ")
                self.said[word] = rest

    async def stop(self) -> None:
        """`systemctl stop`."""
        assert self.relay is not None
        self.relay.send_signal(signal.SIGTERM)
        assert await self.relay.wait() == 0
        self.relay = None
