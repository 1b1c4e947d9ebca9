"""The transparency log's promises, on every adapter: a leaf comes with the commit of what it is about, and stays."""

from hashlib import sha256

import pytest

from relay.ports.store import Store
from relay.wire.errors import HandleTaken, ManifestConflict
from relay.wire.log_leaves import LeafKind, handle_leaf, handle_subject, manifest_leaf
from relay.wire.merkle import Subtree, consistency_path, fold, inclusion_path, node_numbers, nodes_before
from tests.contract.conftest import Reopen
from tests.contract.people import NOW_MS, bytes_of, device_field, make_manifest, new_account, registration
from tests.merkle_log import consistency, inclusion, root_of


async def leaves_of(store: Store) -> list[bytes]:
    """The level-0 nodes: what each leaf hashes to."""
    size = (await store.transparency.state()).size
    numbers = [nodes_before(index) for index in range(size)]
    found = await store.transparency.nodes(numbers)
    return [found[number] for number in numbers]


async def subject_of(store: Store, handle: str) -> bytes:
    return handle_subject(await store.transparency.handle_salt(handle), handle)


async def advance(store: Store, name: object, *, version: int, previous: bytes):
    manifest, signed = make_manifest(
        name,
        [device_field(bytes_of(("device", name)), flags=version % 8)],
        version=version,
        previous=previous,
    )
    return await store.accounts.advance_manifest(manifest, signed, now_ms=NOW_MS)


async def test_each_manifest_is_a_leaf_and_none_twice(store: Store) -> None:
    assert (await store.transparency.state()).size == 0
    anna = await new_account(store, "anna")
    await new_account(store, "anna")  # the same again
    await advance(store, "anna", version=2, previous=anna.manifest_hash)
    await advance(store, "anna", version=2, previous=anna.manifest_hash)
    bert = await new_account(store, "bert")
    with pytest.raises(ManifestConflict):
        await advance(store, "bert", version=3, previous=bert.manifest_hash)
    assert (await store.transparency.state()).size == 3
    first = await store.transparency.find(LeafKind.MANIFEST, anna.account_id, 1)
    newest = await store.transparency.find(LeafKind.MANIFEST, anna.account_id)
    account = await store.accounts.account(anna.account_id)
    assert first is not None
    assert newest is not None
    assert account is not None
    assert (first.index, first.leaf) == (0, manifest_leaf(anna.account_id, 1, anna.manifest_hash))
    assert (newest.index, newest.leaf) == (1, manifest_leaf(anna.account_id, 2, account.manifest_hash))
    assert await store.transparency.find(LeafKind.MANIFEST, anna.account_id, 3) is None
    assert await store.transparency.find(LeafKind.HANDLE, anna.account_id) is None


async def test_a_refused_registration_leaves_no_leaf(store: Store) -> None:
    await store.accounts.register(registration("anna", handle="name"), now_ms=NOW_MS)
    with pytest.raises(HandleTaken):
        await store.accounts.register(registration("bert", handle="name"), now_ms=NOW_MS)
    assert (await store.transparency.state()).size == 2
    carl = await new_account(store, "carl")
    leaf = manifest_leaf(carl.account_id, 1, carl.manifest_hash).encode()
    assert (await leaves_of(store))[2:] == [sha256(b"\x00" + leaf).digest()]


async def test_a_handle_counts_up_when_it_is_bound_given_back_and_bound_again(store: Store) -> None:
    anna = (await new_account(store, "anna")).account_id
    bert = (await new_account(store, "bert")).account_id
    at = await subject_of(store, "name")
    found = []
    for change in (
        lambda: store.accounts.set_handle(anna, "name", None, now_ms=NOW_MS),
        lambda: store.accounts.set_handle(anna, "name", bytes_of("token"), now_ms=NOW_MS),  # no other binding
        lambda: store.accounts.release_handle(anna),
        lambda: store.accounts.release_handle(anna),  # without effect
        lambda: store.accounts.set_handle(bert, "name", None, now_ms=NOW_MS),
        lambda: store.accounts.set_handle(bert, "other", None, now_ms=NOW_MS),
    ):
        await change()
        newest = await store.transparency.find(LeafKind.HANDLE, at)
        assert newest is not None
        found.append(newest.leaf)
    expected = [(1, anna), (1, anna), (2, None), (2, None), (3, bert), (4, None)]
    assert found == [handle_leaf(at, version, account_id) for version, account_id in expected]
    other = await store.transparency.find(LeafKind.HANDLE, await subject_of(store, "other"))
    assert other is not None
    assert other.leaf == handle_leaf(await subject_of(store, "other"), 1, bert)
    assert (await store.transparency.state()).size == 2 + 5


async def test_a_salt_is_of_one_handle_and_one_log(store: Store, reopen: Reopen) -> None:
    salt = await store.transparency.handle_salt("name")
    assert len(salt) == 16
    assert salt != await store.transparency.handle_salt("other")
    assert salt == await (await reopen()).transparency.handle_salt("name")


async def test_every_proof_is_that_of_the_definitions(store: Store) -> None:
    count = 19
    for name in range(count):
        await new_account(store, name)
    hashes = await leaves_of(store)
    assert len(hashes) == count
    accounts = [registration(name).manifest for name in range(count)]
    leaves = [manifest_leaf(each.account_id, 1, each.hash).encode() for each in accounts]
    assert hashes == [sha256(b"\x00" + leaf).digest() for leaf in leaves]

    async def hashed(subtrees: tuple[Subtree, ...]) -> list[bytes]:
        numbers = [number for each in subtrees for number in node_numbers(each)]
        assert len(numbers) <= 2 * count.bit_length() ** 2
        nodes = await store.transparency.nodes(numbers)
        return [fold(each, nodes) for each in subtrees]

    for size in range(1, count + 1):
        assert await hashed((Subtree(0, size),)) == [root_of(leaves[:size])]
        for index in range(size):
            assert await hashed(inclusion_path(index, size)) == inclusion(leaves[:size], index)
        for old in range(size + 1):
            assert await hashed(consistency_path(old, size)) == consistency(leaves[:size], old)


async def test_the_log_is_the_same_after_a_restart_and_another_after_a_restore(
    store: Store, reopen: Reopen
) -> None:
    await new_account(store, "anna")
    before, hashes = await store.transparency.state(), await leaves_of(store)
    assert len(before.log_id) == 32
    store = await reopen()
    assert await store.transparency.state() == before
    assert await leaves_of(store) == hashes
    await store.mark_restored()
    after = await store.transparency.state()
    assert after.log_id != before.log_id
    assert len(after.log_id) == 32
    assert (after.size, await leaves_of(store)) == (before.size, hashes)


async def test_the_time_of_heads_outlives_a_restart_and_never_goes_back(store: Store, reopen: Reopen) -> None:
    await store.transparency.note_head_time(NOW_MS)
    await store.transparency.note_head_time(NOW_MS - 1)
    store = await reopen()
    assert (await store.transparency.state()).head_time_ms == NOW_MS


async def test_a_node_that_there_is_not_is_left_out(store: Store) -> None:
    await new_account(store, "anna")
    assert set(await store.transparency.nodes([0, 1, 2])) == {0}
    assert await store.transparency.nodes([]) == {}
