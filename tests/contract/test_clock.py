"""The clock port's promises; the manual clock's own, by which other tests move time."""

import asyncio

import pytest

from relay.adapters.memory_clock import ManualClock
from relay.adapters.system_clock import SystemClock, system_randomness
from relay.ports.clock import Clock


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock()], ids=["system", "manual"])
async def test_a_timeout_ends_its_block_and_only_then(clock: Clock) -> None:
    async with clock.timeout(60):
        await asyncio.sleep(0)
    waiting = asyncio.Event()

    async def too_long() -> None:
        async with clock.timeout(0.01):
            await waiting.wait()

    task = asyncio.create_task(too_long())
    await asyncio.sleep(0)
    if isinstance(clock, ManualClock):
        await clock.advance(seconds=0.009)
        assert not task.done()
        await clock.advance(seconds=0.001)
    with pytest.raises(TimeoutError):
        await task


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock()], ids=["system", "manual"])
async def test_a_cancelled_timer_does_not_call(clock: Clock) -> None:
    called = asyncio.Event()
    kept = asyncio.Event()
    clock.call_later(0, called.set).cancel()
    clock.call_later(0, kept.set)
    if isinstance(clock, ManualClock):
        await clock.advance(seconds=0)
    await asyncio.wait_for(kept.wait(), 10)
    assert not called.is_set()


async def test_the_manual_clock_wakes_sleepers_in_order_at_their_times() -> None:
    clock = ManualClock(now_ms=1_000)
    woken: list[tuple[str, int]] = []

    async def sleeper(name: str, *seconds: float) -> None:
        for each in seconds:
            await clock.sleep(each)
            woken.append((name, clock.now_ms()))

    tasks = [asyncio.create_task(sleeper("a", 3, 1)), asyncio.create_task(sleeper("b", 2, 2.5))]
    await asyncio.sleep(0)
    assert clock.waiting() == 2
    await clock.advance(seconds=4)
    assert woken == [("b", 3_000), ("a", 4_000), ("a", 5_000)]
    await clock.advance(seconds=1)
    assert woken[-1] == ("b", 5_500)
    assert (clock.now_ms(), clock.monotonic_ms(), clock.waiting()) == (6_000, 5_000, 0)
    await asyncio.gather(*tasks)


async def test_f10_a_jump_of_the_wall_clock_moves_no_timer() -> None:
    clock = ManualClock(now_ms=10_000_000)
    called = asyncio.Event()
    clock.call_later(1, called.set)
    clock.jump(seconds=3_600)
    await clock.advance(seconds=0.5)
    assert (called.is_set(), clock.now_ms(), clock.monotonic_ms()) == (False, 13_600_500, 500)
    clock.jump(seconds=-7_200)
    await clock.advance(seconds=0.5)
    assert (called.is_set(), clock.now_ms()) == (True, 6_401_000)


async def test_the_system_clock_counts_milliseconds_since_1970() -> None:
    clock = SystemClock()
    assert 1_600_000_000_000 < clock.now_ms() < 10_000_000_000_000
    before = clock.monotonic_ms()
    await clock.sleep(0)
    assert clock.monotonic_ms() >= before


def test_randomness_has_the_length_asked_for_and_does_not_repeat() -> None:
    assert {len(system_randomness(count)) for count in (0,)} == {0}
    assert len({system_randomness(16) for _ in range(100)}) == 100
