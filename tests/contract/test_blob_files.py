"""The blob file port's promises, on every adapter."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path

import pytest

from relay.adapters.disk_blobs import open_disk_blobs
from relay.adapters.memory_blobs import MemoryBlobFiles
from relay.adapters.s3_blobs import S3Options, open_s3_blobs
from relay.ports.blob_files import BlobFiles
from relay.wire.errors import NotFound, OffsetConflict, Unavailable
from tests.adapter_counts import note_adapter
from tests.contract.people import bytes_of
from tests.servers.s3 import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server

ID = bytes_of("blob", 32)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(params=["memory", "disk", "s3"])
async def files(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BlobFiles]:
    note_adapter(request, "blobs", request.param)
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            yield MemoryBlobFiles()
        elif request.param == "s3":
            server: S3Server = request.getfixturevalue("s3")
            yield await stack.enter_async_context(open_s3_blobs(options_of(server, tmp_path.name)))
        else:
            yield await stack.enter_async_context(open_disk_blobs(tmp_path / "blobs"))


def options_of(server: S3Server, prefix: str = "") -> S3Options:
    return S3Options(BUCKET, "us-east-1", server.url, prefix, ACCESS_KEY, SECRET_KEY)


async def read(files: BlobFiles, start: int, end: int) -> list[bytes]:
    return [piece async for piece in files.read(ID, start=start, end=end)]


async def test_pieces_are_one_file(files: BlobFiles) -> None:
    data = bytes_of("data", 600_000)
    for start in range(0, len(data), 250_000):
        await files.append(ID, offset=start, data=data[start : start + 250_000])
    await files.sync(ID)
    assert await files.sha256(ID) == sha256(data).digest()
    pieces = await read(files, 0, len(data))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= 262_144
    assert b"".join(await read(files, 17, 300_001)) == data[17:300_001]
    assert await read(files, 5, 5) == []


async def test_writing_again_from_an_earlier_place_forgets_what_stood_behind_it(files: BlobFiles) -> None:
    await files.append(ID, offset=0, data=b"0123456789")
    await files.append(ID, offset=4, data=b"xy")
    assert b"".join(await read(files, 0, 6)) == b"0123xy"
    with pytest.raises(Unavailable):
        await read(files, 0, 7)
    await files.append(ID, offset=0, data=b"anew")
    assert await files.sha256(ID) == sha256(b"anew").digest()


async def test_a_hole_is_refused_and_changes_nothing(files: BlobFiles) -> None:
    await files.append(ID, offset=0, data=b"0123")
    with pytest.raises(OffsetConflict):
        await files.append(ID, offset=5, data=b"x")
    assert await files.sha256(ID) == sha256(b"0123").digest()


async def test_what_is_not_there_is_not_found(files: BlobFiles) -> None:
    for call in (files.append(ID, offset=1, data=b"x"), files.sha256(ID), files.sync(ID), read(files, 0, 1)):
        with pytest.raises(NotFound):
            await call
    await files.remove(ID)


async def test_files_are_listed_by_id_and_gone_once_removed(files: BlobFiles) -> None:
    ids = sorted(bytes_of(number, 32) for number in range(40))
    for blob_id in ids:
        await files.append(blob_id, offset=0, data=blob_id)
    assert await files.list(after=b"", limit=100) == tuple(ids)
    assert await files.list(after=ids[9], limit=5) == tuple(ids[10:15])
    await files.remove(ids[10])
    await files.remove(ids[10])
    assert await files.list(after=ids[9], limit=2) == (ids[11], ids[12])
    assert await files.list(after=ids[-1], limit=2) == ()


async def test_an_upload_goes_on_at_another_node_and_what_was_held_here_is_stale(
    s3: S3Server, tmp_path: Path
) -> None:
    options = options_of(s3, tmp_path.name)
    async with open_s3_blobs(options) as one, open_s3_blobs(options) as other:
        await one.append(ID, offset=0, data=b"0123456789")
        await one.sync(ID)
        await one.append(ID, offset=10, data=b"never synced")  # its client is cut off here
        await other.append(ID, offset=10, data=b"abc")
        await other.append(ID, offset=13, data=b"def")
        await other.sync(ID)
        assert b"".join(await read(one, 0, 16)) == b"0123456789abcdef"
        assert await one.sha256(ID) == await other.sha256(ID) == sha256(b"0123456789abcdef").digest()
        await one.append(ID, offset=4, data=b"x")  # from within a piece
        await one.sync(ID)
        assert b"".join(await read(other, 0, 5)) == b"0123x"
        with pytest.raises(Unavailable):
            await read(other, 0, 6)


async def test_a_request_that_ends_late_does_not_write_over_what_another_node_has_made_durable(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looked where the blob ends before the other one wrote, and writes afterwards."""
    options = options_of(s3, tmp_path.name)
    async with open_s3_blobs(options) as late, open_s3_blobs(options) as other:
        await late.append(ID, offset=0, data=b"0123456789")
        await late.sync(ID)
        await late.append(ID, offset=10, data=b"ab")
        await other.append(ID, offset=10, data=b"abcdef")
        await other.sync(ID)

        async def seen_before(_blob_id: bytes) -> int:
            return 10

        monkeypatch.setattr(late, "_end", seen_before)
        with pytest.raises(OffsetConflict):
            await late.sync(ID)
        monkeypatch.undo()
        assert b"".join(await read(other, 0, 16)) == b"0123456789abcdef"
        assert await late.sha256(ID) == sha256(b"0123456789abcdef").digest()


async def test_a_piece_that_is_there_already_since_its_answer_was_lost_is_no_conflict(
    s3: S3Server, tmp_path: Path
) -> None:
    async with open_s3_blobs(options_of(s3, tmp_path.name)) as files:
        assert await files._put_new(ID, 0, b"0123")
        assert await files._put_new(ID, 0, b"0123")
        assert not await files._put_new(ID, 0, b"012")
        assert not await files._put_new(ID, 0, b"01234")
        assert not await files._put_new(ID, 0, b"0124")


async def test_what_somebody_else_put_into_the_bucket_is_left_alone(s3: S3Server, tmp_path: Path) -> None:
    options = options_of(s3, tmp_path.name)
    async with open_s3_blobs(options) as files:
        await files._put(b"note", 0, b"of somebody")
        await files.append(ID, offset=0, data=b"x")
        assert await files.list(after=b"", limit=10) == (ID,)


async def test_without_the_bucket_a_blob_is_unavailable_and_says_nothing_else(tmp_path: Path) -> None:
    gone = S3Options(BUCKET, "us-east-1", "http://127.0.0.1:9", "", ACCESS_KEY, SECRET_KEY)
    async with open_s3_blobs(gone) as files:
        with pytest.raises(Unavailable):
            await files.append(ID, offset=0, data=b"x")
    assert SECRET_KEY not in repr(gone)
