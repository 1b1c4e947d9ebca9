"""F1: kills the relay at random moments under load, starts it again, and checks what it promised.

python -m tests.faults.kills --n 500 --seed 1
"""

import argparse
import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import aiohttp

from tests.faults.checker import Ledger
from tests.faults.load import Mailbox, PrekeyMarket, Recipient, Sender
from tests.faults.relay_process import RelayProcess
from tests.faults.wire_client import register

DRAIN_SECONDS = 300.0  # reading 100,000 envelopes on a busy machine
LEAST_LIFE_SECONDS = 0.02
MOST_LIFE_SECONDS = 0.6
QUEUED_IN_A_MAILBOX = 9_000
RESTARTS_WITH_A_QUEUE = 3
READY_WITH_A_QUEUE_SECONDS = 2.0


@dataclass(slots=True)
class Cast:
    """Who takes part: three mailboxes (one that is read at the end only), four senders, askers for prekeys."""

    ledger: Ledger
    senders: list[Sender]
    live: list[Recipient]
    asleep: list[Recipient]
    market: PrekeyMarket | None
    random: Random = field(repr=False)

    @property
    def recipients(self) -> list[Recipient]:
        """All of them."""
        return [*self.live, *self.asleep]


async def assemble(
    http: aiohttp.ClientSession, link: str, random: Random, *, asleep_limit: int | None
) -> Cast:
    """Registers everybody; `link` is an invite with at least six uses left."""
    devices = [await register(http, link, random) for _ in range(6)]
    boxes = [Mailbox(name, device) for name, device in zip(("ann", "ben", "eve"), devices, strict=False)]
    ledger = Ledger()

    def sender(name: str, targets: Sequence[Mailbox], limit: int | None = None) -> Sender:
        return Sender(name, targets, ledger, Random(random.random()), limit=limit)

    return Cast(
        ledger,
        [
            sender("to ann", boxes[:1]),
            sender("also to ann", boxes[:1]),
            sender("fan-out", boxes[:2]),
            sender("to eve", boxes[2:], asleep_limit),
        ],
        [Recipient(box, ledger) for box in boxes[:2]],
        [Recipient(boxes[2], ledger)],
        PrekeyMarket(devices[0], devices[3:], ledger, Random(random.random())),
        random,
    )


async def sleeping_cast(http: aiohttp.ClientSession, link: str, random: Random) -> Cast:
    """Three mailboxes that nobody reads during the load, within their quota, one sender each; three uses of `link`."""
    devices = [await register(http, link, random) for _ in range(3)]
    boxes = [Mailbox(name, device) for name, device in zip(("ann", "ben", "eve"), devices, strict=True)]
    ledger = Ledger()
    senders = [
        Sender(f"to {box.name}", [box], ledger, Random(random.random()), limit=9_000, largest_bytes=1024)
        for box in boxes
    ]
    return Cast(ledger, senders, [], [Recipient(box, ledger) for box in boxes], None, random)


async def live_and_die(relay: RelayProcess, http: aiohttp.ClientSession, cast: Cast) -> None:
    """One life of the relay under load, ended by SIGKILL at a random moment."""
    parts: list[Sender | Recipient | PrekeyMarket] = [*cast.senders, *cast.live]
    if cast.market is not None:
        parts.append(cast.market)
    runs = [asyncio.create_task(part.run(http, relay.origin)) for part in parts]
    await asyncio.sleep(cast.random.uniform(LEAST_LIFE_SECONDS, MOST_LIFE_SECONDS))
    await relay.kill()
    await asyncio.gather(*runs)


async def settle(relay: RelayProcess, http: aiohttp.ClientSession, cast: Cast) -> None:
    """The relay stays up: everything gets its answer, everything is delivered and acknowledged."""
    for sender in cast.senders:
        sender.stop.set()
    async with asyncio.timeout(DRAIN_SECONDS):
        await asyncio.gather(*(sender.run(http, relay.origin) for sender in cast.senders))
        if cast.market is not None:
            await cast.market.run(
                http, relay.origin
            )  # a key that was given in an earlier life must not come again
        for recipient in cast.recipients:
            recipient.caught_up.clear()  # here, not when its task first runs: it may be set from an earlier life
        readers = [asyncio.create_task(recipient.run(http, relay.origin)) for recipient in cast.recipients]
        try:
            for recipient in cast.recipients:
                await recipient.caught_up.wait()
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
    for recipient in cast.recipients:
        await recipient.quarantined(http, relay.origin, cast.random)


def check_integrity(data: Path, ledger: Ledger) -> None:
    """`PRAGMA integrity_check` of each database that the stopped relay left."""
    for database in data.glob("*.sqlite3"):
        with closing(sqlite3.connect(database)) as connection:
            ledger.integrity(connection.execute("PRAGMA integrity_check").fetchone()[0])


