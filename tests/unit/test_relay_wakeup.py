"""Who has a mailbox and who must look, on two nodes that share a bus."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest

from relay.adapters.memory_bus import MemoryBus, open_memory_bus
from relay.adapters.memory_clock import ManualClock
from relay.ports.bus import (
    AccountChanged,
    DeviceRevoked,
    MailboxFilling,
    ManifestChanged,
    NewMail,
    PrekeysLow,
)
from relay.ports.mailboxes import Appended, Submission
from relay.services.wakeup import OFFERS_A_TURN, Wakeup
from relay.wire.codec import decode_from_relay, deliver_head, join_frames
from relay.wire.frames import Deliver, EnvelopeClass, Frame, Notice, NoticeKind, Outcome

DEVICE, OTHER, ACCOUNT = b"d" * 16, b"o" * 16, b"a" * 32


class Mailbox:
    """A holder that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def offer(self, envelopes: Sequence[tuple[int, bytes]]) -> None:
        self.told += [(sequence, body_of(sequence, tail)) for sequence, tail in envelopes]

    def offer_ephemeral(self, tail: bytes) -> None:
        self.told.append(("ephemeral", body_of(0, tail)))

    def look(self) -> None:
        self.told.append("look")

    def replaced(self) -> None:
        self.told.append("replaced")


class Connection:
    """A connection that notes what it is told."""

    def __init__(self, device_id: bytes = DEVICE, account_id: bytes = ACCOUNT) -> None:
        self.device_id = device_id
        self.account_id = account_id
        self.told: list[object] = []

    def notify(self, frame: bytes) -> None:
        self.told.append(frame_of(frame))

    def end(self, code: str) -> None:
        self.told.append(code)


def frame_of(frame: bytes) -> Frame:
    (decoded,) = decode_from_relay(join_frames([frame]))
    return decoded


def body_of(sequence: int, tail: bytes) -> bytes:
    frame = frame_of(deliver_head(sequence) + tail)
    assert isinstance(frame, Deliver)
    return frame.ciphertext


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    async with open_memory_bus() as opened:
        yield opened


async def handed_out() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def committed(*targets: tuple[bytes, int, int]) -> tuple[Submission, Appended]:
    """A submit to (device, which ciphertext) that got these sequences."""
    return (
        Submission(bytes(16), 60, (b"one", b"two"), tuple((device, index) for device, index, _ in targets)),
        Appended(
            (Outcome.STORED,) * len(targets), tuple(sequence for _, _, sequence in targets), 1_800_000_000_000
        ),
    )


async def test_who_is_here_gets_it_at_once_and_the_other_node_is_told_to_look(bus: MemoryBus):
    here, there = Wakeup(bus, ManualClock()), Wakeup(bus, ManualClock())
    mine, far = Mailbox(), Mailbox()
    here.take(DEVICE, b"1" * 16, mine)
    there.take(OTHER, b"2" * 16, far)
    await handed_out()
    await here.announce(
        [committed((DEVICE, 1, 7), (OTHER, 0, 3)), committed((DEVICE, 0, 8)), committed((DEVICE, 0, 0))]
    )
    assert mine.told == [(7, b"two"), (8, b"one")]
    await handed_out()
    assert far.told == ["look"]
    assert mine.told == [(7, b"two"), (8, b"one")]


async def test_a_device_is_named_once_however_much_came_for_it(bus: MemoryBus):
    here, heard = Wakeup(bus, ManualClock()), []
    bus.subscribe(NewMail, heard.append)
    submission, appended = committed((OTHER, 0, 2), (DEVICE, 0, 9))
    await here.announce(
        [
            committed((OTHER, 0, 1)),
            (msgspec.structs.replace(submission, urgent=True), appended),
            committed((OTHER, 0, 3)),
        ]
    )
    await handed_out()
    assert heard == [NewMail((OTHER, DEVICE), (OTHER, DEVICE))]


async def test_the_newest_has_the_mailbox_on_its_node_and_across_nodes(bus: MemoryBus):
    here, there = Wakeup(bus, ManualClock()), Wakeup(bus, ManualClock())
    first, second, third = Mailbox(), Mailbox(), Mailbox()
    here.take(DEVICE, b"1" * 16, first)
    here.take(DEVICE, b"2" * 16, second)
    await handed_out()
    assert (first.told, second.told) == (["replaced"], [])
    there.take(DEVICE, b"3" * 16, third)
    await handed_out()
    assert (second.told, third.told) == (["replaced"], [])
    here.release(DEVICE, first)
    there.release(DEVICE, second)
    await there.announce([committed((DEVICE, 0, 1))])
    assert third.told == [(1, b"one")]
    there.release(DEVICE, third)
    await there.announce([committed((DEVICE, 0, 2))])
    assert third.told == [(1, b"one")]


