"""The window of a device: order, redelivery, quarantine, `caught_up`, what waits in the store."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable

import pytest

from relay.adapters.memory.store import MemoryStore, open_memory_store
from relay.adapters.memory_clock import ManualClock
from relay.ports.accounts import Registration
from relay.ports.mailboxes import MailboxState, Submission
from relay.services.delivery import EPHEMERAL_UNREAD_BYTES, Delivery
from relay.services.running import Running
from relay.wire import limits
from relay.wire.codec import decode_from_relay, deliver_tail, join_frames
from relay.wire.errors import SequenceAhead, Unavailable
from relay.wire.frames import (
    CaughtUp,
    Deliver,
    EnvelopeClass,
    Frame,
    Missed,
    MissedReason,
    Notice,
    NoticeKind,
)
from relay.wire.manifests import parse_manifest
from tests.raw_device import RawDevice


class ListOutlet:
    """Keeps what it gets; its peer reads everything unless `unread` says otherwise."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.unread = 0
        self.codes: list[str] = []

    def put(self, frame: bytes) -> None:
        self.frames += decode_from_relay(join_frames([frame]))

    def put_all(self, frames: list[bytes]) -> None:
        for frame in frames:
            self.put(frame)

    def unread_bytes(self) -> int:
        return self.unread

    def end(self, code: str) -> None:
        self.codes.append(code)

    def take(self) -> list[object]:
        """What came since: sequences of envelopes, everything else as it is."""
        frames, self.frames = self.frames, []
        return [frame.sequence if isinstance(frame, Deliver) else frame for frame in frames]


class Rig:
    """One device with a mailbox in memory."""

    def __init__(self, store: MemoryStore, device_id: bytes) -> None:
        self.store = store
        self.device_id = device_id
        self.clock = ManualClock()
        self.failures: list[BaseException] = []
        self.running = Running(self.failures.append)
        self.outlet = ListOutlet()
        self.delivery = self.connect()

    def connect(self) -> Delivery:
        self.outlet = ListOutlet()
        self.delivery = Delivery(
            self.device_id, self.outlet, self.store.mailboxes, self.clock, self.running.begin
        )
        return self.delivery

    async def begin(self, after: int = 0) -> None:
        await self.delivery.begin(after)
        await self.settle()

    async def append(self, *bodies: bytes, ttl_seconds: int = 3_600, offer: bool = True) -> list[int]:
        """Commit envelopes, and say so."""
        fresh = []
        for body in bodies:
            submission = Submission(os.urandom(16), ttl_seconds, (body,), ((self.device_id, 0),))
            result = await self.store.mailboxes.append([submission], now_ms=self.clock.now_ms())
            ((sequence,),) = (one.sequences for one in result.appended)
            tail = deliver_tail(submission.envelope_id, self.clock.now_ms(), EnvelopeClass.DURABLE, body)
            fresh.append((sequence, tail))
        if offer:
            self.delivery.offer(fresh)
        await self.settle()
        return [sequence for sequence, _ in fresh]

    async def settle(self) -> None:
        """Until nothing is under way."""
        await self.running.drain()
        assert self.failures == []


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with open_memory_store() as store:
        device = RawDevice("https://relay.example", None)  # type: ignore[arg-type]  # it only signs here
        signed = device.manifest()
        await store.accounts.register(Registration(parse_manifest(signed.body), signed, "member"), now_ms=1)
        yield Rig(store, device.device_id)


async def test_fresh_mail_of_a_device_that_is_up_to_date_is_not_read_from_the_store(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
):
    await rig.begin()
    assert rig.outlet.take() == [CaughtUp(0)]
    reads: list[int] = []
    monkeypatch.setattr(rig.store.mailboxes, "read", reads.append)
    await rig.append(b"a", b"b")
    await rig.append(b"c")
    assert rig.outlet.take() == [1, 2, 3]
    assert reads == []


async def test_caught_up_comes_with_the_last_ack_of_the_backlog_once(rig: Rig):
    await rig.append(b"a", b"b", offer=False)
    await rig.begin()
    assert rig.outlet.take() == [1, 2]
    await rig.append(b"c")
    rig.delivery.ack(1)
    assert rig.outlet.take() == [3]
    rig.delivery.ack(1, (2,))
    assert rig.outlet.take() == [CaughtUp(2)]
    rig.delivery.ack(3)
    await rig.settle()
    assert rig.outlet.take() == []
    assert (await rig.store.mailboxes.state(rig.device_id)).envelopes == 0


async def test_what_is_offered_out_of_order_or_twice_is_delivered_in_order_and_once(rig: Rig):
    await rig.begin()
    tails = [deliver_tail(bytes(16), 0, EnvelopeClass.DURABLE, bytes((number,))) for number in range(1, 5)]
    await rig.append(*(bytes((number,)) for number in range(1, 5)), offer=False)
    rig.outlet.take()
    rig.delivery.offer([(2, tails[1])])
    await rig.settle()
    rig.delivery.offer([(1, tails[0])])
    rig.delivery.offer([(3, tails[2]), (4, tails[3])])
    await rig.settle()
    assert rig.outlet.take() == [1, 2, 3, 4]


