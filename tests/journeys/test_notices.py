"""What the relay tells a connection unasked: full mailboxes, new manifests, revocation, shutdown."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from relay.wire.frames import Accepted, Ack, CaughtUp, Deliver, Notice, NoticeKind, Outcome, Refused
from relay.wire.prekeys import PrekeyKind
from tests.raw_device import RawDevice, told
from tests.raw_socket import anonymous, authenticated, open_socket, resumed, stored, submit_to
from tests.running_relay import World, open_world

TOKEN = bytes(range(16))
LIMITS = {"mailbox_envelopes": 10}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world(limits=LIMITS) as opened:
        yield opened


@pytest.fixture
async def reader(world: World) -> RawDevice:
    device = await world.member()
    assert (await device.add_token(TOKEN)).status == 204
    return device


async def test_a_mailbox_that_fills_up_is_told_to_both_sides(reader: RawDevice):
    async with anonymous(reader) as sender, authenticated(reader) as owner:
        await stored(sender, *(submit_to(reader, TOKEN, bytes(9)) for _ in range(7)))
        await stored(sender, submit_to(reader, TOKEN, bytes(9)))
        assert await owner.expect(Notice) == Notice(NoticeKind.MAILBOX_NEARLY_FULL, (8, 72))
        await stored(sender, submit_to(reader, TOKEN, bytes(9)), submit_to(reader, TOKEN, bytes(9)))
        refused = submit_to(reader, TOKEN, bytes(9))
        await sender.send(refused)
        assert await sender.expect(Accepted) == Accepted(1, (Outcome.MAILBOX_FULL,))
        assert await owner.expect(Notice) == Notice(NoticeKind.MAILBOX_FULL, (10, 90))
        async with resumed(reader) as receiver:
            await receiver.deliveries(10)
            await receiver.send(Ack(4))
            await stored(receiver, submit_to(reader, b"", bytes(9)))
        await stored(sender, refused)


async def test_a_new_manifest_is_told_to_the_accounts_connections(reader: RawDevice):
    async with authenticated(reader) as socket:
        signed = reader.manifest(2, reader.made[0].body)
        assert (
            await reader.call("POST", "/v1/accounts/self/manifests", {"manifest": told(signed)})
        ).status == 200
        assert await socket.expect(Notice) == Notice(NoticeKind.MANIFEST_CHANGED, (2,))


async def test_d6_a_device_that_is_removed_loses_its_connection_at_once(world: World, reader: RawDevice):
    second = world.device(of=reader)
    first = reader.manifest(2, reader.made[0].body, [reader.listed(), second.listed()])
    assert (await reader.call("POST", "/v1/accounts/self/manifests", {"manifest": told(first)})).status == 200
    async with resumed(second) as socket, anonymous(reader) as sender:
        await socket.expect(CaughtUp)
        await stored(sender, submit_to(second, TOKEN, b"before", manifest_version=2))
        await socket.expect(Deliver)
        without = reader.manifest(3, first.body)
        assert (
            await reader.call("POST", "/v1/accounts/self/manifests", {"manifest": told(without)})
        ).status == 200
        frames = [await socket.next(), await socket.next()]
        assert Notice(NoticeKind.DEVICE_REVOKED, (second.device_id,)) in frames
        while not isinstance(frames[-1], Refused):
            frames.append(await socket.next())
        assert frames[-1] == Refused(0, "device_revoked", 0)
        assert await socket.closed() == 4004
        await sender.send(submit_to(second, TOKEN, b"after", manifest_version=3))
        assert (await sender.expect(Accepted)).outcomes == (Outcome.UNKNOWN_DEVICE,)


async def test_few_one_time_keys_left_are_told(world: World, reader: RawDevice):
    asker = await world.member()
    keys = reader.stock(one_time=26)
    assert (await reader.call("POST", "/v1/prekeys", {"keys": keys})).status == 200
    async with authenticated(reader) as socket:
        claimed = await asker.call(
            "POST",
            f"/v1/accounts/{reader.account}/bundles",
            {"token": "AAECAwQFBgcICQoLDA0ODw"},
        )
        assert claimed.status == 200, claimed.body
        notices = [await socket.expect(Notice), await socket.expect(Notice)]
        assert {(one.kind, one.data) for one in notices} == {
            (NoticeKind.PREKEYS_LOW, (PrekeyKind.KEM, 25)),
            (NoticeKind.PREKEYS_LOW, (PrekeyKind.ONE_TIME, 25)),
        }


async def test_f23_a_relay_that_goes_down_answers_what_it_took_and_says_goodbye():
    async with open_world() as world:
        reader = await world.member()
        assert (await reader.add_token(TOKEN)).status == 204
        async with anonymous(reader) as sender, resumed(reader) as receiver:
            await receiver.expect(CaughtUp)
            await sender.send(*(submit_to(reader, TOKEN, request_id=number) for number in range(50)))
            await sender.next()
            stopping = asyncio.create_task(world.relay.services.connections.stop())
            answered = 1
            while isinstance(frame := await sender.next(), Accepted):
                answered += frame.outcomes == (Outcome.STORED,)
            assert answered == 50
            assert frame == Notice(NoticeKind.SHUTTING_DOWN)
            assert await sender.closed() == 1012
            await receiver.deliveries(50)
            assert await receiver.expect(Notice) == Notice(NoticeKind.SHUTTING_DOWN)
            assert await receiver.closed() == 1012
            await stopping
        async with open_socket(reader.session, reader.origin) as late:
            assert await late.closed() == 1012
