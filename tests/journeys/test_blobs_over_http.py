"""Blobs as a client meets them: tus uploads that are cut and go on, downloads by Range, quota and expiry."""

import asyncio
import base64
import hashlib
import io
import os
from pathlib import Path

import aiohttp
import pytest

from relay.wire import limits
from relay.wire.links import encode_id
from relay.wire.transcripts import STREAMED
from tests.raw_device import Answered, RawDevice, send
from tests.running_relay import World, open_world

TUS = {"Tus-Resumable": "1.0.0"}
UNREAD_BYTES = 1_048_576
"""What a server's buffers may hold unread when a connection is reset, and lose by it."""
OFFSET_STREAM = "application/offset+octet-stream"


@pytest.fixture
async def world():
    async with open_world(store="sqlite") as opened:
        yield opened


def base64_sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


async def begin(device: RawDevice, data: bytes, *, length: int | None = None) -> Answered:
    """Create an upload for these bytes."""
    headers = {
        **TUS,
        "Upload-Length": str(len(data) if length is None else length),
        "Upload-Metadata": f"sha256 {base64_sha256(data)}",
    }
    return await device.call("POST", "/v1/blobs", headers=headers)


def patch_headers(device: RawDevice, path: str, offset: int, **more: str) -> dict[str, str]:
    proof = device.authorization("PATCH", path, STREAMED, upload_offset=offset)
    return {
        **TUS,
        "Content-Type": OFFSET_STREAM,
        "Upload-Offset": str(offset),
        "Authorization": proof,
        **more,
    }


async def patch(device: RawDevice, path: str, offset: int, data: bytes, **more: str) -> Answered:
    """Send these bytes at the offset."""
    headers = patch_headers(device, path, offset, **more)
    return await send(device.session, "PATCH", device.url(path), data=io.BytesIO(data), headers=headers)


async def head(device: RawDevice, path: str) -> Answered:
    return await device.call("HEAD", path, headers=TUS)


async def upload(device: RawDevice, data: bytes) -> str:
    """The path of a finished blob."""
    path = (await begin(device, data)).headers["Location"]
    answered = await patch(device, path, 0, data)
    assert (answered.status, answered.headers["Upload-Offset"]) == (204, str(len(data)))
    return path


async def download(world: World, path: str, **headers: str) -> Answered:
    return await send(world.session, "GET", world.relay.url + path, headers=headers)


async def test_a_blob_goes_up_in_pieces_and_comes_down_whole(world: World):
    device, data = await world.member(), os.urandom(700_000)
    begun = await begin(device, data)
    path = begun.headers["Location"]
    assert (begun.status, begun.headers["Upload-Offset"]) == (201, "0")
    assert path.startswith("/v1/blobs/")
    assert "Upload-Expires" in begun.headers

    for start in range(0, len(data), 300_000):
        assert (await download(world, path)).code == "not_found"
        assert (await patch(device, path, start, data[start : start + 300_000])).status == 204
    whole = await download(world, path)
    assert (whole.status, whole.body) == (200, data)
    assert whole.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("cut", [1, 65_536, 262_143, 262_144, 262_145, 4_194_304, 4_194_305, 5_000_000])
async def test_f24_an_upload_that_is_cut_goes_on_where_it_stands(world: World, cut: int):
    device, data = await world.member(), os.urandom(5_000_001)
    path = (await begin(device, data)).headers["Location"]
    await cut_upload(world, device, path, data, cut)

    stands = 0
    for _ in range(1_000):  # as a client does: the relay may still be taking what came before the cut
        stands = int((await head(device, path)).headers["Upload-Offset"])
        answered = await patch(device, path, stands, data[stands:])
        if answered.status == 204:
            break
        assert answered.code == "offset_conflict"
    assert max(0, cut - UNREAD_BYTES) <= stands <= cut
    assert (await download(world, path)).body == data
    assert [file.name for file in blob_files(world)] == [path.rpartition("/")[2]]


async def cut_upload(world: World, device: RawDevice, path: str, data: bytes, cut: int) -> None:
    """Announce the whole, send so many bytes, and drop the connection."""
    host, port = world.relay.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head_lines = [f"PATCH {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(data)}"]
    head_lines += [f"{name}: {value}" for name, value in patch_headers(device, path, 0).items()]
    writer.write("\r\n".join(head_lines).encode() + b"\r\n\r\n" + data[:cut])
    await writer.drain()
    writer.close()
    await writer.wait_closed()