async def test_mail_that_was_committed_elsewhere_comes_when_told_to_look(rig: Rig):
    await rig.begin()
    rig.outlet.take()
    await rig.append(b"a", offer=False)
    rig.delivery.look()
    await rig.settle()
    assert rig.outlet.take() == [1]
    rig.delivery.look()
    await rig.settle()
    await rig.append(b"b")
    assert rig.outlet.take() == [2]


async def test_an_ack_above_what_was_delivered_is_refused_and_changes_nothing(rig: Rig):
    await rig.begin()
    await rig.append(b"a")
    for up_to, also in ((2, ()), (0, (2,)), (1, (limits.MAX_SEQUENCE,))):
        with pytest.raises(SequenceAhead):
            rig.delivery.ack(up_to, also)
    await rig.settle()
    assert (await rig.store.mailboxes.state(rig.device_id)).envelopes == 1
    with pytest.raises(SequenceAhead):
        await rig.connect().begin(2)


async def test_the_window_by_number_and_by_bytes(rig: Rig):
    await rig.begin()
    rig.outlet.take()
    await rig.append(*[b"x"] * (limits.WINDOW_ENVELOPES + 1))
    assert len(rig.outlet.take()) == limits.WINDOW_ENVELOPES
    rig.delivery.ack(limits.WINDOW_ENVELOPES)
    await rig.settle()
    assert rig.outlet.take() == [limits.WINDOW_ENVELOPES + 1]
    rig.delivery.ack(limits.WINDOW_ENVELOPES + 1)
    big = bytes(limits.MAX_ENVELOPE_BYTES)
    await rig.append(*[big] * 20)
    assert len(rig.outlet.take()) == limits.WINDOW_BYTES // limits.MAX_ENVELOPE_BYTES - 1
    rig.delivery.ack(limits.WINDOW_ENVELOPES + 16)
    await rig.settle()
    assert len(rig.outlet.take()) == 5


async def test_f8_a_peer_that_does_not_read_gets_no_more_than_may_be_held(rig: Rig):
    await rig.begin()
    rig.outlet.take()
    rig.outlet.unread = limits.MAX_UNREAD_BYTES - 10
    await rig.append(b"a")
    rig.delivery.offer_ephemeral(b"\xc4\x00")
    assert rig.outlet.take() == []
    rig.outlet.unread = 0
    rig.delivery.has_read()
    await rig.settle()
    assert rig.outlet.take() == [1]


async def test_ephemeral_envelopes_are_dropped_first(rig: Rig):
    tail = deliver_tail(bytes(16), 0, EnvelopeClass.EPHEMERAL, b"typing")
    await rig.begin()
    rig.outlet.take()
    rig.delivery.offer_ephemeral(tail)
    assert rig.outlet.take() == [0]
    rig.outlet.unread = EPHEMERAL_UNREAD_BYTES
    rig.delivery.offer_ephemeral(tail)
    await rig.append(b"a")
    assert rig.outlet.take() == [1]


async def test_what_is_not_acknowledged_within_a_minute_comes_again_from_the_lowest_on(rig: Rig):
    await rig.begin()
    await rig.append(b"a", b"b", b"c")
    assert rig.outlet.take() == [CaughtUp(0), 1, 2, 3]
    rig.delivery.ack(0, (2,))
    await rig.clock.advance(seconds=limits.REDELIVERY_SECONDS - 1)
    assert rig.outlet.take() == []
    await rig.clock.advance(seconds=1)
    await rig.settle()
    assert rig.outlet.take() == [1, 3]
    rig.delivery.ack(3)
    await rig.append(b"d")
    assert rig.outlet.take() == [4]


@pytest.mark.proves("M-DELIV-11")
async def test_what_is_not_acknowledged_comes_on_the_next_connection_and_again_after_a_minute_on_that(
    rig: Rig,
):
    await rig.begin()
    await rig.append(b"a", b"b")
    rig.delivery.ack(1)
    await rig.settle()
    rig.delivery.stop()
    rig.connect()
    await rig.begin(after=1)
    assert rig.outlet.take() == [2]
    for _ in range(2):
        await rig.clock.advance(seconds=limits.REDELIVERY_SECONDS)
        await rig.settle()
        assert rig.outlet.take() == [2]


async def test_an_ack_that_crosses_the_redelivery_is_not_out_of_bounds(rig: Rig):
    await rig.begin()
    await rig.append(*[b"x"] * 5)
    await rig.clock.advance(seconds=limits.REDELIVERY_SECONDS)
    rig.delivery.ack(5)
    await rig.settle()
    rig.outlet.take()
    await rig.append(b"next")
    assert rig.outlet.take() == [6]
    assert (await rig.store.mailboxes.state(rig.device_id)).lowest == 6


