"""The writer's group commit: one refusal is one's own, nobody waits for ever, results come after the commit."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from relay.adapters.column_keys import ColumnKeys
from relay.adapters.sqlite.connection import open_reader, open_writer
from relay.adapters.sqlite.reader import Reader
from relay.adapters.sqlite.reserve import Reserve
from relay.adapters.sqlite.writer import Operation, Transaction, Writer, open_group_writer
from relay.wire.errors import Conflict, Unavailable

KEYS = ColumnKeys({1: bytes(32)})


class Bench:
    """A writer and a reader on a table of numbers."""

    def __init__(self, writer: Writer, reader: Reader, stack: AsyncExitStack) -> None:
        self.writer = writer
        self.reader = reader
        self.close = stack.aclose

    async def numbers(self) -> list[int]:
        return [number for (number,) in await self.reader.rows("SELECT number FROM numbers ORDER BY number")]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(open_writer(tmp_path / "relay.db"))
        await connection.execute_fetchall("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
        reader = Reader(await stack.enter_async_context(open_reader(tmp_path / "relay.db")), KEYS)
        reserve = Reserve(tmp_path / "reserve", 0)
        writer = await stack.enter_async_context(open_group_writer(connection, reserve, KEYS))
        yield Bench(writer, reader, stack)


def insert(*numbers: int, then: Exception | None = None, deferred: bool = False) -> Operation[int]:
    async def operation(transaction: Transaction) -> int:
        for number in numbers:
            if deferred:
                transaction.later("INSERT INTO numbers VALUES (?)", (number,))
            else:
                await transaction.rows("INSERT INTO numbers VALUES (?)", (number,))
        if then is not None:
            raise then
        return sum(numbers)

    return operation


async def outcomes(*calls: object) -> list[object]:
    return await asyncio.gather(*calls, return_exceptions=True)  # type: ignore[call-overload,no-any-return]


async def test_operations_that_come_together_share_a_commit(bench: Bench) -> None:
    assert await outcomes(*(bench.writer.run(insert(number)) for number in range(10))) == list(range(10))
    assert (bench.writer.counts.commits, bench.writer.counts.operations) == (1, 10)
    assert await bench.numbers() == list(range(10))


@pytest.mark.parametrize("deferred", [False, True])
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_refusal_takes_back_what_its_own_operation_did_and_nothing_else(
    bench: Bench, place: int, deferred: bool
) -> None:
    calls = [bench.writer.run(insert(number, deferred=deferred)) for number in (1, 2)]
    calls.insert(place, bench.writer.run(insert(10, 11, then=Conflict(), deferred=deferred)))
    told = await outcomes(*calls)
    assert isinstance(told.pop(place), Conflict)
    assert told == [1, 2]
    assert bench.writer.counts.commits == 1
    assert await bench.numbers() == [1, 2]


@pytest.mark.parametrize("single", [False, True])
async def test_a_refusal_before_anything_was_written_costs_the_others_nothing(
    bench: Bench, single: bool
) -> None:
    refused = bench.writer.run(insert(then=Conflict()), single=single)
    told = await outcomes(refused, bench.writer.run(insert(1)), bench.writer.run(insert(2), single=True))
    assert isinstance(told[0], Conflict)
    assert told[1:] == [1, 2]
    assert await bench.numbers() == [1, 2]


@pytest.mark.parametrize("deferred", [False, True])
async def test_a_constraint_that_fails_is_its_own_operations_bug(bench: Bench, deferred: bool) -> None:
    told = await outcomes(
        bench.writer.run(insert(1)),
        bench.writer.run(insert(5, 1, deferred=deferred)),
        bench.writer.run(insert(2)),
    )
    assert (told[0], told[2]) == (1, 2)
    assert isinstance(told[1], sqlite3.IntegrityError)
    assert await bench.numbers() == [1, 2]
    assert not bench.writer.failed.is_set()


async def test_a_bug_without_a_savepoint_fails_its_group_and_not_the_next_one(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    told = await outcomes(
        bench.writer.run(insert(1)), bench.writer.run(insert(2, then=RuntimeError("a bug")), single=True)
    )
    assert [type(each) for each in told] == [Unavailable, Unavailable]
    assert await bench.numbers() == []
    assert [record.message for record in caplog.records] == ["store_operation_failed"]
    assert await bench.writer.run(insert(3)) == 3
    assert await bench.numbers() == [3]


async def test_what_is_deferred_to_the_commit_fails_the_whole_group(bench: Bench) -> None:
    async def late(transaction: Transaction) -> None:
        transaction.later("INSERT INTO numbers VALUES (1)")

    deferring = bench.writer.enqueue(late, frees=True, single=True, defers=True)
    told = await outcomes(bench.writer.run(insert(1)), deferring)
    assert [type(each) for each in told] == [Unavailable, Unavailable]
    assert await bench.numbers() == []


async def test_a_result_is_told_after_the_commit_only(bench: Bench) -> None:
    seen: list[list[int]] = []

    async def caller() -> None:
        await bench.writer.run(insert(1))
        seen.append(await bench.numbers())

    await caller()
    assert seen == [[1]]


async def test_a_caller_that_gives_up_undoes_nothing_and_stops_nobody(bench: Bench) -> None:
    gone = asyncio.create_task(bench.writer.run(insert(1)))
    stays = asyncio.create_task(bench.writer.run(insert(2)))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == 2
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await bench.numbers() == [1, 2]


async def test_closing_commits_what_is_queued_and_takes_no_more(bench: Bench, tmp_path: Path) -> None:
    waiting = asyncio.create_task(bench.writer.run(insert(1)))
    await asyncio.sleep(0)
    await bench.close()
    assert await waiting == 1
    with pytest.raises(Unavailable):
        await bench.writer.run(insert(2))
    async with open_reader(tmp_path / "relay.db") as again:
        assert list(await again.execute_fetchall("SELECT number FROM numbers")) == [(1,)]


async def test_a_writer_that_dies_leaves_nobody_waiting(tmp_path: Path) -> None:
    async with open_writer(tmp_path / "relay.db") as connection:
        writer = Writer(connection, Reserve(tmp_path / "reserve", 0), KEYS)
        started = asyncio.Event()

        async def never(transaction: Transaction) -> None:
            started.set()
            await asyncio.Event().wait()

        work = asyncio.create_task(writer.work())
        calls = [asyncio.create_task(writer.run(never)) for _ in range(2)]
        await started.wait()
        calls.append(asyncio.create_task(writer.run(never)))
        await asyncio.sleep(0)
        work.cancel()
        assert [type(told) for told in await outcomes(*calls)] == [Unavailable] * 3
        assert writer.failed.is_set()
        with pytest.raises(asyncio.CancelledError):
            await work
