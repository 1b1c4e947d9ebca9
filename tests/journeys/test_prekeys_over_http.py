"""Prekeys as a client meets them: append, stock, claims within budgets, and the notice when they run low."""

import asyncio
import hashlib
import os
from collections import Counter
from pathlib import Path

import pytest

from relay.ports.bus import PrekeysLow
from relay.wire.links import decode_bytes, encode_bytes
from relay.wire.prekeys import PrekeyClass, PrekeyKind, parse_prekey
from tests.raw_device import RawDevice
from tests.running_relay import World, open_world

MANY = {"device": {"burst": 100_000, "per_second": 100_000}}
TOKEN = b"t" * 16


@pytest.fixture
async def world():
    async with open_world(rates=MANY) as opened:
        yield opened


async def stocked(world: World, one_time: int) -> RawDevice:
    """A new account that can be reached by TOKEN, with so many one-time keys of each kind."""
    device = await world.member()
    assert (await device.add_token(TOKEN)).status == 204
    assert (await device.call("POST", "/v1/prekeys", {"keys": device.stock(one_time)})).status == 200
    return device


async def claim(asker: RawDevice, target: RawDevice):
    return await asker.call("POST", f"/v1/accounts/{target.account}/bundles", {"token": encode_bytes(TOKEN)})


def kem_of(answered):
    """The KEM prekey of the only bundle."""
    (bundle,) = answered.json["bundles"]
    return parse_prekey(decode_bytes(bundle["kem_prekey"]))


def is_one_time(answered) -> bool:
    """Whether the bundle has one-time keys; both kinds or none, while the stock lasts."""
    (bundle,) = answered.json["bundles"]
    one_time = kem_of(answered).key_class is PrekeyClass.ONE_TIME
    assert (bundle["one_time_prekey"] is not None) is one_time
    return one_time


async def test_a1_one_asker_cannot_drain_a_device(world: World):
    target, asker, other = await stocked(world, 100), await world.member(), await world.member()

    got = Counter([is_one_time(await claim(asker, target)) for _ in range(1_000)])
    assert got == {True: 6, False: 994}
    assert is_one_time(await claim(other, target))

    world.clock.let_pass(seconds=601)
    assert [is_one_time(await claim(asker, target)) for _ in range(3)] == [True, False, False]


async def test_a1_all_askers_together_have_a_budget_for_a_device(world: World):
    target = await stocked(world, 100)
    askers = [await world.member() for _ in range(12)]
    got = [is_one_time(await claim(asker, target)) for asker in askers for _ in range(6)]
    assert Counter(got) == {True: 60, False: 12}


async def test_a1_an_emptied_device_still_answers(world: World):
    target = await stocked(world, 1)
    first, second = await claim(await world.member(), target), await claim(await world.member(), target)
    assert (is_one_time(first), is_one_time(second)) == (True, False)
    assert kem_of(second).key_class is PrekeyClass.LAST_RESORT


async def test_a1_only_far_above_every_budget_is_an_asker_refused(world: World):
    target, asker = await stocked(world, 1), await world.member()
    path = f"/v1/accounts/{target.account}/bundles"
    for _ in range(1_000):
        world.relay.services.prekeys._asker.take(world.relay.services.prekeys._hidden(asker.account_id))
    refused = await asker.call("POST", path, {"token": encode_bytes(TOKEN)})
    assert (refused.status, refused.code) == (429, "rate_limited")
    assert int(refused.headers["Retry-After"]) >= 1
    assert (await claim(await world.member(), target)).status == 200


@pytest.mark.parametrize("store", ["memory", "sqlite"])
async def test_a2_64_askers_at_once_get_64_different_keys(store: str):
    async with open_world(store=store, rates=MANY) as world:
        target = await stocked(world, 50)
        askers = await asyncio.gather(*(world.member() for _ in range(64)))
        answers = await asyncio.gather(*(claim(asker, target) for asker in askers))
        ids = [kem_of(answered).key_id for answered in answers if is_one_time(answered)]
        assert len(ids) == 50
        assert set(ids) == set(range(2, 52))  # 1 is the last-resort key's


async def test_a2_a_restart_gives_no_key_again(tmp_path: Path):
    given: list[int] = []
    target: RawDevice | None = None
    for _ in range(3):
        async with open_world(store="sqlite", folder=tmp_path / "data", rates=MANY) as world:
            if target is None:
                target = await stocked(world, 20)
            asker = await world.member()
            for _ in range(4):
                answered = await claim(asker, target)
                assert is_one_time(answered)
                given.append(kem_of(answered).key_id)
    assert len(set(given)) == 12
    assert given == sorted(given)  # oldest first


