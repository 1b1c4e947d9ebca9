"""The promises of deleting accounts, on every adapter."""

from dataclasses import replace

import pytest

from relay.ports.blobs import Blob
from relay.ports.delivery_tokens import DeliveryToken, TokenClass
from relay.ports.mailboxes import Submission
from relay.ports.store import Store
from relay.wire.errors import Conflict, HandleTaken, LastOwner, NotFound
from relay.wire.log_leaves import NOBODY, LeafKind
from tests.contract.conftest import Reopen
from tests.contract.people import NOW_MS, bytes_of, new_account, registration


async def test_what_was_an_accounts_own_is_gone_and_others_keep_theirs(store: Store) -> None:
    anna = await store.accounts.register(registration("anna", handle="anna"), now_ms=NOW_MS)
    bert = await store.accounts.register(registration("bert", handle="bert"), now_ms=NOW_MS)
    devices = [anna.devices[0].device_id, bert.devices[0].device_id]
    for account, device_id in zip((anna, bert), devices, strict=True):
        token = DeliveryToken(bytes_of(account.account_id, 32), TokenClass.CONTACT)
        await store.delivery_tokens.add(account.account_id, token, now_ms=NOW_MS)
        blob = Blob(bytes_of(device_id, 32), account.account_id, 9, bytes(32), 0, False, NOW_MS, NOW_MS + 1)
        await store.blobs.create(blob, quota_bytes=100)
        await store.mailboxes.append(
            [Submission(bytes_of(("envelope", device_id)), 60, (bytes(100),), ((device_id, 0),))],
            now_ms=NOW_MS,
        )
    assert await store.blobs.owned(anna.account_id, limit=5) == (bytes_of(devices[0], 32),)
    begun = await store.deletions.begin(anna.account_id, owner="owner")
    assert begun == replace(anna, suspended=True)
    assert await store.deletions.begun(limit=9) == (anna.account_id,)
    await store.deletions.finish(anna.account_id)
    assert not await store.deletions.erase_traces()

    assert await store.deletions.begun(limit=9) == ()
    assert await store.accounts.account(anna.account_id) is None
    assert await store.accounts.device(devices[0]) is None
    assert await store.accounts.find_handle("anna") is None
    assert await store.accounts.manifests(anna.account_id, from_version=1, limit=9) == ()
    assert await store.blobs.owned(anna.account_id, limit=5) == ()
    assert (await store.levels()).waiting == 1
    assert await store.accounts.account(bert.account_id) == bert
    assert await store.blobs.owned(bert.account_id, limit=5) == (bytes_of(devices[1], 32),)
    logged = await store.transparency.find(LeafKind.MANIFEST, anna.account_id)
    assert logged is not None
    assert (logged.leaf.version, logged.leaf.value_hash) == (2, NOBODY)
    # Nobody can come back as this account: the log has told that it ended.
    with pytest.raises(Conflict):
        await store.accounts.register(registration("anna"), now_ms=NOW_MS)
    await store.accounts.register(registration("another anna", handle="anna"), now_ms=NOW_MS)


async def test_a_deletion_goes_on_after_a_restart(store: Store, reopen: Reopen) -> None:
    anna = await new_account(store, "anna")
    await store.deletions.begin(anna.account_id, owner="owner")
    store = await reopen()
    assert await store.deletions.begun(limit=9) == (anna.account_id,)
    await store.deletions.begin(anna.account_id, owner="owner")
    await store.deletions.finish(anna.account_id)
    await store.deletions.finish(anna.account_id)
    store = await reopen()
    assert await store.deletions.begun(limit=9) == ()
    assert not await store.deletions.erase_traces()
    assert await store.accounts.account(anna.account_id) is None


async def test_only_what_was_marked_is_forgotten(store: Store) -> None:
    anna = await new_account(store, "anna")
    await store.deletions.finish(anna.account_id)
    assert await store.accounts.account(anna.account_id) == anna
    with pytest.raises(NotFound):
        await store.deletions.begin(bytes(32), owner="owner")


async def test_e3_the_last_owner_is_not_deleted(store: Store) -> None:
    owner = await store.accounts.register(replace(registration("anna"), role="owner"), now_ms=NOW_MS)
    with pytest.raises(LastOwner):
        await store.deletions.begin(owner.account_id, owner="owner")
    assert await store.accounts.account(owner.account_id) == owner
    assert await store.deletions.begun(limit=9) == ()


async def test_nobody_gets_the_handles_of_an_account_that_is_gone_for_a_while(store: Store) -> None:
    anna = await store.accounts.register(registration("anna", handle="anna"), now_ms=NOW_MS)
    await store.accounts.set_handle(anna.account_id, "later", None, now_ms=NOW_MS, kept_until_ms=NOW_MS + 5)
    await store.deletions.begin(anna.account_id, owner="owner")
    await store.deletions.finish(anna.account_id, kept_until_ms=NOW_MS + 9)
    for handle, until_ms in (("anna", NOW_MS + 5), ("later", NOW_MS + 9)):
        wish = registration(("new", handle), handle=handle)
        with pytest.raises(HandleTaken):
            await store.accounts.register(wish, now_ms=until_ms - 1)
        assert (await store.accounts.register(wish, now_ms=until_ms)).handle == handle
