"""What the demonstration is played on: something that carries messages, loses parts, and keeps files; here, one relay.

tests/cluster/demo.py has another: a cluster.
"""

import asyncio
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from tests.faults.relay_process import RelayProcess
from tests.hostile.leak_scanner import Finding, LeakScanner
from tests.hostile.planting import plant_everywhere
from tests.hostile.relay_files import IDENTITY_TABLES, RelayFiles, copy_relay_files, find_sender, find_text

FROZEN_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Part:
    """Something that is killed and comes back."""

    name: str
    kill: Callable[[], Awaitable[None]]
    start: Callable[[], Awaitable[object]]


def part_of(name: str, relay: RelayProcess, frozen_seconds: float = FROZEN_SECONDS) -> Part:
    """A relay that is frozen before it is killed: it answers nothing more, and has committed what it has not answered yet."""

    async def kill() -> None:
        relay.freeze()
        await asyncio.sleep(frozen_seconds)
        await relay.kill()

    return Part(name, kill, relay.start)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who must not be found where messages are kept."""

    handle: bytes
    account: bytes
    device: bytes

    def needles(self) -> Mapping[str, bytes]:
        """What to look for, by name."""
        return {
            "the sender's handle": self.handle,
            "the sender's account": self.account,
            "the sender's device": self.device,
        }


class Copy(Protocol):
    """All that the ground kept at one moment."""

    def size(self) -> int:
        """In bytes."""

    async def find_text(self, scanner: LeakScanner) -> list[Finding]:
        """Every hit, wherever it is."""

    async def find_sender(self, sender: Sender) -> list[Finding]:
        """Every hit where the relay has not to know who somebody is."""

    async def plant(self, line: bytes, name: bytes) -> set[str]:
        """Hides both in places of each kind; a finding begins with the name of its place."""


class Ground(Protocol):
    """Open it by `async with` before anything else."""

    first_half: Sequence[Part]
    """What is killed while the receiver is away, in this order."""
    second_half: Sequence[Part]
    """What is killed while it listens."""
    one_hit_is_enough: bool
    """Of the first half: the others are for the case that the first hit between two submits."""
    slowest_half_seconds: float
    """The text is typed no quicker than this, so that each kill hits while somebody talks."""

    async def invites(self) -> tuple[str, str]:
        """A link for each of the two."""

    async def stored(self) -> int:
        """Envelopes that wait in all mailboxes."""

    async def stop(self) -> list[str]:
        """In order; what went wrong with that. The files stay."""

    async def copy(self, into: Path) -> Copy:
        """Of all files, while it runs or after it stopped. Raises CopyFailed."""


class RelayCopy:
    """Of a data folder and a log."""

    def __init__(self, files: RelayFiles) -> None:
        self._files = files

    def size(self) -> int:
        """In bytes."""
        return sum(path.stat().st_size for path in self._files.files())

    async def find_text(self, scanner: LeakScanner) -> list[Finding]:
        """Every hit, in files and rows."""
        return find_text(self._files, scanner)

    async def find_sender(self, sender: Sender) -> list[Finding]:
        """Every hit outside the identity tables."""
        return find_sender(self._files, LeakScanner(sender.needles()), IDENTITY_TABLES)

    async def plant(self, line: bytes, name: bytes) -> set[str]:
        """In rows, in the write-ahead log, and in every other file."""
        return plant_everywhere(self._files, line, name, IDENTITY_TABLES)


class OneRelay:
    """A relay on SQLite, as `make run` starts it."""

    one_hit_is_enough = True
    slowest_half_seconds = 0.0

    def __init__(self, folder: Path) -> None:
        self._relay = RelayProcess(folder / "relay", folder / "relay.log")
        self.first_half: Sequence[Part] = [part_of("the relay", self._relay)] * 3
        self.second_half: Sequence[Part] = ()

    async def __aenter__(self) -> "OneRelay":
        await self._relay.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._relay.kill()

    async def invites(self) -> tuple[str, str]:
        """A link for each of the two."""
        return self._relay.invite, await self._relay.create_invite()

    async def stored(self) -> int:
        """Looks into the relay's database."""
        uri = f"file:{self._relay.data / 'relay.sqlite3'}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            count: int = connection.execute("SELECT count(*) FROM envelopes").fetchone()[0]
        return count

    async def stop(self) -> list[str]:
        """By SIGTERM."""
        code = await self._relay.stop()
        return [f"the relay ended with {code} after SIGTERM"] if code else []

    async def copy(self, into: Path) -> RelayCopy:
        """Of the data folder and the log."""
        files = copy_relay_files(self._relay.data, into)
        shutil.copy(self._relay.log, files.folder / "log")
        return RelayCopy(files)
