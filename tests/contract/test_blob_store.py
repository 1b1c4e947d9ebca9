"""The blob port's promises, on every adapter: reserved by length, readable when complete, gone when expired."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from relay.ports.blobs import Blob
from relay.ports.store import Store
from relay.wire.errors import Conflict, NotFound, OffsetConflict, QuotaExceeded
from tests.contract.people import NOW_MS, bytes_of

QUOTA = 1_000


def blob(
    name: object, *, length: int = 100, owner: object = "anna", expires_at_ms: int = NOW_MS + 100
) -> Blob:
    return Blob(
        bytes_of(("blob", name), 32),
        bytes_of(owner, 32),
        length,
        bytes_of("hash", 32),
        0,
        False,
        NOW_MS,
        expires_at_ms,
    )


async def test_an_upload_moves_on_and_becomes_complete(
    store: Store, reopen: Callable[[], Awaitable[Store]]
) -> None:
    one = blob(1)
    await store.blobs.create(one, quota_bytes=QUOTA)
    assert await store.blobs.get(one.blob_id, now_ms=NOW_MS) == one
    half = await store.blobs.advance(one.blob_id, from_offset=0, to_offset=60, expires_at_ms=NOW_MS + 200)
    assert half == replace(one, offset=60, expires_at_ms=NOW_MS + 200)
    store = await reopen()
    for start, end in ((0, 10), (61, 70), (60, 101)):
        with pytest.raises(OffsetConflict):
            await store.blobs.advance(one.blob_id, from_offset=start, to_offset=end, expires_at_ms=NOW_MS)
    with pytest.raises(OffsetConflict):
        await store.blobs.complete(one.blob_id, expires_at_ms=NOW_MS + 300)
    await store.blobs.advance(one.blob_id, from_offset=60, to_offset=100, expires_at_ms=NOW_MS + 200)
    done = await store.blobs.complete(one.blob_id, expires_at_ms=NOW_MS + 300)
    assert done == replace(one, offset=100, complete=True, expires_at_ms=NOW_MS + 300)
    assert await store.blobs.get(one.blob_id, now_ms=NOW_MS + 299) == done
    assert await store.blobs.get(one.blob_id, now_ms=NOW_MS + 300) is None
    with pytest.raises(OffsetConflict):
        await store.blobs.advance(one.blob_id, from_offset=100, to_offset=100, expires_at_ms=NOW_MS + 900)


async def test_unfinished_uploads_count_in_full_on_their_owners_quota(store: Store) -> None:
    await store.blobs.create(blob(1, length=600), quota_bytes=QUOTA)
    with pytest.raises(QuotaExceeded):
        await store.blobs.create(blob(2, length=401), quota_bytes=QUOTA)
    await store.blobs.create(blob(3, length=401, owner="bert"), quota_bytes=QUOTA)
    await store.blobs.create(blob(2, length=400), quota_bytes=QUOTA)
    assert await store.blobs.used_bytes(bytes_of("anna", 32)) == 1_000
    assert await store.blobs.remove(blob(1).blob_id) is True
    assert await store.blobs.remove(blob(1).blob_id) is False
    assert await store.blobs.used_bytes(bytes_of("anna", 32)) == 400


async def test_an_id_is_used_once(store: Store) -> None:
    await store.blobs.create(blob(1), quota_bytes=QUOTA)
    with pytest.raises(Conflict):
        await store.blobs.create(blob(1, owner="bert"), quota_bytes=QUOTA)
    assert await store.blobs.used_bytes(bytes_of("bert", 32)) == 0


async def test_unknown_blobs_are_not_found(store: Store) -> None:
    nobody = bytes(32)
    assert await store.blobs.get(nobody, now_ms=NOW_MS) is None
    with pytest.raises(NotFound):
        await store.blobs.advance(nobody, from_offset=0, to_offset=1, expires_at_ms=NOW_MS)
    with pytest.raises(NotFound):
        await store.blobs.complete(nobody, expires_at_ms=NOW_MS)


async def test_expired_blobs_are_listed_oldest_first_and_known_until_removed(store: Store) -> None:
    for number in range(5):
        await store.blobs.create(blob(number, expires_at_ms=NOW_MS + number), quota_bytes=QUOTA)
    expired = await store.blobs.expired(now_ms=NOW_MS + 3, limit=3)
    assert expired == tuple(blob(number).blob_id for number in range(3))
    assert await store.blobs.known((*expired, bytes(32))) == frozenset(expired)
    await store.blobs.remove(expired[0])
    assert await store.blobs.known(expired) == frozenset(expired[1:])
    assert await store.blobs.known(()) == frozenset()
