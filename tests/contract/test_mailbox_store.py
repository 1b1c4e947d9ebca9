"""The mailbox port's promises on storing and reading, on every adapter; docs/protocol.md, "Delivery"."""

import asyncio

import pytest

from relay.ports.mailboxes import MissedRange, Quotas, StoredEnvelope, Submission
from relay.ports.store import Store
from relay.wire.errors import NotFound
from relay.wire.frames import MissedReason, Outcome
from tests.contract.envelopes import outcome, page, send, sequences, submission
from tests.contract.people import NOW_MS, bytes_of, new_account, new_device


async def test_an_accepted_envelope_is_read_as_it_came(store: Store) -> None:
    device = await new_device(store, "anna")
    result = await send(store, submission(1, device, body=b"\x00\xff opaque"))
    assert result.appended[0].outcomes == (Outcome.STORED,)
    assert result.appended[0].sequences == (1,)
    assert (await page(store, device)).items == (
        StoredEnvelope(1, bytes_of(("id", 1)), NOW_MS, b"\x00\xff opaque"),
    )


async def test_sequences_follow_the_order_of_the_submits_in_each_mailbox(store: Store) -> None:
    anna, bert = await new_device(store, "anna"), await new_device(store, "bert")
    first = await send(store, submission(1, anna), submission(2, bert), submission(3, anna))
    second = await send(store, submission(4, bert), submission(5, anna))
    assert [answer.sequences for answer in first.appended] == [(1,), (1,), (2,)]
    assert [answer.sequences for answer in second.appended] == [(2,), (3,)]


async def test_f11_the_same_submit_a_hundred_times_is_one_envelope(store: Store) -> None:
    device = await new_device(store, "anna")
    results = await asyncio.gather(*(send(store, submission(1, device)) for _ in range(100)))
    outcomes = {result.appended[0].outcomes for result in results}
    given = sorted(result.appended[0].sequences[0] for result in results)
    assert outcomes == {(Outcome.STORED,)}
    assert given == [0] * 99 + [1]
    assert await sequences(store, device) == [1]


async def test_f11_another_ciphertext_under_the_same_id_is_a_conflict(store: Store) -> None:
    device = await new_device(store, "anna")
    await send(store, submission(1, device))
    assert await outcome(store, submission(1, device, body=b"changed")) is Outcome.CONFLICT
    items = (await page(store, device)).items
    assert isinstance(items[0], StoredEnvelope)
    assert len(items) == 1
    assert items[0].ciphertext == bytes_of(("body", 1), 100)


async def test_the_key_is_target_and_id_so_another_target_may_have_the_same_id(store: Store) -> None:
    anna, bert = await new_device(store, "anna"), await new_device(store, "bert")
    assert await outcome(store, submission(1, anna, body=b"for anna")) is Outcome.STORED
    assert await outcome(store, submission(1, bert, body=b"for bert")) is Outcome.STORED
    assert await sequences(store, anna) == await sequences(store, bert) == [1]


async def test_both_in_one_call_the_second_one_is_a_conflict_or_a_repetition(store: Store) -> None:
    device = await new_device(store, "anna")
    result = await send(
        store, submission(1, device), submission(1, device), submission(1, device, body=b"changed")
    )
    assert [answer.outcomes[0] for answer in result.appended] == [
        Outcome.STORED,
        Outcome.STORED,
        Outcome.CONFLICT,
    ]
    assert [answer.sequences[0] for answer in result.appended] == [1, 0, 0]


async def test_an_unknown_device_does_not_fail_the_others(store: Store) -> None:
    anna = await new_device(store, "anna")
    result = await send(store, submission(1, bytes(16), anna))
    assert result.appended[0].outcomes == (Outcome.UNKNOWN_DEVICE, Outcome.STORED)
    assert result.appended[0].sequences == (0, 1)


async def test_a_full_mailbox_refuses_without_a_record_and_takes_the_same_later(store: Store) -> None:
    anna, bert = await new_device(store, "anna"), await new_device(store, "bert")
    for number in range(20):
        assert await outcome(store, submission(number, anna)) is Outcome.STORED
    result = await send(store, submission(20, anna, bert))
    assert result.appended[0].outcomes == (Outcome.MAILBOX_FULL, Outcome.STORED)
    assert [(level.device_id, level.full, level.envelopes) for level in result.levels] == [(anna, True, 20)]
    await store.mailboxes.ack(anna, up_to=1)
    again = await send(store, submission(20, anna, bert))
    assert again.appended[0].outcomes == (Outcome.STORED, Outcome.STORED)
    assert again.appended[0].sequences == (21, 0)


async def test_a_mailbox_is_full_by_bytes_too(store: Store) -> None:
    device = await new_device(store, "anna")
    assert await outcome(store, submission(1, device, body=bytes(19_000))) is Outcome.STORED
    assert await outcome(store, submission(2, device, body=bytes(1_001))) is Outcome.MAILBOX_FULL
    assert await outcome(store, submission(3, device, body=bytes(1_000))) is Outcome.STORED
    assert (await store.mailboxes.state(device)).bytes == 20_000


