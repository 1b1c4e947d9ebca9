"""What wakeups cost who sends: nothing. Counted, never timed."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from relay.adapters.sqlite.store import open_sqlite_store
from relay.ports.mailboxes import Submission
from relay.ports.pusher import Outcome, PushAddress, PushAnswer
from relay.ports.pushes import PendingWakeup, PushRegistration
from relay.services.push_book import PAGE_ROWS
from tests.contract.people import bytes_of, new_device
from tests.pushing import SENT, FakePusher, open_scene

DEVICES = 20
ROUNDS = 50


async def cost(folder: Path, how: str) -> tuple[tuple[int, int, int], int, int]:
    """(Commits, statements, hops) of accepting 1,000 envelopes; commits that wakeups took after it; wakeups that went out."""

    async def hangs(_address: PushAddress) -> None:
        if how == "hanging":
            await asyncio.Event().wait()

    async with open_sqlite_store(folder / f"{how}.db", reserve_bytes=0) as store:
        devices = [await new_device(store, number) for number in range(DEVICES)]
        for number, device_id in enumerate(devices):
            address = PushAddress("webhook", f"https://{number}.example/")
            await store.pushes.register(PushRegistration(device_id, bytes_of(number), address, bytes(16)))
        pusher = FakePusher(hold=hangs)
        async with open_scene(pusher, store, off=how == "off") as scene:
            if how != "off":
                await scene.push._book.load()  # the task that does it may not have come to its end
            before = store.counts.commits, store.counts.statements, store.counts.hops
            for number in range(ROUNDS):
                submissions = [
                    Submission(bytes_of((number, one)), 1_000, (bytes(600),), ((one, 0),)) for one in devices
                ]
                result = await store.mailboxes.append(submissions, now_ms=scene.clock.now_ms())
                await scene.wakeup.announce(list(zip(submissions, result.appended, strict=True)))
                await scene.settle()
            after = store.counts.commits, store.counts.statements, store.counts.hops
            for _ in range(20):
                await scene.gathered()
                await asyncio.sleep(0.02)
            spent = (after[0] - before[0], after[1] - before[1], after[2] - before[2])
            return spent, store.counts.commits - after[0], len(pusher.pushed)


async def test_accepting_takes_as_many_commits_and_hops_whether_push_is_off_healthy_or_hanging(
    tmp_path: Path,
) -> None:
    off, healthy, hanging = [await cost(tmp_path, how) for how in ("off", "healthy", "hanging")]
    assert off[0] == healthy[0] == hanging[0]
    assert off[0][0] == ROUNDS
    assert (off[1], off[2]) == (0, 0)
    # Beside it: 1,000 envelopes for 20 devices are 20 wakeups, in a handful of commits.
    assert healthy[2] == hanging[2] == DEVICES
    assert 1 <= hanging[1] <= healthy[1] <= 5


@pytest.mark.parametrize("urgent", [False, True])
async def test_a_fan_out_to_many_wakes_each_once(urgent: bool) -> None:
    async with open_scene(concurrency=1_000) as scene:
        devices = [(await scene.device(n, f"https://{n % 7}.example/{n}"))[0] for n in range(500)]
        await scene.message(*devices, urgent=urgent)
        await scene.let_pass(5)
        assert len(scene.pusher.pushed) == len(devices)
        assert {hurried for _, _, hurried in scene.pusher.pushed} == {urgent}


async def test_a_fan_out_is_remembered_at_once_and_written_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands may be absent: the sender waits for none of them, and no commit holds all."""
    async with open_scene(concurrency=1_000) as scene:
        devices = [(await scene.device(n, f"https://{n % 7}.example/{n}"))[0] for n in range(1_200)]
        pages = []
        note = scene.store.pushes.note

        async def counted(pending: Sequence[PendingWakeup], ended: Sequence[bytes]) -> None:
            pages.append(len(pending))
            await note(pending, ended)

        monkeypatch.setattr(scene.store.pushes, "note", counted)
        await scene.message(*devices)
        book = scene.push._book
        assert (book.waiting, pages) == (0, [])
        await scene.let_pass(5)
        assert len(scene.pusher.pushed) == len(devices)
        assert max(pages) <= PAGE_ROWS
        assert sum(pages) >= len(devices)
        assert book.waiting == 0


async def test_what_waits_is_what_no_service_took() -> None:
    async with open_scene(FakePusher(answers=[PushAnswer(Outcome.RETRY, "failing"), SENT])) as scene:
        book = scene.push._book
        phone, _ = await scene.device("phone")
        left = scene.comes(phone)
        scene.wakeup.release(phone, left)
        assert book.waiting == 0  # it hangs on what waits for it, which is nothing
        await scene.message(phone)
        await scene.gathered()
        assert (book.waiting, len(scene.pusher.pushed)) == (1, 1)
        await scene.let_pass(3)
        assert (book.waiting, len(scene.pusher.pushed)) == (0, 2)
        await scene.let_pass(86_500)
        await scene.message(phone)
        await scene.let_pass(0.15)
        assert book.waiting + len(scene.pusher.pushed) == 3
        scene.comes(phone)
        assert book.waiting == 0
