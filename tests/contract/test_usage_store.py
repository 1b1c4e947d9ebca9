"""The promises of usage by day, on every adapter."""

from relay.ports.store import Store
from relay.ports.usage import UsageDay
from tests.contract.conftest import Reopen
from tests.contract.people import new_device

DAY = 20_000


async def test_a_day_takes_the_place_of_what_was_known_of_it_and_stays(store: Store, reopen: Reopen) -> None:
    await store.usage.put([UsageDay(DAY, 7, {"512 B": 3, "8 KiB": 1}), UsageDay(DAY + 1, 2, {})])
    await store.usage.put([UsageDay(DAY, 9, {"64 KiB": 4})])
    store = await reopen()
    assert await store.usage.list(since_day=0) == (UsageDay(DAY, 9, {"64 KiB": 4}), UsageDay(DAY + 1, 2, {}))
    assert await store.usage.list(since_day=DAY + 1) == (UsageDay(DAY + 1, 2, {}),)


async def test_days_before_one_are_forgotten_and_counted(store: Store) -> None:
    await store.usage.put([UsageDay(DAY + number, number, {"512 B": 1}) for number in range(4)])
    assert await store.usage.remove_before(DAY + 3) == 3
    assert await store.usage.remove_before(DAY + 3) == 0
    assert [one.day for one in await store.usage.list(since_day=0)] == [DAY + 3]


async def test_devices_count_for_the_day_on_which_they_were_last_here(store: Store) -> None:
    devices = [await new_device(store, name) for name in ("anna", "bert", "carl")]
    for device, day in zip(devices, (DAY, DAY, DAY + 1), strict=True):
        await store.accounts.mark_seen(device, day=day)
    assert [await store.usage.devices_seen(day) for day in (DAY - 1, DAY, DAY + 1)] == [0, 2, 1]
    await store.accounts.mark_seen(devices[0], day=DAY + 1)
    assert [await store.usage.devices_seen(day) for day in (DAY, DAY + 1)] == [1, 2]
