"""A relay on SQLite that is being moved: connections stay, reads go on, whoever writes is told to wait, and nothing is lost."""

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

from relay.app import _failing
from relay.services.transparency import HEAD_KEPT_MS
from relay.wire.errors import Unavailable
from relay.wire.frames import Ack, CaughtUp, Refused
from relay.wire.links import encode_bytes
from tests.raw_device import RawDevice, send
from tests.raw_socket import anonymous, over_http, resumed, stored, submit_to
from tests.running_relay import World, open_world

TOKEN = bytes(range(16))
EMPTY_HASH = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world(store="sqlite") as opened:
        yield opened


@pytest.fixture
async def reader(world: World) -> RawDevice:
    device = await world.member()
    assert (await device.add_token(TOKEN)).status == 204
    return device


def begin(world: World) -> Path:
    """From now on it is being moved."""
    mark = world.relay.folder / "moving"
    mark.write_text(f"tokenim-moving-v1 postgres {bytes(16).hex()} copying\n")
    return mark


async def ready(world: World) -> tuple[int, list[str]]:
    answered = await send(world.session, "GET", f"{world.relay.url}/ready")
    return answered.status, answered.json.get("reasons", [])


async def test_an_open_connection_stays_and_goes_on_when_the_move_is_abandoned(
    world: World, reader: RawDevice
) -> None:
    async with anonymous(reader) as sender, resumed(reader) as reading:
        await reading.expect(CaughtUp)
        await stored(sender, submit_to(reader, TOKEN, b"before"))
        (first,) = await reading.deliveries(1)
        mark = begin(world)
        await reading.send(Ack(first.sequence))
        waits = submit_to(reader, TOKEN, b"meanwhile")
        for _ in range(2):
            await sender.send(waits)
            assert await sender.expect(Refused) == Refused(1, "unavailable", 2_000)
        assert await ready(world) == (503, ["store: being moved"])
        mark.unlink()
        await stored(sender, waits)
        (second,) = await reading.deliveries(1)
        assert second.ciphertext == b"meanwhile"
        await reading.send(Ack(second.sequence))
        await emptied(world, reader)
        assert await ready(world) == (200, [])


async def emptied(world: World, reader: RawDevice) -> None:
    """What was acknowledged is gone, the first one too: its acknowledgement came while nothing could be deleted."""
    mailboxes = world.relay.services.store.mailboxes
    async with asyncio.timeout(20):
        for _ in count():
            if not (await mailboxes.state(reader.device_id)).envelopes:
                return
            await asyncio.sleep(0.01)


async def test_mail_that_waits_comes_and_its_acknowledgement_ends_no_connection(
    world: World, reader: RawDevice
) -> None:
    async with anonymous(reader) as sender:
        await stored(sender, *(submit_to(reader, TOKEN, b"waits", request_id=number) for number in (1, 2, 3)))
    begin(world)
    for after in (0, 2):  # who comes back says what it has; nothing of that can be noted
        async with resumed(reader, after) as reading:
            came = await reading.deliveries(3 - after)
            assert [one.sequence for one in came] == list(range(after + 1, 4))
            await reading.send(Ack(3))
            await reading.expect(CaughtUp)


async def test_what_is_signed_is_refused_for_its_nonce_could_not_be_kept_and_good_afterwards(
    world: World, reader: RawDevice
) -> None:
    mark = begin(world)
    target = "/v1/accounts/self/devices"
    headers = {"Authorization": reader.authorization("GET", target, EMPTY_HASH)}
    for refused in (
        await send(world.session, "GET", reader.url(target), headers=headers),
        await reader.call("GET", "/v1/mailbox?after=0&wait_seconds=0"),
        await reader.add_token(bytes(16)),
        await over_http(reader, submit_to(reader, TOKEN)),
    ):
        assert (refused.status, refused.code, refused.headers["Retry-After"]) == (503, "unavailable", "2")
    mark.unlink()
    for status in (200, 401):
        assert (await send(world.session, "GET", reader.url(target), headers=headers)).status == status


async def test_what_takes_no_signature_is_read(world: World, reader: RawDevice) -> None:
    shown = {"TokenIM-Delivery-Token": encode_bytes(TOKEN)}
    targets = (
        f"/v1/accounts/{reader.account}/manifests?from=1",
        "/v1/transparency/head",
    )
    before = [await send(world.session, "GET", reader.url(one), headers=shown) for one in targets]
    begin(world)
    world.clock.let_pass(seconds=HEAD_KEPT_MS / 1_000 + 1)  # a head with a later time could not be noted
    for target, was in zip(targets, before, strict=True):
        answered = await send(world.session, "GET", reader.url(target), headers=shown)
        assert (answered.status, answered.body) == (200, was.body)


async def test_what_fails_for_that_reason_alone_fills_no_log(world: World) -> None:
    begin(world)
    failed = _failing(world.relay.services, "push_failed")
    with pytest.raises(Unavailable) as refused:
        await world.relay.services.store.mailboxes.begin_epoch()
    failed(refused.value)
    failed(Unavailable())
    events = [json.loads(line)["event"] for line in world.relay.log.getvalue().splitlines()]
    assert events.count("push_failed") == 1


async def test_a_device_that_was_not_here_today_gets_in(world: World, reader: RawDevice) -> None:
    world.clock.jump(seconds=86_400)
    begin(world)
    async with resumed(reader) as reading:
        await reading.expect(CaughtUp)
