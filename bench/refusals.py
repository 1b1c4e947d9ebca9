"""Whether "there is none" and "you may not" take the same time (C5): pairs of requests in turns, on one relay in one run.

Each pair asks for something that there is not and for something that is not for whoever asks; both get the same answer. The
ratio of their medians is what somebody could learn from the time: 1 says nothing.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from hashlib import sha256

from aiohttp import ClientSession

from bench.driver import BrokenPromise, Mailbox, connect_anonymous, frames_of, http, register, send
from bench.results import Result
from bench.served import Served, pinned_driver, serving_relay
from relay.wire.frames import Accepted, EnvelopeClass, Grant, Outcome, Submit, Target
from relay.wire.links import encode_bytes, encode_id
from tests.raw_device import RawDevice

ROUNDS = 5
REQUESTS = 300
WARM_UP = 20
EMPTY = sha256(b"").digest()
UNLIMITED = "[rates]\n" + "".join(
    f"{name} = {{ burst = 1000000, per_second = 1000000 }}\n"
    for name in ("address", "device", "submit", "submit_address")
)
Asked = Callable[[], Awaitable[object]]


async def _refused(
    session: ClientSession, url: str, status: int, headers: dict[str, str], method: str = "GET"
) -> None:
    async with session.request(method, url, headers=headers) as answered:
        await answered.read()
        if answered.status != status:
            raise BrokenPromise(f"{url} answered {answered.status}")


def _fetches(session: ClientSession, served: Served, known: Mailbox) -> dict[str, tuple[Asked, Asked]]:
    """What is fetched with a token: of nobody, and of somebody whose token this is not."""
    wrong, nobody = encode_bytes(b"x" * 16), encode_id(os.urandom(32))

    def manifests(account: str) -> Asked:
        url = f"{served.url}/v1/accounts/{account}/manifests"
        return lambda: _refused(session, url, 403, {"TokenIM-Delivery-Token": wrong})

    def profile(account: str) -> Asked:
        url = f"{served.url}/v1/accounts/{account}/profile"
        return lambda: _refused(session, url, 403, {"TokenIM-Delivery-Token": wrong})

    account = known.device.account
    return {
        "manifests of an account": (manifests(nobody), manifests(account)),
        "profile of an account": (profile(nobody), profile(account)),
    }


def _signatures(session: ClientSession, served: Served, known: Mailbox) -> dict[str, tuple[Asked, Asked]]:
    """A signed request by a device that there is not, and one that the named device did not sign."""
    stranger = RawDevice(served.url, session, clock=lambda: time.time_ns() // 1_000_000)

    def own_account(device_id: bytes) -> Asked:
        async def ask() -> None:
            stranger.device_id = device_id
            headers = {"Authorization": stranger.authorization("GET", "/v1/accounts/self", EMPTY)}
            await _refused(session, f"{served.url}/v1/accounts/self", 401, headers)

        return ask

    return {"a signed request": (own_account(os.urandom(16)), own_account(known.device.device_id))}


async def _submits(session: ClientSession, served: Served, known: Mailbox) -> dict[str, tuple[Asked, Asked]]:
    """An envelope to an account that there is not, and to one whose token this is not."""
    socket = await connect_anonymous(session, served)
    numbers = iter(range(1, 2**31))

    def submit(account_id: bytes, device_id: bytes) -> Asked:
        async def ask() -> None:
            frame = Submit(
                next(numbers),
                os.urandom(16),
                EnvelopeClass.DURABLE,
                False,
                3_600,
                (os.urandom(512),),
                (Target(device_id, 0, 0),),
                (Grant(account_id, b"x" * 16, 0),),
            )
            await send(socket, frame)
            (answer,) = await frames_of(socket)
            if not isinstance(answer, Accepted) or answer.outcomes != (Outcome.NOT_ALLOWED,):
                raise BrokenPromise(f"a submit without a right was answered by {answer}")

        return ask

    device = known.device
    return {
        "a submit": (
            submit(os.urandom(32), os.urandom(16)),
            submit(device.account_id, device.device_id),
        )
    }


async def _time(asked: Asked) -> float:
    began = time.perf_counter()
    await asked()
    return (time.perf_counter() - began) * 1_000


async def _measure(served: Served) -> dict[str, tuple[float, float]]:
    """Medians in milliseconds of (not allowed, not there), asked for in turns."""
    medians = {}
    async with http() as session:
        (known,) = await register(served, session, 1)
        pairs = _fetches(session, served, known) | _signatures(session, served, known)
        pairs |= await _submits(session, served, known)
        for name, (none, shut) in pairs.items():
            times: tuple[list[float], list[float]] = ([], [])
            for number in range(WARM_UP + REQUESTS):
                # Who is first changes: what one leaves in caches the other would find.
                order = (0, 1) if number % 2 else (1, 0)
                for which in order:
                    took = await _time((shut, none)[which])
                    if number >= WARM_UP:
                        times[which].append(took)
            medians[name] = statistics.median(times[0]), statistics.median(times[1])
    return medians


def run() -> list[Result]:
    """Of each pair, the median of what is not allowed, over that of what there is not."""
    rounds: list[dict[str, tuple[float, float]]] = []
    with pinned_driver():
        for _ in range(ROUNDS):
            with serving_relay(UNLIMITED) as served:
                rounds.append(asyncio.run(_measure(served)))
    return [
        Result.of(
            f"refusals: {name}, not allowed over not there",
            "ms",
            [one[name][0] for one in rounds],
            [one[name][1] for one in rounds],
        )
        for name in rounds[0]
    ]
