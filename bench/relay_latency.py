"""How long a submit waits for `accepted`, and an envelope for its receiver, at 200 a second."""

import asyncio
import statistics
import time

from bench.driver import Pair, frames_of, http, open_pairs, send
from bench.results import Result
from bench.served import Served, pinned_driver, serving_relay
from relay.wire.frames import Accepted, Ack, Deliver

PAIRS = 50
RATE = 200
MEASURE_SECONDS = 5
ROUNDS = 3


async def _receive(pair: Pair, sent: dict[bytes, float], took: list[float]) -> None:
    while True:
        for frame in await frames_of(pair.receiver):
            if isinstance(frame, Deliver):
                took.append(time.perf_counter() - sent[frame.envelope_id])
                await send(pair.receiver, Ack(frame.sequence))


async def _accept(pair: Pair, sent: dict[int, float], took: list[float]) -> None:
    while True:
        answers = await frames_of(pair.sender)
        now = time.perf_counter()
        took += [now - sent[answer.request_id] for answer in answers if isinstance(answer, Accepted)]


async def _measure(served: Served) -> tuple[list[float], list[float]]:
    accepted: list[float] = []
    delivered: list[float] = []
    async with http() as session:
        pairs = await open_pairs(session, served, PAIRS, is_floor=False)
        by_number: list[dict[int, float]] = [{} for _ in pairs]
        by_id: dict[bytes, float] = {}
        listening = [
            asyncio.create_task(work)
            for index, pair in enumerate(pairs)
            for work in (_receive(pair, by_id, delivered), _accept(pair, by_number[index], accepted))
        ]
        due = time.perf_counter()
        for number in range(RATE * MEASURE_SECONDS):
            due += 1 / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            index = number % PAIRS
            submit = pairs[index].next_submit()
            by_id[submit.envelope_id] = by_number[index][submit.request_id] = time.perf_counter()
            await send(pairs[index].sender, submit)
        await asyncio.sleep(0.5)
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
        for pair in pairs:
            await pair.sender.close()
            await pair.receiver.close()
    if len(accepted) != RATE * MEASURE_SECONDS or len(delivered) != RATE * MEASURE_SECONDS:
        raise RuntimeError(f"{len(accepted)} accepted, {len(delivered)} delivered")
    return accepted, delivered


def run() -> list[Result]:
    """Median and 99th percentile."""
    rounds: list[tuple[list[float], list[float]]] = []
    with pinned_driver():
        for _ in range(ROUNDS):
            with serving_relay() as served:
                rounds.append(asyncio.run(_measure(served)))
    results = []
    for index, what in enumerate(("accepted", "delivered")):
        for name, cut in (("p50", 49), ("p99", 98)):
            values = [statistics.quantiles(one[index], n=100)[cut] * 1_000 for one in rounds]
            results.append(Result.of(f"relay: {what} at {RATE}/s, {name}", "ms", values))
    return results
