"""Chapters Registration, Identity and manifests, Reach."""

import os
from typing import Any

from client.conformance.device import MANAGER
from client.conformance.relay import Relay
from client.conformance.report import Failed
from client.conformance.socket import authenticated
from client.conformance.wire import from_base64, sha256, to_base64

from .suite import SUITE

_ACCOUNTS, _MANIFESTS = "/v1/accounts", "/v1/accounts/self/manifests"


def _handle() -> str:
    return "k" + os.urandom(6).hex()


@SUITE.case("registration-again-is-the-same", proves=("M-REG-01",))
async def again(relay: Relay) -> None:
    """The same manifest again gets the same answer, though the invite's use is counted once."""
    device = relay.stranger()
    manifest = device.manifest(device.entry())
    first = (await relay.register(device, manifest=manifest)).must(201)
    if first.json["account_id"] != to_base64(device.account_id) or first.json["manifest_version"] != 1:
        raise Failed(f"{first.asked}: expected the new account at version 1, got {first.json}")
    if (await relay.register(device, manifest=manifest)).must(201).json != first.json:
        raise Failed("a registration that is repeated: expected the same answer")


@SUITE.case("registration-invite")
async def invite(relay: Relay) -> None:
    """An invite that there is not makes no account."""
    device = relay.stranger()
    body = {"invite": to_base64(os.urandom(16)), "manifest": device.manifest(device.entry())}
    (await device.say("POST", _ACCOUNTS, body)).must(403, "invite_invalid")
    (await device.ask("GET", "/v1/accounts/self")).must(401, "unauthenticated")


@SUITE.case("registration-manifest-rules", proves=("M-IDENT-01", "M-IDENT-02", "M-IDENT-07"))
async def manifest_rules(relay: Relay) -> None:
    """A manifest 1 whose signatures, flags, times, keys or form break a rule makes no account."""
    device = relay.stranger()
    twin = device.beside()
    twin.identity = device.identity
    rooted = device.beside()
    rooted.signing = device.root
    good = device.manifest(device.entry())
    signature = from_base64(good["signature"])
    spoiled = to_base64(signature[:-1] + bytes((signature[-1] ^ 1,)))
    broken: dict[str, dict[str, str]] = {
        "a signature of the root key that is none": {**good, "signature": spoiled},
        "a device's signature that is none": device.manifest(device.entry(broken=True)),
        "a flag that there is not": device.manifest(device.entry(flags=8)),
        "a time of 2^53": device.manifest(device.entry(added_at_ms=2**53)),
        "a time of 2^64 - 1": device.manifest(device.entry(added_at_ms=2**64 - 1)),
        "one key twice": device.manifest(device.entry(), twin.entry()),
        "the root key as a device's": device.manifest(rooted.entry()),
        "version 2": device.manifest(device.entry(), version=2),
        "a previous hash": device.manifest(device.entry(), previous=b"x"),
        "no device": device.manifest(),
        "a byte too many": {**good, "body": to_base64(from_base64(good["body"]) + b"\0")},
    }
    for name, manifest in broken.items():
        answer = await relay.register(device, manifest=manifest)
        if answer.status not in (400, 422) or answer.code not in (
            "manifest_invalid",
            "malformed",
            "malformed_request",
        ):
            raise Failed(
                f"a manifest with {name}: expected 422 manifest_invalid, got {answer.status} {answer.code}"
            )
    (await relay.register(device, manifest=good)).must(201)


@SUITE.case("handle-taken-and-hidden", proves=("M-REG-02",))
async def handles(relay: Relay) -> None:
    """A handle is one account's; one that wants not to be found is answered like one that nobody has."""
    name, token = _handle(), os.urandom(16)
    owner = await relay.member(handle=name)
    asker = await relay.member()
    (await relay.register(relay.stranger(), handle=name)).must(409, "handle_taken")
    hidden, nobodys = (
        await asker.ask("GET", f"/v1/handles/{name}"),
        await asker.ask("GET", f"/v1/handles/{_handle()}"),
    )
    hidden.must(403, "not_allowed")
    nobodys.must(403, "not_allowed")
    (await owner.ask("PUT", "/v1/handle", {"handle": name, "public_token": to_base64(token)})).must(204)
    found = (await asker.ask("GET", f"/v1/handles/{name}")).must(200).json
    if found["account_id"] != to_base64(owner.account_id) or found["public_token"] != to_base64(token):
        raise Failed(f"GET /v1/handles/…: expected account and token of the owner, got {found}")


@SUITE.case("handle-hidden-like-nobodys", proves=("M-REG-02",))
async def hidden(relay: Relay) -> None:
    """A handle without a public token, and one that is hidden again, is answered word for word like one that nobody has."""
    never, again, asker = _handle(), _handle(), await relay.member()
    await relay.member(handle=never)
    owner = await relay.member(handle=again, public_token=to_base64(os.urandom(16)))
    (await asker.ask("GET", f"/v1/handles/{again}")).must(200)
    (await owner.ask("PUT", "/v1/handle", {"handle": again})).must(204)
    answers = [
        {**(await asker.ask("GET", f"/v1/handles/{name}")).must(403, "not_allowed").json, "request_id": ""}
        for name in (_handle(), never, again)
    ]
    if any(one != answers[0] for one in answers):
        raise Failed(f"expected one answer for hidden handles and for nobody's, got {answers}")


