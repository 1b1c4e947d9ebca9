"""Room that acknowledgements made goes back to the disk, a bounded number of pages at a time."""

import sqlite3
from contextlib import closing

from relay.adapters.sqlite.connection import CHECKPOINT_PAGES, PAGE_BYTES
from relay.adapters.sqlite.store import open_sqlite_store
from tests.contract.envelopes import submission
from tests.contract.people import NOW_MS, new_device

PAGES_A_STEP = range(1_000, 1_010)  # with a page of pointers now and then


def pages_of(database):
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("PRAGMA page_count").fetchone()[0]


async def test_f4_reclaim_gives_back_a_thousand_pages_at_a_time(tmp_path):
    database = tmp_path / "relay.sqlite3"
    async with open_sqlite_store(database) as store:
        device = await new_device(store, "anna")
        for number in range(120):
            await store.mailboxes.append([submission(number, device, body=bytes(200_000))], now_ms=NOW_MS)
        await store.mailboxes.ack(device, up_to=120)
        before = pages_of(database)
        await store.reclaim()
        between = pages_of(database)
        assert before - between in PAGES_A_STEP
        await store.reclaim()
        assert between - pages_of(database) in PAGES_A_STEP
        await store.mailboxes.append([submission(1_000, device)], now_ms=NOW_MS)
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM envelopes").fetchone() == (1,)


async def test_a_file_that_was_filled_and_emptied_again_and_again_shrinks_on_the_disk(tmp_path):
    database = tmp_path / "relay.sqlite3"
    log = tmp_path / "relay.sqlite3-wal"
    sizes = []
    async with open_sqlite_store(database, reserve_bytes=0) as store:
        device = await new_device(store, "anna")
        for lap in range(2):
            for number in range(100):
                one = submission(lap * 100 + number, device, body=bytes(200_000))
                await store.mailboxes.append([one], now_ms=NOW_MS)
            grown = database.stat().st_size
            await store.mailboxes.ack(device, up_to=(lap + 1) * 100)
            before = 0
            while before != (before := pages_of(database)):
                await store.reclaim()
            sizes.append((grown, database.stat().st_size, log.stat().st_size))
    for grown, shrunk, left in sizes:  # bytes of the file when full, when empty, and of its log
        assert grown > 12_000_000
        assert shrunk < 10_000_000
        assert left <= CHECKPOINT_PAGES * PAGE_BYTES * 1.5
