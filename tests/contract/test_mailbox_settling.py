"""How envelopes leave a mailbox: acknowledged, expired, removed, quarantined; on every adapter."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from relay.ports.mailboxes import RESTORE_GAP, MissedRange, Page, StoredEnvelope
from relay.ports.store import Store
from relay.wire import limits
from relay.wire.errors import NotFound, SequenceAhead
from relay.wire.frames import MissedReason, Outcome
from tests.contract.envelopes import DAY_MS, outcome, page, send, sequences, submission
from tests.contract.people import NOW_MS, bytes_of, new_device


async def test_a_record_outlives_the_acknowledgement_by_seven_days_and_not_for_ever(store: Store) -> None:
    device = await new_device(store, "anna")
    await send(store, submission(1, device))
    await store.mailboxes.ack(device, up_to=1)

    async def housekeeping(day: int) -> None:
        for _ in range(3):
            await store.mailboxes.remove_old_records(now_ms=NOW_MS + day * DAY_MS, limit=1_000)

    for day in range(8):
        await housekeeping(day)
    assert await outcome(store, submission(1, device)) is Outcome.STORED
    assert await outcome(store, submission(1, device, body=b"changed")) is Outcome.CONFLICT
    assert (await page(store, device)).items == ()
    for day in range(8, 12):
        await housekeeping(day)
    late = await send(store, submission(1, device, body=b"changed"))
    assert (late.appended[0].outcomes, late.appended[0].sequences) == ((Outcome.STORED,), (2,))


async def test_a_waiting_envelope_keeps_its_record_however_long(store: Store) -> None:
    device = await new_device(store, "anna")
    await send(store, submission(1, device, ttl_seconds=limits.MAX_TTL_SECONDS))
    for day in range(0, 29, 4):
        await store.mailboxes.remove_old_records(now_ms=NOW_MS + day * DAY_MS, limit=1_000)
    assert (
        await outcome(store, submission(1, device, body=b"changed"), now_ms=NOW_MS + 28 * DAY_MS)
        is Outcome.CONFLICT
    )


async def test_ack_deletes_up_to_and_single_ones_above(store: Store) -> None:
    device = await new_device(store, "anna")
    for number in range(8):
        await send(store, submission(number, device))
    await store.mailboxes.ack(device, up_to=3, also=(5, 8))
    assert await sequences(store, device) == [4, 6, 7]
    state = await store.mailboxes.state(device)
    assert (state.next_sequence, state.lowest, state.envelopes, state.bytes) == (9, 4, 3, 300)
    await store.mailboxes.ack(device, up_to=2)
    assert await sequences(store, device) == [4, 6, 7]


async def test_acknowledging_what_was_never_given_is_refused_and_deletes_nothing(store: Store) -> None:
    device = await new_device(store, "anna")
    await send(store, submission(1, device))
    for up_to, also in ((2, ()), (0, (2,)), (1, (limits.MAX_SEQUENCE,))):
        with pytest.raises(SequenceAhead):
            await store.mailboxes.ack(device, up_to=up_to, also=also)
    assert await sequences(store, device) == [1]


async def test_sequences_go_on_after_everything_was_acknowledged_and_a_restart(
    store: Store, reopen: Callable[[], Awaitable[Store]]
) -> None:
    device = await new_device(store, "anna")
    for number in range(3):
        await send(store, submission(number, device))
    await store.mailboxes.ack(device, up_to=2, also=(3,))
    store = await reopen()
    assert (await store.mailboxes.state(device)).next_sequence == 4
    assert (await send(store, submission(4, device))).appended[0].sequences == (4,)
    assert await outcome(store, submission(0, device, body=b"changed")) is Outcome.CONFLICT


@pytest.mark.proves("M-DELIV-13")
async def test_expired_envelopes_become_one_missed_range_that_stays_until_acknowledged(
    store: Store, reopen: Callable[[], Awaitable[Store]]
) -> None:
    device = await new_device(store, "anna")
    for number, ttl in enumerate((1_000, 10, 10, 1_000, 10)):
        await send(store, submission(number, device, ttl_seconds=ttl))
    later = NOW_MS + 10_000
    assert [
        item for item in (await page(store, device, now_ms=later - 1)).items if isinstance(item, MissedRange)
    ] == []

    def places(found: Page) -> list[int | tuple[int, int]]:
        return [
            item.sequence if isinstance(item, StoredEnvelope) else (item.from_sequence, item.to_sequence)
            for item in found.items
        ]

    assert places(await page(store, device, now_ms=later)) == [1, (2, 3), 4, (5, 5)]
    store = await reopen()
    assert places(await page(store, device, now_ms=later)) == [1, (2, 3), 4, (5, 5)]
    assert places(await page(store, device, after=2, now_ms=later)) == [(3, 3), 4, (5, 5)]
    cut = await page(store, device, count=2, now_ms=later)
    assert (places(cut), cut.more) == ([1, (2, 3)], True)
    await store.mailboxes.ack(device, up_to=2, also=(5,))
    assert places(await page(store, device, now_ms=later)) == [(3, 3), 4]
    assert (await store.mailboxes.state(device)).lowest == 3
    await store.mailboxes.ack(device, up_to=5)
    assert (await page(store, device, now_ms=later)).items == ()
    assert (await send(store, submission(6, device))).appended[0].sequences == (6,)


async def test_housekeeping_expires_what_nobody_reads(store: Store) -> None:
    devices = [await new_device(store, name) for name in range(3)]
    for device in devices:
        for number in range(4):
            await send(store, submission(number, device, ttl_seconds=10 if number % 2 else 1_000))
    count = 0
    for _ in range(6):
        count += await store.mailboxes.expire(now_ms=NOW_MS + 10_000, limit=5)
    assert count == 6
    assert [(await store.mailboxes.state(device)).envelopes for device in devices] == [2, 2, 2]


async def test_an_expired_envelope_still_conflicts_and_repeats(store: Store) -> None:
    device = await new_device(store, "anna")
    await send(store, submission(1, device, ttl_seconds=10))
    later = NOW_MS + 20_000
    assert len((await page(store, device, now_ms=later)).items) == 1
    assert await outcome(store, submission(1, device, ttl_seconds=10), now_ms=later) is Outcome.STORED
    assert await outcome(store, submission(1, device, body=b"changed"), now_ms=later) is Outcome.CONFLICT
    assert (await page(store, device, now_ms=later)).items == (MissedRange(1, 1, MissedReason.EXPIRED),)


async def test_a_repetition_does_not_extend_the_time_to_live(store: Store) -> None:
    device = await new_device(store, "anna")
    await send(store, submission(1, device, ttl_seconds=10))
    await send(store, submission(1, device, ttl_seconds=1_000), now_ms=NOW_MS + 5_000)
    assert (await page(store, device, now_ms=NOW_MS + 10_000)).items == (
        MissedRange(1, 1, MissedReason.EXPIRED),
    )


async def test_the_owner_may_have_envelopes_removed_and_is_told_of_the_gap(store: Store) -> None:
    device = await new_device(store, "anna")
    for number in range(4):
        await send(store, submission(number, device))
    await store.mailboxes.remove(device, up_to=3)
    items = (await page(store, device)).items
    assert items[0] == MissedRange(1, 3, MissedReason.REMOVED)
    assert [item.sequence for item in items if isinstance(item, StoredEnvelope)] == [4]


@pytest.mark.proves("M-DELIV-12")
async def test_the_lowest_envelope_is_quarantined_after_too_many_deliveries(
    store: Store, reopen: Callable[[], Awaitable[Store]]
) -> None:
    device = await new_device(store, "anna")
    for number in range(3):
        await send(store, submission(number, device))
    assert await store.mailboxes.count_attempt(device, 2) is False
    for _ in range(3):
        assert await store.mailboxes.count_attempt(device, 1) is False
    store = await reopen()
    for _ in range(limits.MAX_DELIVERY_ATTEMPTS - 3):
        assert await store.mailboxes.count_attempt(device, 1) is False
    assert await store.mailboxes.count_attempt(device, 1) is True
    assert await sequences(store, device) == [2, 3]
    state = await store.mailboxes.state(device)
    assert (state.lowest, state.envelopes, state.quarantined) == (2, 3, 1)
    (kept,) = await store.mailboxes.quarantined(device)
    assert (kept.sequence, kept.envelope_id, kept.bytes) == (1, bytes_of(("id", 0)), 100)
    await store.mailboxes.ack(device, up_to=3)
    assert (await store.mailboxes.fetch_quarantined(device, 1)).ciphertext == bytes_of(("body", 0), 100)
    await store.mailboxes.ack(device, up_to=3, also=(1,))
    assert await store.mailboxes.quarantined(device) == ()
    with pytest.raises(NotFound):
        await store.mailboxes.fetch_quarantined(device, 1)
    assert (await store.mailboxes.state(device)).envelopes == 0


async def test_attempts_count_anew_for_the_next_lowest(store: Store) -> None:
    device = await new_device(store, "anna")
    for number in range(2):
        await send(store, submission(number, device))
    for _ in range(limits.MAX_DELIVERY_ATTEMPTS):
        assert await store.mailboxes.count_attempt(device, 1) is False
    await store.mailboxes.ack(device, up_to=1)
    assert await store.mailboxes.count_attempt(device, 2) is False
    assert await store.mailboxes.quarantined(device) == ()


async def test_a_restore_jumps_every_sequence_and_tells_the_gap(store: Store) -> None:
    anna, bert = await new_device(store, "anna"), await new_device(store, "bert")
    for number in range(3):
        await send(store, submission(number, anna))
    await store.mailboxes.ack(anna, up_to=1)
    await store.mailboxes.begin_epoch()
    items = (await page(store, anna)).items
    assert [item.sequence for item in items if isinstance(item, StoredEnvelope)] == [2, 3]
    assert items[-1] == MissedRange(4, 3 + RESTORE_GAP, MissedReason.RESTORED)
    assert (await send(store, submission(9, anna, bert))).appended[0].sequences == (
        4 + RESTORE_GAP,
        1 + RESTORE_GAP,
    )
    await store.mailboxes.ack(anna, up_to=4 + RESTORE_GAP)
    assert (await page(store, anna)).items == ()


async def test_more_gaps_than_fit_on_a_page_come_in_order_with_what_stands_between(store: Store) -> None:
    device = await new_device(store, "anna")
    for number in range(18):
        ttl_seconds = 3_600 if number % 6 == 5 else 60 + number  # gaps of one: each expires at its own time
        await send(store, submission(number, device, ttl_seconds=ttl_seconds))
    for number in (0, 2, 4, 8, 10, 14):
        await store.mailboxes.read(
            device, after=0, max_envelopes=1, max_bytes=1, now_ms=NOW_MS + (60 + number) * 1_000
        )
    later_ms = NOW_MS + 1_000_000
    seen, after, more = [], 0, True
    while more:
        found = await store.mailboxes.read(
            device, after=after, max_envelopes=3, max_bytes=1_000_000, now_ms=later_ms
        )
        for item in found.items:
            first = item.sequence if isinstance(item, StoredEnvelope) else item.from_sequence
            last = item.sequence if isinstance(item, StoredEnvelope) else item.to_sequence
            seen += range(first, last + 1)
        assert len(found.items) <= 3
        after, more = seen[-1], found.more
    assert seen == list(range(1, 19))


async def test_acknowledgements_that_overlap_take_each_envelope_off_once(store: Store) -> None:
    anna, bert = await new_device(store, "anna"), await new_device(store, "bert")
    for number in range(8):
        await send(store, submission(number, anna, body=bytes(100)), submission(number, bert, body=bytes(7)))
    await asyncio.gather(
        store.mailboxes.ack(anna, up_to=3, also=(2, 5)),
        store.mailboxes.ack(anna, up_to=2, also=(5, 7)),
        store.mailboxes.ack(bert, up_to=1),
        store.mailboxes.ack(anna, up_to=4, also=(4,)),
    )
    assert await sequences(store, anna) == [6, 8]
    states = [await store.mailboxes.state(device) for device in (anna, bert)]
    assert [(state.envelopes, state.bytes) for state in states] == [(2, 200), (7, 49)]
    levels = await send(store, submission("more", anna, body=bytes(1)))
    assert levels.appended[0].sequences == (9,)
    assert (await store.mailboxes.state(anna)).bytes == 201


async def test_single_acknowledgements_take_what_they_name_out_of_gaps(store: Store) -> None:
    device = await new_device(store, "anna")
    for number in range(8):
        await send(store, submission(number, device))
    await store.mailboxes.remove(device, up_to=7)
    await store.mailboxes.ack(device, up_to=1, also=(1, 4, 4, 5, 7, 8))
    reason = MissedReason.REMOVED
    assert (await page(store, device)).items == (MissedRange(2, 3, reason), MissedRange(6, 6, reason))
    await store.mailboxes.ack(device, up_to=2, also=(6,))
    assert (await page(store, device)).items == (MissedRange(3, 3, reason),)
    await store.mailboxes.ack(device, up_to=3)
    assert (await page(store, device)).items == ()