@pytest.mark.parametrize("urgent", [False, True])
async def test_of_a_large_fan_out_so_many_are_offered_a_turn_and_who_left_meanwhile_is_told_of(
    bus: MemoryBus, urgent: bool
):
    here, devices = Wakeup(bus, ManualClock()), [number.to_bytes(16, "big") for number in range(1, 1_001)]
    boxes, heard = [Mailbox() for _ in devices], []
    bus.subscribe(NewMail, heard.append)
    for device, box in zip(devices, boxes, strict=True):
        here.take(device, device, box)
    await handed_out()
    submission, appended = committed(*((device, 0, 1) for device in devices))
    turns: list[int] = []

    async def others() -> None:
        while len(turns) < 4:
            turns.append(sum(bool(box.told) for box in boxes))
            if len(turns) == 2:
                here.release(devices[-1], boxes[-1])
            await asyncio.sleep(0)

    working = asyncio.create_task(others())
    await here.announce([(msgspec.structs.replace(submission, urgent=urgent), appended)])
    await working
    assert turns == [OFFERS_A_TURN, 2 * OFFERS_A_TURN, 3 * OFFERS_A_TURN, len(devices) - 1]
    assert [box.told for box in boxes] == [[(1, b"one")]] * 999 + [[]]
    await handed_out()
    assert heard == [NewMail((devices[-1],), (devices[-1],) if urgent else ())]


async def test_ephemeral_envelopes_go_to_who_is_connected_here(bus: MemoryBus):
    here = Wakeup(bus, ManualClock())
    mine = Mailbox()
    here.take(DEVICE, b"1" * 16, mine)
    here.relay(Submission(bytes(16), 0, (b"hi",), ((DEVICE, 0), (OTHER, 0))), 1)
    assert mine.told == [("ephemeral", b"hi")]


@pytest.mark.parametrize(
    ("announcement", "told"),
    [
        (ManifestChanged(ACCOUNT, 4), [Notice(NoticeKind.MANIFEST_CHANGED, (4,))]),
        (MailboxFilling(DEVICE, 8, 9, False), [Notice(NoticeKind.MAILBOX_NEARLY_FULL, (8, 9))]),
        (MailboxFilling(DEVICE, 8, 9, True), [Notice(NoticeKind.MAILBOX_FULL, (8, 9))]),
        (PrekeysLow(DEVICE, 2, 25), [Notice(NoticeKind.PREKEYS_LOW, (2, 25))]),
        (DeviceRevoked(DEVICE), [Notice(NoticeKind.DEVICE_REVOKED, (DEVICE,)), "device_revoked"]),
        (AccountChanged(ACCOUNT, suspended=True), ["not_allowed"]),
        (AccountChanged(ACCOUNT, suspended=False), []),
        (NewMail((OTHER,)), []),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_notices_go_to_every_connection_they_concern(bus: MemoryBus, announcement, told):  # type: ignore[no-untyped-def]
    here = Wakeup(bus, ManualClock())
    one, two, stranger, gone = Connection(), Connection(), Connection(OTHER, b"x" * 32), Connection()
    for connection in (one, two, stranger, gone):
        here.enter(connection)
    here.leave(gone)
    here.leave(gone)
    bus.publish(announcement)
    await handed_out()
    assert [one.told, two.told, stranger.told, gone.told] == [told, told, [], []]


async def test_d6_a_revoked_device_loses_its_mailbox_too(bus: MemoryBus):
    here = Wakeup(bus, ManualClock())
    mine = Mailbox()
    here.take(DEVICE, b"1" * 16, mine)
    bus.publish(DeviceRevoked(DEVICE))
    await handed_out()
    assert mine.told == ["replaced"]


async def test_a_deliver_frame_of_an_announcement_is_whole(bus: MemoryBus):
    here = Wakeup(bus, ManualClock())
    frames: list[Frame] = []

    class Whole(Mailbox):
        def offer(self, envelopes: Sequence[tuple[int, bytes]]) -> None:
            frames.extend(frame_of(deliver_head(sequence) + tail) for sequence, tail in envelopes)

    here.take(DEVICE, b"1" * 16, Whole())
    await here.announce([committed((DEVICE, 0, 7))])
    assert frames == [Deliver(7, bytes(16), 1_800_000_000_000, EnvelopeClass.DURABLE, b"one")]
