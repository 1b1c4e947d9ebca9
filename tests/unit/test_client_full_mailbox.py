"""A recipient whose mailbox is full, and empties while envelopes are under way: what goes out, and in which order."""

import asyncio

from client.deliveries import Deliveries
from client.store import queue
from client.store.peers import learn_token
from client.submitter import _PAUSE_SECONDS, Submitter
from relay.wire.frames import Accepted, Outcome
from tests.client_pair import open_pair
from tests.group_town import open_town


class Wire:
    """A connection whose far end is the test."""

    def __init__(self) -> None:
        self.targets: dict[bytes, tuple[bytes, ...]] = {}
        self.tokens: dict[bytes, bytes] = {}
        self.submitted: asyncio.Queue[bytes] = asyncio.Queue()
        self._requests: dict[bytes, int] = {}
        self._answers: asyncio.Queue[tuple[Accepted, ...]] = asyncio.Queue()

    async def send(self, frames):
        for frame in frames:
            self._requests[frame.envelope_id] = frame.request_id
            self.targets[frame.envelope_id] = tuple(target.device_id for target in frame.targets)
            self.tokens[frame.envelope_id] = frame.grants[0].token
            self.submitted.put_nowait(frame.envelope_id)

    async def receive(self):
        return await self._answers.get()

    def answer(self, *outcomes):
        """(Envelope id, outcome) of each; several outcomes of what has several targets."""
        self._answers.put_nowait(
            tuple(Accepted(self._requests[id_], tuple(outcome)) for id_, *outcome in outcomes)
        )

    async def next(self, count):
        return [await self.submitted.get() for _ in range(count)]


async def test_after_a_full_mailbox_one_envelope_at_a_time_goes_until_one_is_taken(tmp_path, monkeypatch):
    monkeypatch.setitem(_PAUSE_SECONDS, Outcome.MAILBOX_FULL, 0.01)
    async with open_pair(tmp_path) as (alice, bob):
        for number in range(6):
            await alice.draft(bob, f"message {number}")
        await alice.encrypt(bob)
        ids = [
            row.envelope_id for row in await alice.database.read(lambda tx: queue.outgoing_after(tx, 0, 10))
        ]
        wire = Wire()
        deliveries = Deliveries(alice.system)
        submitter = Submitter(
            account=alice.account,
            transport=None,
            database=alice.database,
            system=alice.system,
            deliveries=deliveries,
            drained=_at_once,
            on_redraft=lambda: None,
            on_answered=lambda: None,
        )
        talk = asyncio.create_task(submitter._converse(wire))
        try:
            assert await wire.next(6) == ids
            # The first is refused; the others were under way, and the mailbox is full for most of them too.
            wire.answer((ids[0], Outcome.MAILBOX_FULL), (ids[1], Outcome.STORED))
            wire.answer(*((id_, Outcome.MAILBOX_FULL) for id_ in ids[2:]))
            for _ in range(3):  # as long as it stays full, only the first is tried
                assert await wire.next(1) == ids[:1]
                assert wire.submitted.empty()
                wire.answer((ids[0], Outcome.MAILBOX_FULL))
            assert await wire.next(1) == ids[:1]
            assert wire.submitted.empty()
            wire.answer((ids[0], Outcome.STORED))
            assert await wire.next(4) == ids[2:]
            waiter = deliveries.watch(await alice.database.read(queue.waiting_numbers))
            wire.answer(*((id_, Outcome.STORED) for id_ in ids[2:]))
            while waiter.left:
                await waiter.changed.wait()
                waiter.changed.clear()
            assert await alice.database.read(queue.waiting) == 0
        finally:
            talk.cancel()
            await asyncio.gather(talk, return_exceptions=True)


async def _at_once() -> None:
    """Nothing waits in the mailbox."""


async def test_what_was_encrypted_before_waits_for_the_mailbox_and_goes_by_the_token_that_was_in_it(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await alice.draft(bob, "written while away")
        await alice.encrypt(bob)
        wire, asked, is_drained = Wire(), asyncio.Event(), asyncio.Event()

        async def drained() -> None:
            asked.set()
            await is_drained.wait()

        submitter = Submitter(
            account=alice.account,
            transport=None,
            database=alice.database,
            system=alice.system,
            deliveries=Deliveries(alice.system),
            drained=drained,
            on_redraft=lambda: None,
            on_answered=lambda: None,
        )
        talk = asyncio.create_task(submitter._converse(wire))
        first = asyncio.create_task(wire.next(1))
        try:
            waiting = [asyncio.create_task(asked.wait()), first]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            assert not first.done(), "it went out before the mailbox was looked at"
            await alice.database.run(lambda tx: learn_token(tx, bob.id, b"n" * 16, "contact"))
            is_drained.set()
            (envelope_id,) = await first
            assert wire.tokens[envelope_id] == b"n" * 16
        finally:
            talk.cancel()
            await asyncio.gather(talk, return_exceptions=True)


async def test_a_group_goes_on_while_one_mailbox_is_full_and_that_one_gets_the_same_bytes_later(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(_PAUSE_SECONDS, Outcome.MAILBOX_FULL, 0.05)
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await town.group_of(alice, bob, carol)
        numbers = [await alice.say(group, text) for text in ("one", "two", "three")]
        await town._encrypt(alice)
        rows = await alice.do(lambda tx: queue.outgoing_after(tx, 0, 10))
        ids = [row.envelope_id for row in rows]
        assert len(ids) == 3
        wire, deliveries, answered = Wire(), Deliveries(alice.person.system), asyncio.Event()
        submitter = Submitter(
            account=alice.person.account,
            transport=None,
            database=alice.person.database,
            system=alice.person.system,
            deliveries=deliveries,
            drained=_at_once,
            on_redraft=lambda: None,
            on_answered=answered.set,
        )
        waiter = deliveries.watch(numbers)
        talk = asyncio.create_task(submitter._converse(wire))
        try:
            assert await wire.next(3) == ids  # all under way at once
            both = wire.targets[ids[0]]
            assert set(both) == {bob.device, carol.device}

            def full(device):
                return [Outcome.MAILBOX_FULL if each == carol.device else Outcome.STORED for each in device]

            wire.answer(*((id_, *full(both)) for id_ in ids))
            while waiter.left:
                await waiter.changed.wait()
                waiter.changed.clear()
            assert waiter.refused == 0
            assert await alice.do(queue.waiting) == 0  # nobody waits for carol
            again = await wire.next(3)
            assert again == ids
            assert {wire.targets[id_] for id_ in again} == {(carol.device,)}
            kept = await alice.do(lambda tx: queue.outgoing_after(tx, 0, 10))
            assert [row.group.ciphertext for row in kept] == [row.group.ciphertext for row in rows]
            answered.clear()
            wire.answer(*((id_, Outcome.STORED) for id_ in ids))
            await answered.wait()
            assert await alice.do(lambda tx: queue.outgoing_after(tx, 0, 10)) == []
        finally:
            talk.cancel()
            await asyncio.gather(talk, return_exceptions=True)
