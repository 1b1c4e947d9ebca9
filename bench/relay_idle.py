"""Memory of a relay, and of each of 1,000 connections that have their mailbox and do nothing."""

import asyncio
import resource

from bench.driver import connect_device, http, register
from bench.results import Result
from bench.served import Served, serving_relay

CONNECTIONS = 1_000
WARM = 50


async def _measure(served: Served) -> tuple[float, float]:
    """MB of the relay before, KiB a connection."""
    async with http() as session:
        base = served.resident_bytes()
        mailboxes = await register(served, session, CONNECTIONS + WARM)
        sockets = [await connect_device(session, served, one) for one in mailboxes[:WARM]]
        await asyncio.sleep(0.5)
        before = served.resident_bytes()
        sockets += [await connect_device(session, served, one) for one in mailboxes[WARM:]]
        await asyncio.sleep(1)
        each = (served.resident_bytes() - before) / CONNECTIONS
        for socket in sockets:
            await socket.close()
    return base / 1_000_000, each / 1_024


def run() -> list[Result]:
    """One round: memory is not given back for a second one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with serving_relay() as served:
        base, each = asyncio.run(_measure(served))
    return [
        Result.of("relay: memory after the start", "MB", [base]),
        Result.of(f"relay: memory of each of {CONNECTIONS:,} idle connections", "KiB", [each]),
    ]
