"""A request's signature binds relay, target, body, time, nonce and purpose; it is good once, also after a restart."""

import hashlib
import json
from pathlib import Path

import pytest

from relay.services import devices as devices_module
from relay.wire import limits
from relay.wire.transcripts import STREAMED, transcript
from tests.raw_device import JSON, RawDevice, send
from tests.running_relay import World, open_world

EMPTY = hashlib.sha256(b"").digest()
SELF = "/v1/accounts/self"


@pytest.fixture
async def world():
    async with open_world() as opened:
        yield opened


async def get(device: RawDevice, authorization: str, target: str = SELF, method: str = "GET"):
    return await send(device.session, method, device.url(target), headers={"Authorization": authorization})


async def assert_unauthenticated(answered):
    assert (answered.status, answered.code) == (401, "unauthenticated")
    assert "Date" in answered.headers


async def test_d7_the_same_request_again_is_refused(world: World):
    device = await world.member()
    signed = device.authorization("GET", SELF, EMPTY)
    assert (await get(device, signed)).status == 200
    for _ in range(3):
        await assert_unauthenticated(await get(device, signed))
    assert (await get(device, device.authorization("GET", SELF, EMPTY))).status == 200


async def test_d7_the_same_request_is_refused_after_a_restart(tmp_path: Path):
    device: RawDevice | None = None
    options = {"store": "sqlite", "folder": tmp_path / "data", "origin": "https://relay.example"}
    async with open_world(**options) as world:
        device = world.device(origin_of="https://relay.example")
        assert (await device.register(await world.relay.invite())).status == 201
        signed = device.authorization("GET", SELF, EMPTY)
        assert (await get(device, signed)).status == 200
    async with open_world(**options) as world:
        device.session, device.base = world.session, world.relay.url
        await assert_unauthenticated(await get(device, signed))
        assert (await get(device, device.authorization("GET", SELF, EMPTY))).status == 200


async def test_d7_the_nonce_is_bound_to_its_device(world: World):
    one, other = await world.member(), await world.member()
    for device in (one, other):
        assert (await get(device, device.authorization("GET", SELF, EMPTY, nonce=bytes(16)))).status == 200


@pytest.mark.parametrize(
    "change",
    [
        {"method": "POST"},
        {"target": "/v1/accounts/self?"},
        {"target": "/v1/prekeys"},
        {"body_hash": hashlib.sha256(b"x").digest()},
        {"body_hash": STREAMED},
        {"origin": "https://relay.example"},
        {"upload_offset": 0},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_d7_a_signature_over_anything_else_is_refused(world: World, change: dict):
    device = await world.member()
    over = {"method": "GET", "target": SELF, "body_hash": EMPTY, **change}
    await assert_unauthenticated(await get(device, device.authorization(**over)))


async def test_d7_a_signature_for_a_socket_or_a_device_is_none_for_a_request(world: World):
    device = await world.member()
    good = device.authorization("GET", SELF, EMPTY, nonce=bytes(16), time_ms=device.clock_ms)
    for label in (b"tokenim/v1 websocket\x00", b"tokenim/v1 device\x00"):
        signature = device.key.sign(transcript(label, b"GET", SELF.encode())).signature
        from relay.wire.links import encode_bytes

        forged = good.rpartition('signature="')[0] + f'signature="{encode_bytes(signature)}"'
        await assert_unauthenticated(await get(device, forged))


async def test_d7_the_body_is_bound(world: World):
    device = await world.member()
    target, body = "/v1/handle", json.dumps({"handle": "anna"}).encode()
    signed = device.authorization("PUT", target, hashlib.sha256(body).digest())
    other = json.dumps({"handle": "bert"}).encode()
    await assert_unauthenticated(
        await send(
            device.session, "PUT", device.url(target), data=other, headers={"Authorization": signed, **JSON}
        )
    )
    assert (await device.call("GET", SELF)).json["handle"] is None


@pytest.mark.parametrize("away_ms", [-limits.MAX_CLOCK_SKEW_MS - 5_000, limits.MAX_CLOCK_SKEW_MS + 5_000])
async def test_f10_a_clock_that_is_off_is_told_by_the_date(world: World, away_ms: int):
    device = await world.member()
    stale = device.authorization("GET", SELF, EMPTY, time_ms=device.clock_ms + away_ms)
    await assert_unauthenticated(await get(device, stale))
    near = device.authorization("GET", SELF, EMPTY, time_ms=device.clock_ms + away_ms // 2)
    assert (await get(device, near)).status == 200


async def test_a_refused_request_uses_no_nonce_up(world: World):
    device = await world.member()
    good = device.authorization("GET", SELF, EMPTY, nonce=bytes(16))
    broken = good[:-2] + ("A" if good[-2] != "A" else "Q") + '"'
    await assert_unauthenticated(await get(device, broken))
    assert (await get(device, good)).status == 200


async def test_c5_unknown_device_bad_signature_and_used_nonce_have_one_answer_by_the_same_steps(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    device, stranger = await world.member(), world.device()
    used = device.authorization("GET", SELF, EMPTY)
    await get(device, used)
    verify = devices_module.verify_as
    steps: list[str] = []
    accounts = world.relay.services.devices._accounts

    def counted(*arguments: object) -> None:
        steps.append("verify")
        verify(*arguments)

    async def looked_up(device_id: bytes):
        steps.append("look up")
        return await type(accounts).device(accounts, device_id)

    monkeypatch.setattr(devices_module, "verify_as", counted)
    monkeypatch.setattr(accounts, "device", looked_up)
    world.relay.services.devices.forget((device.device_id,))
    bad = device.authorization("POST", SELF, EMPTY)
    seen = []
    for authorization in (stranger.authorization("GET", SELF, EMPTY), bad):
        steps.clear()
        answered = await get(device, authorization)
        await assert_unauthenticated(answered)
        seen.append((list(steps), {**answered.json, "request_id": ""}, sorted(answered.headers)))
    answered = await get(device, used)
    assert seen[0] == seen[1]
    assert seen[0][0] == ["look up", "verify"]
    assert {**answered.json, "request_id": ""} == seen[0][1]


async def test_two_authorization_headers_are_refused(world: World):
    device = await world.member()
    signed = device.authorization("GET", SELF, EMPTY)
    from multidict import CIMultiDict

    headers = CIMultiDict([("Authorization", signed), ("Authorization", signed)])
    await assert_unauthenticated(await send(device.session, "GET", device.url(SELF), headers=headers))


async def test_the_origin_is_configured_never_the_host_header(world: World):
    device = await world.member()
    for_other = device.authorization("GET", SELF, EMPTY, origin="http://evil.example")
    refused = await send(
        device.session,
        "GET",
        device.url(SELF),
        headers={"Authorization": for_other, "Host": "evil.example"},
    )
    await assert_unauthenticated(refused)


async def test_a_suspended_account_keeps_what_it_has_and_reaches_nobody(world: World):
    device, friend = await world.member(), await world.member()
    await friend.add_token(b"t" * 16)
    await world.relay.services.store.accounts.set_suspended(device.account_id, True, owner="owner")
    world.relay.services.devices.forget_account(device.account_id)
    world.relay.services.reach.forget(device.account_id)
    refused = await device.call(
        "POST", f"/v1/accounts/{friend.account}/bundles", {"token": "dHR0dHR0dHR0dHR0dHR0dA"}
    )
    assert (refused.status, refused.code) == (403, "not_allowed")
    assert (await device.call("GET", SELF)).status == 200
    assert (await device.call("GET", "/v1/delivery-tokens")).status == 200
