"""A relay that gives another file than was sent, a part of it, or none: never shown as the file."""

import hashlib

import msgspec
import pytest
from aiohttp import web

from client.errors import FileDamaged, FileUnavailable, RelayUnreachable
from client.media import fetch_file, seal_file, send_up
from client.store.queue import Upload
from relay.wire.links import encode_id
from tests.chatting import random_file
from tests.lying_relay import MACHINE, lying_relay, refused


@pytest.mark.parametrize("lie", ["changed", "cut", "longer", "another", "swapped segments"])
@pytest.mark.proves("M-BLOB-04")
async def test_d2_a_file_that_is_not_what_was_sent_is_never_given(tmp_path, lie):
    path = random_file(tmp_path, "a.bin", 300_000)
    sealed = seal_file(path, tmp_path / "sealed", MACHINE.random)
    good = sealed.spool.read_bytes()
    segment = 65_552
    bad = {
        "changed": good[:1_000] + bytes((good[1_000] ^ 1,)) + good[1_001:],
        "cut": good[:-1],
        "longer": good + b"x",
        "another": seal_file(path, tmp_path / "other", MACHINE.random).spool.read_bytes(),
        "swapped segments": good[:49] + good[49 + segment : 49 + 2 * segment] + good[49 : 49 + segment]
        + good[49 + 2 * segment :],
    }[lie]  # fmt: skip

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=bad)

    async with lying_relay(handler) as transport:
        with pytest.raises(FileDamaged):
            await fetch_file(transport, sealed.pointer, tmp_path / "got", lambda done, total: None)
    assert list((tmp_path / "got").iterdir()) == []


@pytest.mark.proves("M-BLOB-04")
async def test_d2_a_file_that_opens_and_has_another_hash_is_never_given(tmp_path):
    """Its sender knows the key: each segment opens, and only the hash tells that the blob is another one."""
    path = random_file(tmp_path, "a.bin", 300_000)
    sealed = seal_file(path, tmp_path / "sealed", MACHINE.random)

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=sealed.spool.read_bytes())

    async with lying_relay(handler) as transport:
        got, _ = await fetch_file(transport, sealed.pointer, tmp_path / "good", lambda done, total: None)
        assert got.read_bytes() == path.read_bytes()
        other = msgspec.structs.replace(sealed.pointer, ciphertext_sha256=bytes(32))
        with pytest.raises(FileDamaged):
            await fetch_file(transport, other, tmp_path / "got", lambda done, total: None)
    assert list((tmp_path / "got").iterdir()) == []


async def test_f24_a_fetch_that_is_cut_goes_on_where_it_was(tmp_path):
    path = random_file(tmp_path, "a.bin", 600_000)
    sealed = seal_file(path, tmp_path / "sealed", MACHINE.random)
    good = sealed.spool.read_bytes()
    ranges = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked = request.headers.get("Range")
        ranges.append(asked)
        assert request.path.endswith(encode_id(sealed.pointer.blob_id))
        start = 0 if asked is None else int(asked.removeprefix("bytes=").removesuffix("-"))
        if start:
            return web.Response(status=206, body=good[start:])
        response = web.StreamResponse(headers={"Content-Length": str(len(good))})
        await response.prepare(request)
        await response.write(good[:200_000])
        assert request.transport is not None
        request.transport.close()
        return response

    async with lying_relay(handler) as transport:
        got, digest = await fetch_file(transport, sealed.pointer, tmp_path / "got", lambda done, total: None)
    assert got.read_bytes() == path.read_bytes()
    assert digest == hashlib.sha256(path.read_bytes()).digest()
    assert ranges[0] is None
    assert ranges[1:]
    assert all(one is not None for one in ranges[1:])


async def test_f24_an_upload_that_is_cut_goes_on_where_the_relay_stands(tmp_path):
    path = random_file(tmp_path, "a.bin", 3_000_000)
    sealed = seal_file(path, tmp_path / "sealed", MACHINE.random)
    kept = bytearray()
    offsets = []
    left = [1_000_000, 0, 1_200_000]  # what each PATCH gets through

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.method == "HEAD":
            return web.Response(headers={"Upload-Offset": str(len(kept))})
        offset = int(request.headers["Upload-Offset"])
        offsets.append(offset)
        assert offset == len(kept)
        room = left.pop(0) if left else sealed.length
        while room and (chunk := await request.content.read(min(room, 65_536))):
            kept.extend(chunk)
            room -= len(chunk)
        if room == 0:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=204, headers={"Upload-Offset": str(len(kept))})

    upload = Upload(1, "sealed", sealed.length, sealed.pointer.ciphertext_sha256, encode_id(bytes(32)))
    done: list[int] = []
    async with lying_relay(handler) as transport:
        for _ in range(3):
            with pytest.raises(RelayUnreachable):
                await send_up(transport, upload, sealed.spool, lambda at, total: done.append(at))
        assert await send_up(transport, upload, sealed.spool, lambda at, total: done.append(at))
    assert bytes(kept) == sealed.spool.read_bytes()
    assert offsets == [0, 1_000_000, 1_000_000, 2_200_000]
    assert done[-1] == sealed.length


async def test_an_upload_that_the_relay_forgot_is_announced_anew(tmp_path):
    path = random_file(tmp_path, "a.bin", 10)
    sealed = seal_file(path, tmp_path / "sealed", MACHINE.random)

    async def handler(request: web.Request) -> web.Response:
        return refused(404, "not_found")

    upload = Upload(1, "sealed", sealed.length, sealed.pointer.ciphertext_sha256, encode_id(bytes(32)))
    async with lying_relay(handler) as transport:
        assert not await send_up(transport, upload, sealed.spool, lambda at, total: None)


async def test_a_file_that_is_gone_is_said_to_be_gone(tmp_path):
    path = random_file(tmp_path, "a.bin", 10)
    sealed = seal_file(path, tmp_path / "sealed", MACHINE.random)

    async def handler(request: web.Request) -> web.Response:
        return refused(404, "not_found")

    async with lying_relay(handler) as transport:
        with pytest.raises(FileUnavailable):
            await fetch_file(transport, sealed.pointer, tmp_path / "got", lambda done, total: None)
