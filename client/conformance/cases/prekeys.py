"""Chapter Prekeys."""

import os
import struct
from typing import Any

from nacl.signing import SigningKey

from client.conformance.device import KEM, LAST_RESORT, ONCE, ONE_TIME, ROTATING, SEALING, SIGNED, Device
from client.conformance.relay import Relay
from client.conformance.report import Failed
from client.conformance.wire import from_base64, to_base64

from .suite import SUITE


async def _put(device: Device, *keys: bytes) -> Any:
    return await device.ask("POST", "/v1/prekeys", {"keys": [to_base64(key) for key in keys]})


async def bundle_of(asker: Device, of: Device) -> dict[str, Any]:
    """The bundle of the only device of an account, for who has its contact token."""
    path = f"/v1/accounts/{of.account}/bundles"
    told = (await asker.ask("POST", path, {"token": to_base64(of.token)})).must(200).json
    if len(told["bundles"]) != 1 or from_base64(told["bundles"][0]["device_id"]) != of.device_id:
        raise Failed(f"POST …/bundles: expected one bundle of the account's device, got {told}")
    bundle: dict[str, Any] = told["bundles"][0]
    return bundle


def class_and_id(key: str) -> tuple[int, int]:
    """Of a prekey as it travels."""
    _, key_class, key_id = struct.unpack(">BBI", from_base64(key)[:6])
    return key_class, key_id


@SUITE.case("prekeys-one-time-keys-once", proves=("M-PREKEY-02",))
async def once(relay: Relay) -> None:
    """Each one-time key is given once, oldest first; then the last-resort KEM key, and no one-time key."""
    ann, asker = await relay.member(), await relay.member()
    await ann.stock(2)
    seen = []
    for number in (1, 2):
        bundle = await bundle_of(asker, ann)
        seen.append((bundle["kem_prekey"], bundle["one_time_prekey"]))
        kem, one_time = class_and_id(bundle["kem_prekey"]), class_and_id(bundle["one_time_prekey"])
        if (kem[0], one_time[0]) != (ONCE, ONCE) or one_time[1] != number:
            raise Failed(
                f"bundle {number}: expected one-time keys, the oldest first, got {kem} and {one_time}"
            )
    if seen[0][0] == seen[1][0] or seen[0][1] == seen[1][1]:
        raise Failed("a one-time key was given twice")
    bundle = await bundle_of(asker, ann)
    if bundle["one_time_prekey"] is not None or class_and_id(bundle["kem_prekey"])[0] != LAST_RESORT:
        raise Failed(
            f"without one-time keys: expected the last-resort KEM key and no one-time key, got {bundle}"
        )


@SUITE.case("prekeys-ids-count-up", proves=("M-PREKEY-01",))
async def ids(relay: Relay) -> None:
    """A key whose id is not above the highest accepted of its kind is prekey_conflict, a list with one as a whole."""
    ann = await relay.member()
    await ann.stock(1)
    (await _put(ann, ann.prekey(ONE_TIME, ONCE, key_id=1))).must(409, "prekey_conflict")
    await bundle_of(await relay.member(), ann)
    (await _put(ann, ann.prekey(ONE_TIME, ONCE, key_id=1))).must(409, "prekey_conflict")
    seven = ann.prekey(ONE_TIME, ONCE, key_id=7)
    (await _put(ann, seven, ann.prekey(KEM, ONCE, key_id=1))).must(409, "prekey_conflict")
    (await _put(ann, seven)).must(200)  # a list that was refused left nothing behind


@SUITE.case("prekeys-signed-by-their-device")
async def signatures(relay: Relay) -> None:
    """A key that another key signed, of a class that its kind has not, or of another length, is refused."""
    ann = await relay.member()
    good = ann.prekey(SIGNED, ROTATING)
    for name, key in {
        "another's signature": ann.prekey(ONE_TIME, ONCE, signer=SigningKey.generate()),
        "a class that its kind has not": ann.prekey(ONE_TIME, LAST_RESORT),
        "a byte too few": good[:-1],
        "a byte too many": good + b"\0",
        "a kind that there is not": b"\x09" + good[1:],
    }.items():
        answer = await _put(ann, key)
        if not 400 <= answer.status < 500 or answer.status == 409:
            raise Failed(f"a key with {name}: expected a refusal, got {answer.status} {answer.code}")
    (await _put(ann, good)).must(200)


@SUITE.case("prekeys-newer-takes-the-place")
async def rotates(relay: Relay) -> None:
    """A newer rotating or last-resort key takes the place of the older one."""
    ann = await relay.member()
    await ann.stock(0)
    newer = ann.prekey(SIGNED, ROTATING), ann.prekey(SEALING, ROTATING), ann.prekey(KEM, LAST_RESORT)
    (await _put(ann, *newer)).must(200)
    bundle = await bundle_of(await relay.member(), ann)
    came = tuple(from_base64(bundle[name]) for name in ("signed_prekey", "sealing_key", "kem_prekey"))
    if came != newer:
        raise Failed("expected the newer signed prekey, sealing key and last-resort key, byte for byte")


@SUITE.case("prekeys-stock-is-told")
async def stock(relay: Relay) -> None:
    """GET /v1/prekeys tells what is left of each kind, and the highest id that was ever accepted."""
    ann = await relay.member()
    await ann.stock(3)
    await bundle_of(await relay.member(), ann)
    told = (await ann.ask("GET", "/v1/prekeys")).must(200).json["stock"]
    left = {one["kind"]: (one["one_time_left"], one["highest_id"]) for one in told}
    if left[ONE_TIME] != (2, 3) or left[KEM][0] != 2:
        raise Failed(f"expected 2 of 3 one-time keys of each kind left, got {left}")


@SUITE.case("prekeys-token-and-signature")
async def rights(relay: Relay) -> None:
    """Bundles are for who signs and shows a token; without one every answer is not_allowed, for unknown accounts too."""
    ann, asker = await relay.member(), await relay.member()
    await ann.stock(1)
    for account in (ann.account, relay.stranger().account):
        for body in ({}, {"token": to_base64(os.urandom(16))}):
            (await asker.ask("POST", f"/v1/accounts/{account}/bundles", body)).must(403, "not_allowed")


@SUITE.case("prekeys-budget-of-an-asker")
async def budget(relay: Relay) -> None:
    """One asker drains no device: over its budget it gets last-resort keys, and others one-time keys still."""
    ann, greedy = await relay.member(), await relay.member()
    burst = relay.document["limits"]["prekey_budget_burst"]
    await ann.stock(burst + 4)
    classes = [class_and_id((await bundle_of(greedy, ann))["kem_prekey"])[0] for _ in range(burst + 2)]
    if classes[:burst] != [ONCE] * burst or LAST_RESORT not in classes:
        raise Failed(f"expected {burst} one-time keys, then last-resort ones, got classes {classes}")
    if class_and_id((await bundle_of(await relay.member(), ann))["kem_prekey"])[0] != ONCE:
        raise Failed("expected a one-time key for another asker")
