"""A whole relay of several nodes on this machine: PostgreSQL, NATS, S3, the nodes as processes, a balancer before them.

python -m tests.servers.cluster [--nodes 3] [--folder DIRECTORY] leaves it running until Ctrl-C.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

from tests.faults.relay_process import RelayProcess, command, warm_relay
from tests.servers.balancer import Balancer, open_balancer
from tests.servers.nats import NatsServer
from tests.servers.postgres import PostgresServer
from tests.servers.s3 import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server

_CONFIG = """\
origin = "{origin}"
signing_key_file = "{folder}/relay.key"
keys_file = "{folder}/column.keys"

[postgres]
url = "postgresql://tokenim@127.0.0.1:{postgres}/postgres"
password_file = "{password}"

[nats]
servers = ["{nats}"]

[s3]
bucket = "{bucket}"
endpoint = "{s3}"
access_key = "{access_key}"
secret_key_file = "{secret}"
"""


@dataclass
class Cluster:
    """What runs. `url` is the balancer's, and the origin of all nodes."""

    postgres: PostgresServer
    nats: NatsServer
    s3: S3Server
    nodes: list[RelayProcess]
    balancer: Balancer

    @property
    def origin(self) -> str:
        """Where clients come."""
        return self.balancer.url

    async def create_invite(self, uses: int = 1) -> str:
        """A link, made through the first node."""
        return await self.nodes[0].create_invite(uses)


def _secret(file: Path, line: str) -> Path:
    """The file, which has the secret."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(0o600)
    file.write_text(line + "\n")
    return file


@asynccontextmanager
async def open_cluster(
    folder: Path,
    *,
    nodes: int = 3,
    postgres_settings: dict[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    works: Sequence[str] = (),
    program: Sequence[str] = (),
) -> AsyncIterator[Cluster]:
    """Ready to talk to; gone when the block ends.

    `postgres_settings`: instead of those that make it quick. `environment`: of each node, as tests have it by default.
    `works`: what each of them is there for, one after the other; the first takes clients. By default each does everything.
    `program`: what a node is started by; by default, a copy of a process that has imported it (tests/warm).
    """
    password, secret = (
        _secret(folder / "postgres.password", "tokenim"),
        _secret(folder / "s3.secret", SECRET_KEY),
    )
    async with AsyncExitStack() as stack:
        postgres = stack.enter_context(PostgresServer(folder / "postgres", settings=postgres_settings))
        nats = stack.enter_context(NatsServer(folder / "nats"))
        s3 = stack.enter_context(S3Server(folder / "s3"))
        balancer = await stack.enter_async_context(open_balancer(()))
        config = folder / "cluster.toml"
        config.write_text(
            _CONFIG.format(
                origin=balancer.url,
                folder=folder,
                password=password,
                postgres=postgres.port,
                nats=nats.url,
                bucket=BUCKET,
                s3=s3.url,
                access_key=ACCESS_KEY,
                secret=secret,
            )
        )
        relays = [
            RelayProcess(
                folder / f"node{number}",
                folder / f"node{number}.log",
                program=program or warm_relay(),
                arguments=("--config", str(config)),
                environment={**(environment or {}), **({"TOKENIM_RELAY_WORK": work} if work else {})},
            )
            for number, work in zip(range(1, nodes + 1), works or repeat(""), strict=False)
        ]
        for relay in relays:
            await stack.enter_async_context(relay)
        await relays[0].start()  # makes the two key files
        await asyncio.gather(*(relay.start() for relay in relays[1:]))
        balancer.ports = [
            relay.port for relay in relays if "api" in relay.environment.get("TOKENIM_RELAY_WORK", "api")
        ]
        yield Cluster(postgres, nats, s3, relays, balancer)


async def _serve(folder: Path, nodes: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_cluster(folder, nodes=nodes, program=command()) as cluster:
        print(f"invite {cluster.nodes[0].invite}")
        print(f"origin {cluster.origin}")
        print("ready", *(node.origin for node in cluster.nodes), flush=True)
        await stop.wait()


def main() -> int:
    """Until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="kept after the end; default: a temporary one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tokenim-cluster-") as temporary:
        asyncio.run(_serve((arguments.folder or Path(temporary)).absolute(), arguments.nodes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
