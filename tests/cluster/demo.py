"""The demonstration of `make demo` on a cluster: each node, PostgreSQL and NATS are killed in turn, in both of its halves.

What is readable is looked for in all that PostgreSQL, S3, NATS and the nodes keep, and in what was said on the bus.
"""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
import nats
from nats.aio.msg import Msg

from bench.demo import main
from bench.demo_ground import Part, Sender, part_of
from tests.faults.relay_process import command
from tests.hostile.leak_scanner import Finding, LeakScanner
from tests.hostile.planting import plant_everywhere
from tests.hostile.postgres_files import KEEP_THE_LOG, PostgresFiles
from tests.hostile.relay_files import RelayFiles, copy_relay_files, find_sender, find_text
from tests.servers.cluster import Cluster, open_cluster

AWAY_SECONDS: Final = 1.0
_ELSEWHERE: Final = ("postgres", "bus")


def _part_of_server(name: str, kill: Callable[[], None], start: Callable[[], None]) -> Part:
    """A server that is away for a while: by threads, since it waits for it, and the balancer runs here."""

    async def kill_it() -> None:
        await asyncio.to_thread(kill)
        await asyncio.sleep(AWAY_SECONDS)

    async def start_it() -> None:
        await asyncio.to_thread(start)

    return Part(name, kill_it, start_it)


@dataclass(frozen=True, slots=True)
class ClusterCopy:
    """All files of a cluster."""

    postgres: PostgresFiles
    bus: Path
    others: RelayFiles

    def size(self) -> int:
        """In bytes."""
        files = [self.bus, *self.postgres.files(), *self.others.files()]
        return sum(path.stat().st_size for path in files)

    async def find_text(self, scanner: LeakScanner) -> list[Finding]:
        """Every hit, wherever it is."""
        return [
            *self.postgres.find_text(scanner),
            *scanner.scan_file(self.bus),
            *find_text(self.others, scanner),
        ]

    async def find_sender(self, sender: Sender) -> list[Finding]:
        """Every hit where the relay has not to know who somebody is.

        What is said on the bus names to whom something happens, by ids: it is searched for the handle.
        """
        needles = dict(sender.needles())
        device = {name: needle for name, needle in needles.items() if needle == sender.device}
        names = {name: needle for name, needle in needles.items() if name not in device}
        return [
            *self.postgres.find_sender(names, device),
            *LeakScanner({"the sender's handle": sender.handle}).scan_file(self.bus),
            *find_sender(self.others, LeakScanner(needles), ()),
        ]

    async def plant(self, line: bytes, name: bytes) -> set[str]:
        """In PostgreSQL, on the bus, and in every file of the others."""
        with self.bus.open("ab") as file:
            file.write(line + b" " + name)
        places = plant_everywhere(self.others, line, name, ())
        return {self.bus.name} | places | await self.postgres.plant(line, name)


class ClusterGround:
    """Three nodes behind a balancer."""

    one_hit_is_enough = False
    slowest_half_seconds = 25.0

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        self._database: asyncpg.Connection[Any] | None = None
        parts: Sequence[Part] = (
            *(
                part_of(f"node {number}", node, AWAY_SECONDS)
                for number, node in enumerate(cluster.nodes, start=1)
            ),
            _part_of_server("PostgreSQL", cluster.postgres.kill, cluster.postgres.start),
            _part_of_server("NATS", cluster.nats.kill, cluster.nats.start),
        )
        self.first_half = parts
        self.second_half = parts

    async def invites(self) -> tuple[str, str]:
        """By the first node."""
        return self._cluster.nodes[0].invite, await self._cluster.create_invite()

    async def stored(self) -> int:
        """Looks into PostgreSQL."""
        if self._database is None or self._database.is_closed():
            self._database = await asyncpg.connect(self._cluster.postgres.url())
        count: int = await self._database.fetchval("SELECT count(*) FROM envelopes")
        return count

    async def stop(self) -> list[str]:
        """The nodes, one after the other."""
        codes = {number: await node.stop() for number, node in enumerate(self._cluster.nodes, start=1)}
        return [f"node {number} ended with {code} after SIGTERM" for number, code in codes.items() if code]

    async def copy(self, into: Path) -> ClusterCopy:
        """PostgreSQL is killed for that: what is copied is what another server could open."""
        await asyncio.to_thread(self._cluster.postgres.kill)
        shutil.copytree(self._folder / "postgres", into / "postgres")
        await asyncio.to_thread(self._cluster.postgres.start)
        bus = into / "said"
        shutil.copy(self._folder / "bus" / "said", bus)
        others = copy_relay_files(self._folder, into / "others", leave_out=_ELSEWHERE)
        postgres = PostgresFiles(into / "postgres")
        await postgres.read()
        return ClusterCopy(postgres, bus, others)


@asynccontextmanager
async def _recorded(url: str, file: Path) -> AsyncIterator[None]:
    """All that is said on the bus is written down."""
    file.parent.mkdir()
    with file.open("ab") as said:

        async def write(message: Msg) -> None:
            said.write(message.subject.encode() + b" " + message.data + b"\n")
            said.flush()

        async def lost(_error: Exception) -> None:
            """It is killed now and then."""

        listener = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0, error_cb=lost)
        await listener.subscribe(">", cb=write)
        try:
            yield
        finally:
            await listener.close()


@asynccontextmanager
async def _open(folder: Path) -> AsyncIterator[ClusterGround]:
    place = folder / "cluster"
    async with (
        open_cluster(place, postgres_settings=KEEP_THE_LOG, program=command()) as cluster,
        _recorded(cluster.nats.url, place / "bus" / "said"),
    ):
        yield ClusterGround(cluster, place)


if __name__ == "__main__":
    sys.exit(main(__doc__, _open))
