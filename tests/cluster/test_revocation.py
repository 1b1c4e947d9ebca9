"""D6 on three nodes: a device that its owner takes out at one of them is out at the others."""

import asyncio
import os
import time
from contextlib import AsyncExitStack
from dataclasses import replace

import aiohttp
import pytest

from tests.cluster.conftest import judge, until_closed
from tests.faults.wire_client import Device, Disconnected, connected
from tests.raw_device import RawDevice, told
from tests.servers.cluster import Cluster

pytestmark = pytest.mark.timeout(240)

ASK_SECONDS = 0.05


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def put(owner: RawDevice, devices: list[RawDevice]) -> None:
    """The owner's next manifest, with these devices."""
    before = owner.made[-1]
    signed = owner.manifest(len(owner.made) + 1, before.body, [each.listed() for each in devices])
    answered = await owner.call("POST", "/v1/accounts/self/manifests", {"manifest": told(signed)})
    assert answered.status == 200, answered.body
    owner.made.append(signed)


async def until_refused(device: RawDevice) -> None:
    """It asks again and again; a refusal is that of a device that nobody knows."""
    while (answered := await device.call("GET", "/v1/accounts/self")).status == 200:  # noqa: ASYNC110  (of another process)
        await asyncio.sleep(ASK_SECONDS)
    assert (answered.status, answered.code) == (401, "unauthenticated")


async def removed_everywhere(cluster: Cluster, http: aiohttp.ClientSession) -> tuple[float, float]:
    """A device is at each node, and its owner takes it out at the first.

    How long from that answer on until it has no connection any more, and until the other nodes refuse what it signs.
    """
    first, *others = cluster.nodes
    owner = RawDevice(cluster.origin, http, clock=now_ms, base=first.origin)
    assert (await owner.register(await cluster.create_invite())).status == 201
    lost = RawDevice(cluster.origin, http, root=owner.root, clock=now_ms, base=first.origin)
    await put(owner, [owner, lost])
    elsewhere = [replace(lost, base=node.origin) for node in others]
    signing = Device(cluster.origin, lost.account_id, lost.device_id, lost.key, os.urandom(16))
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(connected(http, node.origin, signing)) for node in cluster.nodes
        ]
        for device in elsewhere:  # each node knows it by now
            assert (await device.call("GET", "/v1/accounts/self")).status == 200
        await put(owner, [owner])
        began = time.monotonic()

        async def closed() -> float:
            for socket in sockets:
                with pytest.raises(Disconnected) as ended:
                    await until_closed(socket)
                assert ended.value.code == 4004
            return time.monotonic() - began

        async def refused() -> float:
            await asyncio.gather(*(until_refused(device) for device in elsewhere))
            return time.monotonic() - began

        async with asyncio.timeout(30):
            took = await asyncio.gather(closed(), refused())
    assert (await owner.call("GET", "/v1/accounts/self")).status == 200
    return took[0], took[1]


async def test_d6_a_device_that_is_removed_at_one_node_is_out_at_the_others_within_a_second(
    cluster: Cluster, http: aiohttp.ClientSession
) -> None:
    took = [await removed_everywhere(cluster, http) for _ in range(5)]
    judge([closed for closed, _ in took], 1)
    judge([refused for _, refused in took], 1)


async def test_d6_without_nats_a_device_that_is_removed_is_out_once_the_nodes_judge_again(
    cluster: Cluster, http: aiohttp.ClientSession
) -> None:
    cluster.nats.kill()
    closed, refused = await removed_everywhere(cluster, http)
    judge([closed], 6)
    judge([refused], 6)
