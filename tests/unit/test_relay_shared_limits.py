"""Rate limits and prekey budgets over several nodes: told by keyed hashes, owed by all, and nobody is punished twice."""

import asyncio

import pytest

from relay.adapters.memory_bus import MemoryBus, open_memory_bus
from relay.adapters.memory_clock import ManualClock
from relay.ports.bus import Announcement, LimitsSpent
from relay.services.rate_limit import Gcra
from relay.services.shared_limits import TELL_SECONDS, SharedLimits

WHO = b"w" * 16


class Node:
    """One node's limits, on a bus of its own; `heard` is what it tells others."""

    def __init__(self, bus: MemoryBus, clock: ManualClock) -> None:
        self.bus = bus
        self.limits = [Gcra(burst=3, seconds_per_unit=10, monotonic_ms=clock.monotonic_ms) for _ in range(2)]
        self.shared = SharedLimits(self.limits, bus=bus, clock=clock)
        self.told: list[Announcement] = []
        bus.subscribe(LimitsSpent, self.told.append)


async def test_what_is_taken_on_one_node_is_owed_on_the_other_and_counted_once() -> None:
    clock = ManualClock(0)
    async with open_memory_bus() as one_bus, open_memory_bus() as other_bus:
        one, other = Node(one_bus, clock), Node(other_bus, clock)
        assert [one.limits[1].take(WHO) for _ in range(2)] == [0, 0]
        assert one.told == []
        await clock.advance(seconds=TELL_SECONDS)
        assert one.told == [LimitsSpent(((1, WHO, 2),))]
        other.bus.publish(one.told[0])
        await clock.advance(seconds=0)
        assert other.limits[1].take(WHO) == 0
        assert other.limits[1].take(WHO) > 0  # three on both together
        assert other.limits[0].take(WHO) == 0  # another limit
        assert one.limits[1].take(WHO) == 0  # its own announcement that came back was not counted again


async def test_two_nodes_that_let_in_at_once_owe_the_burst_and_no_more() -> None:
    clock = ManualClock(0)
    limit = Gcra(burst=3, seconds_per_unit=10, monotonic_ms=clock.monotonic_ms)
    for _ in range(3):
        limit.take(WHO)
    limit.taken_elsewhere(WHO, 1_000)
    assert limit.take(WHO) <= 10_001
    await clock.advance(seconds=10)
    assert limit.take(WHO) == 0


async def test_limits_of_a_later_version_and_nonsense_are_passed_over() -> None:
    clock = ManualClock(0)
    async with open_memory_bus() as bus:
        node = Node(bus, clock)
        bus.publish(LimitsSpent(((99, WHO, 1), (-1, WHO, 1), (0, WHO, -5), (0, WHO, 0))))
        await clock.advance(seconds=0)
        assert [node.limits[0].take(WHO) for _ in range(3)] == [0, 0, 0]


async def test_a_key_that_is_no_hash_never_gets_out() -> None:
    clock = ManualClock(0)
    async with open_memory_bus() as bus:
        with pytest.raises(TypeError):
            Node(bus, clock).limits[0].take("somebody@example.org")
        await asyncio.sleep(0)
