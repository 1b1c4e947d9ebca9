"""Heads and proofs of the service, checked by the client's code: signed, growing, their times never going back."""

from collections.abc import AsyncIterator
from hashlib import sha256

import pytest

from crypto import transparency as client
from crypto.errors import LogSplit
from crypto.merkle import verify_consistency, verify_inclusion
from relay.adapters.memory.store import MemoryStore, open_memory_store
from relay.adapters.memory_clock import ManualClock
from relay.services.transparency import HEAD_KEPT_MS, Head, LogIncomplete, Transparency, open_head
from relay.session.proof import RelayKey
from relay.wire.errors import MalformedRequest, NotAllowed
from relay.wire.log_leaves import handle_subject, manifest_leaf
from tests.contract.people import NOW_MS, bytes_of, new_account

KEY = RelayKey(bytes(range(32)))


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    async with open_memory_store() as opened:
        yield opened


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_MS)


@pytest.fixture
def service(store: MemoryStore, clock: ManualClock) -> Transparency:
    return Transparency(store.transparency, key=KEY, clock=clock)


def parsed(head: Head) -> client.SignedHead:
    """What a client makes of it."""
    signed = client.SignedHead.parse(head.signed)
    client.verify_head(signed, KEY.public)
    assert (signed.log_id, signed.size, signed.root, signed.time_ms) == (
        head.log_id,
        head.size,
        head.root,
        head.time_ms,
    )
    return signed


async def test_a_head_is_signed_over_the_log_and_proofs_lead_to_it(
    store: MemoryStore, service: Transparency
) -> None:
    assert parsed(await service.head()).size == 0
    accounts = [await new_account(store, name) for name in range(9)]
    for index, account in enumerate(accounts):
        logged = await service.manifest(account.account_id, 1)
        assert logged.index == index
        head = parsed(logged.head)
        assert head.size == 9
        leaf = manifest_leaf(account.account_id, 1, account.manifest_hash).encode()
        assert leaf == client.leaf(client.LeafType.MANIFEST, account.account_id, 1, account.manifest_hash)
        verify_inclusion(leaf, index, head.size, logged.hashes, head.root)


async def test_consistency_leads_from_each_head_to_the_next(
    store: MemoryStore, service: Transparency
) -> None:
    heads = [await service.head()]
    for name in range(9):
        await new_account(store, name)
        heads.append(await service.head())
    assert [head.size for head in heads] == list(range(10))
    for old in heads:
        for new in heads[old.size :]:
            proof = await service.consistency(old.size, new.size)
            verify_consistency(old.size, old.root, new.size, new.root, proof)
            client.advance(parsed(old), parsed(new), proof, KEY.public)


@pytest.mark.parametrize(("old", "new"), [(1, 0), (0, 3), (3, 3), (2, 1)])
async def test_sizes_that_the_log_never_had_are_refused(
    store: MemoryStore, service: Transparency, old: int, new: int
) -> None:
    await new_account(store, "anna")
    await new_account(store, "bert")
    with pytest.raises(MalformedRequest, match="the log's size, 2"):
        await service.consistency(old, new)


async def test_an_unchanged_log_is_signed_again_only_after_a_while(
    store: MemoryStore, service: Transparency, clock: ManualClock
) -> None:
    await new_account(store, "anna")
    first = await service.head()
    clock.jump(seconds=HEAD_KEPT_MS / 1_000 - 1)
    assert await service.head() is first
    clock.jump(seconds=1)
    second = await service.head()
    assert (second.root, second.time_ms) == (first.root, first.time_ms + HEAD_KEPT_MS)
    await new_account(store, "bert")
    third = await service.head()
    assert (third.size, third.time_ms) == (2, second.time_ms)


async def test_times_never_go_back_whatever_the_clock_and_across_a_restart(
    store: MemoryStore, service: Transparency, clock: ManualClock
) -> None:
    await new_account(store, "anna")
    first = await service.head()
    clock.jump(seconds=-3_600)
    assert (await service.head()).time_ms == first.time_ms
    await new_account(store, "bert")
    second = await service.head()
    assert (second.size, second.time_ms) == (2, first.time_ms)
    clock.jump(seconds=-3_600)
    again = Transparency(store.transparency, key=KEY, clock=clock)
    await new_account(store, "carl")
    third = await again.head()
    assert (third.size, third.time_ms) == (3, first.time_ms)
    for older, newer in ((first, second), (second, third), (first, third)):
        client.compare_heads(parsed(older), parsed(newer))


async def test_a_client_would_see_a_time_that_goes_back(store: MemoryStore, service: Transparency) -> None:
    """What the rule above is for."""
    await new_account(store, "anna")
    small = parsed(await service.head())
    await new_account(store, "bert")
    large = parsed(await service.head())
    late = client.SignedHead(b"", b"", small.log_id, small.size, small.root, large.time_ms + 1)
    with pytest.raises(LogSplit):
        client.compare_heads(large, late)


async def test_a_restore_signs_under_a_new_log_id(store: MemoryStore, service: Transparency) -> None:
    await new_account(store, "anna")
    before = await service.head()
    await store.mark_restored()
    after = await service.head()
    assert after.log_id != before.log_id
    assert (after.size, after.root) == (before.size, before.root)


async def test_a_handle_is_proved_with_its_salt(store: MemoryStore, service: Transparency) -> None:
    anna = await new_account(store, "anna")
    bert = await new_account(store, "bert")
    await store.accounts.set_handle(anna.account_id, "name", None, now_ms=NOW_MS)
    logged = await service.handle("name", anna.account_id)
    assert logged.version == 1
    at = handle_subject(logged.salt, "name")
    leaf = client.leaf(client.LeafType.HANDLE, at, 1, sha256(anna.account_id).digest())
    head = parsed(logged.inclusion.head)
    verify_inclusion(leaf, logged.inclusion.index, head.size, logged.inclusion.hashes, head.root)
    with pytest.raises(NotAllowed):
        await service.handle("name", bert.account_id)
    with pytest.raises(LogIncomplete):
        await service.handle("nobody", bert.account_id)


async def test_what_the_log_lacks_is_never_told(store: MemoryStore, service: Transparency) -> None:
    anna = await new_account(store, "anna")
    with pytest.raises(LogIncomplete):
        await service.manifest(anna.account_id, 2)
    with pytest.raises(LogIncomplete):
        await service.manifest(bytes_of("nobody", 32), 1)


async def test_an_exported_head_is_read_back_and_a_forged_one_refused(
    store: MemoryStore, service: Transparency
) -> None:
    await new_account(store, "anna")
    head = await service.head()
    known = open_head(head.signed, KEY.public)
    assert (known.log_id, known.size, known.root, known.time_ms) == (
        head.log_id,
        head.size,
        head.root,
        head.time_ms,
    )
    for forged in (head.signed[:-1] + b"x", head.signed[:64], b"", bytes(64) + head.signed[64:]):
        with pytest.raises(MalformedRequest):
            open_head(forged, KEY.public)
