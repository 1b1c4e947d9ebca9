"""The promises of the port of group logs, on every adapter."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from relay.ports.sealed_logs import Appended, GroupAppend, LogEntry, LogPage, LogQuota, PageSize
from relay.ports.store import Store
from relay.wire.errors import Conflict, NotAllowed, QuotaExceeded
from tests.contract.people import NOW_MS, bytes_of

LOG = bytes_of("log", 32)
KEY, NEXT_KEY = bytes_of("write key", 32), bytes_of("next write key", 32)
TOKEN, NEXT_TOKEN = bytes_of("read token hash", 32), bytes_of("next read token hash", 32)
LARGE = LogQuota(entries=100, bytes=10_000)
PAGE = PageSize(entries=100, bytes=10_000)
DAY_MS = 86_400_000
TODAY = NOW_MS // DAY_MS


def appending(
    index: int,
    entry: bytes,
    *,
    log_id: bytes = LOG,
    next_write_key: bytes | None = None,
    next_read_token_hash: bytes | None = None,
) -> GroupAppend:
    digest = bytes_of((log_id, index, entry, next_write_key, next_read_token_hash), 32)
    return GroupAppend(log_id, index, entry, digest, next_write_key, next_read_token_hash)


FIRST = appending(0, b"zero", next_write_key=KEY, next_read_token_hash=TOKEN)


async def append(
    store: Store,
    what: GroupAppend,
    *,
    signed_by: bytes = KEY,
    now_ms: int = NOW_MS,
    quota: LogQuota = LARGE,
    kept_since_ms: int = 0,
) -> Appended:
    return await store.group_logs.append(
        what, signed_by=signed_by, now_ms=now_ms, quota=quota, kept_since_ms=kept_since_ms
    )


async def entries(
    store: Store, token: bytes = TOKEN, *, log_id: bytes = LOG, size: PageSize = PAGE
) -> list[bytes] | None:
    page = await store.group_logs.read(log_id, token, from_index=0, size=size)
    return None if page is None else [one.entry for one in page.entries]


async def write_key(store: Store, index: int, *, log_id: bytes = LOG, since: int = 0) -> bytes | None:
    return await store.group_logs.write_key(log_id, index, used_since_day=since)


@pytest.fixture
async def log(store: Store) -> GroupAppend:
    assert await store.group_logs.create(FIRST, now_ms=NOW_MS) == Appended(NOW_MS, is_new=True)
    return FIRST


@pytest.mark.usefixtures("log")
async def test_what_was_appended_is_read_in_order_with_the_times_it_came(
    store: Store, reopen: Callable[[], Awaitable[Store]]
) -> None:
    assert await append(store, appending(1, b"one"), now_ms=NOW_MS + 5) == Appended(NOW_MS + 5, is_new=True)
    store = await reopen()
    both = (LogEntry(0, b"zero", NOW_MS), LogEntry(1, b"one", NOW_MS + 5))
    assert await store.group_logs.read(LOG, TOKEN, from_index=0, size=PAGE) == LogPage(both, 0, 2)
    assert await store.group_logs.read(LOG, TOKEN, from_index=1, size=PAGE) == LogPage(both[1:], 0, 2)
    assert await store.group_logs.read(LOG, TOKEN, from_index=7, size=PAGE) == LogPage((), 0, 2)
    assert await entries(store, size=PageSize(entries=9, bytes=6)) == [b"zero"]


async def test_a_log_that_is_not_there_has_no_key_no_token_and_no_entries(store: Store) -> None:
    assert await write_key(store, 0) is None
    assert await store.group_logs.read_token_hash(LOG, used_since_day=0) is None
    assert await entries(store) is None
    with pytest.raises(NotAllowed):
        await append(store, appending(0, b"zero"))


@pytest.mark.usefixtures("log")
async def test_making_the_same_log_again_is_the_same_answer_and_another_one_a_conflict(store: Store) -> None:
    await append(store, appending(1, b"one", next_write_key=NEXT_KEY, next_read_token_hash=NEXT_TOKEN))
    assert await store.group_logs.create(FIRST, now_ms=NOW_MS + 9) == Appended(NOW_MS, is_new=False)
    other = appending(0, b"zero", next_write_key=NEXT_KEY, next_read_token_hash=TOKEN)
    with pytest.raises(Conflict):
        await store.group_logs.create(other, now_ms=NOW_MS)
    assert await entries(store, NEXT_TOKEN) == [b"zero", b"one"]


@pytest.mark.usefixtures("log")
async def test_the_same_append_again_is_the_same_answer_also_after_it_changed_the_key(store: Store) -> None:
    cut = appending(1, b"one", next_write_key=NEXT_KEY, next_read_token_hash=NEXT_TOKEN)
    await append(store, cut)
    await append(store, appending(2, b"two"), signed_by=NEXT_KEY)
    assert await write_key(store, 1) == KEY
    assert await append(store, cut, now_ms=NOW_MS + 9) == Appended(NOW_MS, is_new=False)
    for other in (appending(1, b"other"), appending(1, b"one")):
        with pytest.raises(Conflict):
            await append(store, other)
    with pytest.raises(Conflict):
        await append(store, appending(4, b"four"), signed_by=NEXT_KEY)


@pytest.mark.usefixtures("log")
async def test_b5_after_the_key_and_the_token_changed_the_old_ones_open_nothing(
    store: Store, reopen: Callable[[], Awaitable[Store]]
) -> None:
    await append(store, appending(1, b"cut", next_write_key=NEXT_KEY, next_read_token_hash=NEXT_TOKEN))
    store = await reopen()
    assert [await write_key(store, index) for index in (0, 1, 2, 3)] == [KEY, KEY, NEXT_KEY, NEXT_KEY]
    assert await store.group_logs.read_token_hash(LOG, used_since_day=0) == NEXT_TOKEN
    assert await entries(store, TOKEN) is None
    assert await entries(store, NEXT_TOKEN) == [b"zero", b"cut"]
    for late in (appending(2, b"late"), appending(3, b"ahead")):
        with pytest.raises(NotAllowed):
            await append(store, late, signed_by=KEY)


@pytest.mark.usefixtures("log")
async def test_a_key_or_a_token_may_change_alone(store: Store) -> None:
    await append(store, appending(1, b"one", next_read_token_hash=NEXT_TOKEN))
    await append(store, appending(2, b"two", next_write_key=NEXT_KEY))
    assert await entries(store, NEXT_TOKEN) == [b"zero", b"one", b"two"]
    assert await write_key(store, 3) == NEXT_KEY


@pytest.mark.usefixtures("log")
async def test_of_many_writers_at_one_index_one_wins_and_its_key_counts(store: Store) -> None:
    keys = [bytes_of(("key of", number), 32) for number in range(20)]

    async def attempt(number: int) -> int | None:
        try:
            await append(store, appending(1, b"%d" % number, next_write_key=keys[number]))
        except Conflict:
            return None
        return number

    (winner,) = (number for number in await asyncio.gather(*map(attempt, range(20))) if number is not None)
    assert await write_key(store, 2) == keys[winner]
    assert await entries(store) == [b"zero", b"%d" % winner]


@pytest.mark.usefixtures("log")
async def test_in_a_full_log_old_entries_make_room_and_late_ones_do_not(
    store: Store, reopen: Callable[[], Awaitable[Store]]
) -> None:
    few, little = LogQuota(entries=3, bytes=1_000), LogQuota(entries=100, bytes=12)
    for index in (1, 2):
        await append(store, appending(index, b"%d" % index * 4), now_ms=NOW_MS + index, quota=few)
    for quota in (few, little):
        with pytest.raises(QuotaExceeded):
            await append(store, appending(3, b"3333"), quota=quota, kept_since_ms=NOW_MS)
    await append(store, appending(3, b"3333"), quota=few, kept_since_ms=NOW_MS + 1)
    store = await reopen()
    page = await store.group_logs.read(LOG, TOKEN, from_index=0, size=PAGE)
    assert page is not None
    assert ([one.index for one in page.entries], page.first_index, page.next_index) == ([1, 2, 3], 1, 4)
    await append(store, appending(4, b"44444"), quota=little, kept_since_ms=NOW_MS + 3)
    assert await entries(store) == [b"3333", b"44444"]
    assert await write_key(store, 2) is None
    with pytest.raises(Conflict):
        await append(store, appending(1, b"1111"))
    with pytest.raises(Conflict):
        await store.group_logs.create(FIRST, now_ms=NOW_MS)


@pytest.mark.usefixtures("log")
async def test_a_log_that_nobody_uses_is_gone_after_its_time_a_few_entries_at_a_time(store: Store) -> None:
    other = bytes_of("other log", 32)
    first = appending(0, b"other", log_id=other, next_write_key=KEY, next_read_token_hash=TOKEN)
    await store.group_logs.create(first, now_ms=NOW_MS)
    for index in (1, 2):
        await append(store, appending(index, b"x"))
    await store.group_logs.mark_used(other, day=TODAY + 2)
    await store.group_logs.mark_used(other, day=TODAY + 1)
    assert await write_key(store, 3, since=TODAY) == KEY
    assert await write_key(store, 3, since=TODAY + 1) is None
    assert await store.group_logs.read_token_hash(LOG, used_since_day=TODAY + 1) is None
    assert await store.group_logs.read_token_hash(other, used_since_day=TODAY + 2) == TOKEN

    removed = [await store.group_logs.remove_idle(used_before_day=TODAY + 2, limit=2) for _ in range(4)]
    assert removed == [2, 2, 0, 0]
    assert await write_key(store, 0) is None
    assert await entries(store, log_id=other) == [b"other"]
    await store.group_logs.create(FIRST, now_ms=NOW_MS)
    assert await entries(store) == [b"zero"]


@pytest.mark.usefixtures("log")
async def test_an_append_is_a_use(store: Store) -> None:
    await append(store, appending(1, b"one"), now_ms=NOW_MS + 3 * DAY_MS)
    assert await write_key(store, 2, since=TODAY + 3) == KEY
    assert await store.group_logs.remove_idle(used_before_day=TODAY + 3, limit=9) == 0
