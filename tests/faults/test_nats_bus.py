"""The bus between nodes: what crosses it, what is lost and said to be, who is let in."""

import asyncio
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import msgspec
import pytest

from relay.adapters.nats_bus import (
    DEVICES_A_MESSAGE,
    KINDS,
    NatsBus,
    NatsOptions,
    _messages,
    decode,
    encode,
    open_nats_bus,
)
from relay.adapters.system_clock import SystemClock, system_randomness
from relay.observe.figures import Figures
from relay.ports.bus import (
    AccountChanged,
    Announcement,
    AnnouncementsLost,
    DeviceRevoked,
    LimitsSpent,
    LogAdvanced,
    MailboxesHeld,
    MailboxTaken,
    NewMail,
)
from relay.services.wakeup import HELD_A_PIECE
from tests.servers.nats import NatsServer
from tests.servers.way import Way, open_way

NODE = bytes(range(8))
EVERYTHING: list[Announcement] = [
    NewMail((bytes(16), b"1" * 16), (b"1" * 16,)),
    AccountChanged(bytes(32), True),
    AnnouncementsLost(),
    LogAdvanced(bytes(32), "friends", 7, bytes(16)),
    LimitsSpent(((1, bytes(16), 2), (7, b"x" * 16, 1))),
    MailboxTaken(bytes(16), b"c" * 16, 1_800_000_000_000),
    MailboxesHeld(((bytes(16), b"c" * 16, 7), (b"1" * 16, b"e" * 16, 8))),
]


def opened(server: NatsServer, figures: Figures | None = None, by: Way | None = None, **more):
    url = server.url if by is None else f"nats://127.0.0.1:{by.port}"
    return open_nats_bus(NatsOptions((url,), **more), SystemClock(), system_randomness, figures or Figures())


def counted(figures: Figures, what: str) -> float:
    return figures.value("bus_messages_total", what) or 0


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  (of another process, too)
            await asyncio.sleep(0.02)


async def heard_by(one: NatsBus, other: NatsBus, announcement: Announcement) -> bool:
    """Whether what the one publishes comes to the other; published again until it does, as hints are."""
    heard: list[Announcement] = []
    subscription = other.subscribe(type(announcement), heard.append)
    async with asyncio.timeout(20):
        while not heard:
            one.publish(announcement)
            await asyncio.sleep(0.05)
    subscription.cancel()
    return heard[0] == announcement


def test_what_is_encoded_is_decoded() -> None:
    assert decode(encode(NODE, EVERYTHING)) == (NODE, EVERYTHING)


def test_a_later_version_may_have_more_kinds_and_more_fields() -> None:
    message = msgspec.msgpack.encode([1, NODE, [99, "?"], [4, bytes(16), "new field"], ["?"], []])
    assert decode(message) == (NODE, [DeviceRevoked(bytes(16))])


def test_f21_an_earlier_version_says_no_order_of_who_took_a_mailbox() -> None:
    message = msgspec.msgpack.encode([1, NODE, [2, bytes(16), b"c" * 16]])
    assert decode(message) == (NODE, [MailboxTaken(bytes(16), b"c" * 16, 0)])


def test_what_many_hold_is_said_in_messages_that_are_taken() -> None:
    piece = MailboxesHeld(tuple((bytes(16), bytes(16), 2**62) for _ in range(HELD_A_PIECE)))
    messages = _messages(NODE, [piece] * 10)
    assert len(messages) == 5
    assert sum(len(decode(message)[1]) for message in messages) == 10


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode([2, NODE]),
        msgspec.msgpack.encode([1, b"short"]),
        msgspec.msgpack.encode([1, NODE, [4, "text"]]),
        msgspec.msgpack.encode([1, NODE, [1, [1, 2]]]),
        msgspec.msgpack.encode([1, NODE, 7]),
        msgspec.msgpack.encode([1, NODE, bytes(600_000)]),
    ],
)
def test_what_is_malformed_is_refused_as_a_whole(message: bytes) -> None:
    with pytest.raises(ValueError):
        decode(message)


