"""Durable envelopes a second through one relay, as a ratio to a bare server that stores nothing.

50 sender–receiver pairs, window 16, 1 KiB. `tokenim-relay serve` with default settings on one core, the driver on the
other; relay and floor in turns, three rounds.
"""

import asyncio
from contextlib import AbstractContextManager

from bench.driver import http, open_pairs, talk
from bench.results import Result
from bench.served import Served, pinned_driver, serving_floor, serving_relay

PAIRS = 50
WARM_UP_SECONDS = 1.0
MEASURE_SECONDS = 4.0
ROUNDS = 3


async def _measure(served: Served, *, is_floor: bool) -> tuple[float, float]:
    """Delivered envelopes a second, and the server's processor seconds for 10,000 of them."""
    async with http() as session:
        pairs = await open_pairs(session, served, PAIRS, is_floor=is_floor)
        load = await talk(
            pairs, lambda: (served.cpu_seconds(),), warm_up=WARM_UP_SECONDS, seconds=MEASURE_SECONDS
        )
        return load.delivered / load.seconds, load.used[0] / load.delivered * 10_000


def _round(server: AbstractContextManager[Served], *, is_floor: bool) -> tuple[float, float]:
    with server as served:
        return asyncio.run(_measure(served, is_floor=is_floor))


def run() -> list[Result]:
    """Throughput, and processor time."""
    relay: list[tuple[float, float]] = []
    floor: list[tuple[float, float]] = []
    with pinned_driver():
        for _ in range(ROUNDS):
            floor.append(_round(serving_floor(), is_floor=True))
            relay.append(_round(serving_relay(), is_floor=False))
    return [
        Result.of(
            "relay: durable envelopes", "1/s", [rate for rate, _ in relay], [rate for rate, _ in floor]
        ),
        # The same with other load on the machine taken out: what a whole second of its core would give.
        Result.of(
            "relay: durable envelopes, of its core's time",
            "1/CPU s",
            [10_000 / cpu for _, cpu in relay],
            [10_000 / cpu for _, cpu in floor],
        ),
        Result.of(
            "relay: processor time for 10,000", "s", [cpu for _, cpu in relay], [cpu for _, cpu in floor]
        ),
    ]
