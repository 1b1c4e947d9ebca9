"""While the mark of a move stands the writer commits nothing, and whoever has had the write lock after it knows that."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest

from relay.adapters.column_keys import ColumnKeys
from relay.adapters.sqlite.connection import open_writer
from relay.adapters.sqlite.moving_mark import MovingMark
from relay.adapters.sqlite.reserve import Reserve
from relay.adapters.sqlite.store import open_sqlite_store
from relay.adapters.sqlite.writer import Operation, Transaction, Writer, open_group_writer
from relay.wire.errors import NotFound, Unavailable


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "moving"


@pytest.fixture
async def writer(tmp_path: Path, mark: Path) -> AsyncIterator[Writer]:
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(open_writer(tmp_path / "relay.db"))
        await connection.execute_fetchall("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
        keys, reserve = ColumnKeys({1: bytes(32)}), Reserve(tmp_path / "reserve", 0)
        yield await stack.enter_async_context(open_group_writer(connection, reserve, keys, MovingMark(mark)))


def put(mark: Path) -> None:
    mark.touch()


def take(mark: Path) -> None:
    mark.unlink()


def numbers(folder: Path) -> list[int]:
    with closing(sqlite3.connect(folder / "relay.db")) as connection:
        return [number for (number,) in connection.execute("SELECT number FROM numbers ORDER BY number")]


def insert(number: int, *, marking: Path | None = None, refused: bool = False) -> Operation[None]:
    async def operation(transaction: Transaction) -> None:
        await transaction.rows("INSERT INTO numbers VALUES (?)", (number,))
        if marking is not None:
            put(marking)
        if refused:
            raise NotFound

    return operation


async def told(call: "asyncio.Future[None]") -> Unavailable:
    with pytest.raises(Unavailable) as refused:
        await call
    return refused.value


async def test_a_group_that_began_before_the_mark_and_has_not_committed_does_not_commit(
    writer: Writer, tmp_path: Path, mark: Path
) -> None:
    await writer.run(insert(1))
    forgotten: list[int] = []
    writer.on_rollback.append(lambda: forgotten.append(1))
    calls = [
        writer.enqueue(insert(number, marking=mark, refused=number == 3), frees=False, single=False)
        for number in (2, 3, 4)
    ]
    for call in calls:
        refusal = await told(call)
        assert (refusal.read_only, refusal.retry_after_ms) == (True, 2_000)
    assert forgotten
    assert numbers(tmp_path) == [1]
    assert not writer.failed.is_set()


async def test_once_the_mark_was_seen_nothing_is_begun_and_without_it_all_goes_on(
    writer: Writer, tmp_path: Path, mark: Path
) -> None:
    put(mark)
    for number in (1, 2):
        await told(writer.enqueue(insert(number), frees=True, single=True))
    assert writer.counts.hops == 3  # the first group was taken back; of the second there was nothing
    for pragma in (writer.tidy("PRAGMA incremental_vacuum(1)"), writer.cut_log()):
        with pytest.raises(Unavailable):
            await pragma
    take(mark)
    await writer.run(insert(5))
    assert numbers(tmp_path) == [5]
    put(mark)
    await told(writer.enqueue(insert(6), frees=False, single=False))
    assert numbers(tmp_path) == [5]


@pytest.mark.parametrize("delay", range(8))
async def test_under_load_nothing_is_committed_after_the_lock_was_had(
    writer: Writer, tmp_path: Path, mark: Path, delay: int
) -> None:
    accepted: list[int] = []
    enough, refused = asyncio.Event(), asyncio.Event()

    async def write(first: int) -> None:
        for number in range(first, first + 100_000):
            try:
                await writer.run(insert(number))
            except Unavailable:
                refused.set()
                return
            accepted.append(number)
            if len(accepted) >= 20 + delay:
                enough.set()

    def leave() -> list[int]:
        with closing(sqlite3.connect(tmp_path / "relay.db", isolation_level=None, timeout=30)) as connection:
            mark.touch()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
            return numbers(tmp_path)

    async with asyncio.TaskGroup() as tasks:
        for client in range(4):
            tasks.create_task(write(client * 1_000_000))
        await enough.wait()
        copied = await asyncio.to_thread(leave)
        await refused.wait()
    assert copied == numbers(tmp_path) == sorted(accepted)


async def test_a_mark_that_nobody_can_look_for_counts_as_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert MovingMark(tmp_path / "file" / "moving").stands()
    assert not MovingMark(tmp_path / "moving").stands()
    assert not MovingMark(None).stands()


async def test_a_store_that_is_being_left_reads_and_is_not_ready(
    tmp_path: Path, mark: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0, moving_file=mark) as store:
        await store.check()
        put(mark)
        with caplog.at_level(logging.WARNING), pytest.raises(Unavailable, match="is being moved"):
            await store.check()
        with pytest.raises(Unavailable) as refused:
            await store.mailboxes.begin_epoch()
        assert refused.value.read_only
        assert await store.accounts.accounts_count() == 0
        assert not caplog.records
        take(mark)
        await store.check()
        await store.mailboxes.begin_epoch()
