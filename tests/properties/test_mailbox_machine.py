"""Mailboxes against a model, with crashes: nothing accepted is lost before it is acknowledged, order is kept.

The machine submits, repeats, changes, acknowledges, lets time pass, redelivers, removes, restarts and crashes with calls
under way, on both stores; after each step the whole mailbox is read and compared. Ids: F1, F2, F11.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from relay.adapters.memory.image import Image
from relay.adapters.memory.store import MemoryStore, open_memory_store
from relay.adapters.sqlite.store import open_sqlite_store
from relay.ports.mailboxes import RESTORE_GAP, MissedRange, StoredEnvelope, Submission
from relay.ports.store import Store
from relay.wire import limits
from relay.wire.errors import SequenceAhead, Unavailable
from relay.wire.frames import MissedReason, Outcome
from tests.contract.people import NOW_MS, new_device
from tests.properties.mailbox_model import QUOTAS, Box, cut, submission_of

DEVICES = 3
devices = st.integers(0, DEVICES - 1)
names = st.integers(0, 40)
versions = st.integers(0, 1)
places = st.integers(0, 12)
ttls = st.sampled_from([5, 50, 10_000])


class MailboxMachine(RuleBasedStateMachine):
    """The store and its model side by side; subclasses say which store, and what a crash of it leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.now_ms = NOW_MS
        self.boxes = [Box() for _ in range(DEVICES)]
        self.store: Store

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(call)

    async def open(self) -> None:
        raise NotImplementedError

    async def crash(self) -> None:
        raise NotImplementedError

    async def reopen(self) -> None:
        raise NotImplementedError

    @initialize()
    def start(self) -> None:
        self.run(self.open())
        self.devices = [self.run(new_device(self.store, name)) for name in range(DEVICES)]

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()

    @rule(indexes=st.sets(devices, min_size=1), name=names, version=versions, ttl=ttls)
    def submit(self, indexes: set[int], name: int, version: int, ttl: int) -> None:
        order = sorted(indexes)
        submission = submission_of(name, version, ttl, *(self.devices[index] for index in order))
        result = self.run(self.store.mailboxes.append([submission], now_ms=self.now_ms))
        expected = [
            self.boxes[index].place(submission, submission.ciphertexts[0], self.now_ms) for index in order
        ]
        answer = result.appended[0]
        assert list(zip(answer.outcomes, answer.sequences, strict=True)) == expected

    @rule(wishes=st.lists(st.tuples(devices, names, versions), min_size=2, max_size=6))
    def submit_at_once(self, wishes: list[tuple[int, int, int]]) -> None:
        submissions = [
            submission_of(name, version, 50, self.devices[index]) for index, name, version in wishes
        ]

        async def all_of_them() -> list[Any]:
            calls = (self.store.mailboxes.append([each], now_ms=self.now_ms) for each in submissions)
            return await asyncio.gather(*calls)

        for (index, _, _), submission, result in zip(
            wishes, submissions, self.run(all_of_them()), strict=True
        ):
            expected = self.boxes[index].place(submission, submission.ciphertexts[0], self.now_ms)
            assert (result.appended[0].outcomes[0], result.appended[0].sequences[0]) == expected

    # What is drawn never depends on what the store held: after a crash that differs from one replay to the next.
    @rule(index=devices, place=places, more=st.lists(places, max_size=3))
    def acknowledge(self, index: int, place: int, more: list[int]) -> None:
        box = self.boxes[index]
        known = sorted({0, box.given, *box.waiting, *box.missed})
        up_to, *also = (known[each % len(known)] for each in (place, *more))
        self.run(self.store.mailboxes.ack(self.devices[index], up_to=up_to, also=also))
        for sequence in [*box.waiting]:
            if sequence in also or (sequence <= up_to and not box.waiting[sequence].quarantined):
                del box.waiting[sequence]
        box.missed = {
            number: why for number, why in box.missed.items() if number > up_to and number not in also
        }
        box.gaps = [part for gap in box.gaps for part in cut(gap, up_to, also)]

    @rule(index=devices, above=st.integers(1, 5))
    def acknowledge_too_much(self, index: int, above: int) -> None:
        too_high = self.boxes[index].given + above
        for up_to, also in ((too_high, ()), (0, (too_high,))):
            try:
                self.run(self.store.mailboxes.ack(self.devices[index], up_to=up_to, also=also))
            except SequenceAhead:
                continue
            raise AssertionError("a sequence that was never given was acknowledged")

    @rule(seconds=st.sampled_from([1, 5, 60]))
    def time_passes(self, seconds: int) -> None:
        self.now_ms += seconds * 1_000

    @rule()
    def housekeeping(self) -> None:
        self.run(self.store.mailboxes.expire(now_ms=self.now_ms, limit=1_000))
        self.run(self.store.mailboxes.remove_old_records(now_ms=self.now_ms, limit=1_000))
        self.run(self.store.reclaim())
        for box in self.boxes:
            box.expire(self.now_ms)

    @rule(index=devices)
    def redeliver_until_it_is_quarantined(self, index: int) -> None:
        box = self.boxes[index]
        sequence = box.lowest_envelope()
        if not sequence:
            return
        before = box.attempts[1] if box.attempts[0] == sequence else 0
        for count in range(before + 1, limits.MAX_DELIVERY_ATTEMPTS + 2):
            told = self.run(self.store.mailboxes.count_attempt(self.devices[index], sequence))
            assert told is (count > limits.MAX_DELIVERY_ATTEMPTS)
        box.waiting[sequence].quarantined = True
        box.attempts = (sequence, limits.MAX_DELIVERY_ATTEMPTS + 1)

    @rule(index=devices)
    def deliver_once_more(self, index: int) -> None:
        box = self.boxes[index]
        sequence = box.lowest_envelope()
        if sequence and (box.attempts[0] != sequence or box.attempts[1] < limits.MAX_DELIVERY_ATTEMPTS):
            assert self.run(self.store.mailboxes.count_attempt(self.devices[index], sequence)) is False
            box.attempts = (sequence, box.attempts[1] + 1 if box.attempts[0] == sequence else 1)

    @rule(index=devices, place=places)
    def the_owner_removes(self, index: int, place: int) -> None:
        box = self.boxes[index]
        known = [0, *sorted(box.waiting)]
        up_to = known[place % len(known)]
        self.run(self.store.mailboxes.remove(self.devices[index], up_to=up_to))
        for sequence in [number for number in box.waiting if number <= up_to]:
            del box.waiting[sequence]
            box.missed[sequence] = MissedReason.REMOVED

    @precondition(lambda self: all(box.given < RESTORE_GAP for box in self.boxes))
    @rule()
    def restore(self) -> None:
        self.run(self.store.mark_restored())
        for box in self.boxes:
            box.gaps.append(MissedRange(box.given + 1, box.given + RESTORE_GAP, MissedReason.RESTORED))
            box.given += RESTORE_GAP

    @rule()
    def restart(self) -> None:
        self.run(self.reopen())

    @rule(wishes=st.lists(st.tuples(devices, names), min_size=1, max_size=5), turns=st.integers(0, 12))
    def crash_with_submits_under_way(self, wishes: list[tuple[int, int]], turns: int) -> None:
        """What was answered is there; what was not is there or not."""
        submissions = [submission_of(name, 0, 50, self.devices[index]) for index, name in wishes]

        async def submit_and_crash() -> list[Any]:
            calls = [
                asyncio.ensure_future(self.store.mailboxes.append([each], now_ms=self.now_ms))
                for each in submissions
            ]
            for _ in range(turns):
                await asyncio.sleep(0)
            answered = [call.result() if call.done() and not call.exception() else None for call in calls]
            await self.crash()
            for late in await asyncio.gather(*calls, return_exceptions=True):
                assert not isinstance(late, BaseException) or isinstance(late, Unavailable)
            return answered

        answers = self.run(submit_and_crash())
        for (index, _), submission, answer in zip(wishes, submissions, answers, strict=True):
            self._take_what_stands(index, submission, answered=answer is not None)

    def _take_what_stands(self, index: int, submission: Submission, *, answered: bool) -> None:
        """Ask the store by the same submit again: its sequence is 0 if it stood before the crash."""
        box, body = self.boxes[index], submission.ciphertexts[0]
        page = self.run(
            self.store.mailboxes.read(
                self.devices[index], after=0, max_envelopes=1_000, max_bytes=10**6, now_ms=self.now_ms
            )
        )
        stands = [
            item
            for item in page.items
            if isinstance(item, StoredEnvelope) and item.envelope_id == submission.envelope_id
        ]
        if submission.envelope_id in box.bodies:
            return  # it was there before; the invariant compares
        if stands:
            assert len(stands) == 1
            outcome, sequence = box.place(submission, body, self.now_ms)
            assert (outcome, sequence) == (Outcome.STORED, stands[0].sequence)
        else:
            assert not answered or box.place(submission, body, self.now_ms)[0] is Outcome.MAILBOX_FULL

    @invariant()
    def every_mailbox_is_as_the_model_says(self) -> None:
        if any(box.holds_expired_quarantine(self.now_ms) for box in self.boxes):
            # A reader passes quarantined envelopes over: housekeeping alone makes missed ranges of them.
            self.run(self.store.mailboxes.expire(now_ms=self.now_ms, limit=1_000))
        for index, box in enumerate(self.boxes):
            box.expire(self.now_ms)
            page_size = 1 + index * 3
            found: list[StoredEnvelope | MissedRange] = []
            after = 0
            while True:
                page = self.run(
                    self.store.mailboxes.read(
                        self.devices[index],
                        after=after,
                        max_envelopes=page_size,
                        max_bytes=200 + 400 * index,
                        now_ms=self.now_ms,
                    )
                )
                found += page.items
                if not page.more:
                    break
                last = page.items[-1]
                after = last.sequence if isinstance(last, StoredEnvelope) else last.to_sequence
            assert found == box.items()
            state = self.run(self.store.mailboxes.state(self.devices[index]))
            assert (state.next_sequence, state.envelopes, state.bytes) == (
                box.given + 1,
                len(box.waiting),
                box.size,
            )
            assert state.quarantined == sum(each.quarantined for each in box.waiting.values())


