"""One node for each work: clients come to the first, wakeups go out of the second, what is done by time is the third's."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from random import Random

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from relay.ports.leadership import Work
from relay.wire.frames import Accepted, Ack, CaughtUp, Deliver, Resume
from tests.cluster.conftest import leader, until
from tests.faults.relay_process import RelayProcess
from tests.faults.wire_client import Device, Refusal, connected, noise, register, request, submit_of
from tests.push_services import PushService, open_push_service
from tests.servers.cluster import Cluster, open_cluster

pytestmark = pytest.mark.timeout(240)

WAKES_SECONDS = 60.0


@pytest.fixture
async def service() -> AsyncIterator[PushService]:
    async with open_push_service() as opened:
        yield opened


@pytest.fixture
async def split(tmp_path: Path, service: PushService) -> AsyncIterator[Cluster]:
    environment = {
        "TOKENIM_RELAY_PUSH__WEBHOOK": "true",
        "TOKENIM_RELAY_PUSH__ALLOW_HOSTS": service.host,
        "TOKENIM_RELAY_ADMIN__LISTEN": "127.0.0.1:0",
    }
    works = ("api", "push", "housekeeping")
    async with open_cluster(tmp_path / "cluster", environment=environment, works=works) as opened:
        yield opened


async def wakeups_sent(http: aiohttp.ClientSession, node: RelayProcess) -> float:
    """By this node since it started, as its second listener tells."""
    lines = (await asyncio.to_thread(node.log.read_text)).splitlines()
    admin = [line.split()[1] for line in lines if line.startswith("admin ")][-1]
    async with http.get(f"{admin}/metrics") as answer:
        assert answer.status == 200
        text = await answer.text()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "tokenim_push_sent_total"
    )


async def message(http: aiohttp.ClientSession, origin: str, to: Device, random: Random) -> bytes:
    """What was accepted."""
    envelope_id = random.randbytes(16)
    ciphertext = noise(envelope_id, 200)
    async with connected(http, origin) as socket:
        await socket.send([submit_of(1, envelope_id, ciphertext, [to])])
        assert isinstance(await socket.receive(), Accepted)
    return ciphertext


async def read(http: aiohttp.ClientSession, origin: str, device: Device) -> Sequence[bytes]:
    """All that waits; it is acknowledged."""
    got = []
    async with connected(http, origin, device) as socket:
        await socket.send([Resume(0)])
        while not isinstance(frame := await socket.receive(), CaughtUp):
            if isinstance(frame, Deliver):
                got.append(frame.ciphertext)
                await socket.send([Ack(frame.sequence)])
        await asyncio.sleep(0.5)  # the last ack has no answer
    return got


async def test_clients_come_to_one_node_another_wakes_and_a_third_does_what_is_done_by_time(
    split: Cluster, http: aiohttp.ClientSession, service: PushService
) -> None:
    api, push, housekeeping = split.nodes
    random = Random(7)
    assert [bool(node.invite) for node in split.nodes] == [True, False, False]
    assert await leader(split, Work.PUSH) is push
    assert await leader(split, Work.HOUSEKEEPING) is housekeeping
    device = await register(http, await split.create_invite(), random)
    asked = json.dumps({"kind": "webhook", "target": f"{service.url}/device"}).encode()
    await request(
        http, "PUT", "/v1/push", asked, origin=split.origin, device=device, nonce=random.randbytes(16)
    )
    for node in (push, housekeeping):
        async with http.get(f"{node.origin}/ready") as answer:
            assert answer.status == 200
        with pytest.raises(Refusal, match="404 not_found"):
            await request(http, "POST", "/v1/accounts", b"{}", origin=node.origin)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="404"):
            async with connected(http, node.origin):
                pass

    sent = await message(http, split.origin, device, random)
    await service.wait_for(1, WAKES_SECONDS)
    await until(lambda: has_sent(http, push, 1))
    assert [await wakeups_sent(http, node) for node in (api, housekeeping)] == [0, 0]
    assert await read(http, split.origin, device) == [sent]

    await push.kill()
    sent = await message(http, split.origin, device, random)  # the others go on, and nobody of them wakes
    await push.start()
    await service.wait_for(2, WAKES_SECONDS)
    await until(lambda: has_sent(http, push, 1))
    assert [await wakeups_sent(http, node) for node in (api, housekeeping)] == [0, 0]
    assert await read(http, split.origin, device) == [sent]
    assert await leader(split, Work.PUSH) is push
    assert await leader(split, Work.HOUSEKEEPING) is housekeeping


async def has_sent(http: aiohttp.ClientSession, node: RelayProcess, count: int) -> bool:
    """The figure follows the answer of the push service."""
    return await wakeups_sent(http, node) == count
