"""What a group's log gives away: to whoever asks without its keys, one answer (C5); to a thief of the disk, no member (C8)."""

import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from relay.adapters.memory.store import open_memory_store
from relay.adapters.memory_bus import open_memory_bus
from relay.adapters.memory_clock import ManualClock
from relay.config import LimitSettings
from relay.ports.bus import Announcement
from relay.services import sealed_logs
from relay.services.sealed_logs import SealedLogs
from relay.wire.errors import NotAllowed, RelayError
from relay.wire.frames import Notice, NoticeKind
from relay.wire.links import encode_bytes
from relay.wire.log_resources import GroupLogAppendRequest, GroupLogRequest
from tests.contract.people import NOW_MS
from tests.hostile.leak_scanner import LeakScanner
from tests.hostile.relay_files import (
    IDENTITY_TABLES,
    copy_relay_files,
    find_sender,
    find_text,
    rows_of,
    table_names,
)
from tests.raw_device import told
from tests.raw_socket import authenticated
from tests.running_relay import open_world
from tests.sealed_logs import RawGroupLog
from tests.unit.test_relay_reach import Counting


@dataclass
class Scene:
    """The service over a store that counts, with one log in it; `verified` notes each signature that was looked at."""

    logs: SealedLogs
    store: Counting
    bus: list[Announcement]
    verified: list[bytes | None]
    log: RawGroupLog

    async def refusal(self, work: object) -> tuple[str, str, list[str], int]:
        """Code and words of a refusal, the store's calls and the signatures that were looked at on the way to it."""
        self.store.calls.clear()
        self.verified.clear()
        with pytest.raises(RelayError) as refused:
            await work  # type: ignore[misc]
        return refused.value.code, str(refused.value), list(self.store.calls), len(self.verified)


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    verified: list[bytes | None] = []
    verify_as = sealed_logs.verify_as

    def noted(key: bytes | None, message: bytes, signature: bytes) -> None:
        verified.append(key)
        verify_as(key, message, signature)

    monkeypatch.setattr(sealed_logs, "verify_as", noted)
    async with open_memory_store() as store, open_memory_bus() as bus:
        published: list[Announcement] = []
        monkeypatch.setattr(bus, "publish", published.append)
        groups = Counting(store.group_logs)
        settings = LimitSettings.model_validate({})
        service = SealedLogs(
            store.account_logs, groups, bus=bus, clock=ManualClock(NOW_MS), settings=settings
        )
        log = RawGroupLog()
        await service.create_group(GroupLogRequest.model_validate(log.creation()))
        yield Scene(service, groups, published, verified, log)


def appending(log: RawGroupLog, index: int = 1) -> GroupLogAppendRequest:
    return GroupLogAppendRequest.model_validate(log.signed(index, b"one"))


async def test_c5_no_such_log_a_wrong_signature_and_an_old_key_take_the_same_steps(scene: Scene):
    log, unknown = scene.log, RawGroupLog()
    stranger = RawGroupLog(log_id=log.log_id)
    refusals = [
        await scene.refusal(scene.logs.append_group(unknown.log_id, appending(unknown))),
        await scene.refusal(scene.logs.append_group(log.log_id, appending(stranger))),
        await scene.refusal(scene.logs.append_group(log.log_id, appending(stranger, index=0))),
        await scene.refusal(scene.logs.append_group(log.log_id, appending(stranger, index=2**53))),
    ]
    assert refusals == [(NotAllowed.code, NotAllowed.detail, ["write_key"], 1)] * 4
    assert (await scene.logs.append_group(log.log_id, appending(log))).is_new
    changed = GroupLogAppendRequest.model_validate(log.signed(2, b"cut", stranger))
    await scene.logs.append_group(log.log_id, changed)
    assert await scene.refusal(scene.logs.append_group(log.log_id, appending(log, index=3))) == refusals[0]


async def test_c5_no_such_log_a_wrong_token_and_none_take_the_same_steps(scene: Scene):
    log = scene.log
    refusals = [
        await scene.refusal(scene.logs.read_group(os.urandom(32), log.token, 0)),
        await scene.refusal(scene.logs.read_group(os.urandom(32), None, 0)),
        await scene.refusal(scene.logs.read_group(log.log_id, os.urandom(32), 0)),
        await scene.refusal(scene.logs.read_group(log.log_id, None, 0)),
        await scene.refusal(scene.logs.read_group(log.log_id, os.urandom(32), 2**53)),
    ]
    assert refusals == [(NotAllowed.code, NotAllowed.detail, ["read_token_hash"], 0)] * 5
    assert (await scene.logs.read_group(log.log_id, log.token, 0)).next_index == 1


