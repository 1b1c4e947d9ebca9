"""The bus port's promises."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from relay.adapters.memory_bus import MemoryBus, open_memory_bus
from relay.ports.bus import Announcement, DeviceRevoked, MailboxTaken, NewMail


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    async with open_memory_bus() as opened:
        yield opened


async def turn() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_every_subscriber_of_the_type_hears_in_order(bus: MemoryBus) -> None:
    first: list[Announcement] = []
    second: list[Announcement] = []
    bus.subscribe(NewMail, first.append)
    bus.subscribe(NewMail, second.append)
    sent = [NewMail((bytes([number]) * 16,)) for number in range(5)]
    for announcement in sent:
        bus.publish(announcement)
        bus.publish(DeviceRevoked(bytes(16)))
    assert first == []  # never within the publisher's own step
    await turn()
    assert first == second == sent


async def test_a_cancelled_subscription_hears_nothing_more(bus: MemoryBus) -> None:
    heard: list[Announcement] = []
    subscription = bus.subscribe(NewMail, heard.append)
    bus.publish(NewMail(()))
    subscription.cancel()
    subscription.cancel()
    await turn()
    assert heard == []


async def test_a_failing_subscriber_costs_the_others_nothing(
    bus: MemoryBus, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Announcement] = []

    def fail(announcement: Announcement) -> None:
        raise RuntimeError("broken")

    bus.subscribe(NewMail, fail)
    bus.subscribe(NewMail, heard.append)
    bus.publish(NewMail(()))
    bus.publish(NewMail(()))
    await turn()
    assert len(heard) == 2
    assert [record.message for record in caplog.records] == ["bus_handler_failed"] * 2


async def test_what_a_subscriber_publishes_comes_in_a_later_turn(bus: MemoryBus) -> None:
    heard: list[Announcement] = []
    bus.subscribe(NewMail, lambda announcement: bus.publish(MailboxTaken(bytes(16), bytes(16))))
    bus.subscribe(MailboxTaken, heard.append)
    bus.publish(NewMail(()))
    await turn()
    assert heard == [MailboxTaken(bytes(16), bytes(16))]


async def test_a_closed_bus_is_silent(bus: MemoryBus) -> None:
    heard: list[Announcement] = []
    bus.subscribe(NewMail, heard.append)
    bus.publish(NewMail(()))
    bus.close()
    bus.publish(NewMail(()))
    await turn()
    assert heard == []
