"""Profiles over HTTP: put by a device of the account, fetched by who may reach it (C6)."""

import os

from relay.wire import limits
from relay.wire.links import encode_bytes
from tests.raw_device import Answered, RawDevice, send
from tests.running_relay import open_world

TOKEN = b"t" * 16


async def anonymous(asker: RawDevice, of: RawDevice, headers: dict[str, str]) -> Answered:
    url = asker.url(f"/v1/accounts/{of.account}/profile")
    return await send(asker.session, "GET", url, headers=headers)


async def fetch(asker: RawDevice, of: RawDevice, token: bytes | None) -> tuple[int, str]:
    headers = {} if token is None else {"TokenIM-Delivery-Token": encode_bytes(token)}
    answered = await anonymous(asker, of, headers)
    return answered.status, "" if answered.status == 200 else answered.code


def body(version: int, sealed: bytes) -> dict[str, object]:
    return {"version": version, "profile": encode_bytes(sealed)}


async def test_c6_a_profile_is_for_who_may_reach_its_account() -> None:
    async with open_world() as world:
        anna, bert = await world.member(handle="anna"), await world.member(handle="bert")
        await anna.add_token(TOKEN)
        assert await fetch(bert, anna, TOKEN) == (404, "not_found")
        sealed = os.urandom(1_105)
        assert (await anna.call("PUT", "/v1/profile", body(1, sealed))).status == 204
        headers = {"TokenIM-Delivery-Token": encode_bytes(TOKEN)}
        answered = await anonymous(bert, anna, headers)
        assert answered.json == body(1, sealed)
        # An own device needs no token; whoever has none gets the same as for an account that there is not.
        assert (await anna.call("GET", f"/v1/accounts/{anna.account}/profile")).json == body(1, sealed)
        nobody = world.device()
        assert await fetch(bert, anna, None) == await fetch(bert, nobody, TOKEN) == (403, "not_allowed")
        assert await fetch(bert, anna, b"x" * 16) == (403, "not_allowed")
        assert (await bert.call("GET", f"/v1/accounts/{anna.account}/profile")).code == "not_allowed"


async def test_versions_only_grow_and_sizes_are_bounded() -> None:
    async with open_world() as world:
        anna = await world.member()
        assert (await anna.call("PUT", "/v1/profile", body(2, b"second"))).status == 204
        assert (await anna.call("PUT", "/v1/profile", body(2, b"second"))).status == 204
        assert (await anna.call("PUT", "/v1/profile", body(2, b"another"))).code == "conflict"
        assert (await anna.call("PUT", "/v1/profile", body(1, b"first"))).code == "conflict"
        most = limits.MAX_PROFILE_BYTES
        assert (await anna.call("PUT", "/v1/profile", body(3, bytes(most)))).status == 204
        for wrong in (body(4, bytes(most + 1)), body(4, b""), body(0, b"x"), body(-1, b"x")):
            assert (await anna.call("PUT", "/v1/profile", wrong)).status == 400
