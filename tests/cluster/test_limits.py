"""Prekey budgets and rate limits on three nodes behind a balancer: who goes from node to node gets no more of either."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random

import aiohttp
import nats
import pytest
from nats.aio.msg import Msg

from relay.adapters.nats_bus import decode
from relay.ports.bus import LimitsSpent
from relay.wire.limits import PREKEY_BUDGET_BURST
from relay.wire.links import encode_bytes, encode_id
from tests.cluster.conftest import until
from tests.faults.checker import Ledger
from tests.faults.load import PrekeyMarket
from tests.faults.wire_client import Device, Refusal, register, request
from tests.servers.cluster import Cluster, open_cluster

pytestmark = pytest.mark.timeout(240)

PAIR, LOOKUP = 0, 6
"""Their numbers on the bus: places in the order of `Prekeys.limits` and, behind those, `Rates.limits`."""
LOOKUPS = 6
AT_THE_SAME_MOMENT = 2
"""What the other two nodes may let take before they have read what they were told."""


@asynccontextmanager
async def told(cluster: Cluster) -> AsyncIterator[Counter[int]]:
    """How much the nodes tell each other of each limit."""
    units: Counter[int] = Counter()

    async def hear(message: Msg) -> None:
        for one in decode(message.data)[1]:
            if isinstance(one, LimitsSpent):
                for number, _, count in one.spent:
                    units[number] += count

    listener = await nats.connect(cluster.nats.url)
    await listener.subscribe(">", cb=hear)
    await listener.flush()
    try:
        yield units
    finally:
        await listener.close()


def has_told(units: Counter[int], number: int, count: int) -> bool:
    """Whether so many were told of this limit."""
    return units[number] >= count


async def has_one_time_key(
    http: aiohttp.ClientSession, origin: str, asker: Device, target: Device, random: Random
) -> bool:
    """Whether this set of the target's prekeys has one."""
    answer = await request(
        http,
        "POST",
        f"/v1/accounts/{encode_id(target.account_id)}/bundles",
        f'{{"token":"{encode_bytes(target.token)}"}}'.encode(),
        origin=origin,
        device=asker,
        nonce=random.randbytes(16),
    )
    (bundle,) = answer["bundles"]
    return bundle["one_time_prekey"] is not None


async def test_a1_who_asks_at_each_node_gets_no_more_one_time_keys(
    cluster: Cluster, http: aiohttp.ClientSession
) -> None:
    random = Random(1)
    invite = await cluster.create_invite(3)
    target, thief, friend = [await register(http, invite, random) for _ in range(3)]
    market = PrekeyMarket(target, (), Ledger(), random)
    for _ in range(8):
        await market.stock(http, cluster.origin)
    got = []
    async with told(cluster) as units:
        for _ in range(3 * PREKEY_BUDGET_BURST):
            got.append(await has_one_time_key(http, cluster.origin, thief, target, random))
            await until(partial(has_told, units, PAIR, got.count(True)))
    assert PREKEY_BUDGET_BURST <= got.count(True) <= PREKEY_BUDGET_BURST + AT_THE_SAME_MOMENT
    assert got[:PREKEY_BUDGET_BURST] == [True] * PREKEY_BUDGET_BURST
    for node in cluster.nodes:
        assert not await has_one_time_key(http, node.origin, thief, target, random)
        assert await has_one_time_key(
            http, node.origin, friend, target, random
        )  # the target's stock is there


async def looks_up(http: aiohttp.ClientSession, origin: str, device: Device, random: Random) -> bool:
    """Whether that was let through: nobody has the handle."""
    try:
        await request(
            http,
            "GET",
            "/v1/handles/nobody",
            origin=origin,
            device=device,
            nonce=random.randbytes(16),
        )
    except Refusal as refusal:
        if refusal.code not in ("not_allowed", "rate_limited"):
            raise
        return refusal.code == "not_allowed"
    raise AssertionError("somebody has the handle")


async def test_rates_hold_over_all_nodes_and_without_nats_each_node_counts_for_itself(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    environment = {
        "TOKENIM_RELAY_RATES__LOOKUP__BURST": str(LOOKUPS),
        "TOKENIM_RELAY_RATES__LOOKUP__PER_SECOND": "0.0001",
    }
    async with open_cluster(tmp_path / "cluster", environment=environment) as cluster:
        random = Random(2)
        invite = await cluster.create_invite(2)
        anna, bert = [await register(http, invite, random) for _ in range(2)]
        let = []
        async with told(cluster) as units:
            for _ in range(3 * LOOKUPS):
                let.append(await looks_up(http, cluster.origin, anna, random))
                await until(partial(has_told, units, LOOKUP, let.count(True)))
        assert LOOKUPS <= let.count(True) <= LOOKUPS + AT_THE_SAME_MOMENT
        for node in cluster.nodes:
            assert not await looks_up(http, node.origin, anna, random)
        cluster.nats.kill()
        each = [
            [await looks_up(http, node.origin, bert, random) for _ in range(LOOKUPS + 2)]
            for node in cluster.nodes
        ]
        assert each == [[True] * LOOKUPS + [False] * 2] * len(cluster.nodes)
