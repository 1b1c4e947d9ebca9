"""F18: one node of three is cut off from PostgreSQL, or from NATS, under load, and heals; those at the others go on.

In two ways: its connections end, or nothing comes through them any more, and nobody is told.
"""

import asyncio
import time
from random import Random

import aiohttp
import pytest

from relay.wire.frames import Accepted, CaughtUp, Deliver, RelayFrame, Resume
from tests.cluster.conftest import HEALS_SECONDS, judge, more_accepted, talking, until
from tests.faults.relay_process import RelayProcess
from tests.faults.wire_client import Device, connected, noise, register, submit_of
from tests.servers.cluster import Cluster
from tests.servers.way import Way, open_way

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.parametrize("silently", [False, True], ids=["closed", "silent"]),
]

TIMES = 2
NOTICES_SECONDS = 40.0


async def lead_by(node: RelayProcess, setting: str, url: str) -> None:
    """The node reaches what the setting names by this URL from now on."""
    assert await node.stop() == 0
    node.environment[setting] = url
    await node.start()


async def cut(way: Way, silently: bool) -> None:
    if silently:
        way.fall_silent()
    else:
        await way.cut()


async def heal(way: Way, silently: bool) -> None:
    if silently:
        way.flow()
    else:
        await way.open()


async def status_of(http: aiohttp.ClientSession, node: RelayProcess, path: str) -> int:
    async with http.get(node.origin + path) as answer:
        return answer.status


async def is_ready(http: aiohttp.ClientSession, node: RelayProcess) -> bool:
    return await status_of(http, node, "/ready") == 200


async def is_out(http: aiohttp.ClientSession, node: RelayProcess) -> bool:
    return await status_of(http, node, "/ready") == 503


async def submit(http: aiohttp.ClientSession, node: RelayProcess, to: Device, random: Random) -> RelayFrame:
    """What this node answers to an envelope."""
    envelope_id = random.randbytes(16)
    async with connected(http, node.origin) as socket:
        await socket.send([submit_of(1, envelope_id, noise(envelope_id, 99), [to])])
        return await socket.receive()


async def takes(http: aiohttp.ClientSession, node: RelayProcess, to: Device, random: Random) -> bool:
    return isinstance(await submit(http, node, to, random), Accepted)


async def test_f18_a_node_that_is_cut_off_from_postgres_refuses_and_the_others_go_on(
    cluster: Cluster, http: aiohttp.ClientSession, silently: bool
) -> None:
    *others, node = cluster.nodes
    random = Random(18)
    device = await register(http, await cluster.create_invite(), random)
    async with open_way(cluster.postgres.port) as way:
        url = f"postgresql://tokenim@127.0.0.1:{way.port}/postgres"
        await lead_by(node, "TOKENIM_RELAY_POSTGRES__URL", url)
        async with talking(cluster, http) as cast:
            took = []
            for _ in range(1 if silently else TIMES):  # what hangs is given up after ten seconds each time
                await more_accepted(cast)
                await cut(way, silently)
                await until(lambda: is_out(http, node), NOTICES_SECONDS)
                assert getattr(await submit(http, node, device, random), "code", "") == "unavailable"
                await more_accepted(cast)  # at the others
                assert all([await is_ready(http, other) for other in others])
                assert await takes(http, others[0], device, random)
                assert await status_of(http, node, "/health") == 200  # it is not to be started again
                assert await is_out(http, node)
                await heal(way, silently)
                began = time.monotonic()
                await until(lambda: is_ready(http, node))
                await until(lambda: takes(http, node, device, random))
                took.append(time.monotonic() - began)
            judge(took, HEALS_SECONDS)
            await more_accepted(cast)


async def reaches(
    http: aiohttp.ClientSession, sent_at: RelayProcess, read_at: RelayProcess, random: Random, to: Device
) -> float:
    """The seconds from `accepted` at the one node until it is read at the other."""
    async with connected(http, read_at.origin, to) as reading:
        await reading.send([Resume(0)])
        while not isinstance(await reading.receive(), CaughtUp):
            pass
        assert await takes(http, sent_at, to, random)
        began = time.monotonic()
        async with asyncio.timeout(30):
            while not isinstance(await reading.receive(), Deliver):
                pass
        return time.monotonic() - began


async def test_f18_a_node_that_is_cut_off_from_nats_gives_and_gets_mail_within_two_seconds(
    cluster: Cluster, http: aiohttp.ClientSession, silently: bool
) -> None:
    other, _, node = cluster.nodes
    random = Random(18)
    link = await cluster.create_invite(TIMES * 4)
    async with open_way(cluster.nats.port) as way:
        await lead_by(node, "TOKENIM_RELAY_NATS__SERVERS", f"nats://127.0.0.1:{way.port}")
        async with talking(cluster, http) as cast:
            took = []
            for _ in range(TIMES):
                await more_accepted(cast)
                await cut(way, silently)
                for sent_at, read_at in ((other, node), (node, other)) * 2:
                    device = await register(http, link, random)
                    took.append(await reaches(http, sent_at, read_at, random, device))
                await more_accepted(cast)
                assert await is_ready(http, node)
                await heal(way, silently)
            judge(took, 2)
            await more_accepted(cast)
