"""D9 on the bus: what nodes say to each other while somebody sends, asked of a real NATS, byte by byte.

The relay is set so that it knows who submits, the worst case for this: connections that submit are signed. Its sender comes
from an address of her own (through a proxy), asks for prekeys, and writes to one and to two people, who read at the other
node. Whoever listens to everything learns for whom there is mail; nothing of who sent it, from where, or what.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from random import Random

import aiohttp
import nats
import pytest
from nacl.signing import SigningKey
from nats.aio.msg import Msg

from relay.adapters.nats_bus import decode
from relay.ports.bus import LimitsSpent, NewMail
from relay.wire.frames import Accepted, Ack, CaughtUp, Deliver, Outcome, Resume
from relay.wire.links import encode_bytes, encode_id
from tests.cluster.conftest import until
from tests.faults.checker import Ledger
from tests.faults.load import PrekeyMarket
from tests.faults.relay_process import warm_broken_relay
from tests.faults.wire_client import Device, Socket, connected, noise, register, request, submit_of
from tests.servers.cluster import Cluster, open_cluster

pytestmark = pytest.mark.timeout(240)

ADDRESS = "203.0.113.77"
SIGNED_SUBMITS = {"TOKENIM_RELAY_ANONYMOUS_SUBMIT": "false", "TOKENIM_RELAY_PROXY__TRUSTED": "127.0.0.1"}


@dataclass
class Said:
    """All that crossed NATS: subject and body of each message, as they came."""

    messages: list[bytes] = field(default_factory=list)
    mail: list[bytes] = field(default_factory=list)
    """Devices that NewMail named."""
    limits: int = 0

    async def hear(self, message: Msg) -> None:
        """One more."""
        self.messages.append(message.subject.encode() + b"\n" + message.data)
        for one in decode(message.data)[1]:
            if isinstance(one, NewMail):
                self.mail.extend(one.device_ids)
            self.limits += isinstance(one, LimitsSpent)

    def has_named(self, device: Device, times: int) -> bool:
        """Whether so much mail for the device was announced."""
        return self.mail.count(device.device_id) >= times


def written(name: str, value: bytes) -> dict[str, bytes]:
    """The bytes, and what they are called where bytes cannot stand."""
    texts = {"hex": value.hex(), "base64url": encode_bytes(value)}
    return {name: value} | {f"{name}, {form}": text.encode() for form, text in texts.items()}


def needles_of(sender: Device, grants: Sequence[Device], envelope_ids: Sequence[bytes]) -> dict[str, bytes]:
    """What must not be there, by names."""
    address = ip_address(ADDRESS).packed
    found = {"her address": ADDRESS.encode(), "her address, 4 B": address}
    found["her network"] = ADDRESS.rpartition(".")[0].encode()
    secret = {
        "her account": sender.account_id,
        "her device": sender.device_id,
        "her key": bytes(sender.signing_key.verify_key),
        "her token": sender.token,
    }
    for number, device in enumerate(grants):
        secret[f"token {number}"] = device.token
        secret[f"hash of token {number}"] = sha256(device.token).digest()
    for number, envelope_id in enumerate(envelope_ids):
        secret[f"envelope {number}"] = envelope_id
        ciphertext = noise(envelope_id, 2_000)
        secret |= {f"ciphertext {number}, from {at}": ciphertext[at : at + 32] for at in range(0, 1_968, 61)}
    for name, value in secret.items():
        found |= written(name, value)
    return found


def found_in(said: Sequence[bytes], needles: dict[str, bytes]) -> list[str]:
    """Names of the needles that are there."""
    stream = b"\n".join(said)
    return sorted(name for name, needle in needles.items() if needle in stream)


@dataclass
class Stage:
    """A sender, and two whom she writes to: the first one reads at the second node."""

    cluster: Cluster
    http: aiohttp.ClientSession
    sender: Device
    friends: tuple[Device, Device]
    mark: Device
    reading: Socket
    said: Said
    random: Random

    async def fence(self) -> None:
        """Until what both nodes have said before is heard: NATS keeps the order of each."""
        for node in self.cluster.nodes:
            before = self.said.mail.count(self.mark.device_id)
            async with connected(self.http, node.origin, self.friends[1]) as socket:
                await self._submit(socket, self.random.randbytes(16), [self.mark])
            await until(partial(self.said.has_named, self.mark, before + 1))

    async def _submit(self, socket: Socket, envelope_id: bytes, to: Sequence[Device]) -> None:
        await socket.send([submit_of(1, envelope_id, noise(envelope_id, 2_000), to)])
        answer = await socket.receive()
        assert isinstance(answer, Accepted)
        assert set(answer.outcomes) == {Outcome.STORED}

    async def send(self) -> tuple[list[bytes], dict[str, bytes]]:
        """She asks for keys and writes; (what was said meanwhile, what must not be in it)."""
        node = self.cluster.nodes[0]
        envelope_ids = [self.random.randbytes(16) for _ in range(2)]
        await self.fence()
        begin, limits = len(self.said.messages), self.said.limits
        async with aiohttp.ClientSession(headers={"X-Forwarded-For": ADDRESS}) as hers:
            first = self.friends[0]
            await request(
                hers,
                "POST",
                f"/v1/accounts/{encode_id(first.account_id)}/bundles",
                f'{{"token":"{encode_bytes(first.token)}"}}'.encode(),
                origin=node.origin,
                device=self.sender,
                nonce=self.random.randbytes(16),
            )
            async with connected(hers, node.origin, self.sender) as socket:
                await self._submit(socket, envelope_ids[0], self.friends[:1])
                await self._submit(socket, envelope_ids[1], self.friends)
        got = 0
        while got < len(envelope_ids):
            frame = await self.reading.receive()
            if isinstance(frame, Deliver):
                got += 1
                await self.reading.send([Ack(frame.sequence)])
        await until(lambda: self.said.limits > limits)  # who asked, as a keyed hash
        await self.fence()
        return self.said.messages[begin:], needles_of(self.sender, self.friends, envelope_ids)


@asynccontextmanager
async def stage(cluster: Cluster, http: aiohttp.ClientSession) -> AsyncIterator[Stage]:
    random = Random(9)
    invite = await cluster.create_invite(4)
    sender, first, second, mark = [await register(http, invite, random) for _ in range(4)]
    await PrekeyMarket(first, (), Ledger(), random).stock(http, cluster.origin)
    said = Said()
    listener = await nats.connect(cluster.nats.url)
    await listener.subscribe(">", cb=said.hear)
    await listener.flush()
    try:
        async with connected(http, cluster.nodes[1].origin, first) as reading:
            await reading.send([Resume(0)])
            while not isinstance(await reading.receive(), CaughtUp):
                pass
            yield Stage(cluster, http, sender, (first, second), mark, reading, said, random)
    finally:
        await listener.close()


async def test_d9_who_sends_and_what_is_in_no_byte_on_the_bus(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    async with (
        open_cluster(tmp_path / "cluster", nodes=2, environment=SIGNED_SUBMITS) as cluster,
        stage(cluster, http) as people,
    ):
        said, needles = await people.send()
        assert found_in(said, needles) == []
        for friend in people.friends:  # of whom mail is for, there is word: the right place was searched
            assert found_in(said, {"friend": friend.device_id}) == ["friend"]
        # A relay that tells is seen: of the same, with one node that says who submits.
        node = cluster.nodes[0]
        assert await node.stop() == 0
        node.program = warm_broken_relay("tells-sender")
        await node.start()
        said, needles = await people.send()
        assert found_in(said, needles) == ["her account", "her device"]


@pytest.mark.parametrize("form", [bytes, bytes.hex, encode_bytes])
def test_each_needle_is_found_where_it_lies(form: Callable[[bytes], bytes | str]) -> None:
    random = Random(1)
    device = Device(
        "", random.randbytes(32), random.randbytes(16), SigningKey(random.randbytes(32)), random.randbytes(16)
    )
    needles = needles_of(device, [device], [bytes(16)])
    for value in (device.account_id, device.device_id, device.token, noise(bytes(16), 2_000)[61:93]):
        planted = form(value)
        hay = planted.encode() if isinstance(planted, str) else planted
        assert found_in([b"tokenim\n", random.randbytes(50) + hay + random.randbytes(50)], needles)
    assert found_in([b"tokenim\n", random.randbytes(5_000)], needles) == []
    assert found_in([b"X-Forwarded-For: 203.0.113.77"], needles) == ["her address", "her network"]
