"""`python -m bench.moving [--waiting N]`: the pause that users see while a relay moves from SQLite to PostgreSQL as it runs.

A relay with N envelopes that wait in mailboxes of others; a plain sender submits all the time, and a real client sends message
after message. The command is given, and the node started at once when it ends. Needs a checkout: servers and fillers are those
of the tests.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from client.client import Client
from relay.adapters.sqlite.store import open_sqlite_store
from relay.ports.mailboxes import Quotas, Submission
from relay.wire.frames import Accepted, Outcome
from tests.contract.people import new_account
from tests.faults.relay_process import RelayProcess
from tests.raw_device import RawDevice
from tests.raw_socket import anonymous, submit_to
from tests.servers.databases import empty_database
from tests.servers.postgres import PostgresServer

TOKEN = bytes(range(16))
IN_A_MAILBOX = 1_000
AT_ONCE = 500
ENVELOPE_BYTES = 1_024
WARM_SECONDS = 3.0
AFTERWARDS_SECONDS = 10.0


class Gaps:
    """The longest time between two successes, from the first on."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = time.monotonic()

    def succeeded(self) -> None:
        """One more."""
        now = time.monotonic()
        self.longest = max(self.longest, now - self._last)
        self._last = now


async def fill(database: Path, waiting: int) -> None:
    """Accounts with so many envelopes in their mailboxes; no relay runs."""
    now_ms = time.time_ns() // 1_000_000
    async with open_sqlite_store(database, quotas=Quotas(10_000, 1 << 40, 90)) as store:
        for first in range(0, waiting, IN_A_MAILBOX):
            account = await new_account(store, first)
            device_id = account.devices[0].device_id
            left = min(IN_A_MAILBOX, waiting - first)
            for _ in range(0, left, AT_ONCE):
                submissions = [
                    Submission(os.urandom(16), 2_000_000, (os.urandom(ENVELOPE_BYTES),), ((device_id, 0),))
                    for _ in range(min(AT_ONCE, left))
                ]
                await store.mailboxes.append(submissions, now_ms=now_ms)


async def submit(device: RawDevice, gaps: Gaps) -> None:
    """Submit to the device for ever, on a new connection whenever one ends."""
    while True:
        try:
            async with anonymous(device) as socket:
                while True:
                    await socket.send(submit_to(device, TOKEN, b"x" * 100))
                    answer = await socket.next()
                    if isinstance(answer, Accepted) and answer.outcomes == (Outcome.STORED,):
                        gaps.succeeded()
                    await asyncio.sleep(0.02)
        except (aiohttp.ClientError, ConnectionError):
            await asyncio.sleep(0.05)


async def talk(home: Path, gaps: Gaps) -> None:
    """Send for ever, as an application would."""
    async with Client.open(home) as client:
        while True:
            await client.send("bob", "a message", patience_seconds=3_600)
            gaps.succeeded()
            await asyncio.sleep(0.1)


async def until(holds: Callable[[], bool]) -> float:
    """When it held."""
    while not holds():  # noqa: ASYNC110  (a file of another process)
        await asyncio.sleep(0.01)
    return time.monotonic()


async def measure(folder: Path, waiting: int) -> None:
    """One move; prints what it took."""
    relay = RelayProcess(folder / "data", folder / "log")
    mark, settings = relay.data / "moving", folder / "cluster.toml"
    with PostgresServer(folder / "postgres") as postgres:
        url = await empty_database(postgres)
        password = folder / "password"
        password.touch(0o600)
        password.write_text("tokenim\n")
        settings.write_text(
            f'origin = "{relay.origin}"\n[postgres]\nurl = "{url.replace(":tokenim@", "@")}"\n'
            f'password_file = "{password}"\n'
        )
        async with relay, aiohttp.ClientSession() as session:
            await relay.start()
            link = await relay.create_invite(3)
            device = RawDevice(relay.origin, session, clock=lambda: time.time_ns() // 1_000_000)
            await device.register(link)
            await device.add_token(TOKEN)
            for name in ("alice", "bob"):
                await Client.register(folder / name, link, handle=name)
            await relay.stop()
            await fill(relay.data / "relay.sqlite3", waiting)
            await relay.start()
            of_socket, of_client = Gaps(), Gaps()
            load: list[Awaitable[None]] = [submit(device, of_socket), talk(folder / "alice", of_client)]
            tasks = [asyncio.ensure_future(one) for one in load]
            await asyncio.sleep(WARM_SECONDS)
            process = await asyncio.create_subprocess_exec(
                *(str(Path(sys.executable).with_name("tokenim-relay")), "migrate", "sqlite-to-postgres"),
                *("--data", str(relay.data), "--config", str(settings)),
                stdout=asyncio.subprocess.DEVNULL,
            )
            marked = await until(mark.exists)
            alike = await until(lambda: mark.read_text().endswith("done\n"))
            if await process.wait() or await relay.stop():
                raise SystemExit("the move failed")
            over = time.monotonic()
            node = RelayProcess(relay.data, relay.log, arguments=("--config", str(settings)))
            node.port, node.origin = relay.port, relay.origin
            async with node:
                await node.start()
                up = time.monotonic()
                await asyncio.sleep(AFTERWARDS_SECONDS)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
    print(f"{waiting:,} envelopes that wait; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(
        f"copied and compared in {alike - marked:.1f} s, relay and command ended {over - alike:.1f} s later,"
    )
    print(f"a node was ready {up - over:.1f} s after that")
    print(f"longest pause of a plain sender {of_socket.longest:.1f} s, of a client {of_client.longest:.1f} s")


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(prog="python -m bench.moving", description=__doc__)
    parser.add_argument("--waiting", type=int, default=0, help="envelopes of 1 KiB in mailboxes of others")
    waiting = parser.parse_args().waiting
    with tempfile.TemporaryDirectory(prefix="tokenim-moving-") as folder:
        asyncio.run(measure(Path(folder), waiting))


if __name__ == "__main__":
    main()
