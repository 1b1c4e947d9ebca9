"""Housekeeping removes what has expired, in bounded steps, and goes on when something fails."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from relay.adapters.alone import Alone
from relay.adapters.memory.store import MemoryStore, open_memory_store
from relay.adapters.memory_blobs import MemoryBlobFiles
from relay.adapters.memory_clock import ManualClock
from relay.ports.blobs import Blob
from relay.ports.delivery_tokens import DeliveryToken, TokenClass
from relay.ports.invites import Invite
from relay.ports.mailboxes import MissedRange, Submission
from relay.ports.sealed_logs import GroupAppend
from relay.services.housekeeping import ROUND_SECONDS, Housekeeping, open_housekeeping
from relay.wire.errors import Unavailable
from relay.wire.frames import MissedReason
from tests.contract.people import NOW_MS, bytes_of, new_account

LATER_MS = NOW_MS + 60_000


class HastyClock(ManualClock):
    """Does not wait between steps; a test of a round looks at what it did, not how long it took."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    async with open_memory_store() as opened:
        yield opened


async def fill(store: MemoryStore, files: MemoryBlobFiles) -> bytes:
    """Two of everything, one that expires within a minute; a file that belongs to nothing. The mailbox's device."""
    account = await new_account(store, "anna")
    device = account.devices[0].device_id
    for number, end in enumerate((LATER_MS, LATER_MS + 10**9)):
        await store.accounts.spend_nonce(device, bytes_of(number), expires_at_ms=end)
        token = DeliveryToken(bytes_of(("token", number), 32), TokenClass.LINK, end)
        await store.delivery_tokens.add(account.account_id, token, now_ms=NOW_MS)
        await store.invites.create(Invite(bytes_of(("invite", number), 32), "member", 1, end, NOW_MS))
        blob = Blob(bytes_of(("blob", number), 32), account.account_id, 1, bytes(32), 0, False, NOW_MS, end)
        await store.blobs.create(blob, quota_bytes=10)
        await files.append(blob.blob_id, offset=0, data=b"x")
        envelope = Submission(bytes_of(("id", number)), (end - NOW_MS) // 1_000, (b"opaque",), ((device, 0),))
        await store.mailboxes.append([envelope], now_ms=NOW_MS)
    await files.append(bytes_of("orphan", 32), offset=0, data=b"x")
    return device


async def test_a_round_removes_what_has_expired_and_nothing_else(store: MemoryStore) -> None:
    files, failures = MemoryBlobFiles(), list[BaseException]()
    device = await fill(store, files)
    before = Housekeeping(store, files, clock=HastyClock(NOW_MS), failed=failures.append)
    await before.round()
    assert len(await files.list(after=b"", limit=10)) == 2  # the orphan alone is gone
    assert (await store.mailboxes.state(device)).envelopes == 2
    await Housekeeping(store, files, clock=HastyClock(LATER_MS), failed=failures.append).round()
    kept = bytes_of(("blob", 1), 32)
    assert await files.list(after=b"", limit=10) == (kept,)
    assert await store.blobs.known((kept, bytes_of(("blob", 0), 32))) == {kept}
    assert [invite.secret_hash for invite in await store.invites.list()] == [bytes_of(("invite", 1), 32)]
    account = await store.accounts.device(device)
    assert account is not None
    assert len(await store.delivery_tokens.list(account.account_id)) == 1
    await store.accounts.spend_nonce(device, bytes_of(0), expires_at_ms=LATER_MS)
    page = await store.mailboxes.read(device, after=0, max_envelopes=9, max_bytes=99, now_ms=NOW_MS)
    assert page.items[0] == MissedRange(1, 1, MissedReason.EXPIRED)
    assert failures == []


async def test_a_round_removes_group_logs_that_nobody_used_for_long(store: MemoryStore) -> None:
    day, used, idle = 86_400_000, bytes_of("used", 32), bytes_of("idle", 32)
    for log_id in (used, idle):
        first = GroupAppend(log_id, 0, b"opaque", bytes_of(("digest", log_id), 32), log_id, log_id)
        await store.group_logs.create(first, now_ms=NOW_MS)
    await store.group_logs.mark_used(used, day=NOW_MS // day + 3)
    for days, kept in ((10, [used, idle]), (11, [used])):
        clock, failures = HastyClock(NOW_MS + days * day), list[BaseException]()
        housekeeping = Housekeeping(
            store,
            MemoryBlobFiles(),
            clock=clock,
            failed=failures.append,
            group_log_idle_seconds=lambda: 864_000,
        )
        await housekeeping.round()
        there = [
            log_id for log_id in (used, idle) if await store.group_logs.write_key(log_id, 0, used_since_day=0)
        ]
        assert (there, failures) == (kept, [])


async def test_who_is_connected_is_noted_again_and_again_whatever_comes_of_it(store: MemoryStore) -> None:
    rounds, failures = list[int](), list[BaseException]()

    async def note_present() -> None:
        rounds.append(1)
        raise Unavailable

    housekeeping = Housekeeping(
        store,
        MemoryBlobFiles(),
        clock=HastyClock(NOW_MS),
        failed=failures.append,
        note_present=note_present,
    )
    noting = asyncio.create_task(housekeeping.note_present())
    async with asyncio.timeout(10):
        while len(failures) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
    noting.cancel()
    assert len(rounds) >= 2
    await housekeeping.round()
    assert len(rounds) == len(
        failures
    )  # a round of chores, which one process does for all, is something else


async def test_one_fault_does_not_end_it_and_is_told(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, failures = MemoryBlobFiles(), list[BaseException]()
    await fill(store, files)

    async def broken(**_: int) -> int:
        raise Unavailable

    with monkeypatch.context() as patched:
        patched.setattr(store.mailboxes, "expire", broken)
        patched.setattr(store.accounts, "remove_expired_nonces", broken)
        await Housekeeping(store, files, clock=HastyClock(LATER_MS), failed=failures.append).round()
    assert [type(failure) for failure in failures] == [Unavailable, Unavailable]
    assert len(await store.invites.list()) == 1
    assert len(await files.list(after=b"", limit=10)) == 1


async def test_rounds_come_by_the_clock_and_end_with_the_block(store: MemoryStore) -> None:
    clock, files, failures = ManualClock(NOW_MS), MemoryBlobFiles(), list[BaseException]()
    device = await fill(store, files)
    async with open_housekeeping(store, files, Alone(), clock=clock, failed=failures.append):
        await clock.advance(seconds=ROUND_SECONDS)
        assert (await store.mailboxes.state(device)).lowest == 1
        assert len(await store.invites.list()) == 2
        await clock.advance(seconds=3 * ROUND_SECONDS)
        assert len(await store.invites.list()) == 1
        assert clock.waiting() == 1
    assert clock.waiting() == 0
    assert failures == []
