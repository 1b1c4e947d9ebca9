"""Chapter Blobs: tus 1.0.0."""

import base64
import os

from client.conformance.device import Answer, Device, ask
from client.conformance.relay import Relay
from client.conformance.report import Failed
from client.conformance.wire import sha256

from .suite import SUITE

_TUS = {"Tus-Resumable": "1.0.0"}


def _sha256_header(data: bytes) -> str:
    return "sha256 " + base64.b64encode(sha256(data)).decode()


async def _begin(device: Device, data: bytes, *, promised: bytes | None = None) -> str:
    headers = {**_TUS, "Upload-Length": str(len(data)), "Upload-Metadata": _sha256_header(promised or data)}
    return (await device.ask("POST", "/v1/blobs", headers=headers)).must(201).headers["Location"]


async def _patch(device: Device, path: str, offset: int, data: bytes, **more: str) -> Answer:
    headers = {
        **_TUS,
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": str(offset),
        **more,
    }
    return await device.ask("PATCH", path, data=data, headers=headers, streamed=True, offset=offset)


@SUITE.case("blob-up-and-down", level="media")
async def up_and_down(relay: Relay) -> None:
    """A blob goes up in pieces, is told how far it is, and is fetched by whoever knows its id, once it is complete."""
    device, data = await relay.member(), os.urandom(200_000)
    path = await _begin(device, data)
    (await _patch(device, path, 0, data[:70_000])).must(204)
    (await relay.get(path)).must(404, "not_found")
    head = (await device.ask("HEAD", path, headers=_TUS)).must(200)
    if head.headers.get("Upload-Offset") != "70000":
        raise Failed(f"HEAD: expected Upload-Offset 70000, got {head.headers.get('Upload-Offset')}")
    (await _patch(device, path, 0, data)).must(409, "offset_conflict")
    done = (await _patch(device, path, 70_000, data[70_000:])).must(204)
    if done.headers.get("Upload-Offset") != "200000" or (await relay.get(path)).must(200).body != data:
        raise Failed("expected the whole blob, byte for byte")


@SUITE.case("blob-ranges", level="media")
async def ranges(relay: Relay) -> None:
    """A single byte range gets 206 and its bytes, one behind the end 416 with the length."""
    device, data = await relay.member(), os.urandom(5_000)
    path = await _begin(device, data)
    (await _patch(device, path, 0, data)).must(204)
    for text, wanted in (("bytes=0-9", data[:10]), ("bytes=4990-", data[4990:]), ("bytes=-5", data[-5:])):
        part = (await relay.get(path, Range=text)).must(206)
        if part.body != wanted:
            raise Failed(f"{part.asked} with Range {text}: expected {len(wanted)} B of the blob, got others")
    beyond = (await relay.get(path, Range="bytes=5000-")).must(416, "range_invalid")
    if beyond.headers.get("Content-Range") != "bytes */5000":
        raise Failed(f"expected Content-Range bytes */5000, got {beyond.headers.get('Content-Range')}")


@SUITE.case("blob-hashes", level="media", proves=("M-BLOB-01",))
async def hashes(relay: Relay) -> None:
    """A piece that is not of its checksum counts not at all, and a blob that is not of its hash is removed."""
    device, data = await relay.member(), os.urandom(3_000)
    path = await _begin(device, data)
    wrong = {"Upload-Checksum": _sha256_header(b"other")}
    (await _patch(device, path, 0, data, **wrong)).must(460, "checksum_mismatch")
    head = (await device.ask("HEAD", path, headers=_TUS)).must(200)
    if head.headers.get("Upload-Offset") != "0":
        raise Failed(
            f"after a refused piece: expected Upload-Offset 0, got {head.headers.get('Upload-Offset')}"
        )
    (await _patch(device, path, 0, data, **{"Upload-Checksum": _sha256_header(data)})).must(204)
    liar = await _begin(device, data, promised=b"something else")
    (await _patch(device, liar, 0, data)).must(460, "checksum_mismatch")
    (await relay.get(liar)).must(404, "not_found")


@SUITE.case("blob-rights", level="media")
async def rights(relay: Relay) -> None:
    """Uploads are signed by a device of their owner, and only that removes one; tus is asked for by its version."""
    device, other, data = await relay.member(), await relay.member(), os.urandom(100)
    headers = {**_TUS, "Upload-Length": "100", "Upload-Metadata": _sha256_header(data)}
    (await ask(relay.session, "POST", relay.origin + "/v1/blobs", headers=headers)).must(
        401, "unauthenticated"
    )
    without = {name: value for name, value in headers.items() if name != "Tus-Resumable"}
    (await device.ask("POST", "/v1/blobs", headers=without)).must(412, "unsupported_version")
    named = {**headers, "Upload-Metadata": headers["Upload-Metadata"] + ",filename bXkudHh0"}
    (await device.ask("POST", "/v1/blobs", headers=named)).must_refuse("an upload that names its file")
    path = await _begin(device, data)
    (await _patch(other, path, 0, data)).must_refuse("another account's PATCH")
    (await _patch(device, path, 0, data)).must(204)
    (await other.ask("DELETE", path, headers=_TUS)).must_refuse("another account's DELETE")
    (await device.ask("DELETE", path, headers=_TUS)).must(204)
    (await relay.get(path)).must(404, "not_found")


@SUITE.case("blob-offset-is-signed", level="media")
async def offset_is_signed(relay: Relay) -> None:
    """The offset of a PATCH is a part of what is signed."""
    device, data = await relay.member(), os.urandom(100)
    path = await _begin(device, data)
    headers = {**_TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    answer = await device.ask("PATCH", path, data=data, headers=headers, streamed=True, offset=50)
    answer.must(401, "unauthenticated")


@SUITE.case("blob-options", level="media")
async def options(relay: Relay) -> None:
    """OPTIONS tells everybody the version of tus, and its extensions creation, expiration, checksum and termination."""
    answer = (await ask(relay.session, "OPTIONS", relay.origin + "/v1/blobs")).must(204)
    extensions = {one.strip() for one in answer.headers.get("Tus-Extension", "").split(",")}
    missing = {"creation", "expiration", "checksum", "termination"} - extensions
    if "1.0.0" not in answer.headers.get("Tus-Version", "").split(",") or missing:
        raise Failed(
            f"OPTIONS /v1/blobs: expected tus 1.0.0 with all four extensions, got {dict(answer.headers)}"
        )
    if "sha256" not in answer.headers.get("Tus-Checksum-Algorithm", "").split(","):
        raise Failed(f"OPTIONS /v1/blobs: expected sha256 for checksums, got {dict(answer.headers)}")
