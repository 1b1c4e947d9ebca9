"""What the nodes of one PostgreSQL have in common beside the rows: the schema, the key file, the sums of a day."""

import asyncio
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from relay.adapters.column_keys import ColumnKeys
from relay.adapters.data_folder import StartRefused
from relay.adapters.memory_bus import MemoryBus
from relay.adapters.postgres import exports, sessions
from relay.adapters.postgres.clocks import ClockWatch, watching_clock
from relay.adapters.postgres.database import (
    Database,
    Lock,
    StoreUnreachable,
    open_database,
)
from relay.adapters.postgres.migrate import Migration, migrate, migration, shipped_migrations
from relay.adapters.postgres.store import open_postgres_store
from relay.adapters.postgres.unheard import Unheard, telling_unheard
from relay.adapters.system_clock import SystemClock, system_randomness
from relay.config import PostgresSettings, Settings
from relay.ports.bus import Announcement, AnnouncementsLost
from relay.ports.mailboxes import MissedRange, StoredEnvelope
from relay.ports.store import Store
from relay.ports.usage import UsageDay
from relay.services.audit import Action, Audit
from relay.session.proof import RelayKey
from relay.states import check_postgres
from relay.wire.errors import Unavailable
from tests.architecture.source import ROOT
from tests.contract.envelopes import page, send, submission
from tests.contract.people import NOW_MS, new_device
from tests.faults import migration_driver
from tests.servers.databases import drop_database, empty_database
from tests.servers.postgres import PostgresServer

STEPS = (
    migration("0001_first.sql", "CREATE TABLE one (a integer NOT NULL)"),
    migration(
        "0002_second.sql", "-- compatible with: 1\nALTER TABLE one ADD COLUMN b integer NOT NULL DEFAULT 7"
    ),
    migration("0003_third.sql", "ALTER TABLE one DROP COLUMN a"),
)


@pytest.fixture
async def url(postgres: PostgresServer) -> AsyncIterator[str]:
    made = await empty_database(postgres)
    yield made
    await drop_database(postgres, made)


@asynccontextmanager
async def several(url: str, count: int) -> AsyncIterator[list[Database]]:
    async with AsyncExitStack() as stack:
        keys = ColumnKeys({1: bytes(32)})
        yield [await stack.enter_async_context(open_database(url, keys, connections=2)) for _ in range(count)]


async def test_nodes_that_start_together_make_the_schema_once(url: str) -> None:
    async with several(url, 4) as nodes:
        steps = shipped_migrations()
        done = await asyncio.gather(*(migrate(node, steps) for node in nodes))
        assert sum(done) == len(steps)
        rows = await nodes[0].rows("SELECT version FROM schema_version ORDER BY version")
        assert [row[0] for row in rows] == [step.number for step in steps]


async def test_f21_a_node_waits_for_one_that_makes_the_schema_however_long_it_takes(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with several(url, 2) as (at_it, comes), asyncio.timeout(40):
        async with at_it.snapshot() as held:
            await held.lock(Lock.MIGRATION)
            starting = asyncio.create_task(migrate(comes, STEPS))
            while "migration_waits" not in caplog.messages:  # longer than any lock is waited for elsewhere
                await at_it.rows("SELECT pg_sleep(0.1)")
        assert await starting == len(STEPS)


async def test_f21_nodes_of_this_version_and_the_next_work_side_by_side_while_a_step_says_so(
    url: str,
) -> None:
    async with several(url, 2) as (old, new):
        assert await migrate(old, STEPS[:1]) == 1
        await old.run(lambda transaction: transaction.execute("INSERT INTO one VALUES (1)"))
        assert await migrate(new, STEPS[:2]) == 1
        await old.run(lambda transaction: transaction.execute("INSERT INTO one VALUES (2)"))
        assert [tuple(row) for row in await new.rows("SELECT a, b FROM one ORDER BY a")] == [(1, 7), (2, 7)]
        assert await migrate(old, STEPS[:1]) == 0  # one of the old that is started again
        assert await migrate(new, STEPS) == 1
        for known in (1, 2):
            with pytest.raises(StoreUnreachable, match=f"schema 3, .* knows 3; this one knows up to {known}"):
                await migrate(old, STEPS[:known])


async def test_f21_a_step_that_is_cut_off_leaves_the_schema_as_it_was(url: str) -> None:
    async with several(url, 1) as (node,):
        await migrate(node, STEPS[:1])
        broken = Migration(2, "0002_broken.sql", "CREATE TABLE two (); SELECT 1 / 0", 2)
        with pytest.raises(Unavailable):
            await migrate(node, (STEPS[0], broken))
        assert await node.rows("SELECT to_regclass('two')") == [(None,)]
        assert await migrate(node, STEPS[:2]) == 1


async def tables(node: Database) -> list[tuple[object, ...]]:
    rows = await node.rows(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
    )
    return [tuple(row) for row in rows]


@pytest.mark.parametrize("number", [step.number for step in migration_driver.STEPS])
async def test_f21_a_node_that_is_killed_within_a_step_leaves_the_schema_before_it_and_another_goes_on(
    url: str, number: int
) -> None:
    """SIGKILL once all of the step was done, but for the commit."""
    async with several(url, 1) as (node,):
        if number > 1:
            await migrate(node, migration_driver.STEPS[: number - 1])
        before = await tables(node)
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faults.migration_driver", url, str(number), cwd=ROOT
        )
        try:
            async with asyncio.timeout(40):
                while not await node.rows(  # noqa: ASYNC110  (of another process)
                    "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
                ):
                    await asyncio.sleep(0.02)
        finally:
            child.kill()
            await child.wait()
        assert await tables(node) == before
        assert await migrate(node, migration_driver.STEPS) == len(migration_driver.STEPS) - (number - 1)
        assert (await tables(node)) != before


