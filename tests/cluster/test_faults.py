"""The fault matrix on three nodes with PostgreSQL and NATS, under load, each judged by the checker of all fault tests."""

import asyncio
import io
import re
import subprocess
import sys
import tarfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import aiohttp
import pytest

from relay.wire.frames import Accepted, Ack, CaughtUp, Deliver, Outcome, Resume
from relay.wire.links import encode_id
from tests.architecture.source import ROOT
from tests.cluster.conftest import (
    HEALS_SECONDS,
    SLACK_SECONDS,
    judge,
    more_accepted,
    talking,
    until,
    until_closed,
)
from tests.faults.relay_process import RelayDied
from tests.faults.wire_client import GONE, Disconnected, connected, noise, register, submit_of
from tests.servers.cluster import Cluster
from tests.servers.ports import free_port

pytestmark = pytest.mark.timeout(240)


async def status_of(http: aiohttp.ClientSession, url: str, path: str) -> int:
    async with http.get(url + path) as answer:
        return answer.status


async def test_f1_each_node_is_killed_in_turn(cluster: Cluster, http: aiohttp.ClientSession) -> None:
    async with talking(cluster, http) as cast:
        for node in cluster.nodes:
            await more_accepted(cast)
            await node.kill()
            await more_accepted(cast)  # the others go on
            await node.start()


async def test_f11_the_same_submit_a_hundred_times_on_two_nodes_is_one_envelope(
    cluster: Cluster, http: aiohttp.ClientSession
) -> None:
    random = Random(11)
    device = await register(http, await cluster.create_invite(), random)
    envelope_id, body = random.randbytes(16), noise(b"the same", 500)

    async def submit(node: int, ciphertext: bytes) -> Outcome:
        async with connected(http, cluster.nodes[node].origin) as socket:
            await socket.send([submit_of(1, envelope_id, ciphertext, [device])])
            answer = await socket.receive()
            assert isinstance(answer, Accepted)
            return answer.outcomes[0]

    assert set(await asyncio.gather(*(submit(number % 2, body) for number in range(100)))) == {Outcome.STORED}
    assert await submit(2, noise(b"another", 500)) is Outcome.CONFLICT
    async with connected(http, cluster.origin, device) as socket:
        await socket.send([Resume(0)])
        delivered = [await socket.receive()]
        await socket.send([Ack(1)])
        while not isinstance(delivered[-1], CaughtUp):
            delivered.append(await socket.receive())
    ids = [(one.sequence, one.ciphertext) for one in delivered if isinstance(one, Deliver)]
    assert set(ids) == {(1, body)}


async def test_f16_postgres_is_killed_and_comes_back(cluster: Cluster, http: aiohttp.ClientSession) -> None:
    async with talking(cluster, http) as cast:
        for _ in range(3):
            await more_accepted(cast)
            cluster.postgres.kill()
            await until(lambda: is_status(http, cluster, "/ready", 503))
            cluster.postgres.start()
            await until(lambda: is_status(http, cluster, "/ready", 200), HEALS_SECONDS + SLACK_SECONDS)
            await more_accepted(cast, 50)


async def is_status(http: aiohttp.ClientSession, cluster: Cluster, path: str, status: int) -> bool:
    answers = await asyncio.gather(*(status_of(http, node.origin, path) for node in cluster.nodes))
    return set(answers) == {status}


async def test_f16_a_frozen_postgres_is_no_accepted_and_heals(
    cluster: Cluster, http: aiohttp.ClientSession
) -> None:
    async with talking(cluster, http) as cast:
        await more_accepted(cast)
        cluster.postgres.freeze()
        await until(lambda: is_status(http, cluster, "/ready", 503), 40)
        await asyncio.sleep(60)
        cluster.postgres.thaw()
        await until(lambda: is_status(http, cluster, "/ready", 200), HEALS_SECONDS + SLACK_SECONDS)
        await more_accepted(cast, 50)


