"""Load shedding: what is refused at which measures, in which order, and when it is taken again."""

import pytest

from relay.adapters.memory_clock import ManualClock
from relay.config import ShedSettings
from relay.observe.figures import Figures
from relay.ports.machine import Readings
from relay.services.load import CALM_SECONDS, LOOK_SECONDS, Load, Shed, level_of
from relay.wire.errors import Overloaded

SETTINGS = ShedSettings(loop_late_ms=100, memory_percent=70, disk_free_bytes=1_000)
WELL = Readings(memory_used=100, memory=1_000, disk=100_000, disk_free=10_000)


def well(**changed: int) -> Readings:
    return Readings(**{"memory_used": 100, "memory": 1_000, "disk": 100_000, "disk_free": 10_000, **changed})


@pytest.mark.parametrize(
    ("late_ms", "readings", "expected"),
    [
        (0, WELL, Shed.NOTHING),
        (99, WELL, Shed.NOTHING),
        (100, WELL, Shed.ACCOUNTS),
        (200, WELL, Shed.UPLOADS),
        (500, WELL, Shed.CONNECTIONS),
        (0, well(memory_used=699), Shed.NOTHING),
        (0, well(memory_used=700), Shed.ACCOUNTS),
        (0, well(memory_used=800), Shed.UPLOADS),
        (0, well(memory_used=900), Shed.CONNECTIONS),
        (0, well(disk_free=2_000), Shed.NOTHING),
        (0, well(disk_free=1_999), Shed.ACCOUNTS),
        (0, well(disk_free=999), Shed.UPLOADS),
        (0, well(disk=2_000, disk_free=200), Shed.NOTHING),  # a small disk: a tenth, and a twentieth
        (0, well(disk=2_000, disk_free=199), Shed.ACCOUNTS),
        (0, well(disk=2_000, disk_free=99), Shed.UPLOADS),
        (
            0,
            well(disk_free=0),
            Shed.UPLOADS,
        ),  # connections and what they send need little: the store refuses last
        (100, well(memory_used=800), Shed.UPLOADS),  # the worst counts
        (0, None, Shed.NOTHING),
        (200, None, Shed.UPLOADS),
    ],
)
def test_e6_new_accounts_go_first_then_uploads_then_connections(
    late_ms: int, readings: Readings | None, expected: Shed
) -> None:
    assert level_of(late_ms / 1_000, readings, SETTINGS) is expected


class Machine:
    """Tells what the test says."""

    def __init__(self) -> None:
        self.now = WELL
        self.asked = 0
        self.broken = False

    async def read(self) -> Readings:
        self.asked += 1
        if self.broken:
            raise OSError("nothing is told")
        return self.now


class Watched:
    """A load with a machine and a clock of the test."""

    def __init__(self) -> None:
        self.machine, self.clock, self.figures = Machine(), ManualClock(), Figures()
        self.told: list[Shed] = []
        self.load = Load(self.machine, self.figures, self.clock, SETTINGS, told=self.told.append)

    async def seconds(self, count: float, *, late: float = 0.0) -> None:
        for _ in range(int(count)):
            await self.clock.advance(seconds=1)
            await self.load.look(late)

    def refused(self) -> list[Shed]:
        found = []
        for kind in (Shed.ACCOUNTS, Shed.UPLOADS, Shed.CONNECTIONS):
            try:
                self.load.admit(kind)
            except Overloaded as error:
                found.append(kind if error.retry_after_ms > 0 else Shed.NOTHING)
        return found


async def test_a_level_is_reached_at_once_and_left_step_by_step_after_a_while() -> None:
    watched = Watched()
    await watched.seconds(1)
    assert watched.refused() == []
    watched.machine.now = well(memory_used=900)
    await watched.seconds(LOOK_SECONDS)
    assert watched.refused() == [Shed.ACCOUNTS, Shed.UPLOADS, Shed.CONNECTIONS]
    assert watched.figures.value("load_level") == 3
    assert watched.figures.value("shed_total", "upload") == 1
    watched.machine.now = WELL
    await watched.seconds(LOOK_SECONDS + CALM_SECONDS + 1)
    assert watched.refused() == [Shed.ACCOUNTS, Shed.UPLOADS]
    await watched.seconds(CALM_SECONDS + 1)
    assert watched.refused() == [Shed.ACCOUNTS]
    await watched.seconds(CALM_SECONDS + 1)
    assert watched.refused() == []
    assert watched.told == [Shed.CONNECTIONS, Shed.UPLOADS, Shed.ACCOUNTS, Shed.NOTHING]


async def test_measures_on_the_edge_do_not_let_it_swing() -> None:
    watched = Watched()
    for number in range(40):
        watched.machine.now = well(memory_used=701 if number % 2 else 690)
        await watched.seconds(LOOK_SECONDS)
    assert watched.told == [Shed.ACCOUNTS]
    watched.machine.now = well(memory_used=600)
    await watched.seconds(LOOK_SECONDS + CALM_SECONDS + 1)
    assert watched.told == [Shed.ACCOUNTS, Shed.NOTHING]


async def test_one_long_turn_of_the_loop_is_no_load_but_many_are() -> None:
    watched = Watched()
    await watched.seconds(1, late=0.3)
    assert watched.refused() == []
    await watched.seconds(10, late=0.3)
    assert watched.refused() == [Shed.ACCOUNTS, Shed.UPLOADS]


async def test_the_machine_is_asked_every_few_seconds_and_need_not_answer() -> None:
    watched = Watched()
    await watched.seconds(20)
    assert watched.machine.asked == 4
    watched.machine.now = well(disk_free=0)
    await watched.seconds(LOOK_SECONDS)
    assert watched.refused() == [Shed.ACCOUNTS, Shed.UPLOADS]
    watched.machine.broken = True
    await watched.seconds(LOOK_SECONDS + 2 * CALM_SECONDS + 4)
    assert watched.refused() == []


async def test_other_thresholds_count_from_the_next_look_on() -> None:
    watched = Watched()
    watched.machine.now = well(memory_used=500)
    await watched.seconds(LOOK_SECONDS)
    watched.load.change(SETTINGS.model_copy(update={"memory_percent": 50}))
    await watched.seconds(1)
    assert watched.refused() == [Shed.ACCOUNTS]


async def test_a_machine_that_stood_still_for_a_while_refuses_new_accounts_at_most() -> None:
    watched = Watched()
    await watched.seconds(1, late=3_600)
    assert watched.refused() == [Shed.ACCOUNTS]
    await watched.seconds(CALM_SECONDS + 10)
    assert watched.refused() == []
    await watched.seconds(7, late=0.6)
    assert watched.refused() == [Shed.ACCOUNTS, Shed.UPLOADS, Shed.CONNECTIONS]
