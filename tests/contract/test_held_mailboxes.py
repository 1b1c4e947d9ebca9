"""Somebody holds the row of one mailbox for long: mail for all others goes on, and that for this one is not lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from relay.adapters.postgres import held_calls, mailbox_group, mailbox_rows
from relay.ports.mailboxes import StoredEnvelope
from relay.ports.store import Store
from relay.wire.errors import Unavailable
from relay.wire.frames import Outcome
from tests.contract.envelopes import outcome, page, send, sequences, submission
from tests.contract.people import new_device
from tests.contract.test_two_nodes import Nodes, check_rows, errors_of, raw

SOON = 3.0
"""Seconds; it takes a third of one, and on a machine that is busy with other tests still less than any lock is waited for."""


@asynccontextmanager
async def holding(store: Store, statement: str, key: bytes) -> AsyncIterator[None]:
    """A transaction, of a node that stands still, holds what the statement locks."""
    async with raw(store) as connection, connection.transaction():
        await connection.fetch(statement, [key])
        yield


async def test_f16_mail_for_others_goes_on_while_one_mailbox_is_held(two_nodes: Nodes) -> None:
    one, other = two_nodes
    devices = [await new_device(one, name) for name in ("anna", "bert", "carl")]
    held = sorted(devices)[1]  # behind one and before another in the order of the locks
    free = [device for device in devices if device != held]
    async with holding(other, mailbox_rows.LOCK, held):
        stuck = [asyncio.ensure_future(send(one, submission(("stuck", turn), held))) for turn in range(3)]
        for turn in range(4):  # in the same group as what is stuck, and in later ones
            async with asyncio.timeout(SOON):
                found = await asyncio.gather(
                    *(outcome(one, submission((turn, device), device)) for device in free)
                )
                assert found == [Outcome.STORED] * 2
                await one.mailboxes.ack(free[0], up_to=turn + 1)
        both = asyncio.ensure_future(send(one, submission("both", *devices)))
        async with asyncio.timeout(SOON):
            await one.mailboxes.ack(free[0], up_to=4)
        assert not any(task.done() for task in (*stuck, both))
    results = await asyncio.gather(*stuck, both)
    assert {each for result in results for each in result.appended[0].outcomes} == {Outcome.STORED}
    assert [result.appended[0].sequences[0] for result in results[:3]] == [1, 2, 3]
    assert await sequences(other, held) == [1, 2, 3, 4]
    items = (await page(other, free[1])).items
    assert len([item for item in items if isinstance(item, StoredEnvelope)]) == 5
    await check_rows(one)


@pytest.mark.parametrize("known", [False, True])
async def test_f16_what_goes_to_one_mailbox_stays_in_its_order_whoever_else_some_of_it_goes_to(
    two_nodes: Nodes, known: bool
) -> None:
    one, other = two_nodes
    held, free, beside = [await new_device(one, name) for name in ("anna", "bert", "carl")]
    async with holding(other, mailbox_rows.LOCK, held):
        sent = [asyncio.ensure_future(send(one, submission("stuck", held)))] if known else []
        if known:
            assert await outcome(one, submission("found", beside)) is Outcome.STORED
        sent += [
            asyncio.ensure_future(send(one, submission(*given)))
            for given in (("both", held, free), ("first", free, beside), ("second", beside))
        ]
        async with asyncio.timeout(
            SOON
        ):  # who acknowledges need not wait: that has no order among what comes
            await one.mailboxes.ack(free, up_to=0)
        later = asyncio.ensure_future(send(one, submission("third", free)))
        async with asyncio.timeout(SOON):
            await one.mailboxes.ack(beside, up_to=0)
        assert not any(task.done() for task in (*sent, later))
    results = await asyncio.gather(*sent[-3:], later)
    both, first, second, third = (result.appended[0].sequences for result in results)
    assert both[1] < first[0] < third[0]
    assert first[1] < second[0]
    await check_rows(one)


async def test_what_is_held_for_too_long_is_refused_and_may_be_sent_again(
    two_nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two_nodes
    anna, bert = [await new_device(one, name) for name in ("anna", "bert")]
    monkeypatch.setattr(held_calls, "MOST_TRIES", 2)
    async with holding(other, mailbox_rows.LOCK, anna):
        found = await asyncio.gather(
            send(one, submission(1, anna)),
            one.mailboxes.count_attempt(anna, 1),
            outcome(one, submission(2, bert)),
            return_exceptions=True,
        )
        assert errors_of(list(found)) == [Unavailable, Unavailable]
        assert found[2] is Outcome.STORED
    assert await outcome(one, submission(1, anna)) is Outcome.STORED
    assert await sequences(one, anna) == [1]
    await check_rows(one)


async def test_a_shared_copy_that_is_held_keeps_only_those_who_acknowledge_it(two_nodes: Nodes) -> None:
    one, other = two_nodes
    anna, bert, carl = [await new_device(one, name) for name in ("anna", "bert", "carl")]
    await send(one, submission("both", anna, bert))
    async with raw(one) as connection:
        shared_id = await connection.fetchval("SELECT shared_id FROM shared_waiting")
    async with holding(other, mailbox_rows._LOCK_COPIES, shared_id):
        acks = [asyncio.ensure_future(one.mailboxes.ack(device, up_to=1)) for device in (anna, bert)]
        for turn in range(3):
            async with asyncio.timeout(SOON):
                assert await outcome(one, submission(turn, carl)) is Outcome.STORED
        assert not any(ack.done() for ack in acks)
    await asyncio.gather(*acks)
    assert await sequences(one, anna) == await sequences(one, bert) == []
    await check_rows(one)


async def test_a_node_that_ends_answers_all_that_is_held(
    two_nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two_nodes
    anna = await new_device(one, "anna")
    monkeypatch.setattr(held_calls, "MOST_TRIES", 2)
    async with holding(other, mailbox_rows.LOCK, anna):
        stuck = asyncio.ensure_future(send(one, submission(1, anna)))
        await asyncio.sleep(0)
        one.mailboxes.close()
        with pytest.raises(Unavailable):
            await stuck


async def test_nobody_pays_for_it_as_long_as_nothing_is_held(two_nodes: Nodes) -> None:
    one, _ = two_nodes
    anna = await new_device(one, "anna")
    counts = one.database.counts
    before = counts.statements
    await send(one, submission(1, anna))
    assert counts.statements - before == 3  # lock, records, what changes
    assert mailbox_group.devices_of([]) == set()