async def test_other_quotas_are_for_what_comes_from_then_on(store: Store) -> None:
    device = await new_device(store, "anna")
    for number in range(3):
        await send(store, submission(number, device))
    store.mailboxes.change_quotas(Quotas(envelopes=2, bytes=20_000, nearly_full_percent=50))
    assert await outcome(store, submission(3, device)) is Outcome.MAILBOX_FULL
    assert await sequences(store, device) == [1, 2, 3]
    store.mailboxes.change_quotas(Quotas(envelopes=10, bytes=20_000, nearly_full_percent=50))
    levels = [(await send(store, submission(number, device))).levels for number in range(3, 6)]
    assert [[level.envelopes for level in each] for each in levels] == [[], [5], []]


async def test_passing_the_nearly_full_mark_is_told_once(store: Store) -> None:
    device = await new_device(store, "anna")
    results = [await send(store, submission(number, device)) for number in range(20)]
    told = [[level.envelopes for level in result.levels] for result in results]
    assert told == [[]] * 15 + [[16]] + [[]] * 4


async def test_expired_envelopes_make_room_in_a_full_mailbox(store: Store) -> None:
    device = await new_device(store, "anna")
    for number in range(20):
        await send(store, submission(number, device, ttl_seconds=10 if number < 5 else 1_000))
    later = NOW_MS + 10_000
    assert await outcome(store, submission(20, device), now_ms=later) is Outcome.STORED
    items = (await page(store, device, now_ms=later)).items
    assert items[0] == MissedRange(1, 5, MissedReason.EXPIRED)
    assert len(items) == 17


async def test_targets_of_one_ciphertext_read_the_same_and_are_acknowledged_one_by_one(store: Store) -> None:
    devices = [await new_device(store, name) for name in range(4)]
    targets = (*((device, 0) for device in devices[:3]), (devices[3], 1))
    several = Submission(bytes_of("id"), 1_000, (b"shared", b"alone"), targets)
    assert (await send(store, several)).appended[0].outcomes == (Outcome.STORED,) * 4
    for left in range(3):
        for device in devices[left:3]:
            (item,) = (await page(store, device)).items
            assert isinstance(item, StoredEnvelope)
            assert item.ciphertext == b"shared"
        await store.mailboxes.ack(devices[left], up_to=1)
    (item,) = (await page(store, devices[3])).items
    assert isinstance(item, StoredEnvelope)
    assert item.ciphertext == b"alone"


async def test_a_page_has_at_most_so_many_envelopes_and_bytes_and_says_if_more_wait(store: Store) -> None:
    device = await new_device(store, "anna")
    for number in range(6):
        await send(store, submission(number, device, body=bytes(100)))
    by_count = await page(store, device, count=4)
    assert (
        [item.sequence for item in by_count.items if isinstance(item, StoredEnvelope)],
        by_count.more,
    ) == (
        [1, 2, 3, 4],
        True,
    )
    by_bytes = await page(store, device, after=1, size=299)
    assert (
        [item.sequence for item in by_bytes.items if isinstance(item, StoredEnvelope)],
        by_bytes.more,
    ) == (
        [2, 3],
        True,
    )
    too_small = await page(store, device, after=5, size=1)
    assert (len(too_small.items), too_small.more) == (1, False)


async def test_calls_that_overlap_lose_nothing_and_keep_each_callers_order(store: Store) -> None:
    devices = [await new_device(store, name) for name in range(3)]

    async def sender(name: int) -> None:
        for number in range(6):
            await send(store, submission((name, number), *devices))

    await asyncio.gather(*(sender(name) for name in range(3)))
    for device in devices:
        items = [item for item in (await page(store, device)).items if isinstance(item, StoredEnvelope)]
        assert [item.sequence for item in items] == list(range(1, 19))
        for name in range(3):
            mine = [bytes_of(("id", (name, number))) for number in range(6)]
            assert [item.envelope_id for item in items if item.envelope_id in mine] == mine


async def test_unknown_devices_are_not_found(store: Store) -> None:
    nobody = bytes(16)
    for call in (
        store.mailboxes.ack(nobody, up_to=0),
        store.mailboxes.state(nobody),
        store.mailboxes.count_attempt(nobody, 1),
        store.mailboxes.quarantined(nobody),
        store.mailboxes.fetch_quarantined(nobody, 1),
        store.mailboxes.remove(nobody, up_to=1),
        page(store, nobody),
    ):
        with pytest.raises(NotFound):
            await call


async def test_many_targets_of_one_submit(store: Store) -> None:
    accounts = [
        await new_account(store, name, [bytes_of((name, number)) for number in range(16)])
        for name in range(40)
    ]
    devices = [device.device_id for account in accounts for device in account.devices]
    result = await send(store, submission(1, *devices))
    assert result.appended[0].outcomes == (Outcome.STORED,) * 640
    assert result.appended[0].sequences == (1,) * 640
    assert [await sequences(store, device) for device in devices[::100]] == [[1]] * 7


async def test_the_newest_sequence_is_told_of_mailboxes_that_are_there(store: Store) -> None:
    anna, bert = await new_device(store, "anna"), await new_device(store, "bert")
    await send(store, submission(1, anna), submission(2, anna))
    await store.mailboxes.ack(anna, up_to=2)
    assert await store.mailboxes.newest([anna, bert, bytes(16)]) == {anna: 2, bert: 0}
    assert await store.mailboxes.newest([]) == {}