async def test_f17_without_nats_mail_comes_within_two_seconds(
    cluster: Cluster, http: aiohttp.ClientSession
) -> None:
    random = Random(17)
    device = await register(http, await cluster.create_invite(), random)
    cluster.nats.kill()
    async with connected(http, cluster.nodes[0].origin, device) as reading:
        await reading.send([Resume(0)])
        await reading.receive()  # caught up
        took = []
        for number in range(5):
            async with connected(http, cluster.nodes[1].origin) as socket:
                await socket.send([submit_of(1, random.randbytes(16), noise(bytes([number]), 99), [device])])
                assert isinstance(await socket.receive(), Accepted)
                began = time.monotonic()
                async with asyncio.timeout(30):
                    while not isinstance(await reading.receive(), Deliver):
                        pass
                took.append(time.monotonic() - began)
    judge(took, 2)
    cluster.nats.start()


async def test_f17_nats_is_killed_under_load(cluster: Cluster, http: aiohttp.ClientSession) -> None:
    async with talking(cluster, http) as cast:
        for _ in range(2):
            await more_accepted(cast)
            cluster.nats.kill()
            await more_accepted(cast)
            cluster.nats.start()


async def test_f16_a_node_without_postgres_refuses_and_says_so(
    cluster: Cluster, http: aiohttp.ClientSession
) -> None:
    device = await register(http, await cluster.create_invite(), Random(18))
    cluster.postgres.kill()
    await until(lambda: is_status(http, cluster, "/ready", 503))
    assert await is_status(http, cluster, "/health", 200)  # it lives, and is not to be started again for that
    async with connected(http, cluster.nodes[2].origin) as socket:
        await socket.send([submit_of(1, bytes(16), noise(b"x", 99), [device])])
        answer = await socket.receive()
        assert getattr(answer, "code", "") == "unavailable"
    cluster.postgres.start()
    await until(lambda: is_status(http, cluster, "/ready", 200), HEALS_SECONDS + SLACK_SECONDS)


async def test_f23_nodes_are_restarted_one_after_the_other_and_nothing_is_lost(
    cluster: Cluster, http: aiohttp.ClientSession
) -> None:
    device = await register(http, await cluster.create_invite(), Random(23))
    async with talking(cluster, http) as cast:
        for node in cluster.nodes:
            await more_accepted(cast)
            async with (
                connected(http, node.origin, device) as signed,
                connected(http, node.origin) as anonymous,
            ):
                began = time.monotonic()
                stopping = asyncio.create_task(node.stop())
                for socket in (signed, anonymous):
                    with pytest.raises(Disconnected) as closed:
                        await until_closed(socket)
                    assert closed.value.code == 1012  # service restart: come back, to another node
                assert await stopping == 0
                assert time.monotonic() - began <= 10 + SLACK_SECONDS
            await node.start()


async def test_a_node_with_another_signing_key_does_not_start(cluster: Cluster) -> None:
    node = cluster.nodes[2]
    assert await node.stop() == 0
    key = node.data / "another.key"
    node.environment["TOKENIM_RELAY_SIGNING_KEY_FILE"] = str(key)
    with pytest.raises(RelayDied, match=r"(?s)ended with 2 .*each node has the same signing_key_file"):
        await node.start()
    del node.environment["TOKENIM_RELAY_SIGNING_KEY_FILE"]
    await node.start()