@SUITE.case("handle-form")
async def handle_form(relay: Relay) -> None:
    """A handle is 2 to 32 of a–z, 0–9, dot, dash and underscore, and begins with a letter or a digit."""
    device = await relay.member()
    for name in ("a", "A" + _handle(), "-ab", "a" * 33, "a b", "é" + _handle()):
        (await device.ask("PUT", "/v1/handle", {"handle": name})).must(422, "handle_invalid")


@SUITE.case("handle-given-back")
async def given_back(relay: Relay) -> None:
    """A handle that was given back goes to nobody but its last owner for a while."""
    name = _handle()
    owner, other = await relay.member(handle=name), await relay.member()
    (await owner.ask("DELETE", "/v1/handle")).must(204)
    (await other.ask("PUT", "/v1/handle", {"handle": name})).must(409, "handle_taken")
    (await owner.ask("PUT", "/v1/handle", {"handle": name})).must(204)


@SUITE.case("manifest-next", proves=("M-REG-03", "M-REG-04"))
async def next_manifest(relay: Relay) -> None:
    """The next manifest takes its place by compare-and-swap: the same bytes again get the same, others manifest_conflict."""
    device = await relay.member()
    second = device.beside()
    wanted = device.manifest(device.entry(), second.entry(flags=0))
    rival = device.manifest(device.entry())
    first = (await device.ask("POST", _MANIFESTS, {"manifest": wanted})).must(200).json
    if (await device.ask("POST", _MANIFESTS, {"manifest": wanted})).must(200).json != first:
        raise Failed("the same manifest again: expected the same answer")
    (await device.ask("POST", _MANIFESTS, {"manifest": rival})).must(409, "manifest_conflict")
    old_body = device.body
    device.took(wanted)
    for version, previous in ((4, device.body), (3, old_body), (2, old_body)):
        stray = device.manifest(device.entry(), version=version, previous=previous)
        (await device.ask("POST", _MANIFESTS, {"manifest": stray})).must(409, "manifest_conflict")
    (await second.ask("GET", "/v1/accounts/self")).must(200)


@SUITE.case("manifest-next-rules", proves=("M-IDENT-01", "M-IDENT-02", "M-IDENT-07"))
async def next_rules(relay: Relay) -> None:
    """A next manifest whose new device breaks a rule changes nothing: its signature, flags, time and keys are looked at, too."""
    device = await relay.member()
    new, twin, rooted = device.beside(), device.beside(), device.beside()
    twin.signing = device.signing
    rooted.signing = device.root
    for name, entry in {
        "a device's signature that is none": new.entry(flags=0, broken=True),
        "a flag that there is not": new.entry(flags=8),
        "a time of 2^53": new.entry(flags=0, added_at_ms=2**53),
        "a time of 2^63": new.entry(flags=0, added_at_ms=2**63),
        "one key twice": twin.entry(flags=0),
        "the root key as a device's": rooted.entry(flags=0),
    }.items():
        wanted = device.manifest(device.entry(), entry)
        answer = await device.ask("POST", _MANIFESTS, {"manifest": wanted})
        if answer.status not in (400, 422):
            raise Failed(f"a next manifest with {name}: expected 422 manifest_invalid, got {answer.status}")
    await device.advance(device.entry(), new.entry(flags=0))
    (await new.ask("GET", "/v1/accounts/self")).must(200)


@SUITE.case("manifest-signer-was-manager", proves=("M-IDENT-04",))
async def managers(relay: Relay) -> None:
    """A manifest is signed by the root key or a manager of the current one: not by another device, nor by who was removed."""
    device = await relay.member()
    plain = device.beside()
    await device.advance(device.entry(), plain.entry(flags=0))
    taken_over = device.manifest(plain.entry(), signer=plain)
    (await plain.ask("POST", _MANIFESTS, {"manifest": taken_over})).must(422, "manifest_invalid")
    await device.advance(plain.entry(flags=MANAGER))
    back = device.manifest(device.entry(), plain.entry(), signer=device)
    answer = await device.say("POST", f"/v1/accounts/{device.account}/manifests", {"manifest": back})
    if answer.status == 200:
        raise Failed("a manifest that a removed manager signed: expected a refusal, got 200")


