"""Wakeups: how long from a message to a client that slept until it is acknowledged, and what push costs who is awake.

The journey is of processes of the installed commands, over WebSockets and HTTP; a push server of node stands between relay and
client for UnifiedPush. The load is that of relay_throughput, with devices besides that are away, written to, and come by
HTTP now and then: the same with push off, with a push service that works, and with one that never answers, in turns.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path

import aiohttp
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bench.driver import (
    BrokenPromise,
    Mailbox,
    Pair,
    connect_anonymous,
    frames_of,
    http,
    open_pairs,
    register,
    send,
)
from bench.people import Person
from bench.relay_throughput import MEASURE_SECONDS, PAIRS, WARM_UP_SECONDS
from bench.results import Result
from bench.served import DRIVER_CORE, Served, invite_link, pin, pinned_driver, serving_relay
from relay.wire.frames import Accepted, EnvelopeClass, Grant, Outcome, Submit, Target
from relay.wire.links import encode_bytes
from tests.push_stand_ins.stand_in import standing_in

ROUNDS = 9
JOURNEYS = 7
AWAY = 100
COMES_EACH_SECONDS = 5.0
"""So often a device that is away is written to, and comes: 20 wakeups a second where push works."""
LOOK_SECONDS = 0.002
WAKES = '[push]\nunifiedpush = true\nwebhook = true\nallow_hosts = ["127.0.0.1"]\n'
MODES = ("off", "works", "hangs")


# From a message to its acknowledgement


class Admin:
    """What the relay's second listener tells."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def value(self, name: str) -> float:
        """Of the figures with this beginning, the sum."""
        async with self._session.get(f"{self._url}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    async def until(self, name: str, least: float, most: float) -> None:
        """Until it is between them. Nobody tells when that is: so it is asked for again and again."""
        async with asyncio.timeout(60):
            while not least <= await self.value(name) <= most:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)


async def _two_who_know_each_other(folder: Path, served: Served) -> tuple[Person, Person]:
    alice, bob = (Person(folder / name, folder / "log") for name in ("alice", "bob"))
    await alice.call("register", served.invite, "--handle", "alice")
    await bob.call("register", await asyncio.to_thread(invite_link, served, 1), "--handle", "bob")
    await alice.call("send", "bob", "hello")
    await bob.call("listen", "--until-caught-up")
    await bob.call("contact", "accept", "alice")
    await bob.call("send", "alice", "hello")
    await alice.call("listen", "--until-caught-up")
    return alice, bob


async def _journeys(folder: Path, *options: str) -> list[float]:
    """Seconds from the line that the sender reads to the acknowledgement, of so many."""
    took = []
    with serving_relay(WAKES, "--admin-listen", "127.0.0.1:0") as served:
        alice, bob = await _two_who_know_each_other(folder, served)
        async with aiohttp.ClientSession() as session:
            admin = Admin(session, served.admin_url)
            listening = await bob.start("listen", "--json", "--events", *options)
            sending = await alice.start("send", "bob", "--each-line", stdin=asyncio.subprocess.PIPE)
            assert listening.stdout is not None
            assert sending.stdin is not None
            await listening.stdout.readline()
            for number in range(JOURNEYS):
                await admin.until('tokenim_connections{kind="mailbox"}', 0, 0)
                await asyncio.sleep(0.2)
                before = await admin.value("tokenim_acknowledged_total")
                began = time.perf_counter()
                sending.stdin.write(f"are you there? {number}\n".encode())
                await sending.stdin.drain()
                await admin.until("tokenim_acknowledged_total", before + 1, inf)
                took.append(time.perf_counter() - began)
            sending.stdin.close()
            await sending.wait()
            listening.terminate()
            await listening.wait()
    return took


async def _by_push_server(folder: Path) -> list[float]:
    async with standing_in("ntfy_fake.js", {}) as server:
        url = f"http://127.0.0.1:{server.port}"
        return await _journeys(folder, "--wake", "unifiedpush", "--wake-server", url)


# What it costs who is awake


