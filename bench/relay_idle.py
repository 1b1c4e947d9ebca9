"""Memory of a relay, and of each of 1,000 connections that have their mailbox and do nothing, beside the bare server's."""

import asyncio
import resource

from bench.driver import connect_device, http, open_socket, register
from bench.results import Result
from bench.served import Served, serving_floor, serving_relay

CONNECTIONS = 1_000
WARM = 50


async def _each_connection(served: Served, *, is_floor: bool) -> float:
    """KiB."""
    async with http() as session:
        mailboxes = [] if is_floor else await register(served, session, CONNECTIONS + WARM)

        async def connect(number: int) -> object:
            if is_floor:
                return await open_socket(session, f"{served.url}/v1/connect")
            return await connect_device(session, served, mailboxes[number])

        held = [await connect(number) for number in range(WARM)]
        await asyncio.sleep(0.5)
        before = served.resident_bytes()
        held += [await connect(WARM + number) for number in range(CONNECTIONS)]
        await asyncio.sleep(1)
        return (served.resident_bytes() - before) / CONNECTIONS / 1_024


def run() -> list[Result]:
    """One round: memory is not given back for a second one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with serving_floor() as served:
        floor = asyncio.run(_each_connection(served, is_floor=True))
    with serving_relay() as served:
        base = served.resident_bytes() / 1_000_000
        each = asyncio.run(_each_connection(served, is_floor=False))
    return [
        Result.of("relay: memory after the start", "MB", [base]),
        Result.of(f"relay: memory of each of {CONNECTIONS:,} idle connections", "KiB", [each], [floor]),
    ]
