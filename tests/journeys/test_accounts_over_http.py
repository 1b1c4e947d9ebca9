"""Accounts as a client meets them: register by invite, change devices, be found, be reached; over real sockets."""

import asyncio
import hashlib
import json
import os

import pytest

from relay.wire.links import encode_bytes, encode_id, parse_invite
from relay.wire.manifests import FLAG_MANAGER
from relay.wire.transcripts import relay_document_transcript
from tests.raw_device import JSON, RawDevice, send, told
from tests.running_relay import World, open_world


@pytest.fixture(params=["memory", "sqlite"])
async def world(request):
    async with open_world(store=request.param) as opened:
        yield opened


async def test_the_owner_invite_makes_the_owner_once(world: World):
    link = world.relay.owner_invite
    owner, other = world.device(), world.device()

    answered = await owner.register(link, handle="owner")
    assert (answered.status, answered.json["role"], answered.json["handle"]) == (201, "owner", "owner")
    assert answered.json["account_id"] == encode_bytes(owner.account_id)

    refused = await other.register(link)
    assert (refused.status, refused.code) == (403, "invite_invalid")
    assert not (world.relay.folder / "owner-invite").exists()


async def test_registering_again_with_the_same_manifest_gives_the_same_answer(world: World):
    link = await world.relay.invite()
    device = world.device()
    first = await device.register(link, handle="anna")
    again = await device.register(link, handle="anna")
    assert first.json == again.json
    assert (first.status, again.status) == (201, 201)


async def test_a_refused_registration_spends_nothing(world: World):
    link = await world.relay.invite()
    await (await world.member(handle="taken")).call("GET", "/v1/accounts/self")
    device = world.device()
    refused = await device.register(link, handle="taken")
    assert (refused.status, refused.code) == (409, "handle_taken")
    assert (await device.register(link, handle="free")).status == 201


@pytest.mark.parametrize("handle", ["a", "Anna", "an na", "-anna", "änna", "a" * 33, ""])
async def test_what_is_no_handle_is_refused(world: World, handle: str):
    refused = await world.device().register(await world.relay.invite(), handle=handle)
    assert (refused.status, refused.code) == (422, "handle_invalid")


async def test_the_relay_document_is_signed_by_the_key_of_the_invite(world: World):
    from nacl.signing import VerifyKey

    from relay.wire.links import decode_bytes

    answered = await send(world.session, "GET", world.relay.url + "/.well-known/tokenim")
    key = parse_invite(world.relay.owner_invite).signing_key
    signature = decode_bytes(answered.headers["TokenIM-Signature"])
    VerifyKey(key).verify(relay_document_transcript(answered.body), signature)
    assert answered.json["origin"] == world.relay.url
    assert answered.json["limits"]["max_envelope_bytes"] == 262_144


async def test_a_second_device_joins_and_the_first_is_removed(world: World):
    first = await world.member()
    second = world.device(of=first)
    both = first.manifest(2, first.made[-1].body, [first.listed(), second.listed()], signer=first)
    answered = await first.call("POST", "/v1/accounts/self/manifests", {"manifest": told(both)})
    assert (answered.status, answered.json["manifest_version"]) == (200, 2)
    assert (await second.call("GET", "/v1/accounts/self")).status == 200

    again = await first.call("POST", "/v1/accounts/self/manifests", {"manifest": told(both)})
    assert (again.status, again.json) == (200, answered.json)

    alone = second.manifest(3, both.body, [second.listed()], signer=second)
    assert (await second.call("POST", "/v1/accounts/self/manifests", {"manifest": told(alone)})).status == 200
    gone = await first.call("GET", "/v1/accounts/self")
    assert (gone.status, gone.code) == (401, "unauthenticated")

    chain = await second.call("GET", f"/v1/accounts/{second.account}/manifests?from=2")
    assert (chain.json["manifests"], chain.json["latest"]) == ([told(both), told(alone)], 3)


async def test_a13_a_removed_manager_cannot_sign_the_next_manifest(world: World):
    first = await world.member()
    second = world.device(of=first)
    both = first.manifest(2, first.made[-1].body, [first.listed(), second.listed()], signer=first)
    await first.call("POST", "/v1/accounts/self/manifests", {"manifest": told(both)})
    alone = second.manifest(3, both.body, [second.listed()], signer=second)
    await second.call("POST", "/v1/accounts/self/manifests", {"manifest": told(alone)})

    comeback = first.manifest(4, alone.body, [first.listed(), second.listed()], signer=first)
    refused = await second.call("POST", "/v1/accounts/self/manifests", {"manifest": told(comeback)})
    assert (refused.status, refused.code) == (422, "manifest_invalid")
    by_root = first.manifest(4, alone.body, [first.listed(), second.listed()])
    assert (
        await second.call("POST", "/v1/accounts/self/manifests", {"manifest": told(by_root)})
    ).status == 200


