"""Link mailboxes: written once, gone after their minute, bounded in number, bytes and readers; by a clock that is moved."""

import asyncio

import pytest

from relay.adapters.memory_clock import ManualClock
from relay.services.link_mailbox import SLOTS, LinkMailboxes
from relay.wire import limits
from relay.wire.errors import Conflict, NotFound, RateLimited, TooLarge
from tests.contract.people import bytes_of

LINK = bytes_of("link")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def links(clock: ManualClock) -> LinkMailboxes:
    return LinkMailboxes(clock)


async def read(links: LinkMailboxes, slot: str = "request", link_id: bytes = LINK) -> bytes | None:
    return await links.get(link_id, slot, wait_seconds=0)


async def test_each_slot_is_written_once_and_read_as_often_as_wanted(links: LinkMailboxes):
    for number, slot in enumerate(SLOTS):
        if number:
            assert await read(links, slot) is None
        links.put(LINK, slot, slot.encode())
        links.put(LINK, slot, slot.encode())
        with pytest.raises(Conflict):
            links.put(LINK, slot, b"other")
    assert [await read(links, slot) for slot in SLOTS] == [slot.encode() for slot in SLOTS]


async def test_a_slot_that_there_is_not_and_one_of_no_or_too_many_bytes_are_refused(links: LinkMailboxes):
    with pytest.raises(NotFound):
        links.put(LINK, "other", b"x")
    for data in (b"", bytes(limits.MAX_LINK_SLOT_BYTES + 1)):
        with pytest.raises(TooLarge):
            links.put(LINK, "request", data)
    with pytest.raises(NotFound):
        await read(links)
    links.put(LINK, "request", bytes(limits.MAX_LINK_SLOT_BYTES))
    with pytest.raises(NotFound):
        await read(links, "other")


async def test_d5_a_mailbox_is_gone_60_s_after_its_first_slot_was_written(
    links: LinkMailboxes, clock: ManualClock
):
    links.put(LINK, "request", b"request")
    await clock.advance(seconds=limits.LINK_SECONDS - 1)
    links.put(LINK, "answer", b"answer")
    assert await read(links) == b"request"
    await clock.advance(seconds=1)
    for slot in ("request", "answer"):
        with pytest.raises(NotFound):
            await read(links, slot)
    assert not links._links
    assert clock.waiting() == 0
    links.put(LINK, "request", b"a new one")
    assert await read(links) == b"a new one"


async def test_who_waits_gets_what_is_written_then(links: LinkMailboxes, clock: ManualClock):
    links.put(LINK, "request", b"request")
    readers = [asyncio.create_task(links.get(LINK, "answer", wait_seconds=50)) for _ in range(3)]
    await clock.advance(seconds=5)
    links.put(LINK, "confirmation", b"not that one")
    await clock.advance(seconds=5)
    assert not any(reader.done() for reader in readers)
    links.put(LINK, "answer", b"answer")
    assert await asyncio.gather(*readers) == [b"answer"] * 3


async def test_who_waits_for_nothing_is_told_so(links: LinkMailboxes, clock: ManualClock):
    links.put(LINK, "request", b"request")
    reader = asyncio.create_task(links.get(LINK, "answer", wait_seconds=20))
    await clock.advance(seconds=0)
    await clock.advance(seconds=19)
    assert not reader.done()
    await clock.advance(seconds=1)
    assert await reader is None
    late = asyncio.create_task(links.get(LINK, "answer", wait_seconds=60))
    await clock.advance(seconds=0)
    await clock.advance(seconds=limits.LINK_SECONDS - 20)
    with pytest.raises(NotFound):
        await late


async def test_a_mailbox_has_so_many_readers_that_wait(links: LinkMailboxes, clock: ManualClock):
    links.put(LINK, "request", b"request")
    readers = [
        asyncio.create_task(links.get(LINK, "answer", wait_seconds=50))
        for _ in range(limits.MAX_LINK_READERS)
    ]
    await clock.advance(seconds=0)
    with pytest.raises(RateLimited):
        await links.get(LINK, "answer", wait_seconds=1)
    assert await read(links) == b"request"
    readers[0].cancel()
    await clock.advance(seconds=0)
    replacing = asyncio.create_task(links.get(LINK, "answer", wait_seconds=50))
    await clock.advance(seconds=0)
    links.put(LINK, "answer", b"answer")
    assert await replacing == b"answer"
    assert await asyncio.gather(*readers[1:]) == [b"answer"] * (limits.MAX_LINK_READERS - 1)


async def test_f14_there_are_so_many_mailboxes_and_it_is_said_when_one_ends(
    links: LinkMailboxes, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "MAX_LINK_MAILBOXES", 3)
    for number in range(3):
        links.put(bytes_of(number), "request", b"x")
        await clock.advance(seconds=10)
    with pytest.raises(RateLimited) as refused:
        links.put(LINK, "request", b"x")
    assert refused.value.retry_after_ms == 30_000
    links.put(bytes_of(0), "answer", b"x")
    await clock.advance(seconds=30)
    links.put(LINK, "request", b"x")
    with pytest.raises(NotFound):
        await read(links, link_id=bytes_of(0))


async def test_f14_all_mailboxes_together_hold_so_many_bytes(
    links: LinkMailboxes, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "MAX_LINK_BYTES", 100)
    links.put(bytes_of(1), "request", bytes(60))
    await clock.advance(seconds=30)
    links.put(bytes_of(2), "request", bytes(40))
    links.put(bytes_of(2), "request", bytes(40))
    with pytest.raises(RateLimited):
        links.put(LINK, "request", b"x")
    with pytest.raises(NotFound):
        await read(links)
    await clock.advance(seconds=30)
    links.put(LINK, "request", bytes(60))


async def test_a_relay_that_goes_down_answers_who_waits(links: LinkMailboxes, clock: ManualClock):
    links.put(LINK, "request", b"request")
    reader = asyncio.create_task(links.get(LINK, "answer", wait_seconds=50))
    await clock.advance(seconds=0)
    links.stop()
    assert await reader is None
    assert await links.get(LINK, "answer", wait_seconds=50) is None
