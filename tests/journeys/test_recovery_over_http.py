"""What is left to somebody with the root key alone: the chain, and a next manifest that puts everybody else out."""

import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from client.account_requests import put_signed_manifest, request_recovery
from client.errors import Refused as ClientRefused
from crypto.manifest import SignedManifest
from relay.ports.accounts import AccountStore
from relay.services import recovery
from relay.wire.errors import NotAllowed
from relay.wire.frames import Accepted, CaughtUp, Deliver, Notice, NoticeKind, Outcome, Refused
from relay.wire.links import encode_bytes, encode_id
from relay.wire.manifests import FLAG_MANAGER
from relay.wire.transcripts import recovery_request_transcript
from tests.hostile.relay_files import copy_relay_files
from tests.journeys.test_client_logs import transport_of
from tests.raw_device import JSON, Answered, RawDevice, send, told
from tests.raw_socket import anonymous, resumed, stored, submit_to
from tests.running_relay import World, open_world
from tests.sealed_logs import outcome

TOKEN = bytes(range(16))


@pytest.fixture(params=["memory", "sqlite"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with open_world(store=request.param) as opened:
        yield opened


async def post(world: World, target: str, body: dict[str, Any], **headers: str) -> Answered:
    """A request that no device signs."""
    sent = {**JSON, **headers}
    return await send(
        world.session, "POST", world.relay.url + target, data=json.dumps(body).encode(), headers=sent
    )


def recovering(device: RawDevice, *, origin: str | None = None, **fields: Any) -> dict[str, Any]:
    """The body of a recovery request, signed by the device's account's root key."""
    values = {
        "account_id": device.account_id,
        "time_ms": device.clock_ms,
        "nonce": os.urandom(16),
        **fields,
    }
    signed = recovery_request_transcript(origin=origin or device.origin, **values)
    return {
        "account_id": encode_bytes(values["account_id"]),
        "time_ms": values["time_ms"],
        "nonce": encode_bytes(values["nonce"]),
        "signature": encode_bytes(device.root.sign(signed).signature),
    }


async def put_by_root(world: World, device: RawDevice, signed: Any, **headers: str) -> Answered:
    target = f"/v1/accounts/{encode_id(device.account_id)}/manifests"
    return await post(world, target, {"manifest": told(signed)}, **headers)


async def grown(world: World) -> RawDevice:
    """An account with manifests 1 (by the root key), 2 (root), 3 and 4 (by a manager); all in `made`."""
    first = await world.member()
    for version in (2, 3, 4):
        signer = None if version == 2 else first
        signed = first.manifest(version, first.made[-1].body, signer=signer)
        answered = await first.call("POST", "/v1/accounts/self/manifests", {"manifest": told(signed)})
        assert answered.status == 200
        first.made.append(signed)
    return first


async def test_the_root_key_gets_the_chain_from_the_last_manifest_that_it_signed(world: World):
    device = await grown(world)
    answered = await post(world, "/v1/recovery", recovering(device))
    assert answered.status == 200
    assert answered.json["latest"] == 4
    assert answered.json["manifests"] == [told(signed) for signed in device.made[1:]]
    whole = await post(world, "/v1/recovery?from=1", recovering(device))
    assert whole.json["manifests"] == [told(signed) for signed in device.made]
    last = await post(world, "/v1/recovery?from=4", recovering(device))
    assert last.json["manifests"] == [told(device.made[-1])]


async def test_d7_a_recovery_request_is_good_once_now_at_this_relay_and_for_this_account(world: World):
    device, other = await grown(world), await world.member()
    body = recovering(device)
    assert (await post(world, "/v1/recovery", body)).status == 200
    foreign = {**recovering(device), "account_id": encode_bytes(other.account_id)}
    nonce = os.urandom(16)
    for bad in (
        body,
        foreign,
        recovering(device, time_ms=device.clock_ms - 91_000),
        recovering(device, time_ms=device.clock_ms + 92_000),
        recovering(device, origin="https://other.example"),
        {**recovering(device), "nonce": encode_bytes(nonce)},
        {**recovering(device), "time_ms": device.clock_ms + 5},
    ):
        assert outcome(await post(world, "/v1/recovery", bad)) == (401, "unauthenticated")
    assert (await post(world, "/v1/recovery", recovering(device, nonce=nonce))).status == 200


async def test_a_manifest_of_the_root_key_is_taken_from_nobody_in_particular(world: World):
    device = await grown(world)
    new = world.device(of=device)
    signed = new.manifest(5, device.made[-1].body)
    answered = await put_by_root(world, new, signed)
    assert (answered.status, answered.json["manifest_version"]) == (200, 5)
    assert (await put_by_root(world, new, signed)).json == answered.json
    assert (await new.call("GET", "/v1/accounts/self")).status == 200
    assert outcome(await device.call("GET", "/v1/accounts/self")) == (401, "unauthenticated")
    other = new.manifest(5, device.made[-1].body, [new.listed(FLAG_MANAGER), device.listed()])
    assert outcome(await put_by_root(world, new, other)) == (409, "manifest_conflict")
    old = device.manifest(4, device.made[2].body)
    assert outcome(await put_by_root(world, device, old)) == (409, "manifest_conflict")


async def test_a13_without_a_request_a_manager_s_manifest_is_taken_and_all_others_are_one_answer(
    world: World,
):
    device, unknown = await grown(world), world.device()
    linked = world.device(of=device)
    listed = [device.listed(FLAG_MANAGER), linked.listed(0)]
    await send_on(world, device, device.manifest(5, device.made[-1].body, listed, signer=device))
    assert (await linked.call("GET", "/v1/accounts/self")).status == 200
    before = device.made[-1].body
    good = device.manifest(6, before, listed, signer=device)
    forged = type(good)(good.body, good.signer, bytes(64))
    no_manager = device.manifest(6, before, listed, signer=linked)
    in_no_list = device.manifest(6, before, listed, signer=world.device(of=device))
    of_nobody = unknown.manifest(1, None, signer=unknown)
    for owner, wrong in ((device, forged), (device, no_manager), (device, in_no_list), (unknown, of_nobody)):
        answered = await put_by_root(world, owner, wrong)
        assert outcome(answered) == (403, "not_allowed")
        assert answered.json["detail"] == NotAllowed.detail
    await send_on(world, device, device.manifest(6, before, [linked.listed(FLAG_MANAGER)], signer=device))
    of_removed = device.manifest(7, device.made[-1].body, signer=device)
    assert outcome(await put_by_root(world, device, of_removed)) == (403, "not_allowed")


async def send_on(world: World, device: RawDevice, signed: Any) -> None:
    """The relay takes the account's next manifest."""
    assert (await put_by_root(world, device, signed)).status == 200
    device.made.append(signed)


async def test_a13_a_manifest_of_another_root_key_is_refused(world: World):
    device, thief = await grown(world), world.device()
    good = device.manifest(5, device.made[-1].body)
    forged = type(good)(good.body, b"", thief.root.sign(good.body).signature)
    assert outcome(await put_by_root(world, device, forged)) == (422, "manifest_invalid")
    of_thief = thief.manifest(5, device.made[-1].body)
    assert outcome(await put_by_root(world, device, of_thief)) == (422, "manifest_invalid")
    chain = await device.call("GET", f"/v1/accounts/{device.account}/manifests?from=4")
    assert chain.json["latest"] == 4


async def test_c5_c6_an_account_that_there_is_not_answers_like_one_whose_key_one_lacks(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    device, unknown = await grown(world), world.device()
    steps: list[str] = []
    store: AccountStore = world.relay.services.recovery._accounts

    class Noting:
        def __getattr__(self, name: str) -> Any:
            steps.append(name)
            return getattr(store, name)

    verify_as = recovery.verify_as

    def noted(*arguments: Any) -> None:
        steps.append("verify")
        verify_as(*arguments)

    monkeypatch.setattr(world.relay.services.recovery, "_accounts", Noting())
    monkeypatch.setattr(recovery, "verify_as", noted)
    stranger = {**recovering(unknown), "account_id": encode_bytes(device.account_id)}
    answers = []
    for body in (stranger, recovering(unknown)):
        steps.clear()
        answered = await post(world, "/v1/recovery", body)
        bare = {name: value for name, value in answered.json.items() if name != "request_id"}
        answers.append((answered.status, bare, list(steps)))
    assert answers[0] == answers[1]
    assert answers[0][0] == 401
    assert answers[0][2] == ["manifests", "verify"]

    forged = unknown.manifest(2, b"x")
    wrong = type(forged)(forged.body, b"", bytes(64))
    assert outcome(await put_by_root(world, unknown, wrong)) == (422, "manifest_invalid")
    assert outcome(await put_by_root(world, unknown, forged)) == (403, "not_allowed")


async def test_e6_recoveries_tried_from_one_network_are_limited():
    rates = {"recovery": {"burst": 2, "per_second": 0.5}}
    async with open_world(rates=rates, proxy={"trusted": ["127.0.0.1"]}) as world:
        device = world.device()
        near, far = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "198.51.100.1"}
        answers = [
            await post(world, "/v1/recovery", recovering(device), **near),
            await put_by_root(world, device, device.manifest(2, b"x"), **near),
            await post(world, "/v1/recovery", recovering(device), **near),
            await put_by_root(world, device, device.manifest(2, b"x"), **near),
            await post(world, "/v1/recovery", recovering(device), **far),
        ]
        assert [answered.status for answered in answers] == [401, 403, 429, 429, 401]


def rows_of_device(folder: Path, into: Path, device_id: bytes) -> dict[str, int]:
    """How many rows of each table hang on the newest device, by its id or its number."""
    (database,) = copy_relay_files(folder, into).databases()
    found = {}
    with closing(sqlite3.connect(database)) as connection:
        ((number,),) = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'devices'")
        for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            for column, value in (("device_id", device_id), ("device_number", number)):
                if column in columns:
                    counting = f"SELECT count(*) FROM {table} WHERE {column} = ?"
                    ((found[table],),) = connection.execute(counting, (value,))
    return found


async def test_d6_a_device_that_the_root_key_removes_loses_all_and_its_sockets_within_a_second(
    tmp_path: Path,
):
    folder = tmp_path / "data"
    async with open_world(store="sqlite", folder=folder) as world:
        kept = await world.member()
        lost = world.device(of=kept)
        both = kept.manifest(2, kept.made[-1].body, [kept.listed(), lost.listed()], signer=kept)
        answered = await kept.call("POST", "/v1/accounts/self/manifests", {"manifest": told(both)})
        assert answered.status == 200
        assert (await lost.add_token(TOKEN)).status == 204
        assert (await lost.call("POST", "/v1/prekeys", {"keys": lost.stock(one_time=3)})).status == 200
        async with resumed(lost) as socket, anonymous(kept) as sender:
            await socket.expect(CaughtUp)
            await stored(sender, submit_to(lost, TOKEN, b"waits", manifest_version=2))
            await socket.expect(Deliver)
            before = rows_of_device(folder, tmp_path / "before", lost.device_id)
            assert min(
                before[table] for table in ("devices", "mailboxes", "envelopes", "prekeys", "nonces")
            ), before

            alone = kept.manifest(3, both.body, [kept.listed()])
            async with asyncio.timeout(1):
                assert (await put_by_root(world, kept, alone)).status == 200
                frames = [await socket.next()]
                while not isinstance(frames[-1], Refused):
                    frames.append(await socket.next())
                assert await socket.closed() == 4004
            assert Notice(NoticeKind.DEVICE_REVOKED, (lost.device_id,)) in frames
            assert frames[-1] == Refused(0, "device_revoked", 0)
            await sender.send(submit_to(lost, TOKEN, b"after", manifest_version=3))
            assert (await sender.expect(Accepted)).outcomes == (Outcome.UNKNOWN_DEVICE,)
        assert outcome(await lost.call("GET", "/v1/accounts/self")) == (401, "unauthenticated")
        after = rows_of_device(folder, tmp_path / "after", lost.device_id)
    # Records of submits name no device any more, only a number that is never used again: the sweep takes them.
    assert {table: count for table, count in after.items() if count and table != "records"} == {}


async def test_a_client_with_the_root_key_alone_recovers_its_account(world: World):
    device = await grown(world)
    world.clock.jump(seconds=-7_200)  # the relay's clock and the machine's differ
    new = world.device(of=device)
    async with transport_of(None, world) as transport:
        answer = await request_recovery(transport, device.account_id, bytes(device.root), os.urandom)
        assert (answer.latest, len(answer.manifests)) == (4, 3)
        whole = await request_recovery(
            transport, device.account_id, bytes(device.root), os.urandom, from_version=1
        )
        assert len(whole.manifests) == 4
        made = new.manifest(5, answer.manifests[-1].body)
        signed = SignedManifest(made.body, made.signer, made.signature)
        for _ in range(2):
            assert (await put_signed_manifest(transport, device.account_id, signed)).manifest_version == 5
        with pytest.raises(ClientRefused) as refused:
            await request_recovery(transport, device.account_id, os.urandom(32), os.urandom)
        assert refused.value.reason == "unauthenticated"