@SUITE.case("manifest-by-a-manager", proves=("M-IDENT-04",))
async def by_manager(relay: Relay) -> None:
    """A manager of the current manifest signs the next one, by its own request or from nobody in particular."""
    device = await relay.member()
    second = device.beside()
    wanted = device.manifest(device.entry(), second.entry(flags=MANAGER), signer=device)
    told = (await device.ask("POST", _MANIFESTS, {"manifest": wanted})).must(200).json
    if told["manifest_version"] != 2:
        raise Failed(f"POST {_MANIFESTS}: expected version 2, got {told}")
    device.took(wanted)
    (await second.ask("GET", "/v1/accounts/self")).must(200)
    wanted = device.manifest(device.entry(), signer=second)
    (await device.say("POST", f"/v1/accounts/{device.account}/manifests", {"manifest": wanted})).must(200)
    (await second.ask("GET", "/v1/accounts/self")).must(401, "unauthenticated")


@SUITE.case("manifest-revoked-device", proves=("M-REG-06",))
async def revoked(relay: Relay) -> None:
    """A device that the new manifest does not list is cut off within a second, and known no more."""
    device = await relay.member()
    other = device.beside()
    await device.advance(device.entry(), other.entry(flags=0))
    async with authenticated(other) as socket:
        await device.advance(device.entry())
        await socket.closed(4004, within=1.5)
    (await other.ask("GET", "/v1/accounts/self")).must(401, "unauthenticated")


@SUITE.case("manifest-keys-stay-with-their-device")
async def keys_stay(relay: Relay) -> None:
    """A device that stays keeps its keys: other ones under its id are a conflict."""
    device = await relay.member()
    changed = device.beside()
    changed.device_id = device.device_id
    manifest = device.manifest(changed.entry())
    (await device.ask("POST", _MANIFESTS, {"manifest": manifest})).must(409, "conflict")
    (await device.ask("GET", "/v1/accounts/self")).must(200)


@SUITE.case("manifest-fetch-by-token", proves=("M-REACH-01",))
async def fetch(relay: Relay) -> None:
    """Manifests are for who has a delivery token; without, every answer is the same, for unknown accounts too."""
    device = await relay.member()
    path = f"/v1/accounts/{device.account}/manifests?from=1"
    with_token = await relay.get(path, **{"TokenIM-Delivery-Token": to_base64(device.token)})
    told = with_token.must(200).json
    if told["latest"] != 1 or [from_base64(one["body"]) for one in told["manifests"]] != [device.body]:
        raise Failed(f"{with_token.asked}: expected manifest 1, got {told}")
    wrong = {"TokenIM-Delivery-Token": to_base64(os.urandom(16))}
    nowhere = f"/v1/accounts/{relay.stranger().account}/manifests?from=1"
    answers = [(await relay.get(one, **wrong)).must(403, "not_allowed").json for one in (path, nowhere)]
    if {**answers[0], "request_id": ""} != {**answers[1], "request_id": ""}:
        raise Failed(f"expected one answer for both accounts, got {answers}")


@SUITE.case("token-removed-and-expired")
async def tokens(relay: Relay) -> None:
    """A delivery token that was removed, or whose time is over, reaches nothing."""
    device = await relay.member()
    path = f"/v1/accounts/{device.account}/manifests?from=1"

    async def reaches(token: bytes) -> bool:
        answer = await relay.get(path, **{"TokenIM-Delivery-Token": to_base64(token)})
        return answer.status == 200

    removed, expired = await device.add_token("link"), await device.add_token("group")
    if not await reaches(removed) or not await reaches(expired):
        raise Failed("a new delivery token: expected that it reaches the account")
    token_hash = to_base64(sha256(removed))
    (await device.ask("DELETE", f"/v1/delivery-tokens/{token_hash}")).must(204)
    body = {"token_hash": to_base64(sha256(expired)), "token_class": "group", "expires_at_ms": 1}
    (await device.ask("POST", "/v1/delivery-tokens", body)).must(204)
    if await reaches(removed) or await reaches(expired):
        raise Failed("a delivery token that is no more: expected not_allowed")


@SUITE.case("account-deleted")
async def deleted(relay: Relay) -> None:
    """An account that deletes itself is known no more, and its root key cannot come back."""
    device = await relay.member()
    (await device.ask("DELETE", "/v1/accounts/self")).must(204)
    (await device.ask("GET", "/v1/accounts/self")).must(401, "unauthenticated")
    device.version, device.body = 0, b""
    (await relay.register(device)).must(409, "conflict")


@SUITE.case("profile-versions")
async def profile(relay: Relay) -> None:
    """A profile's next version takes its place; one that does not follow is a conflict, and others need a token."""
    device = await relay.member()
    sealed: dict[str, Any] = {"version": 1, "profile": to_base64(os.urandom(300))}
    (await device.ask("PUT", "/v1/profile", sealed)).must(204)
    (await device.ask("PUT", "/v1/profile", {**sealed, "profile": to_base64(os.urandom(300))})).must(
        409, "conflict"
    )
    path = f"/v1/accounts/{device.account}/profile"
    told = (await relay.get(path, **{"TokenIM-Delivery-Token": to_base64(device.token)})).must(200).json
    if told["profile"] != sealed["profile"]:
        raise Failed(f"GET …/profile: expected what was put, got {told}")
    (await relay.get(path)).must(403, "not_allowed")
