"""Chapter Recovery: what is for whoever has the root key, and what an account is told of itself."""

import os

from nacl.signing import SigningKey

from client.conformance.device import Answer, Device, now_ms
from client.conformance.relay import Relay
from client.conformance.report import Failed
from client.conformance.wire import from_base64, sha256, to_base64, transcript, u64

from .suite import SUITE

_DAY_MS = 86_400_000


async def _ask(
    of: Device,
    *,
    key: SigningKey | None = None,
    nonce: bytes | None = None,
    shift_ms: int = 0,
    query: str = "",
) -> Answer:
    time_ms, nonce = now_ms() + shift_ms, nonce or os.urandom(16)
    signed = transcript("tokenim/v1 recovery request", of.origin.encode(), of.account_id, u64(time_ms), nonce)
    body = {
        "account_id": to_base64(of.account_id),
        "time_ms": time_ms,
        "nonce": to_base64(nonce),
        "signature": to_base64((key or of.root).sign(signed).signature),
    }
    return await of.say("POST", f"/v1/recovery{query}", body)


@SUITE.case("recovery-chain")
async def chain(relay: Relay) -> None:
    """Whoever has the root key gets the chain from the last manifest that it signed, or from where it asks, and nobody else."""
    device = await relay.member()
    bodies = [device.body]
    await device.advance(device.entry())
    bodies.append(device.body)
    by_manager = device.manifest(device.entry(), signer=device)
    (await device.ask("POST", "/v1/accounts/self/manifests", {"manifest": by_manager})).must(200)
    device.took(by_manager)
    bodies.append(device.body)
    used = os.urandom(16)
    for query, wanted, nonce in (("", bodies[1:], used), ("?from=1", bodies, None)):
        told = (await _ask(device, query=query, nonce=nonce)).must(200).json
        if [from_base64(one["body"]) for one in told["manifests"]] != wanted or told["latest"] != 3:
            raise Failed(f"POST /v1/recovery{query}: expected {len(wanted)} manifests up to 3, got {told}")
    answers = {
        "another key": await _ask(device, key=device.signing),
        "a used nonce": await _ask(device, nonce=used),
        "a stale time": await _ask(device, shift_ms=-100_000),
        "an account that there is not": await _ask(relay.stranger()),
    }
    told = [{**one.must(401, "unauthenticated").json, "request_id": ""} for one in answers.values()]
    if any(one != told[0] for one in told):
        raise Failed(f"POST /v1/recovery with {', '.join(answers)}: expected one answer, got {told}")


@SUITE.case("recovery-by-the-root-key")
async def by_root_key(relay: Relay) -> None:
    """The next manifest is taken from nobody in particular, if the root key signed it: its new device is the account's."""
    lost = await relay.member()
    new = lost.beside()
    manifest = lost.manifest(new.entry())
    path = f"/v1/accounts/{lost.account}/manifests"
    forged = {**manifest, "signature": to_base64(lost.signing.sign(from_base64(manifest["body"])).signature)}
    (await relay.stranger().say("POST", path, {"manifest": forged})).must_refuse("a manifest of another key")
    (await relay.stranger().say("POST", path, {"manifest": manifest})).must(200)
    (await new.ask("GET", "/v1/accounts/self")).must(200)
    (await lost.ask("GET", "/v1/accounts/self")).must(401, "unauthenticated")


@SUITE.case("account-own-devices")
async def own_devices(relay: Relay) -> None:
    """The own devices are listed in ascending order, with the day on which each was last here, or 0."""
    device = await relay.member()
    other = device.beside()
    await device.advance(device.entry(), other.entry(flags=0))
    told = (await device.ask("GET", "/v1/accounts/self/devices")).must(200).json["devices"]
    days = {from_base64(one["device_id"]): one["seen_day"] for one in told}
    if list(days) != sorted((device.device_id, other.device_id)) or len(told) != 2:
        raise Failed(f"GET …/devices: expected both, in ascending order, got {told}")
    today = now_ms() // _DAY_MS
    if not today - 1 <= days[device.device_id] <= today + 1 or days[other.device_id]:
        raise Failed(f"GET …/devices: expected {today} for who asks, and 0 for who never came, got {told}")
    (await relay.get("/v1/accounts/self/devices")).must(401, "unauthenticated")


@SUITE.case("token-list")
async def tokens(relay: Relay) -> None:
    """The own delivery tokens are listed as hashes, with class and expiry, and no other account's."""
    device, expires_ms = await relay.member(), now_ms() + _DAY_MS
    await relay.member()
    token_hash = to_base64(sha256(os.urandom(16)))
    body = {"token_hash": token_hash, "token_class": "group", "expires_at_ms": expires_ms}
    (await device.ask("POST", "/v1/delivery-tokens", body)).must(204)
    told = (await device.ask("GET", "/v1/delivery-tokens")).must(200).json["tokens"]
    listed = {one["token_hash"]: (one["token_class"], one["expires_at_ms"]) for one in told}
    if listed != {to_base64(sha256(device.token)): ("contact", None), token_hash: ("group", expires_ms)}:
        raise Failed(f"GET /v1/delivery-tokens: expected the two that were added, got {told}")
    (await device.ask("DELETE", f"/v1/delivery-tokens/{token_hash}")).must(204)
    told = (await device.ask("GET", "/v1/delivery-tokens")).must(200).json["tokens"]
    if [one["token_class"] for one in told] != ["contact"]:
        raise Failed(f"GET /v1/delivery-tokens: expected the contact token alone, got {told}")
    (await relay.get("/v1/delivery-tokens")).must(401, "unauthenticated")