def previous_commit(folder: Path) -> Path:
    """The packages of the commit before this one."""
    archive = subprocess.run(
        ["git", "archive", "HEAD~1", "relay", "client", "crypto"], cwd=ROOT, check=True, capture_output=True
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as packed:
        packed.extractall(folder, filter="data")
    return folder


async def test_f21_the_previous_commits_relay_works_beside_this_one(
    cluster: Cluster, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """An upgrade in the middle: each node is of the one version, then of the other, and nothing is lost."""
    before = str(await asyncio.to_thread(previous_commit, tmp_path / "before"))
    told = [sys.executable, "-P", "-c", "import relay; print(relay.__file__)"]
    found = await asyncio.to_thread(
        subprocess.run, told, env={"PYTHONPATH": before}, capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith(before)
    async with talking(cluster, http) as cast:
        for node in cluster.nodes:
            await more_accepted(cast)
            assert await node.stop() == 0
            node.environment["PYTHONPATH"] = before
            await node.start()
        for node in cluster.nodes:
            await more_accepted(cast)
            assert await node.stop() == 0
            del node.environment["PYTHONPATH"]
            await node.start()
        await more_accepted(cast)


async def suspended_everywhere(cluster: Cluster, http: aiohttp.ClientSession, seed: int = 6) -> float:
    """A device is at each node; its account is suspended at the first. How long until all are out, from that command's end."""
    device = await register(http, await cluster.create_invite(), Random(seed))
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(connected(http, node.origin, device)) for node in cluster.nodes
        ]
        first = cluster.nodes[0]
        account = encode_id(device.account_id)
        process = await asyncio.create_subprocess_exec(
            *first.program, "account", "suspend", account, "--data", str(first.data)
        )
        assert await process.wait() == 0
        began = time.monotonic()
        async with asyncio.timeout(30):
            for socket in sockets:
                with pytest.raises(GONE):
                    await until_closed(socket)
        return time.monotonic() - began


async def test_d6_who_is_revoked_on_one_node_is_out_on_the_others_within_a_second(
    cluster: Cluster, http: aiohttp.ClientSession
) -> None:
    judge([await suspended_everywhere(cluster, http, seed) for seed in range(5)], 1)


async def test_d6_without_nats_who_is_revoked_is_out_once_the_node_judges_again(
    cluster: Cluster, http: aiohttp.ClientSession
) -> None:
    cluster.nats.kill()
    judge([await suspended_everywhere(cluster, http)], 6)


async def test_f18_what_a_node_revokes_that_alone_is_cut_off_from_nats_holds_on_the_others(
    cluster: Cluster, http: aiohttp.ClientSession
) -> None:
    """The others hear each other all the time, and nothing tells them by NATS that they missed something."""
    first = cluster.nodes[0]
    await first.stop()
    first.environment["TOKENIM_RELAY_NATS__SERVERS"] = f"nats://127.0.0.1:{free_port()}"
    await first.start()
    judge([await suspended_everywhere(cluster, http)], 7)


async def test_f24_files_go_up_through_all_nodes_and_without_s3_clients_try_again_as_long_as_they_are_told(
    cluster: Cluster, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """By the command: two people, whose requests come to one node after the other, and pictures of six MiB."""
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + Random(24).randbytes(6 * 1024 * 1024))
    ann, ben = tmp_path / "ann", tmp_path / "ben"
    await client(ann, "register", cluster.nodes[0].invite, "--handle", "ann")
    await client(ben, "register", await cluster.create_invite(), "--handle", "ben")
    await client(ann, "send", "ben", "hello")
    await client(ben, "contact", "accept", "ann")
    await client(ann, "listen", "--until-caught-up")
    await client(ann, "send", "ben", "--file", str(picture))
    cluster.s3.kill()
    with pytest.raises(AssertionError, match="unavailable"):
        await client(ann, "send", "ben", "--file", str(picture), "--patience", "1")
    sending = asyncio.create_task(client(ann, "send", "ben", "--file", str(picture), "--patience", "60"))
    await asyncio.to_thread(cluster.s3.start)
    await sending
    told = await client(ben, "listen", "--until-caught-up", "--json")  # what was stored is there
    paths = set(re.findall(r'"path": ?"([^"]+)"', told))
    assert len(paths) == 3  # the one that was not waited for has gone out with the next
    for path in paths:
        assert await asyncio.to_thread(Path(path).read_bytes) == picture.read_bytes()


async def client(home: Path, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("tokenim")),
        "--home",
        str(home),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()