async def test_c8_nothing_about_a_group_log_is_announced(scene: Scene):
    await scene.logs.append_group(scene.log.log_id, appending(scene.log))
    await scene.logs.read_group(scene.log.log_id, scene.log.token, 0)
    assert scene.bus == []


async def test_c5_over_http_the_answers_are_the_same_but_for_the_request_id():
    async with open_world() as world:
        log, unknown = RawGroupLog(world), RawGroupLog(world)
        assert (await log.create(await world.member())).status == 201
        stranger = RawGroupLog(world, log.log_id)
        answers = [
            await unknown.append(1, b"one"),
            await stranger.append(1, b"one"),
            await unknown.read(),
            await stranger.read(),
        ]
    bodies = [{name: value for name, value in one.json.items() if name != "request_id"} for one in answers]
    headers = [
        {name: value for name, value in one.headers.items() if name not in ("Date", "TokenIM-Request-Id")}
        for one in answers
    ]
    assert {one.status for one in answers} == {403}
    assert bodies == [bodies[0]] * 4
    assert headers == [headers[0]] * 4


async def test_c8_c2_no_row_and_no_file_ties_a_device_to_a_group_log(tmp_path: Path):
    folder = tmp_path / "data"
    async with open_world(store="sqlite", folder=folder, log_level="debug") as world:
        device, reader = await world.member(), await world.member()
        log = RawGroupLog(world)
        following = RawGroupLog(world, log.log_id)
        async with authenticated(device) as socket, authenticated(reader) as other:
            assert (await log.create(device, b"first entry, opaque to the relay")).status == 201
            assert (await log.append(1, b"cut", following=following)).status == 200
            assert (await following.read()).status == 200
            assert (await log.read()).status == 403
            for one, connection in ((device, socket), (reader, other)):
                renewed = one.manifest(2, one.made[-1].body)
                await one.call("POST", "/v1/accounts/self/manifests", {"manifest": told(renewed)})
                # The first that it hears: of the log it has heard nothing.
                assert await connection.expect(Notice) == Notice(NoticeKind.MANIFEST_CHANGED, (2,))
        files = copy_relay_files(folder, tmp_path / "copy")
        printed = world.relay.log.getvalue().encode()
    people = LeakScanner({"account": device.account_id, "device": device.device_id})
    capabilities = {"log id": log.log_id, "write key": bytes(log.key.verify_key)}
    secrets = LeakScanner(
        {
            "token": log.token,
            "next token": following.token,
            "seed": bytes(log.key),
            "next seed": bytes(following.key),
        }
    )
    assert find_sender(files, people, IDENTITY_TABLES) == []
    assert {hit.needle for hit in find_sender(files, people, ())} == {"account", "device"}
    assert find_text(files, secrets) == []
    both = LeakScanner({**capabilities, "account": device.account_id, "device": device.device_id})
    assert both.scan(printed, "log") == []
    (database,) = files.databases()
    others = set(table_names(database)) - IDENTITY_TABLES
    found = {hit.needle for where, data in rows_of(database, others) for hit in both.scan(data, where)}
    assert found == {"account", "device"}, "a table of identities names a group log"
    found = {
        hit.needle for where, data in rows_of(database, IDENTITY_TABLES) for hit in both.scan(data, where)
    }
    assert found == {"log id", "write key"}


async def test_c8_the_nonce_of_a_creation_says_no_time_that_its_log_could_be_found_by():
    async with open_world(store="memory") as world:
        made = await RawGroupLog(world).create(await world.member())
        image = world.relay.services.store._gate.image  # type: ignore[attr-defined]
        ends = list(image.nonces.values())
    assert len(ends) == 1
    assert ends[0] % 60_000 == 0
    assert 180_000 <= ends[0] - made.json["at_ms"] <= 241_000


async def test_d8_what_is_refused_is_in_no_log_and_no_answer():
    canaries = {"token": os.urandom(32), "entry": os.urandom(32), "signature": os.urandom(64)}
    async with open_world(store="sqlite", log_level="debug") as world:
        log = RawGroupLog(world, token=canaries["token"])
        canaries["log id"] = log.log_id
        canaries["token hash"] = hashlib.sha256(log.token).digest()
        body = {
            **log.signed(1, canaries["entry"]),
            "signature": encode_bytes(canaries["signature"]),
            "next_read_token_hash": encode_bytes(canaries["token hash"]),
        }
        refused = [await log.read(), await log.post(body), await log.post({**body, "index": -1})]
        assert [one.status for one in refused] == [403, 403, 400]
        printed = world.relay.log.getvalue().encode()
    outside = printed + b"".join(one.body + str(dict(one.headers)).encode() for one in refused)
    assert LeakScanner(canaries).scan(outside, "logs and errors") == []