async def test_of_two_manifests_at_once_one_wins_and_the_other_is_told(world: World):
    first = await world.member()
    others = [world.device(of=first) for _ in range(4)]
    manifests = [
        first.manifest(2, first.made[-1].body, [first.listed(), other.listed()], signer=first)
        for other in others
    ]
    answers = await asyncio.gather(
        *(first.call("POST", "/v1/accounts/self/manifests", {"manifest": told(one)}) for one in manifests)
    )
    assert sorted(answer.status for answer in answers) == [200, 409, 409, 409]
    assert {answer.code for answer in answers if answer.status == 409} == {"manifest_conflict"}


async def test_a_device_that_is_no_manager_cannot_sign_a_manifest(world: World):
    first = await world.member()
    second = world.device(of=first)
    both = first.manifest(2, first.made[-1].body, [first.listed(), second.listed(flags=0)], signer=first)
    await first.call("POST", "/v1/accounts/self/manifests", {"manifest": told(both)})
    alone = second.manifest(3, both.body, [second.listed(FLAG_MANAGER)], signer=second)
    refused = await second.call("POST", "/v1/accounts/self/manifests", {"manifest": told(alone)})
    assert (refused.status, refused.code) == (422, "manifest_invalid")


async def test_a9_keys_and_ids_of_another_device_are_refused(world: World):
    victim = await world.member()
    for stolen in ({"key": victim.key}, {"identity": victim.identity}, {"device_id": victim.device_id}):
        thief = world.device(**stolen)
        refused = await thief.register(await world.relay.invite())
        assert (refused.status, refused.code) == (409, "conflict")
    assert (await victim.call("GET", "/v1/accounts/self")).status == 200


async def test_a_handle_leads_to_an_account_only_if_its_owner_wants(world: World):
    token = os.urandom(16)
    anna, bert = await world.member(), await world.member()
    assert (await anna.call("PUT", "/v1/handle", {"handle": "anna"})).status == 204
    hidden = await bert.call("GET", "/v1/handles/anna")
    unknown = await bert.call("GET", "/v1/handles/nobody")
    assert (hidden.status, hidden.code) == (unknown.status, unknown.code) == (403, "not_allowed")
    assert without_request_id(hidden) == without_request_id(unknown)

    await anna.call("PUT", "/v1/handle", {"handle": "anna", "public_token": encode_bytes(token)})
    found = await bert.call("GET", "/v1/handles/anna")
    assert found.json["account_id"] == encode_bytes(anna.account_id)
    assert found.json["public_token"] == encode_bytes(token)
    assert (await fetch_chain(world, anna, token)).status == 200

    assert (await anna.call("DELETE", "/v1/handle")).status == 204
    assert (await bert.call("GET", "/v1/handles/anna")).code == "not_allowed"
    assert (await fetch_chain(world, anna, token)).code == "not_allowed"


async def test_c7_a_wrong_expired_removed_or_foreign_token_is_refused(world: World):
    anna, bert = await world.member(), await world.member()
    good, short, foreign = (os.urandom(16) for _ in range(3))
    assert (await anna.add_token(good)).status == 204
    assert (await anna.add_token(short, expires_at_ms=world.clock.now_ms() + 1_000)).status == 204
    assert (await bert.add_token(foreign)).status == 204
    assert (await fetch_chain(world, anna, good)).json["latest"] == 1
    assert (await fetch_chain(world, anna, short)).status == 200
    world.clock.jump(seconds=2)

    bodies = [
        await fetch_chain(world, anna, os.urandom(16)),
        await fetch_chain(world, anna, short),
        await fetch_chain(world, anna, foreign),
        await send(world.session, "GET", f"{world.relay.url}/v1/accounts/{anna.account}/manifests"),
    ]
    removed = f"/v1/delivery-tokens/{encode_bytes(hashlib.sha256(good).digest())}"
    assert (await anna.call("DELETE", removed)).status == 204
    bodies.append(await fetch_chain(world, anna, good))
    assert {(answer.status, answer.code) for answer in bodies} == {(403, "not_allowed")}


async def test_c6_an_unknown_account_answers_like_one_that_does_not_want_me(world: World):
    anna = await world.member()
    token = os.urandom(16)
    known = await fetch_chain(world, anna, token)
    unknown = await fetch_chain(world, world.device(), token)
    assert (known.status, unknown.status) == (403, 403)
    assert without_request_id(known) == without_request_id(unknown)
    assert [name for name in known.headers if name != "Date"] == [
        name for name in unknown.headers if name != "Date"
    ]


