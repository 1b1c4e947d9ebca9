"""A cluster for each test, and people who talk through it whatever happens to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import aiohttp
import asyncpg
import psutil
import pytest

from relay.ports.leadership import Work
from tests.faults.kills import Cast, assemble, settle
from tests.faults.load import PrekeyMarket, Recipient, Sender
from tests.faults.relay_process import RelayProcess
from tests.faults.wire_client import Refusal, Socket
from tests.servers.cluster import Cluster, open_cluster

PAUSE_SECONDS = 0.05
AWAY = ("unavailable", "shutting_down")
HEALS_SECONDS = 5.0
SLACK_SECONDS = 1.0
"""Three nodes, PostgreSQL, NATS, S3 and the test share two processors: so long may a process wait for its turn."""


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with open_cluster(tmp_path / "cluster") as opened:
        yield opened


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:
        yield session


async def again_and_again(
    part: Sender | Recipient | PrekeyMarket, http: aiohttp.ClientSession, origin: str
) -> None:
    """Each time that a connection ends, the next one."""
    while True:
        try:
            await part.run(http, origin)
        except Refusal as refusal:
            if refusal.code not in AWAY:
                raise
        await asyncio.sleep(PAUSE_SECONDS)


@asynccontextmanager
async def talking(cluster: Cluster, http: aiohttp.ClientSession, seed: int = 1) -> AsyncIterator[Cast]:
    """People who talk until the block ends; then all gets its answer and is read, and the checker says what it saw."""
    cast = await assemble(http, await cluster.create_invite(6), Random(seed), asleep_limit=3_000)
    parts: list[Sender | Recipient | PrekeyMarket] = [*cast.senders, *cast.live]
    if cast.market is not None:
        parts.append(cast.market)
    runs = [asyncio.create_task(again_and_again(part, http, cluster.origin)) for part in parts]
    try:
        yield cast
        for run in runs:
            if run.done():
                run.result()
    finally:
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
    await settle(cluster, http, cast)  # type: ignore[arg-type]  (it needs an origin alone)
    assert cast.ledger.violations() == []


async def until(condition: Callable[[], Awaitable[object] | object], seconds: float = 30) -> None:
    """Wait for it; fails after `seconds`."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if await found if isinstance(found, Awaitable) else found:
                return
            await asyncio.sleep(0.05)


async def more_accepted(cast: Cast, count: int = 200, seconds: float = 30) -> None:
    """Until so many more envelopes were accepted than now."""
    before = cast.ledger.counts()["accepted"]
    await until(lambda: cast.ledger.counts()["accepted"] >= before + count, seconds)


def judge(seconds: list[float], limit: float) -> None:
    """Half of them within the limit, and each within it and what the machine may add: so neither a slower way nor one that is
    slow now and then goes unseen."""
    print(f"measured {', '.join(f'{each:.2f}' for each in sorted(seconds))} s, {limit} s allowed")
    assert sorted(seconds)[len(seconds) // 2] <= limit, seconds
    assert max(seconds) <= limit + SLACK_SECONDS, seconds


async def until_closed(socket: Socket) -> None:
    """Read until the connection ends; raises Disconnected."""
    while True:
        await socket.receive()


async def leader(cluster: Cluster, work: Work, seconds: float = 30) -> RelayProcess:
    """The node that holds the lock of this work, once there is one: by the port of its session."""
    connection = await asyncpg.connect(cluster.postgres.url())
    try:
        async with asyncio.timeout(seconds):
            while True:
                port = await connection.fetchval(
                    """SELECT client_port FROM pg_locks JOIN pg_stat_activity USING (pid)
                       WHERE locktype = 'advisory' AND objid = $1 AND granted""",
                    int(work),
                )
                for node in cluster.nodes:
                    if node.runs and port in _local_ports(node.pid):
                        return node
                await asyncio.sleep(0.1)
    finally:
        await connection.close()


def _local_ports(pid: int) -> set[int]:
    return {one.laddr.port for one in psutil.Process(pid).net_connections("tcp") if one.laddr}