async def test_a3_the_class_of_a_key_is_told_and_signed(world: World):
    target, asker = await stocked(world, 1), await world.member()
    for expected in (PrekeyClass.ONE_TIME, PrekeyClass.LAST_RESORT):
        key = kem_of(await claim(asker, target))
        assert key.key_class is expected
        signed = key.signed_transcript(target.account_id, target.device_id)
        target.key.verify_key.verify(signed, key.signature)
        other = PrekeyClass.LAST_RESORT if expected is PrekeyClass.ONE_TIME else PrekeyClass.ONE_TIME
        assert bytes((expected,)) in signed
        assert signed != type(key)(
            key.kind, other, key.key_id, key.made_at_ms, key.signature, key.key, key.encoded
        ).signed_transcript(target.account_id, target.device_id)


async def test_the_owner_is_told_at_25_left_and_at_none(world: World):
    told: list[PrekeysLow] = []
    world.relay.services.bus.subscribe(PrekeysLow, told.append)  # type: ignore[arg-type]
    target = await stocked(world, 27)
    askers = [await world.member() for _ in range(5)]
    for asker in askers:
        for _ in range(6):
            await claim(asker, target)
    seen = [(PrekeyKind(one.kind), one.left) for one in told]
    assert seen == [
        (PrekeyKind.KEM, 25),
        (PrekeyKind.ONE_TIME, 25),
        (PrekeyKind.KEM, 0),
        (PrekeyKind.ONE_TIME, 0),
    ]
    assert {one.device_id for one in told} == {target.device_id}


async def test_the_stock_is_told_with_its_digest(world: World):
    device = await world.member()
    keys = [decode_bytes(key) for key in device.stock(2)]
    answered = await device.call("POST", "/v1/prekeys", {"keys": [encode_bytes(key) for key in keys]})
    ordered = sorted(keys, key=lambda key: (key[0], key[1], key[2:6]))
    assert answered.json["digest"] == encode_bytes(hashlib.sha256(b"".join(ordered)).digest())
    assert [(row["kind"], row["one_time_left"], row["highest_id"]) for row in answered.json["stock"]] == [
        (1, 0, 1),
        (2, 2, 3),
        (3, 2, 2),
        (4, 0, 1),
    ]
    assert (await device.call("GET", "/v1/prekeys")).json == answered.json


async def test_an_id_that_is_not_above_is_refused_and_changes_nothing(world: World):
    device = await stocked(world, 2)
    before = (await device.call("GET", "/v1/prekeys")).json
    fresh = device.prekey(PrekeyKind.ONE_TIME, PrekeyClass.ONE_TIME)
    again = device.prekey(PrekeyKind.ONE_TIME, PrekeyClass.ONE_TIME, key_id=2)
    for keys in ([again], [fresh, again]):
        refused = await device.call("POST", "/v1/prekeys", {"keys": [encode_bytes(key) for key in keys]})
        assert (refused.status, refused.code) == (409, "prekey_conflict")
    assert (await device.call("GET", "/v1/prekeys")).json == before


async def test_a_key_that_the_device_did_not_sign_is_refused(world: World):
    device, other = await world.member(), await world.member()
    foreign = other.prekey(PrekeyKind.SIGNED, PrekeyClass.ROTATING)
    good = bytearray(device.prekey(PrekeyKind.SEALING, PrekeyClass.ROTATING))
    good[-1] ^= 1
    for key in (foreign, bytes(good)):
        refused = await device.call("POST", "/v1/prekeys", {"keys": [encode_bytes(key)]})
        assert (refused.status, refused.code) == (400, "malformed_request")
        assert "not signed by this device" in refused.json["detail"]


async def test_a6_an_encoding_of_one_kind_is_taken_as_no_other(world: World):
    device = await world.member()
    for kind, key_class in (
        (PrekeyKind.SIGNED, PrekeyClass.ROTATING),
        (PrekeyKind.KEM, PrekeyClass.ONE_TIME),
        (PrekeyKind.ONE_TIME, PrekeyClass.ONE_TIME),
        (PrekeyKind.SEALING, PrekeyClass.ROTATING),
    ):
        encoded = device.prekey(kind, key_class)
        for other in set(PrekeyKind) - {kind}:
            for other_class in PrekeyClass:
                disguised = bytes((other, other_class)) + encoded[2:]
                refused = await device.call("POST", "/v1/prekeys", {"keys": [encode_bytes(disguised)]})
                assert (refused.status, refused.code) == (400, "malformed_request")


async def test_bundles_need_a_token_and_own_devices_none(world: World):
    target, asker = await stocked(world, 3), await world.member()
    path = f"/v1/accounts/{target.account}/bundles"
    for token in (None, encode_bytes(os.urandom(16))):
        refused = await asker.call("POST", path, {"token": token})
        assert (refused.status, refused.code) == (403, "not_allowed")
    assert (await target.call("POST", path, {})).json["bundles"][0]["device_id"] == encode_bytes(
        target.device_id
    )
    named = await asker.call(
        "POST", path, {"token": encode_bytes(TOKEN), "devices": [encode_bytes(os.urandom(16))]}
    )
    assert named.json == {"manifest_version": 1, "bundles": []}


async def test_a_device_without_prekeys_is_left_out(world: World):
    target, asker = await world.member(), await world.member()
    await target.add_token(TOKEN)
    assert (await claim(asker, target)).json == {"manifest_version": 1, "bundles": []}