def blob_files(world: World) -> list[Path]:
    return [file for file in (world.relay.folder / "blobs").rglob("*") if file.is_file()]


async def test_f24_another_offset_is_refused_and_changes_nothing(world: World):
    device, data = await world.member(), os.urandom(1_000)
    path = (await begin(device, data)).headers["Location"]
    await patch(device, path, 0, data[:500])
    for offset in (0, 499, 501, 1_000):
        refused = await patch(device, path, offset, data[offset:] or b"x")
        assert (refused.status, refused.code) == (409, "offset_conflict")
    assert (await head(device, path)).headers["Upload-Offset"] == "500"
    assert (await patch(device, path, 500, data[500:])).status == 204
    assert (await download(world, path)).body == data


async def test_a_finished_upload_takes_no_more(world: World):
    device, data = await world.member(), os.urandom(100)
    path = await upload(device, data)
    assert (await patch(device, path, 100, b"more")).code == "offset_conflict"
    assert (await download(world, path)).body == data


async def test_more_bytes_than_named_are_refused(world: World):
    device, data = await world.member(), os.urandom(100)
    path = (await begin(device, data)).headers["Location"]
    refused = await patch(device, path, 0, data + b"x")
    assert (refused.status, refused.code) == (413, "too_large")
    assert (await download(world, path)).code == "not_found"


@pytest.mark.proves("M-BLOB-01")
async def test_a_blob_of_another_hash_is_removed(world: World):
    device, data = await world.member(), os.urandom(1_000)
    path = (await begin(device, data)).headers["Location"]
    refused = await patch(device, path, 0, b"\x00" + data[1:])
    assert (refused.status, refused.code) == (460, "checksum_mismatch")
    assert (await head(device, path)).status == 404
    assert blob_files(world) == []
    assert await world.relay.services.store.blobs.used_bytes(device.account_id) == 0


async def test_a_piece_of_another_hash_is_not_kept(world: World):
    device, data = await world.member(), os.urandom(1_000)
    path = (await begin(device, data)).headers["Location"]
    wrong = {"Upload-Checksum": f"sha256 {base64_sha256(b'other')}"}
    right = {"Upload-Checksum": f"sha256 {base64_sha256(data[:400])}"}
    refused = await patch(device, path, 0, data[:400], **wrong)
    assert (refused.status, refused.code) == (460, "checksum_mismatch")
    assert (await head(device, path)).headers["Upload-Offset"] == "0"
    assert (await patch(device, path, 0, data[:400], **right)).status == 204
    assert (await patch(device, path, 400, data[400:])).status == 204
    assert (await download(world, path)).body == data


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 20)),
        ("bytes=990-", (990, 1_000)),
        ("bytes=990-5000", (990, 1_000)),
        ("bytes=-10", (990, 1_000)),
        ("bytes=-5000", (0, 1_000)),
    ],
)
async def test_a_range_is_answered(world: World, header: str, expected: tuple[int, int]):
    data = os.urandom(1_000)
    path = await upload(await world.member(), data)
    part = await download(world, path, Range=header)
    start, end = expected
    assert (part.status, part.body) == (206, data[start:end])
    assert part.headers["Content-Range"] == f"bytes {start}-{end - 1}/1000"


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=5000-6000", "bytes=-0"])
async def test_a_range_behind_the_end_is_refused_with_the_length(world: World, header: str):
    path = await upload(await world.member(), os.urandom(1_000))
    refused = await download(world, path, Range=header)
    assert (refused.status, refused.code) == (416, "range_invalid")
    assert refused.headers["Content-Range"] == "bytes */1000"


@pytest.mark.parametrize(
    "header", ["bytes=5-2", "bytes=a-b", "items=0-1", "bytes=0-1,5-6", "bytes=-", "bytes"]
)
async def test_what_is_no_single_range_gets_all(world: World, header: str):
    data = os.urandom(1_000)
    path = await upload(await world.member(), data)
    assert (await download(world, path, Range=header)).body == data


