"""Usage by day: counted without a commit of its own for each envelope, told rounded once the day is over."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from relay.adapters.data_folder import open_data_folder
from relay.adapters.memory.store import MemoryStore, open_memory_store
from relay.adapters.memory_clock import ManualClock
from relay.adapters.sqlite.store import open_sqlite_store
from relay.app import open_relay
from relay.composition import commands_of
from relay.config import Settings
from relay.observe.figures import Figures
from relay.ports.usage import UsageDay
from relay.services.retention import KEPT
from relay.services.roles import Authority
from relay.services.usage import CLASSES, DAY_MS, USAGE_DAYS, Usage, rounded, rounded_day
from relay.wire.errors import MalformedRequest
from tests.contract.people import bytes_of, new_device
from tests.running_relay import open_world

DAY = 20_000
NOON_MS = DAY * DAY_MS + DAY_MS // 2
HALF_A_DAY_SECONDS = DAY_MS // 2_000


class CountedPuts:
    """The usage of a memory store; how often something was committed."""

    def __init__(self, store: MemoryStore) -> None:
        self._usage = store.usage
        self.commits = 0

    def __getattr__(self, name: str) -> Any:
        self.commits += name == "put"
        return getattr(self._usage, name)


@dataclass
class Scene:
    """A store with a process's usage."""

    store: MemoryStore
    clock: ManualClock
    figures: Figures
    counted: CountedPuts
    usage: Usage

    def restarted(self) -> "Scene":
        """Another process on the same store: its figures begin at 0."""
        figures = Figures()
        return Scene(
            self.store,
            self.clock,
            figures,
            self.counted,
            Usage(self.counted, figures, clock=self.clock),  # type: ignore[arg-type]
        )

    async def kept(self) -> dict[int, UsageDay]:
        return {one.day: one for one in await self.store.usage.list(since_day=0)}

    async def devices(self, count: int) -> None:
        for number in range(count):
            device = await new_device(self.store, f"{self.clock.now_ms()} {number}")
            await self.store.accounts.mark_seen(device, day=self.clock.now_ms() // DAY_MS)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with open_memory_store() as store:
        clock, figures, counted = ManualClock(NOON_MS), Figures(), CountedPuts(store)
        usage = Usage(counted, figures, clock=clock)  # type: ignore[arg-type]
        yield Scene(store, clock, figures, counted, usage)


@pytest.mark.parametrize(
    ("count", "step", "told"),
    [
        (0, 10, 0),
        (9, 10, 0),
        (10, 10, 10),
        (119, 10, 110),
        (1_289, 10, 1_200),
        (99, 100, 0),
        (999, 100, 900),
        (1_099, 100, 1_000),
        (128_999, 100, 120_000),
    ],
)
def test_numbers_are_rounded_down(count: int, step: int, told: int) -> None:
    assert rounded(count, step) == told
    assert rounded(told, step) == told


def test_no_number_of_a_day_tells_of_one_device_or_of_what_it_sent() -> None:
    """Between two steps a device more or less, with whatever it sent below a step, changes nothing."""
    told = {repr(rounded_day(UsageDay(DAY, devices, {"512 B": 200 + devices}))) for devices in range(20, 30)}
    assert len(told) == 1
    few = [rounded_day(UsageDay(DAY, devices, {"512 B": 5_000 * devices})) for devices in range(10)]
    assert set(map(repr, few)) == {repr(UsageDay(DAY))}
    day = rounded_day(UsageDay(DAY, 1_289, {"512 B": 128_999, "8 KiB": 99}))
    assert day == rounded_day(day) == UsageDay(DAY, 1_200, {"512 B": 120_000, "8 KiB": 0})


async def test_the_day_that_runs_is_kept_exactly_and_told_to_nobody(scene: Scene) -> None:
    await scene.devices(23)
    scene.figures.add("accepted_total", 345, label="8 KiB")
    await scene.usage.count()
    assert await scene.kept() == {DAY: UsageDay(DAY, 23, {"8 KiB": 345})}
    assert await scene.usage.days(30) == ()


async def test_nothing_is_committed_while_nothing_changes(scene: Scene) -> None:
    await scene.usage.count()
    assert scene.counted.commits == 0
    scene.figures.add("accepted_total", label="512 B")
    for _ in range(5):
        await scene.usage.count()
    assert scene.counted.commits == 1


async def test_a_day_that_is_over_is_rounded_where_it_is_kept_and_then_told(scene: Scene) -> None:
    await scene.devices(23)
    scene.figures.add("accepted_total", 345, label="8 KiB")
    await scene.usage.count()
    await scene.clock.advance(seconds=HALF_A_DAY_SECONDS)
    over = UsageDay(DAY, 20, {"8 KiB": 300})
    assert await scene.usage.days(30) == (over,)  # before housekeeping has come by, too
    scene.figures.add("accepted_total", 2, label="8 KiB")
    await scene.usage.count()
    assert await scene.kept() == {DAY: over, DAY + 1: UsageDay(DAY + 1, 0, {"8 KiB": 2})}


async def test_a_restart_goes_on_with_the_day(scene: Scene) -> None:
    await scene.devices(11)
    scene.figures.add("accepted_total", 150, label="512 B")
    await scene.usage.finish()
    scene = scene.restarted()
    scene.figures.add("accepted_total", 70, label="512 B")
    scene.figures.add("accepted_total", 1, label="256 KiB")
    await scene.usage.count()
    assert await scene.kept() == {DAY: UsageDay(DAY, 11, {"512 B": 220, "256 KiB": 1})}


async def test_days_that_ended_while_no_relay_ran_are_rounded_at_the_next_start(scene: Scene) -> None:
    await scene.devices(23)
    await scene.usage.finish()
    await scene.clock.advance(seconds=5 * DAY_MS // 1_000)
    scene = scene.restarted()
    await scene.usage.count()
    assert await scene.kept() == {DAY: UsageDay(DAY, 20)}


async def test_a_device_that_is_deleted_was_here_all_the_same(scene: Scene) -> None:
    await scene.devices(12)
    await scene.usage.count()
    scene.store._gate.image.seen_days.clear()
    await scene.usage.count()
    assert (await scene.kept())[DAY].active_devices == 12


async def test_a_failed_store_loses_no_count(scene: Scene) -> None:
    scene.figures.add("accepted_total", 150, label="512 B")
    scene.store._gate.closed = True
    await scene.usage.finish()  # says nothing: the relay ends in order
    scene.store._gate.closed = False
    await scene.usage.count()
    assert (await scene.kept())[DAY].accepted == {"512 B": 150}


async def test_the_sizes_are_those_of_the_figure_and_the_time_is_in_the_table_of_retention() -> None:
    assert CLASSES == ("512 B", "8 KiB", "64 KiB", "256 KiB")
    assert [kept.seconds for kept in KEPT if kept.kind == "usage"] == [USAGE_DAYS * 86_400]


async def test_a_running_relay_counts_who_comes_tells_it_the_day_after_and_forgets_it() -> None:
    async with open_world() as world:
        services, day_seconds = world.relay.services, DAY_MS // 1_000
        world.clock.jump(seconds=(NOON_MS - world.clock.now_ms()) % DAY_MS / 1_000)  # midnight is far
        today = world.clock.now_ms() // DAY_MS

        async def ask(**arguments: Any) -> list[dict[str, Any]]:
            machine = Authority.of_machine(0)
            return (await commands_of(services).run("usage.show", arguments, by=machine))["days"]

        for _ in range(12):
            device = await world.member()
            assert (await device.add_token(bytes_of(device.device_id))).status == 204  # signed: it is here
        services.figures.add("accepted_total", 250, label="512 B")
        await services.usage.count()
        assert await ask() == []
        world.clock.let_pass(seconds=day_seconds)
        accepted = {"512 B": 200, "8 KiB": 0, "64 KiB": 0, "256 KiB": 0}
        busy = {"day": today, "active_devices": 10, "accepted": accepted}
        assert await ask() == [busy]
        await services.usage.count()
        world.clock.let_pass(seconds=day_seconds)
        await services.usage.count()
        quiet = {"day": today + 1, "active_devices": None, "accepted": None}
        assert (await ask(), await ask(days=1)) == ([busy, quiet], [quiet])
        with pytest.raises(MalformedRequest):
            await ask(days=USAGE_DAYS + 1)
        world.clock.let_pass(seconds=USAGE_DAYS * day_seconds)
        assert "usage" in await services.retention.run()  # or the round of the relay itself was faster
        kept = [one.day for one in await services.store.usage.list(since_day=0)]
        assert {today, today + 1}.isdisjoint(kept)


async def test_an_orderly_end_writes_what_was_counted_last(tmp_path: Path) -> None:
    """What came after the last round of housekeeping; the folder of the stopped relay tells it to nobody yet."""
    settings = Settings(data=tmp_path / "data", listen="127.0.0.1:0")
    with open_data_folder(settings.data_folder) as folder:
        async with open_relay(settings, folder) as relay:
            relay.services.figures.add("accepted_total", 41, label="64 KiB")
        async with open_sqlite_store(folder.database) as store:
            assert [one.accepted for one in await store.usage.list(since_day=0)] == [{"64 KiB": 41}]