async def test_a_node_with_another_key_file_does_not_start(url: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first.keys", tmp_path / "second.keys"
    async with open_postgres_store(url, keys_file=first):
        pass
    with pytest.raises(StoreUnreachable, match=r"second\.keys: this is not the key file of this database"):
        async with open_postgres_store(url, keys_file=second):
            raise AssertionError("it started")
    shutil.copy(first, second)
    async with open_postgres_store(url, keys_file=second):
        pass


class Apart(SystemClock):
    """So many seconds ahead."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def now_ms(self) -> int:
        return super().now_ms() + round(self.seconds * 1_000)


@pytest.mark.parametrize("seconds", [20, -20])
async def test_f10_a_node_whose_clock_is_off_says_so_and_far_off_is_not_ready(
    url: str, seconds: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with several(url, 1) as (node,):
        clock = Apart(0)
        watch = ClockWatch(node, clock)
        await watch.look()
        assert caplog.messages == []
        clock.seconds = seconds
        await watch.look()
        await watch.look()
        assert caplog.messages == ["clock_off"]
        assert 10 < node.clock_ahead_seconds * (seconds / 20) <= 20
        await node.check()
        clock.seconds = seconds * 10
        await watch.look()
        with pytest.raises(Unavailable, match="clock"):
            await node.check()
        clock.seconds = 0
        await watch.look()
        await node.check()


async def test_f10_a_clock_that_is_set_moves_nothing_that_goes_by_the_server_s(url: str) -> None:
    """Neither to where it was wrong, nor back: the monotonic clock tells, until the difference is measured anew."""
    clock = Apart(0)
    async with several(url, 1) as (node,), watching_clock(node, clock):
        for seconds in (3_600, 0, -3_600, 0):
            clock.seconds = seconds
            right = SystemClock().now_ms()
            assert abs(node.shared_ms(clock.now_ms()) - right) < 5_000
            assert node.is_clock_far_off is (seconds != 0)
            async with asyncio.timeout(20):
                while node.moved_ms():  # noqa: ASYNC110  (it is measured anew by itself)
                    await asyncio.sleep(0.05)
            assert abs(node.clock_ahead_seconds - seconds) < 5
            assert abs(node.shared_ms(clock.now_ms()) - SystemClock().now_ms()) < 5_000


async def test_f10_how_long_the_database_takes_to_answer_is_no_difference_of_clocks(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with several(url, 1) as (node,):
        clock = Apart(0)
        asked = Database.one

        async def slow(database: Database, statement: str) -> object:
            row = await asked(database, statement)
            clock.seconds += 40
            return row

        monkeypatch.setattr(Database, "one", slow)
        clock.seconds = -20
        assert await ClockWatch(node, clock).look() == 0


async def test_a_node_that_runs_compares_its_clock_at_once(url: str) -> None:
    async with several(url, 1) as (node,), watching_clock(node, Apart(20)):
        assert node.clock_ahead_seconds > 10


async def test_f10_mail_lives_by_the_clock_that_all_nodes_share(two_nodes: tuple[Store, Store]) -> None:
    """A node that is an hour ahead deletes nothing that the others still hold for alive, and one that is behind neither."""
    one, other = two_nodes
    device = await new_device(one, "anna")
    hour_ms = 3_600_000
    other.database.clock_ahead_seconds = 3_600
    await send(other, submission(1, device, ttl_seconds=60), now_ms=NOW_MS + hour_ms)
    for ahead in (3_600, -3_600):
        other.database.clock_ahead_seconds = ahead
        found = await page(other, device, now_ms=NOW_MS + ahead * 1_000)
        assert [(type(item), item.received_at_ms) for item in found.items] == [(StoredEnvelope, NOW_MS)]
    other.database.clock_ahead_seconds = 3_600
    assert await other.mailboxes.expire(now_ms=NOW_MS + hour_ms, limit=10) == 0
    assert await other.mailboxes.expire(now_ms=NOW_MS + hour_ms + 60_000, limit=10) == 1
    assert [type(item) for item in (await page(one, device)).items] == [MissedRange]


async def test_doctor_tells_a_database_that_does_not_keep_and_a_clock_that_is_off(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text("tokenim\n")
    shared = PostgresSettings(url=url.replace(":tokenim@", "@"), password_file=password)
    settings = Settings(postgres=shared)
    assert await check_postgres(settings, SystemClock()) is None
    assert re.fullmatch(
        r"the clock here is \d+ s ahead of PostgreSQL's", await check_postgres(settings, Apart(20)) or ""
    )
    with pytest.raises(
        StartRefused, match=r"the clock here is \d+ s behind PostgreSQL's: no node is ready so"
    ):
        await check_postgres(settings, Apart(-90))
    monkeypatch.setitem(sessions.SESSION, "synchronous_commit", "local")
    with pytest.raises(StartRefused, match="synchronous_commit = local"):
        await check_postgres(settings, SystemClock())


async def test_what_two_nodes_count_of_a_day_adds_up(two_nodes: tuple[Store, Store]) -> None:
    one, other = two_nodes
    await one.usage.put([UsageDay(9, 2, {"512 B": 3})])
    await other.usage.put([UsageDay(9, 2, {"512 B": 4, "8 KiB": 1})])
    await one.usage.put([UsageDay(9, 3, {"512 B": 5})])
    await other.usage.put([UsageDay(9, 3, {"512 B": 4, "8 KiB": 2})])
    for node in two_nodes:
        assert await node.usage.list(since_day=9) == (UsageDay(9, 3, {"512 B": 9, "8 KiB": 2}),)


async def test_an_export_knows_every_table(two_nodes: tuple[Store, Store]) -> None:
    one, _ = two_nodes
    await new_device(one, "anna")
    rows = await one.database.rows(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
    )
    assert {row[0] for row in rows} == exports.TABLES.keys() | exports.NOT_OF_ACCOUNTS.keys()
    assert not exports.TABLES.keys() & exports.NOT_OF_ACCOUNTS.keys()


async def test_a_node_with_another_signing_key_is_told_by_the_newest_row_of_the_audit_log(
    two_nodes: tuple[Store, Store],
) -> None:
    def audit(node: Store, seed: bytes) -> Audit:
        return Audit(node.audit, key=RelayKey(seed), clock=SystemClock(), randomness=system_randomness)

    ours, theirs = (audit(node, bytes(32)) for node in two_nodes)
    another = audit(two_nodes[1], bytes([1]) * 32)
    assert await another.is_signed_here()  # nobody has signed anything
    for _ in range(3):
        await ours.record(ours.by_relay(Action.AUDIT_DROP))
        assert await ours.is_signed_here()
        assert await theirs.is_signed_here()
        assert not await another.is_signed_here()


class CutOff(MemoryBus):
    """A bus that other nodes are on, or not, as a test says."""

    is_connected = True


async def test_f18_one_node_that_the_bus_does_not_reach_makes_the_others_doubt_as_long_as_that_lasts(
    url: str,
) -> None:
    one, other = CutOff(), CutOff()
    doubts: list[Announcement] = []
    other.subscribe(AnnouncementsLost, doubts.append)
    failures: list[BaseException] = []
    async with several(url, 2) as (first, second):
        node = Unheard(second, other, SystemClock())
        async with telling_unheard(first, one, SystemClock(), failures.append):
            assert not await node.look()
            one.is_connected = False
            await until_it_looks(node, doubtful=True)
            one.is_connected = True
            await until_it_looks(node, doubtful=False)
            one.is_connected = False
            await until_it_looks(node, doubtful=True)
        await until_it_looks(node, doubtful=False)  # a node that is gone is not waited for
    assert failures == []
    assert len(doubts) >= 2


async def until_it_looks(node: Unheard, *, doubtful: bool) -> None:
    async with asyncio.timeout(20):
        while await node.look() != doubtful:  # noqa: ASYNC110  (another node)
            await asyncio.sleep(0.05)