async def test_own_tokens_are_listed_as_hashes(world: World):
    anna = await world.member()
    token = os.urandom(16)
    await anna.add_token(token, "link")
    listed = await anna.call("GET", "/v1/delivery-tokens")
    assert listed.json["tokens"] == [
        {
            "token_hash": encode_bytes(hashlib.sha256(token).digest()),
            "token_class": "link",
            "expires_at_ms": None,
        }
    ]


async def test_a_closed_relay_takes_nobody_after_its_owner():
    async with open_world(registration="closed") as world:
        assert (await world.device().register(str(world.relay.owner_invite))).status == 201
        refused = await world.device().register(await world.relay.invite())
        assert (refused.status, refused.code) == (403, "not_allowed")


async def test_e6_registrations_from_one_network_are_limited_and_told_when():
    rates = {"registration": {"burst": 2, "per_second": 0.5}}
    async with open_world(rates=rates, proxy={"trusted": ["127.0.0.1"]}) as world:
        body = json.dumps(
            {"invite": encode_bytes(bytes(16)), "manifest": told(world.device().manifest())}
        ).encode()

        async def attempt(address: str) -> tuple[int, str | None]:
            answered = await send(
                world.session,
                "POST",
                world.relay.url + "/v1/accounts",
                data=body,
                headers={**JSON, "X-Forwarded-For": f"10.0.0.1, {address}"},
            )
            return answered.status, answered.headers.get("Retry-After")

        assert [await attempt("192.0.2.1"), await attempt("192.0.2.9")] == [(403, None)] * 2
        assert await attempt("192.0.2.200") == (429, "2")
        assert await attempt("198.51.100.1") == (403, None)


async def fetch_chain(world: World, owner: RawDevice, token: bytes):
    """The owner's manifests, asked for by nobody in particular."""
    target = f"/v1/accounts/{encode_id(owner.account_id)}/manifests"
    return await send(
        world.session,
        "GET",
        world.relay.url + target,
        headers={"TokenIM-Delivery-Token": encode_bytes(token)},
    )


def without_request_id(answered) -> dict[str, object]:
    return {name: value for name, value in answered.json.items() if name != "request_id"}


async def test_an_account_deletes_itself_by_a_device_that_manages_it(world: World):
    anna = await world.member(handle="anna")
    bert = await world.member()
    account_id = anna.account_id
    other = world.device()
    other.root = anna.root
    both = anna.manifest(2, anna.made[-1].body, [anna.listed(), other.listed(0)], signer=anna)
    changed = await anna.call("POST", "/v1/accounts/self/manifests", {"manifest": told(both)})
    assert changed.status == 200, changed.body
    assert (await other.call("DELETE", "/v1/accounts/self")).code == "not_allowed"
    assert (await anna.call("DELETE", "/v1/accounts/self")).status == 204
    assert (await anna.call("GET", "/v1/accounts/self")).code == "unauthenticated"
    services = world.relay.services
    assert await services.store.accounts.account(account_id) is None
    # Dated by the day, as all that an account does to itself.
    rows = await services.audit.newest(since_ms=0, before=None, limit=100)
    (row,) = [row for row in rows if row.details and row.details.action == "account.delete"]
    assert row.at_ms % 86_400_000 == 0
    assert row.details.subject.id is None
    assert (await bert.call("GET", "/v1/accounts/self")).status == 200


async def test_e3_the_last_owner_does_not_delete_itself(world: World):
    owner = await world.member(role="owner")
    refused = await owner.call("DELETE", "/v1/accounts/self")
    assert (refused.status, refused.code) == (409, "last_owner")
    assert (await owner.call("GET", "/v1/accounts/self")).status == 200


async def test_a_handle_that_somebody_had_goes_to_nobody_else_for_ninety_days(world: World):
    async def take(device: RawDevice) -> int:
        return (await device.call("PUT", "/v1/handle", {"handle": "anna"})).status

    anna, bert, carl = await world.member(handle="anna"), await world.member(), await world.member()
    assert (await anna.call("DELETE", "/v1/handle")).status == 204
    assert await take(bert) == 409
    assert await take(anna) == 204
    assert (await anna.call("DELETE", "/v1/accounts/self")).status == 204
    assert await take(bert) == 409
    world.clock.jump(seconds=90 * 86_400 - 60)
    assert await take(bert) == 409
    world.clock.jump(seconds=120)
    assert await take(bert) == 204
    assert await take(carl) == 409