def test_d9_no_field_that_crosses_the_bus_names_who_sent_or_asked() -> None:
    names = {(kind.__name__, each.name) for kind in KINDS.values() for each in fields(kind)}
    assert not {name for _, name in names} & {
        "sender",
        "sender_id",
        "address",
        "ciphertext",
        "token",
        "handle",
    }
    # Of the account's own log, for the account's own devices. Who took of a limit is a keyed hash (LimitsSpent).
    assert {(kind, name) for kind, name in names if name.startswith("by_")} == {("LogAdvanced", "by_device")}


async def test_nodes_hear_each_other_and_each_itself_once(tmp_path: Path) -> None:
    figures = Figures()  # of both
    with NatsServer(tmp_path) as server:
        async with opened(server, figures) as one, opened(server, figures) as other:
            assert await heard_by(one, other, NewMail((b"1" * 16,)))
            mine: list[Announcement] = []
            one.subscribe(DeviceRevoked, mine.append)
            assert await heard_by(one, other, NewMail((b"2" * 16,)))
            one.publish(DeviceRevoked(b"3" * 16))
            assert await heard_by(
                other, one, AccountChanged(bytes(32), False)
            )  # all of one's own has come back by now
            assert mine == [DeviceRevoked(b"3" * 16)]
            assert counted(figures, "malformed") == 0
            assert counted(figures, "sent") >= 4
            assert counted(figures, "heard") >= 4
            assert figures.value("bus_connected") == 1


async def test_a_fan_out_to_many_devices_is_split_and_comes_whole(tmp_path: Path) -> None:
    devices = tuple(number.to_bytes(16, "big") for number in range(DEVICES_A_MESSAGE * 2 + 5))
    with NatsServer(tmp_path) as server:
        async with opened(server) as one, opened(server) as other:
            assert await heard_by(one, other, AccountChanged(bytes(32), False))
            heard: list[NewMail] = []
            other.subscribe(NewMail, heard.append)  # type: ignore[arg-type]
            one.publish(NewMail(devices, devices[-1:]))
            await until(lambda: sum(len(each.device_ids) for each in heard) >= len(devices))
    assert tuple(device for each in heard for device in each.device_ids) == devices
    assert [device for each in heard for device in each.urgent] == [devices[-1]]


