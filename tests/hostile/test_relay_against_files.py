"""A relay that gives another file than was sent, a part of it, or none: never shown as the file."""

import hashlib

import pytest
from aiohttp import web

from client.errors import FileDamaged, FileUnavailable
from client.media import fetch_file, seal_file
from relay.wire.links import encode_id
from tests.chatting import random_file
from tests.lying_relay import MACHINE, lying_relay, refused


@pytest.mark.parametrize("lie", ["changed", "cut", "longer", "another", "swapped segments"])
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


async def test_a_file_that_is_gone_is_said_to_be_gone(tmp_path):
    path = random_file(tmp_path, "a.bin", 10)
    sealed = seal_file(path, tmp_path / "sealed", MACHINE.random)

    async def handler(request: web.Request) -> web.Response:
        return refused(404, "not_found")

    async with lying_relay(handler) as transport:
        with pytest.raises(FileUnavailable):
            await fetch_file(transport, sealed.pointer, tmp_path / "got", lambda done, total: None)
