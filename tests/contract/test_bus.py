"""The bus port's promises, on the bus of one process and on NATS."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from relay.adapters.memory_bus import open_deaf_bus, open_memory_bus
from relay.adapters.memory_clock import ManualClock
from relay.adapters.nats_bus import NatsBus, NatsOptions, open_nats_bus
from relay.adapters.system_clock import SystemClock, system_randomness
from relay.observe.figures import Figures
from relay.ports.bus import Announcement, AnnouncementsLost, Bus, DeviceRevoked, MailboxTaken, NewMail
from tests.adapter_counts import note_adapter
from tests.servers.nats import NatsServer


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory):
    with NatsServer(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture(params=["memory", "nats"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    note_adapter(request, "bus", request.param)
    if request.param == "memory":
        async with open_memory_bus() as opened:
            yield opened
        return
    server: NatsServer = request.getfixturevalue("nats")
    options = NatsOptions((server.url,), subject=f"test.{id(request)}")
    async with open_nats_bus(options, SystemClock(), system_randomness, Figures()) as nats_bus:
        yield nats_bus


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_every_subscriber_of_the_type_hears_in_order(bus: Bus) -> None:
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


async def test_a_cancelled_subscription_hears_nothing_more(bus: Bus) -> None:
    heard: list[Announcement] = []
    subscription = bus.subscribe(NewMail, heard.append)
    bus.publish(NewMail(()))
    subscription.cancel()
    subscription.cancel()
    await turn()
    assert heard == []


async def test_a_failing_subscriber_costs_the_others_nothing(
    bus: Bus, caplog: pytest.LogCaptureFixture
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


async def test_what_a_subscriber_publishes_comes_in_a_later_turn(bus: Bus) -> None:
    heard: list[Announcement] = []
    bus.subscribe(NewMail, lambda announcement: bus.publish(MailboxTaken(bytes(16), bytes(16))))
    bus.subscribe(MailboxTaken, heard.append)
    bus.publish(NewMail(()))
    await turn()
    assert heard == [MailboxTaken(bytes(16), bytes(16))]


async def test_a_closed_bus_is_silent() -> None:
    heard: list[Announcement] = []
    async with open_memory_bus() as bus:
        bus.subscribe(NewMail, heard.append)
        bus.publish(NewMail(()))
        bus.close()
        bus.publish(NewMail(()))
        await turn()
    assert heard == []


async def test_one_process_loses_nothing_and_says_so_to_nobody() -> None:
    lost: list[Announcement] = []
    async with open_memory_bus() as bus:
        bus.subscribe(AnnouncementsLost, lost.append)
        bus.publish(NewMail((bytes(16),)))
        await turn()
    assert lost == []


async def test_nodes_without_a_bus_are_told_each_second_that_they_hear_nothing() -> None:
    clock, heard = ManualClock(0), []
    async with open_deaf_bus(clock) as bus:
        bus.subscribe(AnnouncementsLost, heard.append)
        bus.subscribe(NewMail, heard.append)
        bus.publish(NewMail((bytes(16),)))
        for _ in range(3):
            await clock.advance(seconds=1)
    assert heard.count(AnnouncementsLost()) >= 2
    assert heard.count(NewMail((bytes(16),))) == 1  # their own they hear


async def test_a_node_does_not_hear_itself_over_nats(nats: NatsServer) -> None:
    """It would be as much work again as what the others say."""
    options = NatsOptions((nats.url,), subject="test.itself")
    async with (
        open_nats_bus(options, SystemClock(), system_randomness, Figures()) as one,
        open_nats_bus(options, SystemClock(), system_randomness, Figures()) as other,
    ):
        async with asyncio.timeout(10):
            while not (one.is_connected and other.is_connected):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            for node in (one, other):
                await node._client.flush()  # its subscription is there
            await says(other, one)  # after all that it had to say before
            before = one._client.stats["in_msgs"]
            await says(one, other)
            await one._client.flush()  # what is on its way has come
        assert one._client.stats["in_msgs"] == before


async def says(node: NatsBus, to: NatsBus) -> None:
    """One announcement, until it was heard."""
    heard = asyncio.Event()
    subscription = to.subscribe(NewMail, lambda _news: heard.set())
    node.publish(NewMail((bytes(16),)))
    await heard.wait()
    subscription.cancel()