async def test_mail_of_one_turn_is_one_announcement_that_names_each_device_once(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        async with opened(server) as one, opened(server) as other:
            assert await heard_by(one, other, AccountChanged(bytes(32), False))
            heard: list[Announcement] = []
            for kind in (NewMail, DeviceRevoked):
                other.subscribe(kind, heard.append)
            for announcement in (
                NewMail((b"1" * 16, b"2" * 16)),
                NewMail((b"2" * 16, b"3" * 16), (b"2" * 16,)),
                DeviceRevoked(b"3" * 16),
                NewMail((b"1" * 16,)),
            ):
                one.publish(announcement)
            await until(lambda: len(heard) >= 3)
    assert heard == [
        NewMail((b"1" * 16, b"2" * 16, b"3" * 16), (b"2" * 16,)),
        DeviceRevoked(b"3" * 16),
        NewMail((b"1" * 16,)),
    ]


async def test_f17_a_killed_nats_costs_announcements_and_says_so_until_it_is_back(tmp_path: Path) -> None:
    server, figures = NatsServer(tmp_path), Figures()
    server.start()
    try:
        async with opened(server, figures) as one, opened(server) as other:
            assert await heard_by(one, other, NewMail((b"1" * 16,)))
            lost: list[Announcement] = []
            local: list[Announcement] = []
            other.subscribe(AnnouncementsLost, lost.append)
            one.subscribe(NewMail, local.append)
            server.kill()
            await until(lambda: not one.is_connected and not other.is_connected)
            one.publish(NewMail((b"2" * 16,)))
            await until(lambda: len(lost) >= 2 and local)
            assert local == [NewMail((b"2" * 16,))]  # its own subscribers hear it all the same
            assert counted(figures, "dropped") >= 1
            await until(lambda: figures.value("bus_connected") == 0)
            server.start()
            assert await heard_by(one, other, NewMail((b"3" * 16,)))
    finally:
        server.stop()


async def test_f17_a_frozen_nats_is_as_one_that_is_gone(tmp_path: Path) -> None:
    figures = Figures()
    with NatsServer(tmp_path) as server:
        async with opened(server, figures) as one:
            lost: list[Announcement] = []
            one.subscribe(AnnouncementsLost, lost.append)
            server.freeze()
            await until(lambda: figures.value("bus_connected") == 0 and len(lost) >= 2)


async def test_f17_a_node_stops_though_a_frozen_nats_does_not_read_what_it_sent(tmp_path: Path) -> None:
    """More than the kernel keeps for a reader: the client itself would wait for the server to take it."""
    tasks_before = asyncio.all_tasks()
    with NatsServer(tmp_path) as server:
        async with asyncio.timeout(30), opened(server) as one:
            server.freeze()
            while one.is_connected:
                one.publish(NewMail(tuple(system_randomness(16) for _ in range(DEVICES_A_MESSAGE))))
                await asyncio.sleep(0.01)
        await until(lambda: asyncio.all_tasks() == tasks_before)  # nothing of it goes on


async def test_f17_a_node_stops_while_a_frozen_nats_is_sent_more_than_it_reads(tmp_path: Path) -> None:
    tasks_before = asyncio.all_tasks()
    with NatsServer(tmp_path) as server:
        async with asyncio.timeout(30), opened(server) as one:
            server.freeze()
            for _ in range(100):
                one.publish(NewMail(tuple(system_randomness(16) for _ in range(DEVICES_A_MESSAGE))))
                await asyncio.sleep(0)
        await until(lambda: asyncio.all_tasks() == tasks_before)


async def test_f17_a_nats_that_hung_is_heard_again_once_it_goes_on(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        async with opened(server) as one, opened(server) as other:
            assert await heard_by(one, other, NewMail((b"1" * 16,)))
            server.freeze()
            await until(lambda: not one.is_connected and not other.is_connected)
            server.thaw()
            assert await heard_by(one, other, NewMail((b"2" * 16,)))


async def test_d6_who_could_not_say_something_makes_the_others_doubt_once_it_is_heard(tmp_path: Path) -> None:
    """One node alone is cut off: those that hear each other all the time would not know that they missed anything."""
    figures = Figures()
    with NatsServer(tmp_path) as server:
        async with (
            opened(server) as hears,
            open_way(server.port) as way,
            opened(server, figures, by=way) as cut_off,
        ):
            assert await heard_by(cut_off, hears, NewMail((b"1" * 16,)))
            await way.cut()
            await until(lambda: not cut_off.is_connected)
            cut_off.publish(AccountChanged(bytes(32), True))
            doubts: list[Announcement] = []
            hears.subscribe(AnnouncementsLost, doubts.append)
            await way.open()
            await until(lambda: doubts)
    assert counted(figures, "dropped") >= 1


async def test_a_node_starts_without_nats_and_finds_it_later(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    async with opened(server) as one:
        lost: list[Announcement] = []
        one.subscribe(AnnouncementsLost, lost.append)
        await until(lambda: lost)
        with server:
            async with opened(server) as other:
                assert await heard_by(other, one, NewMail((b"1" * 16,)))


async def test_a_node_that_waits_to_try_again_stops_without_an_error() -> None:
    tried = asyncio.Event()

    class Waiting(SystemClock):
        async def sleep(self, seconds: float) -> None:
            tried.set()
            await asyncio.Event().wait()

    options = NatsOptions(("nats://127.0.0.1:9",))
    async with asyncio.timeout(20), open_nats_bus(options, Waiting(), system_randomness, Figures()) as bus:
        await tried.wait()
        assert not bus.is_connected


async def test_who_does_not_know_the_password_hears_nothing(tmp_path: Path) -> None:
    configuration = 'authorization { user: "relay", password: "secret" }'
    with NatsServer(tmp_path, configuration=configuration) as server:
        strange = Figures()
        async with (
            opened(server, user="relay", password="secret") as one,
            opened(server, user="relay", password="secret") as other,
            opened(server, strange, user="relay", password="guess") as stranger,
        ):
            assert await heard_by(one, other, NewMail((b"1" * 16,)))
            assert not stranger.is_connected
            assert counted(strange, "heard") == 0