class MemoryMachine(MailboxMachine):
    """The memory store: a crash is what it offers."""

    async def open(self) -> None:
        await self._open(None)

    async def _open(self, image: Image | None) -> None:
        async def a_moment() -> None:
            await asyncio.sleep(0)

        opened = open_memory_store(image, quotas=QUOTAS, before_commit=a_moment, after_commit=a_moment)
        self.store = await self.stack.enter_async_context(opened)

    async def crash(self) -> None:
        assert isinstance(self.store, MemoryStore)
        await self._open(self.store.crash())

    async def reopen(self) -> None:
        await self.crash()


class SqliteMachine(MailboxMachine):
    """SQLite: a crash leaves the files as they are at that moment, the log not copied back."""

    def __init__(self) -> None:
        super().__init__()
        self.folders = [Path(tempfile.mkdtemp(prefix="mailbox-machine-"))]

    async def open(self) -> None:
        self.store = await self.stack.enter_async_context(
            open_sqlite_store(self.folders[-1] / "relay.db", quotas=QUOTAS, reserve_bytes=4_096)
        )

    async def crash(self) -> None:
        taken = Path(tempfile.mkdtemp(prefix="mailbox-machine-"))
        # The log last: whatever it misses was not committed, and checkpoints come far later than a run is long.
        for name in ("column.keys", "relay.db", "relay.db-wal"):
            shutil.copy(self.folders[-1] / name, taken / name)
        await self.stack.aclose()
        self.folders.append(taken)
        await self.open()

    async def reopen(self) -> None:
        await self.stack.aclose()
        await self.open()

    def teardown(self) -> None:
        super().teardown()
        for folder in self.folders:
            shutil.rmtree(folder)


TestMailboxMachineInMemory = MemoryMachine.TestCase
TestMailboxMachineInMemory.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestMailboxMachineInSqlite = SqliteMachine.TestCase
# Thousands of synced commits, on whatever disk.
TestMailboxMachineInSqlite.pytestmark = pytest.mark.timeout(240)
TestMailboxMachineInSqlite.settings = settings(
    max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