@contextmanager
def _push_service(mode: str) -> Iterator[str]:
    """Its URL; empty where push is off."""
    if mode == "off":
        yield ""
        return
    before = os.sched_getaffinity(0)
    pin(DRIVER_CORE)
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.push_service", "hanging" if mode == "hangs" else "taking"],
        stdout=subprocess.PIPE,
        text=True,
    )
    os.sched_setaffinity(0, before)
    assert process.stdout is not None
    url = process.stdout.readline().split()[1]
    try:
        yield url
        process.terminate()
        came = int(process.communicate(timeout=30)[0].split()[1])
        if came < (AWAY // 2 if mode == "works" else AWAY // 20):
            raise BrokenPromise(f"{came} wakeups came where push {mode}")
    finally:
        process.kill()
        process.communicate(timeout=30)


async def _subscribe(mailboxes: list[Mailbox], url: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    p256dh = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    for number, mailbox in enumerate(mailboxes):
        asked = {
            "kind": "web",
            "target": f"{url}/{number}",
            "p256dh": encode_bytes(p256dh),
            "auth": encode_bytes(bytes(16)),
        }
        if (answered := await mailbox.device.call("PUT", "/v1/push", asked)).status != 200:
            raise BrokenPromise(f"a registration for wakeups was answered by {answered.status}")


async def _away(session: aiohttp.ClientSession, served: Served, mailboxes: list[Mailbox]) -> None:
    """Each is written to, and half its time later comes and takes what waits; until cancelled."""
    sender = await connect_anonymous(session, served)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_all_stored(sender))
        for number, mailbox in enumerate(mailboxes):
            tasks.create_task(_come_and_go(sender, mailbox, number / len(mailboxes) * COMES_EACH_SECONDS))


async def _all_stored(sender: aiohttp.ClientWebSocketResponse) -> None:
    while True:
        for answer in await frames_of(sender):
            if not isinstance(answer, Accepted) or answer.outcomes != (Outcome.STORED,):
                raise BrokenPromise(f"not stored: {answer}")


async def _come_and_go(
    sender: aiohttp.ClientWebSocketResponse, mailbox: Mailbox, first_seconds: float
) -> None:
    await asyncio.sleep(first_seconds)
    target, grant = (
        Target(mailbox.device.device_id, 0, 0),
        Grant(mailbox.device.account_id, mailbox.token, 1),
    )
    while True:
        envelope = (os.urandom(16), EnvelopeClass.DURABLE, False, 3_600, (bytes(1_024),))
        await send(sender, Submit(0, *envelope, (target,), (grant,)))
        await asyncio.sleep(COMES_EACH_SECONDS / 2)
        polled = (await mailbox.device.call("GET", "/v1/mailbox?after=0&wait_seconds=0")).json
        if polled["envelopes"]:
            up_to = polled["envelopes"][-1]["sequence"]
            await mailbox.device.call("POST", "/v1/mailbox/ack", {"up_to": up_to})
        await asyncio.sleep(COMES_EACH_SECONDS / 2)


async def _measure(served: Served, url: str) -> tuple[float, float]:
    """Delivered envelopes a second to those who are here, and the relay's processor seconds for 10,000 of them."""
    async with http() as session:
        mailboxes = await register(served, session, AWAY)
        if url:
            await _subscribe(mailboxes, url)
        pairs = await open_pairs(session, served, PAIRS, is_floor=False)
        away = asyncio.create_task(_away(session, served, mailboxes))
        async with asyncio.TaskGroup() as tasks:
            for pair in pairs:
                tasks.create_task(pair.send_window())
                tasks.create_task(pair.receive())
            await asyncio.sleep(WARM_UP_SECONDS)
            counted, cpu, began = _delivered(pairs), served.cpu_seconds(), time.perf_counter()
            await asyncio.sleep(MEASURE_SECONDS)
            took = time.perf_counter() - began
            counted, cpu = _delivered(pairs) - counted, served.cpu_seconds() - cpu
            for pair in pairs:
                pair.stopping = True
        if away.done():
            away.result()
        away.cancel()
        await asyncio.wait([away])
        return counted / took, cpu / counted * 10_000


def _delivered(pairs: list[Pair]) -> int:
    return sum(pair.delivered for pair in pairs)


def _round(mode: str) -> tuple[float, float]:
    rates = "\n".join(
        f"[rates.{name}]\nburst = 100000\nper_second = 100000" for name in ("address", "registration")
    )
    on = (
        '[push]\nweb = true\ncontact = "mailto:a@b.example"\nallow_hosts = ["127.0.0.1"]\n'
        if mode != "off"
        else ""
    )
    with _push_service(mode) as url, serving_relay(f"{on}{rates}\n") as served:
        return asyncio.run(_measure(served, url))


def run() -> list[Result]:
    """Both."""
    with tempfile.TemporaryDirectory(prefix="tokenim-bench-") as folder:
        webhook, server = Path(folder) / "webhook", Path(folder) / "unifiedpush"
        for each in (webhook, server):
            each.mkdir()
        by_webhook = asyncio.run(_journeys(webhook, "--wake", "webhook"))
        by_server = asyncio.run(_by_push_server(server))
    found: dict[str, list[tuple[float, float]]] = {mode: [] for mode in MODES}
    with pinned_driver():
        for number in range(ROUNDS):
            for shift in range(len(MODES)):  # another one is first each time
                mode = MODES[(number + shift) % len(MODES)]
                found[mode].append(_round(mode))
    results = [
        Result.of("push: message to a sleeping client, acknowledged; webhook", "s", by_webhook),
        Result.of("push: message to a sleeping client, acknowledged; UnifiedPush", "s", by_server),
    ]
    for mode in MODES:
        for name, unit, part in (("durable envelopes", "1/s", 0), ("processor time for 10,000", "s", 1)):
            rounds = [one[part] for one in found[mode]]
            off = [one[part] for one in found["off"]] if mode != "off" else []
            results.append(Result.of(f"push {mode}: {name}", unit, rounds, off))
    return results