async def run(relay: RelayProcess, kills: int, seed: int, *, tell: bool = False) -> Ledger:
    """So many kills; the ledger of the whole run. Does not judge it; `tell` prints how far it is."""
    random = Random(seed)
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as http, relay:
        await relay.start()
        cast = await assemble(http, await relay.create_invite(6), random, asleep_limit=5_000)
        for number in range(kills):
            await live_and_die(relay, http, cast)
            cast.ledger.restarted(await relay.start())
            if tell and (number + 1) % 25 == 0:
                print(
                    f"{number + 1} of {kills} kills, {cast.ledger.counts()['accepted']} accepted",
                    file=sys.stderr,
                )
        await settle(relay, http, cast)
        if (code := await relay.stop()) != 0:
            cast.ledger.integrity(f"the relay ended with {code} after SIGTERM")
        check_integrity(relay.data, cast.ledger)
    return cast.ledger


async def run_until_seen(relay: RelayProcess, most: int, seed: int) -> Ledger:
    """Kills a relay that is broken until the ledger shows a loss, at most so often: after each kill all is read.

    On a busy machine a life may end before anything was answered, so that no fixed number of kills is sure to hit.
    """
    random = Random(seed)
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as http, relay:
        await relay.start()
        cast = await assemble(http, await relay.create_invite(6), random, asleep_limit=5_000)
        for _ in range(most):
            for sender in cast.senders:
                sender.stop.clear()
            await live_and_die(relay, http, cast)
            cast.ledger.restarted(await relay.start())
            await settle(relay, http, cast)
            if cast.ledger.counts()["lost"]:
                break
    return cast.ledger


async def fill(relay: RelayProcess, http: aiohttp.ClientSession, count: int, random: Random) -> Cast:
    """So many small envelopes wait in mailboxes that nobody reads, each within its quota."""
    boxes = -(-count // QUEUED_IN_A_MAILBOX)
    link, ledger = await relay.create_invite(boxes), Ledger()
    cast = Cast(ledger, [], [], [], None, random)
    for number in range(boxes):
        box = Mailbox(f"box {number}", await register(http, link, random))
        here = count // boxes + (number < count % boxes)
        cast.senders.append(
            Sender(
                f"to {box.name}",
                [box],
                ledger,
                Random(random.random()),
                window=256,
                largest_bytes=64,
                limit=here,
            )
        )
        cast.asleep.append(Recipient(box, ledger))
    await asyncio.gather(*(sender.run(http, relay.origin) for sender in cast.senders))
    return cast


async def run_queued(relay: RelayProcess, count: int, seed: int) -> Ledger:
    """Kills the relay with so many envelopes queued, times its return, and reads them all."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http, relay:
        await relay.start()
        cast = await fill(relay, http, count, Random(seed))
        for _ in range(RESTARTS_WITH_A_QUEUE):
            await relay.kill()
            took = await relay.start()
            cast.ledger.restarted(took)
            print(f"ready again with {cast.ledger.counts()['accepted']} queued: {took:.2f} s")
            if took > READY_WITH_A_QUEUE_SECONDS:
                cast.ledger.integrity(f"ready after {took:.2f} s, not within {READY_WITH_A_QUEUE_SECONDS} s")
        await settle(relay, http, cast)
        await relay.stop()
        check_integrity(relay.data, cast.ledger)
    return cast.ledger


def closing_line(ledger: Ledger, kills: int, seed: int, seconds: float) -> str:
    """All numbers of a run, each counted."""
    counts = ledger.counts()
    return (
        f"{kills} kills (seed {seed}) in {seconds:.0f} s: {counts['submitted']} submitted, {counts['accepted']} accepted, "
        f"{counts['refused']} refused, {counts['resubmitted']} submitted again, {counts['delivered']} delivered, "
        f"{counts['redelivered']} redelivered, {counts['one_time_keys']} one-time keys, "
        f"slowest restart {ledger.slowest_restart():.2f} s; {counts['lost']} lost, {counts['twice']} twice, "
        f"{len(ledger.violations())} broken promises"
    )


def main() -> int:
    """0 if every promise was kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=50, help="how many kills")
    parser.add_argument(
        "--seed", type=int, default=time.time_ns() % 2**32, help="the same seed, the same moments"
    )
    parser.add_argument(
        "--queued", type=int, default=0, help="first also kill it with so many envelopes queued"
    )
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tokenim-kills-") as folder:
        queued = Ledger()
        if arguments.queued:
            relay = RelayProcess(Path(folder) / "queued", Path(folder) / "queued.log")
            queued = asyncio.run(run_queued(relay, arguments.queued, arguments.seed))
            print(closing_line(queued, RESTARTS_WITH_A_QUEUE, arguments.seed, time.monotonic() - began))
            began = time.monotonic()
        relay = RelayProcess(Path(folder) / "data", Path(folder) / "relay.log")
        ledger = asyncio.run(run(relay, arguments.n, arguments.seed, tell=True))
    for violation in [*queued.violations(), *ledger.violations()][:20]:
        print(violation, file=sys.stderr)
    print(closing_line(ledger, arguments.n, arguments.seed, time.monotonic() - began))
    return 1 if queued.violations() or ledger.violations() else 0


if __name__ == "__main__":
    sys.exit(main())
