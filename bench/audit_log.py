"""The audit log with ROWS rows, entered through the store's port: entering, listing, verifying alone and beside other work."""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path

from bench.results import Result
from relay.adapters.sqlite.store import SqliteStore, open_sqlite_store
from relay.adapters.system_clock import SystemClock, system_randomness
from relay.log_files import verify_audit_file
from relay.observe.figures import Figures
from relay.observe.logs import EventLog
from relay.services.audit import Action, Audit
from relay.services.audit_watch import AuditWatch
from relay.session.proof import RelayKey

ROWS = int(os.environ.get("BENCH_AUDIT_ROWS", "100000"))
AT_ONCE = 500
PAGE = 100


async def _enter(store: SqliteStore, audit: Audit) -> float:
    """Rows a second."""
    began = time.perf_counter()
    for _ in range(0, ROWS, AT_ONCE):
        accounts = [system_randomness(32) for _ in range(AT_ONCE)]
        await asyncio.gather(
            *(store.audit.append(audit.by_account(Action.MANIFEST_CHANGE, account)) for account in accounts)
        )
    return ROWS / (time.perf_counter() - began)


async def _milliseconds(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return (time.perf_counter() - began) * 1_000


async def _watched(watch: AuditWatch) -> tuple[float, float]:
    """Rows a second of the relay's own verification; by how many ms 1 in 1,000 timers of the event loop was late."""
    late: list[float] = []

    async def tick() -> None:
        while True:
            due = time.perf_counter() + 0.001
            await asyncio.sleep(0.001)
            late.append(time.perf_counter() - due)

    ticking = asyncio.create_task(tick())
    began = time.perf_counter()
    verdict = await watch.round()
    passed = time.perf_counter() - began
    ticking.cancel()
    if verdict.faults:
        raise RuntimeError("the log does not fit")
    return ROWS / passed, sorted(late)[len(late) * 999 // 1_000] * 1_000


async def _measure(database: Path, key: RelayKey) -> list[Result]:
    clock = SystemClock()
    async with open_sqlite_store(database) as store:
        audit = Audit(store.audit, key=key, clock=clock, randomness=system_randomness)
        entered = await _enter(store, audit)
        newest = await _milliseconds(store.audit.newest(since_ms=0, before=None, limit=PAGE))
        middle = await _milliseconds(store.audit.newest(since_ms=0, before=ROWS // 2, limit=PAGE))
        watch = AuditWatch(
            store.audit,
            audit,
            clock=clock,
            log=EventLog(sys.stderr, clock.now_ms),
            figures=Figures(),
            every_seconds=1,
            keep_days=0,
            heads=None,
        )
        watched, late = await _watched(watch)
    return [
        Result.of(f"audit log: rows entered, {AT_ONCE} at once", "/s", [entered]),
        Result.of(
            f"audit log: a page of {PAGE}, newest and from the middle of {ROWS:,}", "ms", [newest, middle]
        ),
        Result.of("audit log: rows verified by the relay beside other work", "/s", [watched]),
        Result.of("audit log: 1 in 1,000 timers of the loop was late by, meanwhile", "ms", [late]),
    ]


def run() -> list[Result]:
    """One round: what takes long is entering the rows."""
    key = RelayKey(system_randomness(32))
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "relay.sqlite3"
        results = asyncio.run(_measure(database, key))
        began = time.perf_counter()
        verdict = verify_audit_file(database, key.public)
        rate = verdict.rows / (time.perf_counter() - began)
        size = database.stat().st_size / ROWS
    return [
        *results,
        Result.of("audit log: rows verified by `audit verify`", "/s", [rate]),
        Result.of("audit log: bytes a row in the database", "B", [size]),
    ]
