"""Chapter Blobs, as a client does it: the level media."""

import asyncio
import os
from typing import Any

from client.conformance.client_suite.cases.peer import with_peer
from client.conformance.client_suite.peer_blobs import open_blob, seal_blob
from client.conformance.client_suite.peer_contents import FilePointer
from client.conformance.client_suite.person import Person, Refused
from client.conformance.client_suite.setting import SETTLE_SECONDS, Setting
from client.conformance.client_suite.suite import CLIENT_SUITE
from client.conformance.report import Failed
from client.conformance.wire import sha256

_BYTES = 70_000
"""More than one segment."""


async def _sent(setting: Setting) -> tuple[Person, int, bytes]:
    """Bob, to whom a stranger sent a file; the number of its message, and what is in it."""
    ann, bob = await setting.two()
    data = os.urandom(_BYTES)
    path = setting.folder / "picture.bin"
    path.write_bytes(data)
    await ann.call("send", to="bob", file=str(path))
    await setting.until(lambda: bool(setting.durable(bob)), "an envelope with the file's message")
    await setting.acked(bob)
    shown = [one for one in await bob.messages() if not one["is_own"]]
    if len(shown) != 1 or (shown[0].get("file") or {}).get("name") != path.name:
        raise Failed(f"expected one message with the file {path.name}, got {shown}")
    return bob, shown[0]["number"], data


def _fetches(setting: Setting) -> int:
    return sum(
        method == "GET" and path.startswith("/v1/blobs/") for method, path, _ in setting.house.requests
    )


@CLIENT_SUITE.case("client-file", level="media")
async def file(setting: Setting) -> None:
    """A file arrives byte for byte; at the relay lies something else, of another size."""
    seen: list[bytes] = []

    def look(data: bytes) -> bytes:
        seen.append(data)
        return data

    setting.script.blob = look
    bob, number, data = await _sent(setting)
    into = setting.folder / "fetched"
    await bob.call("fetch", number=number, path=str(into))
    if into.read_bytes() != data:
        raise Failed("expected the bytes that were sent")
    if not seen or any(data[:64] in one or len(one) == len(data) for one in seen):
        raise Failed("expected a blob that is sealed and padded, fetched from the relay")


@CLIENT_SUITE.case("client-file-of-a-stranger", level="media", proves=("M-REACH-05",))
async def file_of_a_stranger(setting: Setting) -> None:
    """Asks for no file of a stranger by itself."""
    await _sent(setting)
    await asyncio.sleep(SETTLE_SECONDS)
    if _fetches(setting):
        raise Failed("expected no request for the file of a stranger before the user asks for it")


@CLIENT_SUITE.case("client-file-changed", level="media", proves=("M-BLOB-04",))
async def file_changed(setting: Setting) -> None:
    """Gives out no file of which the relay changed a byte, left out the end, or added some."""
    bob, number, _ = await _sent(setting)
    for name, change in (
        ("a changed byte", lambda data: data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]),
        ("the end cut off", lambda data: data[:-1]),
        ("a byte more", lambda data: data + b"\0"),
    ):
        setting.script.blob = change
        before, into = _fetches(setting), setting.folder / name
        try:
            await bob.call("fetch", number=number, path=str(into))
        except Refused:
            pass
        else:
            raise Failed(f"{name}: expected an error instead of the file")
        if into.exists() or _fetches(setting) == before:
            raise Failed(f"{name}: expected no file, and a request for it")


@CLIENT_SUITE.case("client-file-to-our-peer", level="media")
async def file_to_our_peer(setting: Setting) -> None:
    """The kit's own peer opens files by the key in the message: empty, small, of one segment to the byte, and of more."""
    peer, ann = await with_peer(setting)
    for size in (0, 100, 65_536, _BYTES):
        data, path = os.urandom(size), setting.folder / f"{size} B.bin"
        path.write_bytes(data)
        await ann.call("send", to="peer", file=str(path))
        pointer = await peer.read_file()
        blob = setting.doors.blobs.whole(pointer.blob_id)
        if (pointer.size_bytes, pointer.name) != (size, path.name):
            raise Failed(f"expected a file {path.name}, got {pointer.name} of {pointer.size_bytes} B")
        if sha256(blob) != pointer.ciphertext_sha256:
            raise Failed("the message names another SHA-256 than that of the blob")
        if open_blob(blob, pointer.key, size) != data:
            raise Failed(f"{path.name} opens, and is not what was sent")
    if len({one.key for one in peer.files}) != len(peer.files):
        raise Failed("expected a key of its own for each file")


@CLIENT_SUITE.case("client-file-of-our-peer", level="media", proves=("M-BLOB-02", "M-BLOB-03"))
async def file_of_our_peer(setting: Setting) -> None:
    """Opens a file of the kit's own peer; one with another commitment, odd padding, or more behind it is given out to nobody."""
    peer, ann = await with_peer(setting)
    await ann.call("send", to="peer", text="send me the pictures")
    await peer.read("send me the pictures")
    data = os.urandom(_BYTES)
    odd: dict[str, dict[str, Any]] = {
        "good": {},
        "commitment": {"commitment": bytes(32)},
        "padding": {"filler": b"\x01"},
        "more": {"more": 65_536},
    }
    for name, how in odd.items():
        key = os.urandom(32)
        blob = seal_blob(data, key, **how)
        blob_id = setting.doors.blobs.put(blob)
        peer.write_file(FilePointer(blob_id, key, len(data), sha256(blob), f"{name}.bin", "image/png"))
    await setting.acked(ann)
    numbers = {one["file"]["name"]: one["number"] for one in await ann.messages() if one.get("file")}
    if numbers.keys() != {f"{name}.bin" for name in odd}:
        raise Failed(f"expected a message for each file, got {sorted(numbers)}")
    for name in odd:
        await _good_alone(setting, ann, name, numbers[f"{name}.bin"], data)


async def _good_alone(setting: Setting, ann: Person, name: str, number: int, data: bytes) -> None:
    """The file of this name is given out if it is the good one, and is then what was sent."""
    into = setting.folder / f"fetched {name}"
    try:
        await ann.call("fetch", number=number, path=str(into))
    except Refused:
        if name == "good":
            raise
        if into.exists():
            raise Failed(f"{name}: expected no file") from None
        return
    if name != "good":
        raise Failed(f"{name}: expected an error instead of the file")
    if into.read_bytes() != data:
        raise Failed("expected the bytes that the peer sent")


@CLIENT_SUITE.case("client-file-of-another-hash", level="media", proves=("M-BLOB-04",))
async def file_of_another_hash(setting: Setting) -> None:
    """Gives out no file whose blob opens by the key in the message, and has another SHA-256 than the message names."""
    peer, ann = await with_peer(setting)
    await ann.call("send", to="peer", text="send me the pictures")
    await peer.read("send me the pictures")
    data = os.urandom(_BYTES)
    for name in ("good", "other"):
        key = os.urandom(32)
        blob = seal_blob(data, key)
        # What is sealed by the same key anew opens as well: the hash alone says which of the two was sent.
        named = sha256(blob if name == "good" else seal_blob(data, key))
        blob_id = setting.doors.blobs.put(blob)
        peer.write_file(FilePointer(blob_id, key, len(data), named, f"{name}.bin", "image/png"))
    await setting.acked(ann)
    numbers = {one["file"]["name"]: one["number"] for one in await ann.messages() if one.get("file")}
    if numbers.keys() != {"good.bin", "other.bin"}:
        raise Failed(f"expected a message for each file, got {sorted(numbers)}")
    for name in ("good", "other"):
        await _good_alone(setting, ann, name, numbers[f"{name}.bin"], data)
