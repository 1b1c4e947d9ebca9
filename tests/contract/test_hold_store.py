"""The promises of holds, on every adapter: what would go by its age, or with its account, stays until they end."""

from dataclasses import replace

import pytest

from relay.ports.audit import AuditEntry
from relay.ports.blobs import Blob
from relay.ports.holds import Hold
from relay.ports.mailboxes import MissedRange, Submission
from relay.ports.store import Store
from relay.wire.audit_rows import RELAY, Party
from relay.wire.errors import Conflict, NotFound, QuotaExceeded
from relay.wire.frames import MissedReason
from tests.audit_logs import KEY
from tests.contract.conftest import Reopen
from tests.contract.people import NOW_MS, bytes_of, new_account

LATER_MS = NOW_MS + 60_000
HOLD = Hold(b"", "case-7", NOW_MS, NOW_MS + 10**9)


async def send(store: Store, *devices: bytes, name: object = "one", size: int = 100) -> None:
    """The same ciphertext to each, for a minute at the longest."""
    targets = tuple((device, 0) for device in devices)
    await store.mailboxes.append([Submission(bytes_of(name), 50, (bytes(size),), targets)], now_ms=NOW_MS)


async def held(store: Store, name: str) -> tuple[bytes, bytes]:
    """(Account, device) with a hold."""
    account = await new_account(store, name)
    await store.holds.put(replace(HOLD, account_id=account.account_id))
    return account.account_id, account.devices[0].device_id


async def test_a_hold_is_put_told_changed_and_released(store: Store, reopen: Reopen) -> None:
    anna, _ = await held(store, "anna")
    assert await store.holds.find(anna) == replace(HOLD, account_id=anna)
    assert await store.holds.list() == (replace(HOLD, account_id=anna),)
    longer = replace(HOLD, account_id=anna, reason="case-8", until_ms=NOW_MS + 10**10)
    await store.holds.put(longer)
    store = await reopen()
    assert await store.holds.list() == (longer,)
    await store.holds.release(anna)
    assert (await store.holds.find(anna), await store.holds.list()) == (None, ())
    with pytest.raises(NotFound):
        await store.holds.release(anna)
    with pytest.raises(NotFound):
        await store.holds.put(replace(HOLD, account_id=bytes(32)))


@pytest.mark.parametrize("way", ["swept", "read"])
async def test_an_envelope_that_expires_leaves_the_mailbox_and_a_copy_stays(store: Store, way: str) -> None:
    anna, phone = await held(store, "anna")
    bert = (await new_account(store, "bert")).devices[0].device_id
    await send(store, phone, bert)
    await send(store, phone, name="of anna alone", size=30)
    if way == "swept":
        assert await store.mailboxes.expire(now_ms=LATER_MS, limit=100) == 3
    page = await store.mailboxes.read(phone, after=0, max_envelopes=9, max_bytes=9_999, now_ms=LATER_MS)
    assert page.items == (MissedRange(1, 2, MissedReason.EXPIRED),)
    assert (await store.mailboxes.state(phone)).envelopes == 0
    kept = await store.holds.find(anna)
    assert kept is not None
    assert (kept.envelopes, kept.envelope_bytes) == (2, 130)
    # What the device acknowledges it has: nothing stays of that.
    await send(store, phone, name="taken")
    await store.mailboxes.ack(phone, up_to=3)
    assert await store.holds.find(anna) == kept
    assert await store.holds.remove_released(limit=9) == 0
    await store.holds.release(anna)
    assert [await store.holds.remove_released(limit=1) for _ in range(3)] == [1, 1, 0]


async def test_expired_blobs_stay_unreadable_and_on_no_quota(store: Store) -> None:
    anna, _ = await held(store, "anna")
    bert = (await new_account(store, "bert")).account_id
    for owner in (anna, bert):
        blob = Blob(bytes_of(owner, 32), owner, 60, bytes(32), 0, False, NOW_MS, LATER_MS)
        await store.blobs.create(blob, quota_bytes=100)
    assert await store.blobs.expired(now_ms=LATER_MS, limit=9) == (bytes_of(bert, 32),)
    assert await store.blobs.get(bytes_of(anna, 32), now_ms=LATER_MS) is None
    another = Blob(bytes_of("another", 32), anna, 60, bytes(32), 0, False, NOW_MS, LATER_MS)
    with pytest.raises(QuotaExceeded):
        await store.blobs.create(another, quota_bytes=100)
    await store.blobs.create(
        replace(another, created_at_ms=LATER_MS, expires_at_ms=LATER_MS + 1), quota_bytes=100
    )
    await store.holds.release(anna)
    assert bytes_of(anna, 32) in await store.blobs.expired(now_ms=LATER_MS, limit=9)


async def test_a_deletion_waits_for_the_hold_and_leaves_nothing_after_it(store: Store) -> None:
    anna, phone = await held(store, "anna")
    await send(store, phone)
    await store.mailboxes.expire(now_ms=LATER_MS, limit=100)
    await store.deletions.begin(anna, owner="owner")
    assert await store.deletions.begun(limit=9) == ()
    await store.deletions.finish(anna)
    kept = await store.holds.find(anna)
    assert kept is not None
    assert (kept.is_deleted, kept.envelopes) == (True, 1)
    assert await store.accounts.account(anna) is not None
    # A hold can be made longer meanwhile; an account that goes already is not held back.
    await store.holds.put(replace(HOLD, account_id=anna))
    await store.holds.release(anna)
    with pytest.raises(Conflict):
        await store.holds.put(replace(HOLD, account_id=anna))
    assert await store.deletions.begun(limit=9) == (anna,)
    await store.deletions.finish(anna)
    assert await store.accounts.account(anna) is None
    assert await store.holds.remove_released(limit=9) == 0


async def test_the_oldest_row_that_names_a_held_account_is_known(store: Store) -> None:
    anna, _ = await held(store, "anna")
    assert await store.holds.audited_from_ms() is None
    for number, party in enumerate((Party.account(bytes(32)), Party.account(anna), Party.account(anna))):
        at_ms = NOW_MS + number
        await store.audit.append(
            AuditEntry(at_ms, "role.grant", RELAY, party, KEY.sign, (bytes(16), bytes_of(number)))
        )
    assert await store.holds.audited_from_ms() == NOW_MS + 1


async def test_a_change_is_recorded_in_its_commit(store: Store) -> None:
    anna = (await new_account(store, "anna")).account_id
    row = AuditEntry(NOW_MS, "retention.hold", RELAY, Party.account(anna), KEY.sign, (bytes(16), bytes(16)))
    await store.holds.put(replace(HOLD, account_id=anna), audited=row)
    await store.holds.release(anna, audited=replace(row, action="retention.release"))
    with pytest.raises(NotFound):
        await store.holds.release(anna, audited=row)
    said = [one.details.action for one in await store.audit.rows(0, 9) if one.details is not None]
    assert said == ["retention.hold", "retention.release"]