async def test_a_peer_that_has_not_read_the_first_time_gets_no_second_copy(rig: Rig):
    await rig.begin()
    await rig.append(b"a")
    rig.outlet.take()
    rig.outlet.unread = 100
    await rig.clock.advance(seconds=limits.REDELIVERY_SECONDS)
    assert rig.outlet.take() == []
    rig.outlet.unread = 0
    await rig.clock.advance(seconds=1)
    await rig.settle()
    assert rig.outlet.take() == [1]


async def test_the_lowest_is_quarantined_after_five_redeliveries_and_the_others_go_on(rig: Rig):
    await rig.begin()
    await rig.append(b"poison", b"good")
    assert rig.outlet.take() == [CaughtUp(0), 1, 2]
    for _ in range(limits.MAX_DELIVERY_ATTEMPTS):
        await rig.clock.advance(seconds=limits.REDELIVERY_SECONDS)
        await rig.settle()
        assert rig.outlet.take() == [1, 2]
    await rig.clock.advance(seconds=limits.REDELIVERY_SECONDS)
    await rig.settle()
    assert rig.outlet.take() == [Notice(NoticeKind.QUARANTINED, (1,)), 2]
    rig.delivery.ack(2)
    await rig.settle()
    kept = await rig.store.mailboxes.quarantined(rig.device_id)
    assert [one.sequence for one in kept] == [1]
    rig.delivery.ack(2, (1,))
    await rig.settle()
    assert await rig.store.mailboxes.quarantined(rig.device_id) == ()


async def test_missed_stands_in_its_place_and_is_acknowledged_like_an_envelope(rig: Rig):
    await rig.append(b"a", offer=False)
    await rig.append(b"b", b"c", ttl_seconds=60, offer=False)
    await rig.append(b"d", offer=False)
    rig.clock.jump(seconds=61)
    await rig.begin()
    assert rig.outlet.take() == [1, Missed(2, 3, MissedReason.EXPIRED), 4]
    rig.delivery.ack(1)
    rig.delivery.ack(3)
    assert rig.outlet.take() == []
    rig.delivery.ack(4)
    assert rig.outlet.take() == [CaughtUp(4)]


async def test_a_gap_after_a_restore_is_told(rig: Rig):
    await rig.begin()
    await rig.append(b"a")
    await rig.store.mailboxes.begin_epoch()
    rig.connect()
    await rig.begin(1)
    notice, missed = rig.outlet.take()
    assert notice == Notice(NoticeKind.RESTORED, ())
    assert isinstance(missed, Missed)
    assert missed.reason is MissedReason.RESTORED
    rig.delivery.ack(missed.to_sequence)
    assert rig.outlet.take() == [CaughtUp(missed.to_sequence)]
    (sequence,) = await rig.append(b"b")
    assert sequence == missed.to_sequence + 1
    assert rig.outlet.take() == [sequence]


async def test_after_stop_nothing_goes_out_and_nothing_is_armed(rig: Rig):
    await rig.begin()
    await rig.append(b"a")
    rig.outlet.take()
    rig.delivery.stop()
    await rig.append(b"b")
    rig.delivery.offer_ephemeral(b"\xc4\x00")
    assert rig.outlet.take() == []
    assert rig.clock.waiting() == 0


async def test_a_store_that_fails_ends_the_connection(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    async def unavailable(*_: object, **__: object) -> None:
        raise Unavailable

    await rig.begin()
    await rig.append(b"a")
    monkeypatch.setattr(rig.store.mailboxes, "ack", unavailable)
    rig.delivery.ack(1)
    await rig.settle()
    assert rig.outlet.codes == ["unavailable"]


async def test_acks_that_come_while_one_is_written_are_joined(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    gate = asyncio.Event()
    calls: list[tuple[int, tuple[int, ...]]] = []
    ack: Callable[..., object] = rig.store.mailboxes.ack

    async def slow(device_id: bytes, *, up_to: int, also: tuple[int, ...] = ()) -> None:
        calls.append((up_to, tuple(also)))
        await gate.wait()
        await ack(device_id, up_to=up_to, also=also)  # type: ignore[misc]

    await rig.begin()
    await rig.append(*[b"x"] * 6)
    monkeypatch.setattr(rig.store.mailboxes, "ack", slow)
    rig.delivery.ack(1)
    await asyncio.sleep(0)
    rig.delivery.ack(2, (5,))
    rig.delivery.ack(3, (6,))
    gate.set()
    await rig.settle()
    assert calls == [(1, ()), (3, (5, 6))]
    assert (await rig.store.mailboxes.state(rig.device_id)).envelopes == 1


async def test_mail_that_is_offered_before_the_beginning_does_not_bring_back_what_the_client_has(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
):
    await rig.append(b"1", b"2", offer=False)
    state_of, arrived = rig.store.mailboxes.state, asyncio.Event()

    async def slow_state(device_id: bytes) -> MailboxState:
        state = await state_of(device_id)
        await arrived.wait()
        return state

    monkeypatch.setattr(rig.store.mailboxes, "state", slow_state)
    beginning = asyncio.create_task(rig.delivery.begin(2))
    await rig.append(b"3")
    arrived.set()
    await beginning
    await rig.settle()
    assert [frame for frame in rig.outlet.take() if isinstance(frame, int)] == [3]
