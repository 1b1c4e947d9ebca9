"""Which of several nodes does what only one may do: who is gone, frozen or has another time is followed by another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest

from relay.adapters.postgres import database
from relay.adapters.postgres.clocks import ClockWatch, watching_clock
from relay.adapters.postgres.database import Transaction
from relay.adapters.postgres.leadership import PostgresLeadership, leading
from relay.adapters.system_clock import SystemClock
from relay.ports.leadership import Work
from tests.contract.test_nodes_share import Apart, several
from tests.servers.databases import drop_database, empty_database
from tests.servers.postgres import PostgresServer


@pytest.fixture
async def url(postgres: PostgresServer) -> AsyncIterator[str]:
    made = await empty_database(postgres)
    yield made
    await drop_database(postgres, made)


async def test_one_node_leads_and_another_takes_over_once_it_is_gone(url: str) -> None:
    async with several(url, 2) as (first, second), AsyncExitStack() as stack:
        clock = SystemClock()
        one, other = (PostgresLeadership(each, [Work.HOUSEKEEPING], clock) for each in (first, second))
        gone = await stack.enter_async_context(AsyncExitStack())
        await gone.enter_async_context(leading(one))
        await one.until_leading(Work.HOUSEKEEPING)
        await stack.enter_async_context(leading(other))
        waiting = asyncio.ensure_future(other.until_leading(Work.HOUSEKEEPING))
        await asyncio.wait([waiting], timeout=1.5)  # it looks each second
        assert not waiting.done()
        await gone.aclose()
        await one.until_lost(Work.HOUSEKEEPING)
        await waiting


async def test_a_leader_whose_connection_goes_stops_and_another_may_take_over(
    url: str, postgres: PostgresServer
) -> None:
    async with several(url, 1) as (node,):
        leadership = PostgresLeadership(node, [Work.PUSH], SystemClock())
        async with leading(leadership):
            await leadership.until_leading(Work.PUSH)
            admin = await asyncpg.connect(postgres.url())
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1",
                url.rpartition("/")[2],
            )
            await admin.close()
            await leadership.until_lost(Work.PUSH)
            await leadership.until_leading(Work.PUSH)  # the lock is free again


class Frozen(SystemClock):
    """From its first sleep on, as after SIGSTOP: the connection stays, and nothing is said on it."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


async def test_f16_a_leader_that_is_frozen_is_followed_by_another(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with several(url, 2) as (first, second):
        frozen = PostgresLeadership(first, [Work.HOUSEKEEPING], Frozen())
        other = PostgresLeadership(second, [Work.HOUSEKEEPING], SystemClock())
        monkeypatch.setattr(database, "SILENT_SECONDS", 0.5)
        async with leading(frozen):
            await frozen.until_leading(Work.HOUSEKEEPING)
            monkeypatch.undo()
            async with leading(other), asyncio.timeout(20):
                await other.until_leading(Work.HOUSEKEEPING)


async def test_a_leader_that_fails_in_a_way_nobody_foresaw_leads_again(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Else no node would do the work until this one is started again."""
    async with several(url, 1) as (node,):
        leadership = PostgresLeadership(node, [Work.PUSH], SystemClock())
        async with leading(leadership):
            await leadership.until_leading(Work.PUSH)
            with monkeypatch.context() as patch:
                patch.setattr(Transaction, "one", None)
                await leadership.until_lost(Work.PUSH)
            await leadership.until_leading(Work.PUSH)
    assert "leadership_failed" in caplog.messages


@pytest.mark.parametrize("seconds", [90, -90])
async def test_f10_a_node_whose_clock_is_far_off_leads_no_more_until_it_is_right_again(
    url: str, seconds: int
) -> None:
    """It would delete mail that is not over yet, and forget nonces that the others still take; or let them lie."""
    async with several(url, 2) as (first, second), asyncio.timeout(40):
        clock = Apart(0)
        off = PostgresLeadership(first, [Work.HOUSEKEEPING], clock)
        right = PostgresLeadership(second, [Work.HOUSEKEEPING], SystemClock())
        async with leading(off):
            await off.until_leading(Work.HOUSEKEEPING)
            async with leading(right):
                clock.seconds = seconds
                await off.until_lost(Work.HOUSEKEEPING)
                await right.until_leading(Work.HOUSEKEEPING)
            clock.seconds = 0
            await ClockWatch(first, clock).look()
            await off.until_leading(Work.HOUSEKEEPING)


class Slept(Apart):
    """Tells that somebody has looked once, and will again."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.slept = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept.set()
        await super().sleep(seconds)


async def test_a_node_whose_clock_is_far_off_at_its_start_does_not_lead(url: str) -> None:
    async with several(url, 1) as (node,), watching_clock(node, Apart(90)):
        clock = Slept(90)
        off = PostgresLeadership(node, [Work.PUSH], clock)
        leads = asyncio.ensure_future(off.until_leading(Work.PUSH))
        async with leading(off), asyncio.timeout(20):
            await clock.slept.wait()
            assert not leads.done()
        leads.cancel()