async def test_a_range_of_another_version_gets_all(world: World):
    data = os.urandom(1_000)
    path = await upload(await world.member(), data)
    etag = (await download(world, path)).headers["ETag"]
    assert (await download(world, path, **{"Range": "bytes=0-0", "If-Range": etag})).status == 206
    assert (await download(world, path, **{"Range": "bytes=0-0", "If-Range": '"x"'})).status == 200


async def test_others_can_neither_see_nor_change_an_upload(world: World):
    owner, other, data = await world.member(), await world.member(), os.urandom(1_000)
    path = (await begin(owner, data)).headers["Location"]
    for refused in (
        await head(other, path),
        await patch(other, path, 0, data),
        await other.call("DELETE", path, headers=TUS),
    ):
        assert refused.status == 404
    assert (await patch(owner, path, 0, data)).status == 204
    assert (await other.call("DELETE", path, headers=TUS)).status == 404
    assert (await owner.call("DELETE", path, headers=TUS)).status == 204
    assert (await download(world, path)).status == 404
    assert blob_files(world) == []


async def test_a_quota_counts_what_was_named_and_is_freed():
    async with open_world(store="sqlite", limits={"blob_quota_bytes": 1_000, "max_blob_bytes": 900}) as world:
        device = await world.member()
        too_large = await begin(device, b"x", length=901)
        assert (too_large.status, too_large.code) == (413, "too_large")
        path = (await begin(device, b"x", length=900)).headers["Location"]
        refused = await begin(device, b"x", length=101)
        assert (refused.status, refused.code) == (507, "quota_exceeded")
        assert (await begin(await world.member(), b"x", length=900)).status == 201
        await device.call("DELETE", path, headers=TUS)
        assert (await begin(device, b"x", length=900)).status == 201


async def test_a_blob_expires_and_progress_puts_it_off():
    times = {"blob_upload_seconds": 100, "blob_ttl_seconds": 1_000}
    async with open_world(store="sqlite", limits=times) as world:
        device, data = await world.member(), os.urandom(1_000)
        path = (await begin(device, data)).headers["Location"]
        world.clock.jump(seconds=99)
        await patch(device, path, 0, data[:500])
        world.clock.jump(seconds=99)
        assert (await patch(device, path, 500, data[500:])).status == 204
        world.clock.jump(seconds=999)
        assert (await download(world, path)).status == 200
        world.clock.jump(seconds=2)
        assert (await download(world, path)).status == 404
        abandoned = (await begin(device, data)).headers["Location"]
        world.clock.jump(seconds=101)
        assert (await head(device, abandoned)).status == 404


async def test_f7_a_file_that_was_cut_short_is_never_served_as_whole(world: World):
    data = os.urandom(600_000)
    path = await upload(await world.member(), data)
    (file,) = blob_files(world)
    with file.open("r+b") as opened:
        opened.truncate(300_000)
    with pytest.raises(aiohttp.ClientPayloadError):
        await download(world, path)
    assert '"event":"blob_unreadable"' in world.relay.log.getvalue()


async def test_two_requests_at_once_do_not_mix(world: World):
    device, data = await world.member(), os.urandom(400_000)
    path = (await begin(device, data)).headers["Location"]
    answers = await asyncio.gather(*(patch(device, path, 0, data) for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [204, 409, 409, 409]
    assert (await download(world, path)).body == data


async def test_options_tell_what_is_spoken(world: World):
    told = await send(world.session, "OPTIONS", world.relay.url + "/v1/blobs")
    assert (told.status, told.headers["Tus-Version"]) == (204, "1.0.0")
    assert told.headers["Tus-Extension"] == "creation,expiration,checksum,termination"
    assert told.headers["Tus-Max-Size"] == str(limits.MAX_BLOB_BYTES)


async def test_d4_the_same_bytes_twice_are_two_blobs(world: World):
    first, second, data = await world.member(), await world.member(), os.urandom(1_000)
    paths = [await upload(first, data), await upload(first, data), await upload(second, data)]
    assert len(set(paths)) == 3
    assert len(blob_files(world)) == 3


async def test_an_unknown_id_is_not_there(world: World):
    for name in (encode_id(os.urandom(32)), "x", "A" * 52, encode_id(os.urandom(16)), "..%2f..%2frelay.key"):
        assert (await download(world, f"/v1/blobs/{name}")).status == 404
