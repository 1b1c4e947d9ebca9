"""Pages that are asked for at once: each mailbox gets what it would get alone, and PostgreSQL is asked in few statements."""

import asyncio
import json
from collections.abc import Sequence
from typing import cast

import asyncpg

from relay.adapters.postgres import page_reads
from relay.adapters.postgres.database import Database
from relay.ports.mailboxes import MissedRange, Page, StoredEnvelope
from relay.ports.store import Store
from relay.wire.errors import NotFound
from tests.contract.envelopes import page, send, submission
from tests.contract.people import NOW_MS, bytes_of, new_device

NOBODY = bytes(16)


async def at_once(store: Store, devices: Sequence[bytes], **how: int) -> list[Page | BaseException]:
    return await asyncio.gather(*(page(store, device, **how) for device in devices), return_exceptions=True)


async def mailboxes_of_all_kinds(store: Store) -> list[bytes]:
    """Empty; full; one of shared copies; with gaps that were acknowledged; removed in part; expired in part; quarantined."""
    names = ("empty", "full", "shared", "gaps", "removed", "expired", "quarantined")
    devices = [await new_device(store, name) for name in names]
    _, full, shared, gaps, removed, expired, quarantined = devices
    await send(store, *(submission(("full", number), full) for number in range(20)))
    for number in range(3):
        await send(store, submission(("both", number), shared, gaps, quarantined))
    await send(store, *(submission(("gaps", number), gaps) for number in range(15)))
    await store.mailboxes.ack(gaps, up_to=0, also=[1, *range(4, 17)])
    await send(store, *(submission(("removed", number), removed) for number in range(4)))
    await store.mailboxes.remove(removed, up_to=2)
    await send(store, submission("short", expired, ttl_seconds=1), submission("long", expired))
    for _ in range(6):
        await store.mailboxes.count_attempt(quarantined, 1)
    return devices


async def test_asked_at_once_each_mailbox_gives_what_it_gives_alone(store: Store) -> None:
    devices = await mailboxes_of_all_kinds(store)
    for how in (
        {},
        {"count": 2},
        {"count": 3, "after": 1},
        {"size": 250},
        {"size": 1, "count": 1},
        {"after": 17},
        {"now_ms": NOW_MS + 2_000},
    ):
        alone = [await page(store, device, **how) for device in devices]
        assert await at_once(store, devices, **how) == alone, how
    items = [item for found in alone if isinstance(found, Page) for item in found.items]
    assert {type(item) for item in items} == {StoredEnvelope, MissedRange}


async def test_a_device_that_is_no_more_costs_the_others_nothing(store: Store) -> None:
    device = await new_device(store, "anna")
    await send(store, submission(1, device))
    found = await at_once(store, [NOBODY, device, device, NOBODY])
    assert [type(one) for one in found] == [NotFound, Page, Page, NotFound]
    assert found[1] == found[2]


async def test_who_gives_up_waiting_costs_the_others_nothing(store: Store) -> None:
    device = await new_device(store, "anna")
    await send(store, submission(1, device))
    asked = [asyncio.ensure_future(page(store, device)) for _ in range(3)]
    await asyncio.sleep(0)
    asked[0].cancel()
    _, *others = await asyncio.gather(*asked, return_exceptions=True)
    assert others == [await page(store, device)] * 2


class AllAtOnce:
    """A database whose answers, of empty mailboxes, come in one turn of the event loop."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = asyncio.Event()

    async def rows(self, *_asked: object) -> list[object]:
        self.asked += 1
        await self.answers.wait()
        return []

    async def one(self, *_asked: object) -> tuple[bool]:
        return (False,)


async def test_who_asks_again_in_the_turn_in_which_all_readers_end_is_answered() -> None:
    database = AllAtOnce()
    pages = page_reads.PageReads(cast(Database, database))

    async def ask(times: int) -> None:
        for _ in range(times):
            await pages.rows(NOBODY, 0, 1, 1)

    asking = []
    for number in range(page_reads.AT_ONCE):
        asking.append(asyncio.ensure_future(ask(1 if number else 2)))
        while database.asked <= number:  # noqa: ASYNC110  (a reader for each)
            await asyncio.sleep(0)
    database.answers.set()
    async with asyncio.timeout(10):
        await asyncio.gather(*asking)
    assert database.asked == page_reads.AT_ONCE + 1


async def test_many_mailboxes_are_few_statements_and_one_copy_is_fetched_once(
    two_nodes: tuple[Store, Store],
) -> None:
    one, other = two_nodes
    devices = [await new_device(one, str(number)) for number in range(100)]
    body = bytes_of("fan-out", 4_000)
    await send(one, submission("all", *devices, body=body))
    for device in devices[::3]:
        await send(one, submission(device, device))
    before = other.database.counts.statements
    found = await at_once(other, devices)
    assert other.database.counts.statements - before <= 4  # 64 mailboxes and 36, and their copies
    for number, got in enumerate(found):
        assert isinstance(got, Page)
        assert [item.sequence for item in got.items] == ([1] if number % 3 else [1, 2])
        assert got.items[0].ciphertext == body


async def test_deep_mailboxes_are_not_read_whole_whatever_postgresql_believes_of_them(
    two_nodes: tuple[Store, Store],
) -> None:
    one, _ = two_nodes
    devices = [await new_device(one, str(number)) for number in range(8)]
    async with one.database.pool.acquire() as connection:
        await connection.execute("ANALYZE envelopes, mailboxes")  # empty, when it was looked at last
        await connection.execute(
            """INSERT INTO envelopes (device_id, sequence, expires_at_ms, received_at_ms, bytes, envelope_id, digest, ciphertext)
               SELECT d, n, $2, $2, 1, int8send(n), substr(sha256('x'), 1, 16), 'x'
               FROM unnest($1::bytea[]) AS d, generate_series(1, 5000) AS n""",
            devices,
            NOW_MS,
        )
        for plans in ("force_custom_plan", "force_generic_plan", "force_custom_plan", "force_generic_plan"):
            await connection.execute(f"SET plan_cache_mode = {plans}")
            assert await envelopes_looked_at(connection, devices) <= 8 * 11, plans
            if plans == "force_generic_plan":
                await connection.execute("ANALYZE envelopes, mailboxes")


async def envelopes_looked_at(connection: asyncpg.Connection, devices: Sequence[bytes]) -> int:
    """Rows that PostgreSQL takes from the table of envelopes, or passes over there, for eleven of each of these."""
    asked = (devices, [2_000] * len(devices), [2_011] * len(devices), [10**6] * len(devices))
    ((told,),) = await connection.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {page_reads._PAGES}", *asked)
    plans, looked_at, scans = [json.loads(told)[0]["Plan"]], 0, 0
    while plans:
        plan = plans.pop()
        plans += plan.get("Plans", [])
        if plan.get("Relation Name") == "envelopes":
            scans += 1
            rows = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
            looked_at += round(rows * plan["Actual Loops"])
    assert scans == 1
    return looked_at
