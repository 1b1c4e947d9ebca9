"""Each rate of the settings that counts requests is taken by its request; those of submits, links and others are beside those."""

import base64
from hashlib import sha256

import pytest

from tests.raw_device import Answered, send
from tests.running_relay import World, open_world

TWICE = {"burst": 2, "per_second": 0.001}


def refused(answered: Answered) -> bool:
    """Whether it came too early, and is told when to come again."""
    return (answered.status, int(answered.headers.get("Retry-After", 0)) > 900) == (429, True)


async def begin_upload(world: World) -> list[Answered]:
    device = await world.member()
    named = base64.b64encode(sha256(b"bytes").digest()).decode()
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "5", "Upload-Metadata": f"sha256 {named}"}
    return [await device.call("POST", "/v1/blobs", headers=headers) for _ in range(3)]


async def look_up(world: World) -> list[Answered]:
    device = await world.member()
    return [await device.call("GET", f"/v1/handles/nobody{number}") for number in range(3)]


async def sign(world: World) -> list[Answered]:
    device = await world.member()
    return [await device.call("GET", "/v1/accounts/self") for _ in range(3)]


@pytest.mark.parametrize(
    ("rate", "ask"), [("upload", begin_upload), ("lookup", look_up), ("device", sign)], ids=lambda one: one
)
async def test_e6_a_device_is_limited_and_another_one_is_not(rate, ask):
    async with open_world(rates={rate: TWICE}) as world:
        for _ in range(2):
            answers = await ask(world)
            assert [refused(one) for one in answers] == [False, False, True], answers


async def test_e6_requests_from_one_network_are_limited_whatever_they_ask():
    async with open_world(rates={"address": TWICE}, proxy={"trusted": ["127.0.0.1"]}) as world:

        async def ask(address: str, path: str) -> Answered:
            return await send(
                world.session, "GET", world.relay.url + path, headers={"X-Forwarded-For": address}
            )

        for network in ("192.0.2", "198.51.100"):
            asked = [await ask(f"{network}.{number}", "/.well-known/tokenim") for number in (1, 2)]
            assert [one.status for one in asked] == [200, 200]
            assert refused(await ask(f"{network}.3", "/v1/handles/anna"))
