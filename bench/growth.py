"""What a relay on PostgreSQL costs as it grows: a submit, and the database's size beside what the model of docs/scale.md says.

Rows come by COPY, all databases stand side by side on one server and are measured in turns. One store, one call at a time,
BATCH submits in each, to devices by chance. In the database: the time from a call to its answer, less what the processor did
here; and the processor time of PostgreSQL itself. Fails where a hundred times as many envelopes that wait, or a thousand times
as many accounts, make a submit dearer by a fifth.
"""

import asyncio
import hashlib
import os
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncpg

from bench.results import Result
from relay.adapters.postgres.store import PostgresStore, open_postgres_store
from relay.ports.mailboxes import Submission
from relay.wire import limits
from relay.wire.prekeys import KEY_BYTES, PrekeyClass, PrekeyKind
from tests.servers.postgres import PostgresServer

LARGEST = int(os.environ.get("BENCH_GROWTH_ROWS", "1000000"))
SIZES: Final[dict[str, tuple[int, int]]] = {
    "small": (LARGEST // 1_000, LARGEST // 100),
    "middle": (LARGEST // 100, LARGEST // 10),
    "large": (LARGEST // 10, LARGEST),
    "queued": (LARGEST // 1_000, LARGEST),
    "people": (LARGEST, LARGEST // 100),
}
"""(Accounts of one device, envelopes that wait). The first three lie a factor of ten apart; the others are the extremes that
the model is made from, and that a submit may not be dearer in."""
FULL_PAGES = os.environ.get("BENCH_GROWTH_FULL_PAGES", "off")
"""on, as in real life: a page's first change after a checkpoint is logged whole, which chance decides in so short a time."""
BATCH = 16
CALLS = 150
ROUNDS = 7
CIPHERTEXT_BYTES = 512
MOST_GROWTH: Final = 1.2
"""Of a submit's cost, from the small size to each of the extremes: less than a fifth more."""
_PREKEY_HEADER = 1 + 1 + 4 + 8 + limits.SIGNATURE_BYTES  # kind, class, id, time, signature
_FIGURES = (
    ("relay's processor", "ms", True),
    ("in the database", "ms", True),
    ("PostgreSQL's processor", "ms", True),
    ("PostgreSQL's write-ahead log", "B", False),
)
"""And whether it may not grow: processors and time."""
_NOW_MS = 1_800_000_000_000
_SIZE = """SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
           WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"""
_LOG = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": FULL_PAGES,
    "autovacuum": "off",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
}


def _id(kind: str, number: int, length: int) -> bytes:
    return hashlib.blake2b(f"{kind} {number}".encode(), digest_size=length).digest()


def _rows(accounts: int, envelopes: int) -> Iterator[tuple[str, Iterator[tuple[object, ...]]]]:
    """Table by table. Envelopes wait for the devices in turn."""
    each = max(envelopes // accounts, 1)
    waiting = range(min(accounts, envelopes))
    people = [(_id("account", number, 32), _id("device", number, 16)) for number in range(accounts)]
    yield "accounts", ((account, "member", False, _NOW_MS, 1, bytes(32), None) for account, _ in people)
    yield "device_owners", ((device, account, 0) for account, device in people)
    yield (
        "devices",
        ((account, device, account, account[::-1], 1, _NOW_MS) for account, device in people),
    )
    yield (
        "mailboxes",
        (
            (device, count, count, count * CIPHERTEXT_BYTES, False, 0, 0)
            for number, (_, device) in enumerate(people)
            for count in (each if number in waiting else 0,)
        ),
    )
    body = random.Random(1).randbytes(CIPHERTEXT_BYTES)
    yield (
        "envelopes",
        (
            (
                people[n][1],
                s,
                _NOW_MS + 10**9 + n,
                _NOW_MS,
                len(body),
                False,
                _id(f"e{s}", n, 16),
                bytes(16),
                None,
                body,
            )
            for n in waiting
            for s in range(1, each + 1)
        ),
    )
    yield (
        "records",
        ((people[n][1], _id(f"e{s}", n, 16), bytes(16), s) for n in waiting for s in range(1, each + 1)),
    )


async def _fill(url: str, size: tuple[int, int]) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET session_replication_role = replica")  # rows fit by how they are made
        for table, rows in _rows(*size):
            await connection.copy_records_to_table(table, records=rows)
        await connection.execute("VACUUM (ANALYZE, FREEZE)")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def _cost(
    store: PostgresStore, server: PostgresServer, accounts: int, chance: random.Random
) -> list[float]:
    """A submit, in milliseconds: processor time here, time in the database, processor time of PostgreSQL; bytes of its log."""
    batches = [
        [
            Submission(
                chance.randbytes(16),
                2_592_000,
                (chance.randbytes(CIPHERTEXT_BYTES),),
                ((_id("device", chance.randrange(accounts), 16), 0),),
            )
            for _ in range(BATCH)
        ]
        for _ in range(CALLS)
    ]
    ((begin,),) = await store.database.rows(_LOG)
    cpu, there, began = time.process_time(), server.cpu_seconds(), time.perf_counter()
    for batch in batches:
        await store.mailboxes.append(batch, now_ms=_NOW_MS)
    took = time.perf_counter() - began
    cpu, there = time.process_time() - cpu, server.cpu_seconds() - there
    ((end,),) = await store.database.rows(_LOG)
    return [
        value / (CALLS * BATCH) for value in (cpu * 1_000, (took - cpu) * 1_000, there * 1_000, end - begin)
    ]


async def _stock(server: PostgresServer, accounts: int) -> float:
    """Bytes of a device's full stock of one-time prekeys: for all devices of "small", once that was measured."""
    connection = await asyncpg.connect(server.url("small"))
    try:
        (before,) = await connection.fetchrow(_SIZE)
        rows = (
            (
                _id("device", number, 16),
                int(kind),
                int(PrekeyClass.ONE_TIME),
                key_id,
                bytes(_PREKEY_HEADER + KEY_BYTES[kind]),
            )
            for number in range(accounts)
            for kind in (PrekeyKind.KEM, PrekeyKind.ONE_TIME)
            for key_id in range(limits.ONE_TIME_PREKEYS)
        )
        await connection.copy_records_to_table("prekeys", records=rows)
        (after,) = await connection.fetchrow(_SIZE)
    finally:
        await connection.close()
    return float(after - before) / accounts


@dataclass
class _Measured:
    """Of one size: bytes of the database without its system tables, and what _cost said in each round."""

    size: int = 0
    costs: list[list[float]] = field(default_factory=list)


async def _measure(server: PostgresServer, folder: Path) -> tuple[dict[str, _Measured], float]:
    measured = {name: _Measured() for name in SIZES}
    keys = folder / "column.keys"
    for name, size in SIZES.items():
        connection = await asyncpg.connect(server.url())
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        async with open_postgres_store(server.url(name), keys_file=keys) as store:
            ((empty,),) = await store.database.rows(_SIZE)
            await _fill(server.url(name), size)
            ((full,),) = await store.database.rows(_SIZE)
        measured[name].size = full - empty
    chance = random.Random(2)
    for number in range(ROUNDS + 1):
        for name, (accounts, _) in SIZES.items():
            async with open_postgres_store(server.url(name), keys_file=keys, connections=2) as store:
                costs = await _cost(store, server, accounts, chance)
            if number:  # the first one warms up
                measured[name].costs.append(costs)
    return measured, await _stock(server, SIZES["small"][0])


def _model(measured: dict[str, _Measured]) -> tuple[float, float]:
    """Bytes of an account with its device, and of an envelope that waits: what the two extremes say."""
    (a1, e1), (a2, e2) = SIZES["people"], SIZES["queued"]
    s1, s2 = measured["people"].size, measured["queued"].size
    determinant = a1 * e2 - a2 * e1
    return (s1 * e2 - s2 * e1) / determinant, (a1 * s2 - a2 * s1) / determinant


def run() -> list[Result]:
    """Ratios of costs are to the small one's, round by round; of sizes to what the model says."""
    with tempfile.TemporaryDirectory(prefix="tokenim-bench-") as place:
        folder = Path(place)
        with PostgresServer(folder / "postgres", settings=_SETTINGS) as server:
            measured, stock = asyncio.run(_measure(server, folder))
    an_account, an_envelope = _model(measured)
    results = [
        Result.of("PostgreSQL: bytes of an account with one device", "B", [an_account]),
        Result.of("PostgreSQL: bytes of a device's full stock of one-time prekeys", "B", [stock]),
        Result.of(f"PostgreSQL: bytes of an envelope of {CIPHERTEXT_BYTES} B that waits", "B", [an_envelope]),
    ]
    for name, (accounts, envelopes) in SIZES.items():
        grown = f"{accounts:,} accounts, {envelopes:,} envelopes"
        if name in ("small", "middle", "large"):
            predicted = an_account * accounts + an_envelope * envelopes
            results.append(
                Result.of(f"{grown}: database", "MB", [measured[name].size / 1e6], [predicted / 1e6])
            )
        for figure, (what, unit, bounded) in enumerate(_FIGURES):
            rounds, small = ([costs[figure] for costs in measured[each].costs] for each in (name, "small"))
            limit = MOST_GROWTH if bounded and name in ("queued", "people") else None
            results.append(Result.of(f"{grown}: a submit, {what}", unit, rounds, small, limit=limit))
    return results
