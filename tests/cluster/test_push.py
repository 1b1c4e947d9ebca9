"""Wakeups on three nodes: one of them wakes, and whatever is killed, each message wakes who sleeps, and nobody often."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import aiohttp
import pytest

from relay.ports.leadership import Work
from relay.services.push import LEFT_SECONDS
from relay.services.push_doubt import AGAIN_SECONDS, DOUBT_SECONDS
from relay.wire.frames import Accepted, Ack, CaughtUp, Deliver, Resume
from tests.cluster.conftest import leader
from tests.faults.relay_process import RelayProcess
from tests.faults.wire_client import Device, connected, noise, register, request, submit_of
from tests.push_services import PushService, open_push_service
from tests.servers.cluster import Cluster, open_cluster

pytestmark = pytest.mark.timeout(240)

WITHIN_SECONDS = (
    60.0  # a new leader, or a look and the wait after it: half of that on a machine that is not busy
)


@dataclass
class Stage:
    cluster: Cluster
    service: PushService
    http: aiohttp.ClientSession
    device: Device
    random: Random

    async def who_wakes(self) -> RelayProcess:
        """The node that holds the lock."""
        return await leader(self.cluster, Work.PUSH, WITHIN_SECONDS)

    async def another(self, *than: RelayProcess) -> RelayProcess:
        """A node that runs and is none of these."""
        return next(node for node in self.cluster.nodes if node.runs and node not in than)

    async def message(self, node: RelayProcess) -> None:
        async with connected(self.http, node.origin) as socket:
            envelope_id = self.random.randbytes(16)
            await socket.send([submit_of(1, envelope_id, noise(envelope_id, 200), [self.device])])
            assert isinstance(await socket.receive(), Accepted)

    async def comes_and_goes(self, node: RelayProcess) -> int:
        """The device reads all that waits; how much that was."""
        count = 0
        async with connected(self.http, node.origin, self.device) as socket:
            await socket.send([Resume(0)])
            while not isinstance(frame := await socket.receive(), CaughtUp):
                if isinstance(frame, Deliver):
                    count += 1
                    await socket.send([Ack(frame.sequence)])
            await asyncio.sleep(0.5)  # the last ack has no answer
        return count


@pytest.fixture
async def stage(tmp_path: Path, http: aiohttp.ClientSession) -> AsyncIterator[Stage]:
    async with open_push_service() as service:
        environment = {
            "TOKENIM_RELAY_PUSH__WEBHOOK": "true",
            "TOKENIM_RELAY_PUSH__ALLOW_HOSTS": service.host,
        }
        async with open_cluster(tmp_path / "cluster", environment=environment) as cluster:
            random = Random(20)
            device = await register(http, await cluster.create_invite(), random)
            made = Stage(cluster, service, http, device, random)
            at = await made.another(await made.who_wakes())
            asked = json.dumps({"kind": "webhook", "target": f"{service.url}/device"}).encode()
            await request(
                http, "PUT", "/v1/push", asked, origin=at.origin, device=device, nonce=random.randbytes(16)
            )
            yield made


async def test_f20_each_node_that_wakes_is_killed_and_the_next_one_wakes(stage: Stage) -> None:
    for number in range(1, 4):
        wakes = await stage.who_wakes()
        await wakes.kill()
        await stage.message(await stage.another(wakes))  # while nobody wakes
        await stage.service.wait_for(number, WITHIN_SECONDS)
        after = await stage.who_wakes()
        assert await stage.comes_and_goes(await stage.another(wakes, after)) == 1
        await wakes.start()
    assert len(stage.service.received) == 3


async def test_f20_who_comes_while_nobody_wakes_is_woken_by_the_next_message(stage: Stage) -> None:
    wakes = await stage.who_wakes()
    await stage.message(await stage.another(wakes))
    await stage.service.wait_for(1, WITHIN_SECONDS)
    await wakes.kill()
    assert await stage.comes_and_goes(await stage.another(wakes)) == 1
    await stage.who_wakes()
    await stage.message(await stage.another(wakes))
    await stage.service.wait_for(2, WITHIN_SECONDS)


async def test_f17_without_nats_each_message_wakes_all_the_same(stage: Stage) -> None:
    wakes = await stage.who_wakes()
    elsewhere = await stage.another(wakes)
    stage.cluster.nats.kill()
    await stage.message(elsewhere)
    await stage.service.wait_for(1, WITHIN_SECONDS)
    assert await stage.comes_and_goes(elsewhere) == 1
    await stage.message(elsewhere)
    await stage.service.wait_for(2, WITHIN_SECONDS)
    assert await stage.comes_and_goes(elsewhere) == 1
    await asyncio.to_thread(stage.cluster.nats.start)
    await stage.message(elsewhere)
    await stage.service.wait_for(3, WITHIN_SECONDS)
    await asyncio.sleep(DOUBT_SECONDS + AGAIN_SECONDS + LEFT_SECONDS)  # what was in doubt wakes nobody twice
    assert len(stage.service.received) == 3
