"""Link mailboxes and the list of own devices as clients meet them, over real sockets."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from client.account_requests import own_devices
from client.errors import Refused
from client.link_mailbox import LinkSlot, get_link_slot, put_link_slot
from client.system import this_machine
from client.transport import Transport
from relay.wire import limits
from relay.wire.links import encode_bytes, encode_id
from tests.hostile.leak_scanner import LeakScanner
from tests.hostile.relay_files import copy_relay_files, find_text
from tests.journeys.test_client_logs import transport_of
from tests.raw_device import Answered, send, told
from tests.raw_socket import authenticated
from tests.running_relay import World, open_world
from tests.sealed_logs import outcome

DAY_SECONDS = 86_400
OCTETS = {"Content-Type": "application/octet-stream"}


@pytest.fixture(params=["memory", "sqlite"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with open_world(store=request.param) as opened:
        yield opened


async def put(world: World, link_id: bytes, slot: str, data: bytes, **headers: str) -> Answered:
    url = f"{world.relay.url}/v1/links/{encode_id(link_id)}/{slot}"
    return await send(world.session, "PUT", url, data=data, headers={**OCTETS, **headers})


async def get(world: World, link_id: bytes, slot: str, query: str = "") -> Answered:
    return await send(world.session, "GET", f"{world.relay.url}/v1/links/{encode_id(link_id)}/{slot}{query}")


async def test_d5_two_devices_leave_things_for_each_other_for_a_minute(world: World):
    link_id = os.urandom(16)
    async with (
        Transport(world.relay.url, this_machine()) as new,
        Transport(world.relay.url, this_machine()) as manager,
    ):
        with pytest.raises(Refused) as refused:
            await get_link_slot(new, link_id, LinkSlot.ANSWER, wait_seconds=5)
        assert refused.value.reason == "not_found"
        await put_link_slot(new, link_id, LinkSlot.REQUEST, b"request")
        await put_link_slot(new, link_id, LinkSlot.REQUEST, b"request")
        waiting = asyncio.create_task(get_link_slot(new, link_id, LinkSlot.ANSWER, wait_seconds=50))
        assert await get_link_slot(manager, link_id, LinkSlot.REQUEST) == b"request"
        assert await get_link_slot(manager, link_id, LinkSlot.CONFIRMATION) is None
        await put_link_slot(manager, link_id, LinkSlot.ANSWER, b"answer")
        assert await waiting == b"answer"
        with pytest.raises(Refused) as refused:
            await put_link_slot(new, link_id, LinkSlot.ANSWER, b"another answer")
        assert refused.value.reason == "conflict"
        world.clock.let_pass(seconds=limits.LINK_SECONDS)
        with pytest.raises(Refused) as refused:
            await get_link_slot(manager, link_id, LinkSlot.REQUEST)
        assert refused.value.reason == "not_found"


async def test_what_is_no_slot_no_id_and_too_large_is_refused(world: World):
    link_id = os.urandom(16)
    assert outcome(await put(world, link_id, "other", b"x")) == (404, "not_found")
    assert outcome(await put(world, link_id[:15], "request", b"x")) == (404, "not_found")
    assert outcome(await put(world, link_id, "request", bytes(8_193))) == (413, "too_large")
    text = await put(world, link_id, "request", b"x", **{"Content-Type": "text/plain"})
    assert outcome(text) == (415, "unsupported_media")
    assert outcome(await put(world, link_id, "request", b"x")) == (204, "")
    assert outcome(await get(world, link_id, "request", "?wait_seconds=61")) == (400, "malformed_request")
    read = await get(world, link_id, "request")
    assert (read.status, read.body, read.headers["Content-Type"]) == (200, b"x", "application/octet-stream")


async def test_e6_slots_written_from_one_network_are_limited():
    async with open_world(
        rates={"link": {"burst": 2, "per_second": 0.5}}, proxy={"trusted": ["127.0.0.1"]}
    ) as world:
        wrote = [
            await put(world, os.urandom(16), "request", b"x", **{"X-Forwarded-For": address})
            for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3", "198.51.100.1")
        ]
        assert [one.status for one in wrote] == [204, 204, 429, 204]
        # 2 s and 1 ms if all came in one millisecond, else less than 2 s: told in whole seconds, rounded up.
        assert wrote[2].headers["Retry-After"] in ("2", "3")


async def test_d9_nothing_of_a_link_mailbox_is_on_disk_or_in_a_log(tmp_path: Path):
    folder, link_id, data = tmp_path / "data", os.urandom(16), os.urandom(100)
    async with open_world(store="sqlite", folder=folder, log_level="debug") as world:
        assert (await put(world, link_id, "request", data)).status == 204
        assert (await put(world, link_id, "request", data[::-1])).status == 409
        files = copy_relay_files(folder, tmp_path / "copy")
        printed = world.relay.log.getvalue().encode()
    scanner = LeakScanner({"id": link_id, "data": data, "refused": data[::-1]})
    assert find_text(files, scanner) == []
    assert scanner.scan(printed, "log") == []
    assert scanner.scan(printed + encode_bytes(data).encode(), "planted") != []


async def test_own_devices_are_listed_with_the_day_they_were_last_here(world: World):
    first = await world.member()
    second, silent = world.device(of=first), world.device(of=first)
    fields = [one.listed() for one in (first, second, silent)]
    both = first.manifest(2, first.made[-1].body, fields, signer=first)
    assert (await first.call("POST", "/v1/accounts/self/manifests", {"manifest": told(both)})).status == 200
    today = world.clock.now_ms() // (DAY_SECONDS * 1_000)
    async with authenticated(second):
        pass
    world.clock.jump(seconds=3 * DAY_SECONDS)
    await world.member()
    listed = await first.call("GET", "/v1/accounts/self/devices")
    days = {first.device_id: today + 3, second.device_id: today, silent.device_id: 0}
    assert listed.json == {
        "devices": [
            {"device_id": encode_bytes(device_id), "added_at_ms": 0, "seen_day": days[device_id]}
            for device_id in sorted(days)
        ]
    }
    world.clock.jump(seconds=-3 * DAY_SECONDS)  # the client signs with the machine's time
    async with transport_of(first, world) as transport:
        seen = await own_devices(transport)
    now_ms = (today + 10) * DAY_SECONDS * 1_000
    assert {one.device_id: one.silent_days(now_ms) for one in seen} == {
        first.device_id: 7,
        second.device_id: 10,
        silent.device_id: today + 10,
    }


async def test_a_device_that_stays_connected_for_days_is_seen_on_each(world: World):
    first = await world.member()
    async with authenticated(first):
        world.clock.jump(seconds=2 * DAY_SECONDS)
        today = world.clock.now_ms() // (DAY_SECONDS * 1_000)
        services = world.relay.services
        await services.connections.note_present()
        (seen,) = await services.store.accounts.seen_devices(first.account_id)
        assert seen.seen_day == today
