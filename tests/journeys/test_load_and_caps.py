"""A relay with too much to do refuses strangers first, and people see why; connections have their numbers (E6)."""

import base64
import json
from hashlib import sha256
from pathlib import Path

import pytest

from client.client import Client
from client.errors import Refused as ClientRefused
from relay.composition import Machine
from relay.config import LimitSettings, RateSettings, Settings
from relay.ports.machine import Readings
from relay.services.load import Shed
from relay.wire.frames import Authenticate, Challenge, Ready, Refused
from tests.chatting import open_people, texts
from tests.raw_device import send
from tests.raw_socket import open_socket
from tests.running_relay import ShiftedClock, World, open_world


class Narrow:
    """A machine with as little left as the test says."""

    def __init__(self) -> None:
        self.now = Readings(1, 1_000, 10**13, 10**12)

    async def read(self) -> Readings:
        return self.now


async def test_e6_strangers_are_refused_first_and_friends_go_on_talking(tmp_path: Path) -> None:
    async with open_people(tmp_path, "alice", "bob") as people:
        services = people.world.relay.services
        invite = await people.world.relay.invite()
        services.load.level = Shed.ACCOUNTS
        with pytest.raises(ClientRefused, match="takes no more of this at the moment"):
            await Client.register(tmp_path / "carol", invite, handle="carol")
        picture = tmp_path / "picture"
        picture.write_bytes(bytes(100_000))
        async with people.client("alice") as alice, people.client("bob") as bob:
            await alice.send("bob", file=picture)
            services.load.level = Shed.UPLOADS
            await alice.send("bob", "words go on")
            assert [text for text in await texts(bob) if text] == ["words go on"]
            services.load.level = Shed.CONNECTIONS  # who is connected stays, and is served
            await alice.send("bob", "and on")
            services.load.level = Shed.NOTHING
            assert await texts(bob) == ["and on"]
        await Client.register(tmp_path / "carol", invite, handle="carol")  # nothing was spent


async def test_e6_uploads_are_refused_by_their_routes_before_connections_are() -> None:
    async with open_world() as world:
        device, load = await world.member(), world.relay.services.load
        named = base64.b64encode(sha256(b"bytes").digest()).decode()
        tus = {"Tus-Resumable": "1.0.0"}
        begin = {**tus, "Upload-Length": "5", "Upload-Metadata": f"sha256 {named}"}
        piece = {**tus, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        load.level = Shed.ACCOUNTS
        begun = await device.call("POST", "/v1/blobs", headers=begin)
        assert (begun.status, await connect(world)) == (201, 101)
        load.level = Shed.UPLOADS
        another = await device.call("POST", "/v1/blobs", headers=begin)
        path = begun.headers["Location"]
        piece["Authorization"] = device.authorization("PATCH", path, b"streamed", upload_offset=0)
        further = await send(world.session, "PATCH", device.url(path), headers=piece)
        for answered in (another, further):
            assert (answered.status, answered.code) == (503, "overloaded")
        assert await connect(world) == 101
        load.level = Shed.CONNECTIONS
        assert await connect(world) == 503


async def test_e6_a_full_disk_and_memory_are_felt_by_a_running_relay() -> None:
    narrow = Narrow()
    clock = ShiftedClock()
    async with open_world(clock=clock, machine=Machine(clock=clock, reader=narrow)) as world:
        narrow.now = Readings(999, 1_000, 10**13, 10**12)
        clock.let_pass(seconds=10)
        load = world.relay.services.load
        await load.look(0.0)
        device = world.device()
        answered = await device.register(await world.relay.invite())
        assert (answered.status, answered.code) == (503, "overloaded")
        assert int(answered.headers["Retry-After"]) > 0
        async with world.session.get(f"{world.relay.url}/health") as answer:
            assert answer.status == 200
        assert '"event":"load_level"' in world.relay.log.getvalue()


async def connect(world: World) -> int:
    """The status of one more connection that is closed at once."""
    async with world.session.get(
        f"{world.relay.url}/v1/connect",
        headers={
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Protocol": "tokenim.v1",
        },
    ) as answer:
        return answer.status


async def test_e6_there_are_so_many_connections_and_no_more() -> None:
    async with open_world(limits={"connections": 2}) as world:
        async with open_socket(world.session, world.relay.url) as one:
            async with open_socket(world.session, world.relay.url):
                assert await connect(world) == 503
            await one.expect(Challenge)  # who is here stays
        assert await connect(world) == 101


async def test_e6_one_network_does_not_take_all_connections() -> None:
    async with open_world(limits={"connections_of_address": 1}, proxy={"trusted": ["127.0.0.1"]}) as world:

        async def from_address(address: str) -> int:
            world.session.headers["X-Forwarded-For"] = address
            return await connect(world)

        world.session.headers["X-Forwarded-For"] = "203.0.113.7"
        async with open_socket(world.session, world.relay.url):
            assert await from_address("203.0.113.99") == 429
            assert await from_address("198.51.100.1") == 101
        assert await from_address("203.0.113.99") == 101


async def test_e6_for_one_connection_of_a_device_too_many_its_oldest_ends() -> None:
    async with open_world(limits={"connections_of_device": 2}) as world:
        device = await world.member()

        async def authenticate(socket) -> None:  # type: ignore[no-untyped-def]
            challenge = (await socket.expect(Challenge)).challenge
            await socket.send(Authenticate(device.device_id, device.socket_signature(challenge)))
            await socket.expect(Ready)

        async with (
            open_socket(world.session, device.origin) as first,
            open_socket(world.session, device.origin) as second,
            open_socket(world.session, device.origin) as third,
        ):
            for socket in (first, second, third):
                await authenticate(socket)
            assert (await first.expect(Refused)).code == "rate_limited"
            assert (await first.socket.receive()).data == 4009
            assert not second.socket.closed
        async with open_socket(world.session, device.origin) as again:  # their places are free
            await authenticate(again)


async def test_e6_every_limit_and_every_rate_is_told_by_the_relay_and_by_the_document() -> None:
    async with open_world() as world, world.session.get(f"{world.relay.url}/.well-known/tokenim") as answer:
        told = json.loads(await answer.read())
    document = (Path(__file__).parents[2] / "docs/operations.md").read_text("utf-8")
    settings = Settings()
    assert set(told["rates"]) == set(RateSettings.model_fields)
    for name in RateSettings.model_fields:
        rate = getattr(settings.rates, name)
        assert told["rates"][name] == {"burst": rate.burst, "per_second": rate.per_second}
        assert f"`rates.{name}.burst`" in document
        assert f"`rates.{name}.per_second`" in document
    assert set(LimitSettings.model_fields) <= set(told["limits"])
    for name in LimitSettings.model_fields:
        assert f"`limits.{name}`" in document
