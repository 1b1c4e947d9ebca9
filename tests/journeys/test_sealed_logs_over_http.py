"""Sealed logs as clients meet them: an account's devices share theirs, a group's writers race, over real sockets."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from relay.wire import limits
from relay.wire.frames import Notice, NoticeKind
from relay.wire.links import encode_bytes
from tests.raw_device import Answered, RawDevice, told
from tests.raw_socket import authenticated
from tests.running_relay import World, open_world
from tests.sealed_logs import RawGroupLog, outcome

RATES = {"device": {"burst": 10**6, "per_second": 10**6}}
DAY_SECONDS = 86_400


@pytest.fixture(params=["memory", "sqlite"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with open_world(store=request.param, rates=RATES) as opened:
        yield opened


async def append(device: RawDevice, index: int, entry: bytes, name: str = "settings") -> Answered:
    return await device.call("POST", f"/v1/logs/{name}", {"index": index, "entry": encode_bytes(entry)})


async def two_devices(world: World) -> tuple[RawDevice, RawDevice]:
    first = await world.member()
    second = world.device(of=first)
    both = first.manifest(2, first.made[-1].body, [first.listed(), second.listed()], signer=first)
    assert (await first.call("POST", "/v1/accounts/self/manifests", {"manifest": told(both)})).status == 200
    first.made.append(both)
    return first, second


async def test_the_devices_of_an_account_share_its_logs(world: World):
    first, second = await two_devices(world)
    empty = await second.call("GET", "/v1/logs/settings?from=0")
    assert (empty.status, empty.json) == (200, {"entries": [], "first_index": 0, "next_index": 0})
    before_ms = world.clock.now_ms()
    answered = await append(first, 0, b"zero")
    assert (answered.status, answered.json["index"]) == (200, 0)
    assert before_ms <= answered.json["at_ms"] <= world.clock.now_ms()
    assert (await append(second, 1, b"one")).status == 200
    assert (await append(first, 0, b"zero")).json == answered.json
    assert outcome(await append(first, 1, b"other")) == (409, "conflict")
    assert outcome(await append(first, 3, b"three")) == (409, "conflict")
    log = (await first.call("GET", "/v1/logs/settings?from=1")).json
    assert (log["first_index"], log["next_index"]) == (0, 2)
    assert [(one["index"], one["entry"]) for one in log["entries"]] == [(1, encode_bytes(b"one"))]
    stranger = await world.member()
    assert (await stranger.call("GET", "/v1/logs/settings")).json["next_index"] == 0


async def test_the_other_devices_hear_that_a_log_advanced(world: World):
    first, second = await two_devices(world)
    stranger = await world.member()
    async with (
        authenticated(first) as own,
        authenticated(second) as other,
        authenticated(stranger) as foreign,
    ):
        assert (await append(first, 0, b"zero", "archive")).status == 200
        assert (await append(first, 0, b"zero", "archive")).status == 200  # again: nothing new
        assert (await append(second, 1, b"one", "archive")).status == 200
        assert await other.expect(Notice) == Notice(NoticeKind.LOG_ADVANCED, (b"archive", 1))
        assert await own.expect(Notice) == Notice(NoticeKind.LOG_ADVANCED, (b"archive", 2))
        assert (await append(first, 2, b"two", "archive")).status == 200
        assert await other.expect(Notice) == Notice(NoticeKind.LOG_ADVANCED, (b"archive", 3))
        alone = second.manifest(3, first.made[-1].body, [first.listed(), second.listed()], signer=second)
        answered = await second.call("POST", "/v1/accounts/self/manifests", {"manifest": told(alone)})
        assert answered.status == 200
        assert await own.expect(Notice) == Notice(NoticeKind.MANIFEST_CHANGED, (3,))
        renewed = stranger.manifest(2, stranger.made[-1].body)
        answered = await stranger.call("POST", "/v1/accounts/self/manifests", {"manifest": told(renewed)})
        assert answered.status == 200
        assert await foreign.expect(Notice) == Notice(
            NoticeKind.MANIFEST_CHANGED, (2,)
        )  # and nothing before it


async def test_a_log_is_trimmed_and_read_on(world: World):
    device = await world.member()
    for index in range(120):  # more than one piece
        assert (await append(device, index, b"%d" % index)).status == 200
    assert outcome(await device.call("DELETE", "/v1/logs/settings?before=121")) == (409, "conflict")
    assert (await device.call("DELETE", "/v1/logs/settings?before=118")).status == 204
    log = (await device.call("GET", "/v1/logs/settings?from=0")).json
    assert ([one["index"] for one in log["entries"]], log["first_index"]) == ([118, 119], 118)
    assert (await device.call("DELETE", "/v1/logs/settings?before=118")).status == 204
    assert (await append(device, 120, b"on")).status == 200


async def test_an_answer_is_bounded_and_says_that_more_is_there(world: World):
    device = await world.member()
    for index in range(6):
        assert (await append(device, index, os.urandom(limits.MAX_LOG_ENTRY_BYTES))).status == 200
    first = (await device.call("GET", "/v1/logs/settings")).json
    rest = (await device.call("GET", "/v1/logs/settings?from=4")).json
    assert [[one["index"] for one in page["entries"]] for page in (first, rest)] == [[0, 1, 2, 3], [4, 5]]
    assert first["next_index"] == rest["next_index"] == 6
    large = await append(device, 6, bytes(limits.MAX_LOG_ENTRY_BYTES + 1))
    assert outcome(large) == outcome(await append(device, 6, b"")) == (400, "malformed_request")


@pytest.mark.parametrize("name", ["A", "a1", "a" * 17, "a-b", "%C3%A4"])
async def test_what_is_no_name_of_a_log_is_not_found(world: World, name: str):
    device = await world.member()
    assert outcome(await append(device, 0, b"x", name)) == (404, "not_found")
    assert outcome(await device.call("GET", f"/v1/logs/{name}")) == (404, "not_found")
    assert outcome(await device.call("DELETE", f"/v1/logs/{name}?before=0")) == (404, "not_found")


async def test_quotas_of_an_account_are_told_and_trimming_helps():
    async with open_world(limits={"account_log_bytes": limits.MAX_LOG_ENTRY_BYTES}, rates=RATES) as world:
        device = await world.member()
        assert (await append(device, 0, bytes(200_000))).status == 200
        assert outcome(await append(device, 0, bytes(100_000), "archive")) == (507, "quota_exceeded")
        assert (await device.call("DELETE", "/v1/logs/settings?before=1")).status == 204
        assert (await append(device, 0, bytes(100_000), "archive")).status == 200
        names = [chr(ord("a") + number) for number in range(limits.MAX_ACCOUNT_LOGS - 1)]
        made = [outcome(await append(device, 0, b"x", name)) for name in names]
        assert made == [(200, "")] * (limits.MAX_ACCOUNT_LOGS - 2) + [(507, "quota_exceeded")]


async def test_a_group_log_is_made_read_and_written_by_whoever_holds_its_keys(world: World):
    device = await world.member()
    log = RawGroupLog(world)
    made = await log.create(device)
    assert (made.status, made.json["index"]) == (201, 0)
    assert (await log.create(device)).json == made.json
    first = await log.append(1, b"one")
    assert (first.status, first.json["index"]) == (200, 1)
    assert (await log.append(1, b"one")).json == first.json
    assert (await log.create(await world.member())).json == made.json
    read = (await log.read()).json
    assert (read["first_index"], read["next_index"]) == (0, 2)
    assert read["entries"] == [
        {"index": 0, "entry": encode_bytes(b"zero"), "at_ms": made.json["at_ms"]},
        {"index": 1, "entry": encode_bytes(b"one"), "at_ms": first.json["at_ms"]},
    ]
    assert outcome(await log.create(device, b"other")) == (409, "conflict")


async def test_writers_that_race_are_put_in_an_order_and_none_is_lost(world: World):
    log = RawGroupLog(world)
    assert (await log.create(await world.member())).status == 201

    async def write(number: int) -> None:
        index = 1
        while outcome(await log.append(index, b"%d" % number)) != (200, ""):
            index += 1

    await asyncio.gather(*map(write, range(8)))
    entries = (await log.read(1)).json["entries"]
    assert [one["index"] for one in entries] == list(range(1, 9))
    assert {one["entry"] for one in entries} == {encode_bytes(b"%d" % number) for number in range(8)}


async def test_b5_of_two_cuts_at_once_one_wins_and_its_keys_alone_are_good(world: World):
    log = RawGroupLog(world)
    assert (await log.create(await world.member())).status == 201
    cuts = [RawGroupLog(world, log.log_id) for _ in range(4)]
    answers = await asyncio.gather(*(log.append(1, b"%d" % n, following=cut) for n, cut in enumerate(cuts)))
    assert sorted(map(outcome, answers)) == [(200, ""), *[(409, "conflict")] * 3]
    winner = next(number for number, answered in enumerate(answers) if answered.status == 200)
    again = await log.append(1, b"%d" % winner, following=cuts[winner])
    assert (again.status, again.json) == (200, answers[winner].json)
    reads = [outcome(await cut.read()) for cut in cuts]
    writes = [outcome(await cut.append(2, b"next")) for cut in cuts]
    for outcomes in (reads, writes):
        assert [code for _, code in outcomes].count("not_allowed") == 3
        assert outcomes[winner] == (200, "")


async def test_b5_a_removed_writer_can_neither_append_nor_read_on(world: World):
    old = RawGroupLog(world)
    assert (await old.create(await world.member())).status == 201
    assert (await old.append(1, b"one")).status == 200
    new = RawGroupLog(world, old.log_id)
    assert (await old.append(2, b"cut", following=new)).status == 200

    assert outcome(await old.read()) == outcome(await old.read(1)) == (403, "not_allowed")
    assert outcome(await old.append(3, b"three")) == (403, "not_allowed")
    assert outcome(await old.append(9, b"nine")) == (403, "not_allowed")
    assert outcome(await old.append(3, b"back", following=old)) == (403, "not_allowed")
    assert outcome(await new.with_keys(key=old.key).append(3, b"three")) == (403, "not_allowed")
    assert outcome(await new.with_keys(token=old.token).read()) == (403, "not_allowed")
    assert outcome(await old.append(2, b"fork", following=old)) == (409, "conflict")
    assert [one["index"] for one in (await new.read()).json["entries"]] == [0, 1, 2]
    assert (await new.append(3, b"three")).status == 200


async def test_a_signature_is_for_one_log_one_index_and_one_change_of_keys(world: World):
    device = await world.member()
    log = RawGroupLog(world)
    twin = RawGroupLog(world, key=log.key, token=log.token)
    for each in (log, twin):
        assert (await each.create(device)).status == 201
    body = log.signed(1, b"one", RawGroupLog(world, log.log_id))
    for change in (
        {"index": 2},
        {"entry": encode_bytes(b"other")},
        {"next_write_key": None},
        {"next_read_token_hash": None},
        {"next_read_token_hash": encode_bytes(bytes(32))},
    ):
        assert outcome(await log.post({**body, **change})) == (403, "not_allowed"), change
    assert outcome(await twin.post(body)) == (403, "not_allowed")
    assert (await log.post(body)).status == 200
    assert (await twin.read()).json["next_index"] == 1


async def test_a_write_key_that_is_no_key_is_refused(world: World):
    device, log = await world.member(), RawGroupLog(world)
    for bad in (bytes(32), b"\x01" + bytes(31), b"\xff" * 32):
        refused = await device.call(
            "POST", "/v1/group-logs", {**log.creation(), "write_key": encode_bytes(bad)}
        )
        assert outcome(refused) == (400, "malformed_request")
    assert (await log.create(device)).status == 201
    body = {**log.signed(1, b"one"), "next_write_key": encode_bytes(bytes(32))}
    assert outcome(await log.post(body)) == (400, "malformed_request")


async def test_a_group_log_that_nobody_uses_for_long_is_gone_and_reading_keeps_it():
    idle_days = 10
    async with open_world(
        store="sqlite", limits={"group_log_idle_seconds": idle_days * DAY_SECONDS}
    ) as world:
        device = await world.member()
        read, left = RawGroupLog(world), RawGroupLog(world)
        for log in (read, left):
            assert (await log.create(device)).status == 201
        world.clock.jump(seconds=(idle_days - 1) * DAY_SECONDS)
        assert (await read.read()).status == 200
        world.clock.jump(seconds=3 * DAY_SECONDS)
        assert outcome(await left.read()) == outcome(await left.append(1, b"one")) == (403, "not_allowed")
        assert (await read.append(1, b"one")).status == 200


async def test_e6_group_logs_made_by_one_account_are_limited_and_counted_in_memory_only():
    async with open_world(rates={**RATES, "group_log": {"burst": 2, "per_second": 0.5}}) as world:
        device, other = await world.member(), await world.member()
        made = [await RawGroupLog(world).create(device) for _ in range(3)]
        assert [outcome(answered) for answered in made] == [(201, ""), (201, ""), (429, "rate_limited")]
        assert made[-1].headers["Retry-After"] == "2"
        assert (await RawGroupLog(world).create(other)).status == 201
