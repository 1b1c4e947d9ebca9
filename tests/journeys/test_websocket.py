"""Envelopes over the WebSocket, on a real relay."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from relay.services.mailbox import Mailboxes
from relay.wire import limits
from relay.wire.frames import (
    Accepted,
    Ack,
    CaughtUp,
    Deliver,
    EnvelopeClass,
    Grant,
    ManifestVersion,
    Outcome,
    Refused,
    Resume,
    Submit,
    Target,
)
from tests.raw_device import RawDevice
from tests.raw_socket import anonymous, authenticated, caught_up, resumed, stored, submit_to
from tests.running_relay import World, open_world

TOKEN = bytes(range(16))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


@pytest.fixture
async def reader(world: World) -> RawDevice:
    """A registered device that TOKEN reaches."""
    device = await world.member()
    assert (await device.add_token(TOKEN)).status == 204
    return device


async def test_an_envelope_is_committed_accepted_delivered_and_gone_after_its_ack(
    world: World, reader: RawDevice
):
    async with anonymous(reader) as sender, resumed(reader) as receiver:
        assert await receiver.expect(CaughtUp) == CaughtUp(0)
        submit = submit_to(reader, TOKEN, b"hello", request_id=7)
        await stored(sender, submit)
        delivered = await receiver.expect(Deliver)
        assert (delivered.sequence, delivered.envelope_id, delivered.ciphertext) == (
            1,
            submit.envelope_id,
            b"hello",
        )
        assert delivered.envelope_class is EnvelopeClass.DURABLE
        assert abs(delivered.received_at_ms - world.clock.now_ms()) < 60_000
        await receiver.send(Ack(1))
        await stored(receiver, submit_to(reader, b""))  # what was sent before has been read
        await receiver.expect(Deliver)
        await world.relay.services.running.drain()
        assert (await world.relay.services.store.mailboxes.state(reader.device_id)).lowest == 2
    async with resumed(reader, 2) as receiver:
        assert await receiver.expect(CaughtUp) == CaughtUp(2)


async def test_what_came_while_away_is_delivered_in_order_and_then_caught_up(reader: RawDevice):
    bodies = [number.to_bytes(2, "big") for number in range(600)]
    async with anonymous(reader) as sender:
        await stored(sender, *(submit_to(reader, TOKEN, body) for body in bodies))
    async with resumed(reader) as receiver:
        got: list[bytes] = []
        while not isinstance(frame := await receiver.next(), CaughtUp):
            assert isinstance(frame, Deliver)
            got.append(frame.ciphertext)
            assert frame.sequence == len(got)
            await receiver.send(Ack(frame.sequence))
        assert frame == CaughtUp(600)
        assert got == bodies


async def test_at_most_a_window_is_unacknowledged(reader: RawDevice):
    async with anonymous(reader) as sender, resumed(reader) as receiver:
        await receiver.expect(CaughtUp)
        await stored(sender, *(submit_to(reader, TOKEN) for _ in range(limits.WINDOW_ENVELOPES + 40)))
        await receiver.deliveries(limits.WINDOW_ENVELOPES)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await receiver.next()
        await receiver.send(Ack(limits.WINDOW_ENVELOPES))
        rest = await receiver.deliveries(40)
        assert rest[-1].sequence == limits.WINDOW_ENVELOPES + 40


async def test_what_was_not_acknowledged_comes_again_on_the_next_connection(reader: RawDevice):
    async with anonymous(reader) as sender, resumed(reader) as receiver:
        await receiver.expect(CaughtUp)
        await stored(sender, *(submit_to(reader, TOKEN, bytes((number,))) for number in range(5)))
        await receiver.deliveries(5)
        await receiver.send(Ack(1, (3,)))
        await receiver.send(Ack(1))
    async with resumed(reader, 1) as receiver:
        again = await receiver.deliveries(3)
        assert [frame.sequence for frame in again] == [2, 4, 5]
        assert [frame.ciphertext for frame in again] == [b"\x01", b"\x03", b"\x04"]


async def test_c7_a_wrong_token_and_an_unknown_account_get_the_same_answer(world: World, reader: RawDevice):
    nobody = world.device()
    async with anonymous(reader) as sender:
        await sender.send(submit_to(reader, bytes(16)), submit_to(nobody, TOKEN), submit_to(reader, b""))
        for _ in range(3):
            assert await sender.expect(Accepted) == Accepted(1, (Outcome.NOT_ALLOWED,))
    async with resumed(reader) as receiver:
        assert await receiver.expect(CaughtUp) == CaughtUp(0)


async def test_c7_a_token_opens_nothing_after_its_time(world: World, reader: RawDevice):
    short = os.urandom(16)
    assert (await reader.add_token(short, expires_at_ms=world.clock.now_ms() + 60_000)).status == 204
    async with anonymous(reader) as sender:
        await stored(sender, submit_to(reader, TOKEN), submit_to(reader, short))
        world.clock.jump(seconds=61)
        await sender.send(submit_to(reader, short))
        assert (await sender.expect(Accepted)).outcomes == (Outcome.NOT_ALLOWED,)
        await stored(sender, submit_to(reader, TOKEN))


async def test_a_fan_out_tells_each_device_and_who_is_behind(world: World, reader: RawDevice):
    other = await world.member()
    assert (await other.add_token(TOKEN)).status == 204
    async with anonymous(reader) as sender, resumed(reader) as one, resumed(other) as two:
        await one.expect(CaughtUp)
        await two.expect(CaughtUp)
        submit = Submit(
            9,
            os.urandom(16),
            EnvelopeClass.DURABLE,
            False,
            60,
            (b"shared", b"own"),
            (
                Target(reader.device_id, 0, 0),
                Target(other.device_id, 0, 1),
                Target(os.urandom(16), 1, 1),
                Target(os.urandom(16), 0, 2),
            ),
            (
                Grant(reader.account_id, TOKEN, 0),
                Grant(other.account_id, TOKEN, 1),
                Grant(os.urandom(32), TOKEN, 0),
            ),
        )
        await sender.send(submit)
        assert await sender.expect(Accepted) == Accepted(
            9,
            (Outcome.STORED, Outcome.STORED, Outcome.UNKNOWN_DEVICE, Outcome.NOT_ALLOWED),
            (ManifestVersion(reader.account_id, 1),),
        )
        assert (await one.expect(Deliver)).ciphertext == b"shared"
        assert (await two.expect(Deliver)).ciphertext == b"shared"


async def test_f11_the_same_submit_a_hundred_times_is_one_envelope(reader: RawDevice):
    submit = submit_to(reader, TOKEN, b"once", envelope_id=bytes(16))
    changed = submit_to(reader, TOKEN, b"twice", envelope_id=bytes(16))
    async with anonymous(reader) as sender, anonymous(reader) as other:
        for _ in range(50):
            await sender.send(submit)
            await other.send(submit)
        for _ in range(50):
            assert (await sender.expect(Accepted)).outcomes == (Outcome.STORED,)
            assert (await other.expect(Accepted)).outcomes == (Outcome.STORED,)
        await sender.send(changed)
        assert (await sender.expect(Accepted)).outcomes == (Outcome.CONFLICT,)
    async with resumed(reader) as receiver:
        assert await caught_up(receiver) == 1


async def test_ephemeral_envelopes_reach_who_is_connected_and_are_not_kept(reader: RawDevice):
    ephemeral = submit_to(reader, TOKEN, b"typing", envelope_class=EnvelopeClass.EPHEMERAL)
    async with anonymous(reader) as sender:
        await sender.send(ephemeral)
        assert (await sender.expect(Accepted)).outcomes == (Outcome.RELAYED,)
        async with resumed(reader) as receiver:
            assert await receiver.expect(CaughtUp) == CaughtUp(0)
            await sender.send(ephemeral)
            assert (await sender.expect(Accepted)).outcomes == (Outcome.RELAYED,)
            delivered = await receiver.expect(Deliver)
            assert (delivered.sequence, delivered.ciphertext) == (0, b"typing")
            assert delivered.envelope_class is EnvelopeClass.EPHEMERAL


async def test_an_authenticated_connection_writes_to_its_own_devices_alone(world: World, reader: RawDevice):
    other = await world.member()
    assert (await other.add_token(TOKEN)).status == 204
    async with authenticated(reader) as socket:
        await stored(socket, submit_to(reader, b""))
        await socket.send(submit_to(other, TOKEN, request_id=5), submit_to(reader, TOKEN, request_id=6))
        assert await socket.expect(Refused) == Refused(5, "not_allowed", 0)
        assert await socket.expect(Refused) == Refused(6, "not_allowed", 0)
        await stored(socket, submit_to(reader, b""))


async def test_without_resume_nothing_is_delivered(reader: RawDevice):
    async with anonymous(reader) as sender, authenticated(reader) as socket:
        await stored(sender, submit_to(reader, TOKEN, b"later"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await socket.next()
        await socket.send(Resume(0))
        assert (await socket.expect(Deliver)).ciphertext == b"later"


async def test_the_newest_connection_has_the_mailbox(reader: RawDevice):
    async with anonymous(reader) as sender, resumed(reader) as older:
        await older.expect(CaughtUp)
        async with resumed(reader) as newer:
            await newer.expect(CaughtUp)
            assert await older.refused() == ("replaced", 4001)
            await stored(sender, submit_to(reader, TOKEN, b"for the newer"))
            assert (await newer.expect(Deliver)).ciphertext == b"for the newer"


async def test_what_is_ready_together_goes_out_together(reader: RawDevice):
    async with anonymous(reader) as sender, resumed(reader) as receiver:
        await receiver.expect(CaughtUp)
        sent, got = sender.messages, receiver.messages
        await stored(sender, *(submit_to(reader, TOKEN) for _ in range(64)))
        await receiver.deliveries(64)
        assert sender.messages - sent == 1
        assert receiver.messages - got == 1


async def test_a_defect_in_the_middle_of_a_connection_closes_it_as_internal_and_is_logged(
    world: World, reader: RawDevice, monkeypatch: pytest.MonkeyPatch
):
    def broken(*_: object) -> None:
        raise ValueError("a bug")

    async with anonymous(reader) as sender:
        monkeypatch.setattr(Mailboxes, "authorise", broken)
        await sender.send(submit_to(reader, TOKEN, b"hello"))
        assert await sender.refused() == ("internal", 1011)
    assert '"event":"bug"' in world.relay.log.getvalue()
