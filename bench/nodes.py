"""Two nodes of a relay beside one, on the same PostgreSQL: processor time of all of them for a message.

Of the pairs half have their sender at the one node and their receiver at the other, as behind a balancer without
stickiness. Nodes on one core; driver, PostgreSQL and NATS on the other. In turns, ROUNDS times. Fails where the two cost a
quarter more than the one, with MANY pairs; with FEW each node has so little to commit at once that it is told and not judged.
"""

import asyncio
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.driver import Pair, connect_anonymous, connect_device, http, register, talk
from bench.results import Result
from bench.served import Served, pinned_driver, relay_command, serving
from tests.servers.nats import NatsServer
from tests.servers.ports import free_port
from tests.servers.postgres import PostgresServer

FEW, MANY = 40, 400
"""Pairs; each is two connections, and the sender has 16 submits under way."""
WARM_UP_SECONDS = 1.0
MEASURE_SECONDS = 5.0
ROUNDS = 3
MOST_RATIO = 1.25
"""Of the processor time of two nodes for a message, over that of one."""
_CONFIG = """\
origin = "http://127.0.0.1:{port}"
signing_key_file = "{folder}/relay.key"
keys_file = "{folder}/column.keys"
postgres = {{ url = "postgresql://tokenim@127.0.0.1:{postgres}/postgres", password_file = "{folder}/password" }}
nats = {{ servers = ["{nats}"] }}
"""


@contextmanager
def _nodes(folder: Path, postgres: PostgresServer, nats: NatsServer, count: int) -> Iterator[list[Served]]:
    """So many nodes of one relay; the first one's address is the origin."""
    ports = [free_port() for _ in range(count)]
    config = folder / "cluster.toml"
    config.write_text(
        _CONFIG.format(port=ports[0], folder=folder, postgres=postgres.port, nats=nats.url), encoding="utf-8"
    )
    with ExitStack() as stack:
        nodes = []
        for number, port in enumerate(ports):
            data = folder / f"node{number}"
            command = [relay_command(), "serve", "--config", str(config), "--data", str(data)]
            served = stack.enter_context(serving([*command, "--listen", f"127.0.0.1:{port}"], data))
            nodes.append(Served(f"http://127.0.0.1:{port}", served.invite, data, served.process_id))
        yield nodes


async def _measure(
    nodes: Sequence[Served], postgres: PostgresServer, pair_count: int
) -> tuple[float, float, float]:
    """Delivered envelopes a second; processor seconds of all nodes, and of PostgreSQL, for 10,000 of them."""
    async with http() as session:
        mailboxes = await register(nodes[0], session, pair_count)
        pairs = [
            Pair(
                mailbox,
                await connect_anonymous(session, nodes[number % len(nodes)]),
                await connect_device(session, nodes[number // 2 % len(nodes)], mailbox),
            )
            for number, mailbox in enumerate(mailboxes)
        ]
        load = await talk(
            pairs,
            lambda: (sum(node.cpu_seconds() for node in nodes), postgres.cpu_seconds()),
            warm_up=WARM_UP_SECONDS,
            seconds=MEASURE_SECONDS,
        )
        ours, there = (used / load.delivered * 10_000 for used in load.used)
        return load.delivered / load.seconds, ours, there


def run() -> list[Result]:
    """Both ways in each round."""
    found: dict[tuple[int, int], list[tuple[float, float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="tokenim-bench-") as place, pinned_driver():
        folder = Path(place)
        password = folder / "password"
        password.touch(0o600)
        password.write_text("tokenim\n", encoding="utf-8")
        with PostgresServer(folder / "postgres") as postgres, NatsServer(folder / "nats") as nats:
            for _ in range(ROUNDS):
                for pair_count, count in itertools.product((FEW, MANY), (1, 2)):
                    with _nodes(folder, postgres, nats, count) as nodes:
                        measured = asyncio.run(_measure(nodes, postgres, pair_count))
                        found.setdefault((pair_count, count), []).append(measured)
    return [
        Result.of(
            f"two nodes, {2 * pair_count} connections: {name}",
            unit,
            [each[figure] for each in found[pair_count, 2]],
            [each[figure] for each in found[pair_count, 1]],
            limit=limit,
        )
        for pair_count, most in ((FEW, None), (MANY, MOST_RATIO))
        for figure, (name, unit, limit) in enumerate(
            (
                ("envelopes", "1/s", None),
                ("processor time of both for 10,000", "s", most),
                ("processor time of PostgreSQL for 10,000", "s", None),
            )
        )
    ]
