"""The promises of the port of account logs, on every adapter."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from relay.ports.sealed_logs import Appended, LogEntry, LogPage, LogQuota, PageSize
from relay.ports.store import Store
from relay.wire.errors import Conflict, NotFound, QuotaExceeded
from tests.contract.people import NOW_MS, new_account

LARGE = LogQuota(entries=100, bytes=10_000)
PAGE = PageSize(entries=100, bytes=10_000)


async def append(
    store: Store,
    account_id: bytes,
    index: int,
    entry: bytes,
    *,
    name: str = "settings",
    now_ms: int = NOW_MS,
    quota: LogQuota = LARGE,
    max_logs: int = 16,
) -> Appended:
    return await store.account_logs.append(
        account_id, name, index, entry, now_ms=now_ms, quota=quota, max_logs=max_logs
    )


async def read(
    store: Store, account_id: bytes, from_index: int = 0, size: PageSize = PAGE, name: str = "settings"
) -> LogPage:
    return await store.account_logs.read(account_id, name, from_index=from_index, size=size)


async def entries(store: Store, account_id: bytes, from_index: int = 0, size: PageSize = PAGE) -> list[bytes]:
    return [one.entry for one in (await read(store, account_id, from_index, size)).entries]


@pytest.fixture
async def anna(store: Store) -> bytes:
    return (await new_account(store, "anna")).account_id


async def test_what_was_appended_is_read_in_order_with_the_times_it_came(
    store: Store, anna: bytes, reopen: Callable[[], Awaitable[Store]]
) -> None:
    assert await read(store, anna) == LogPage((), 0, 0)
    assert await append(store, anna, 0, b"zero") == Appended(NOW_MS, is_new=True)
    assert await append(store, anna, 1, b"one", now_ms=NOW_MS + 5) == Appended(NOW_MS + 5, is_new=True)
    store = await reopen()
    page = await read(store, anna)
    assert page == LogPage((LogEntry(0, b"zero", NOW_MS), LogEntry(1, b"one", NOW_MS + 5)), 0, 2)
    assert await read(store, anna, from_index=1) == LogPage(page.entries[1:], 0, 2)
    assert await read(store, anna, from_index=2) == await read(store, anna, from_index=9) == LogPage((), 0, 2)


async def test_the_same_entry_again_is_the_same_answer_and_another_one_a_conflict(
    store: Store, anna: bytes
) -> None:
    for index, entry in enumerate((b"zero", b"one")):
        await append(store, anna, index, entry)
    assert await append(store, anna, 0, b"zero", now_ms=NOW_MS + 9) == Appended(NOW_MS, is_new=False)
    for index, entry in ((0, b"other"), (0, b""), (3, b"three")):
        with pytest.raises(Conflict):
            await append(store, anna, index, entry)
    with pytest.raises(Conflict):
        await append(store, anna, 1, b"one", name="fresh")
    assert await entries(store, anna) == [b"zero", b"one"]


async def test_of_many_writers_at_one_index_one_wins(store: Store, anna: bytes) -> None:
    async def attempt(entry: bytes) -> bytes | None:
        try:
            await append(store, anna, 0, entry)
        except Conflict:
            return None
        return entry

    won = await asyncio.gather(*(attempt(b"%d" % number) for number in range(20)))
    assert [entry for entry in won if entry] == await entries(store, anna)


async def test_logs_of_other_names_and_accounts_are_others(store: Store, anna: bytes) -> None:
    bert = (await new_account(store, "bert")).account_id
    await append(store, anna, 0, b"anna's")
    await append(store, bert, 0, b"bert's")
    await append(store, anna, 0, b"backup", name="backup")
    assert await entries(store, anna) == [b"anna's"]
    assert await entries(store, bert) == [b"bert's"]
    assert (await read(store, anna, name="backup")).entries[0].entry == b"backup"
    with pytest.raises(NotFound):
        await append(store, bytes(32), 0, b"nobody's")


async def test_a_page_is_bounded_in_entries_and_bytes(store: Store, anna: bytes) -> None:
    for index in range(6):
        await append(store, anna, index, b"%d" % index * 10)
    assert len(await entries(store, anna, 1, PageSize(entries=3, bytes=1_000))) == 3
    assert await entries(store, anna, 1, PageSize(entries=9, bytes=39)) == [b"1" * 10, b"2" * 10, b"3" * 10]
    assert (await read(store, anna, 1, PageSize(entries=9, bytes=40))).next_index == 6
    assert len(await entries(store, anna, 1, PageSize(entries=9, bytes=40))) == 4


async def test_a_trimmed_log_goes_on_where_it_was(
    store: Store, anna: bytes, reopen: Callable[[], Awaitable[Store]]
) -> None:
    for index in range(5):
        await append(store, anna, index, b"%d" % index)
    removed = [
        await store.account_logs.trim(anna, "settings", before=3, limit=2),
        await store.account_logs.trim(anna, "settings", before=3, limit=2),
        await store.account_logs.trim(anna, "settings", before=3, limit=2),
    ]
    assert removed == [2, 1, 0]
    store = await reopen()
    page = await read(store, anna)
    assert ([one.index for one in page.entries], page.first_index, page.next_index) == ([3, 4], 3, 5)
    with pytest.raises(Conflict):
        await append(store, anna, 2, b"2")
    with pytest.raises(Conflict):
        await store.account_logs.trim(anna, "settings", before=6, limit=9)
    assert await store.account_logs.trim(anna, "settings", before=5, limit=9) == 2
    assert await append(store, anna, 5, b"5") == Appended(NOW_MS, is_new=True)
    assert await read(store, anna) == LogPage((LogEntry(5, b"5", NOW_MS),), 5, 6)
    assert await store.account_logs.trim(anna, "unwritten", before=0, limit=9) == 0


async def test_a_quota_is_of_all_logs_of_an_account_and_trimming_makes_room(
    store: Store, anna: bytes
) -> None:
    bert = (await new_account(store, "bert")).account_id
    small = LogQuota(entries=3, bytes=100)
    await append(store, anna, 0, bytes(60), quota=small)
    await append(store, anna, 0, bytes(30), name="backup", quota=small)
    with pytest.raises(QuotaExceeded):
        await append(store, anna, 1, bytes(11), quota=small)
    await append(store, anna, 1, bytes(10), quota=small)
    with pytest.raises(QuotaExceeded):
        await append(store, anna, 2, b"", quota=small)
    assert (await append(store, anna, 0, bytes(60), quota=small)).is_new is False
    await append(store, bert, 0, bytes(100), quota=small)
    await store.account_logs.trim(anna, "settings", before=1, limit=1)
    await append(store, anna, 2, bytes(60), quota=small)


async def test_an_account_has_so_many_logs(store: Store, anna: bytes) -> None:
    for name in ("a", "b"):
        await append(store, anna, 0, b"x", name=name, max_logs=2)
    with pytest.raises(QuotaExceeded):
        await append(store, anna, 0, b"x", name="c", max_logs=2)
    await append(store, anna, 1, b"y", name="a", max_logs=2)
    assert await read(store, anna, name="c") == LogPage((), 0, 0)
