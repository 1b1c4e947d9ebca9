"""Blobs over HTTP: uploads by tus 1.0.0 (creation, expiration, checksum, termination), downloads by capability and Range.

The relay takes no metadata but the hash: a file's name would tell what the ciphertext hides.
"""

import base64
import binascii
import re
from collections.abc import AsyncIterator
from email.utils import formatdate
from typing import Final

from aiohttp import web

from relay.ports.blobs import Blob
from relay.services.blobs import Piece
from relay.services.load import Shed
from relay.services.roles import Operation
from relay.wire import limits
from relay.wire.errors import (
    MalformedRequest,
    RangeInvalid,
    RelayError,
    TooLarge,
    UnsupportedMedia,
    UnsupportedVersion,
)
from relay.wire.links import encode_id

from .call import BODY_WITHIN_SECONDS, REQUEST_ID, Call, upload_offset
from .problems import problem

TUS: Final = "1.0.0"
EXTENSIONS: Final = "creation,expiration,checksum,termination"
_RANGE: Final = re.compile(r"bytes=([0-9]{0,16})-([0-9]{0,16})")


def _tus(call: Call) -> None:
    if call.request.headers.get("Tus-Resumable") != TUS:
        raise UnsupportedVersion


def _base64_hash(text: str) -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedRequest("a hash is base64 of 32 bytes") from error
    if len(value) != limits.HASH_BYTES:
        raise MalformedRequest("a hash is base64 of 32 bytes")
    return value


def _named_hash(metadata: str) -> bytes:
    """The hash in Upload-Metadata, which holds nothing else."""
    name, _, value = metadata.strip().partition(" ")
    if name != "sha256" or "," in value:
        raise MalformedRequest("Upload-Metadata is `sha256 <base64>`, and nothing else")
    return _base64_hash(value)


def _length(call: Call) -> int:
    text = call.request.headers.get("Upload-Length", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise MalformedRequest("Upload-Length is a whole number of bytes")
    return int(text)


def _headers(blob: Blob) -> dict[str, str]:
    return {
        "Tus-Resumable": TUS,
        "Upload-Offset": str(blob.offset),
        "Upload-Expires": formatdate(blob.expires_at_ms / 1_000, usegmt=True),
    }


async def options(call: Call) -> web.StreamResponse:
    """OPTIONS /v1/blobs."""
    headers = {
        "Tus-Resumable": TUS,
        "Tus-Version": TUS,
        "Tus-Extension": EXTENSIONS,
        "Tus-Checksum-Algorithm": "sha256",
        "Tus-Max-Size": str(call.services.settings.limits.max_blob_bytes),
    }
    return web.Response(status=204, headers=headers)


async def create(call: Call) -> web.StreamResponse:
    """POST /v1/blobs."""
    call.require(Operation.UPLOAD_BLOB)
    _tus(call)
    if call.body:
        raise MalformedRequest("an upload is begun without a body: send the bytes by PATCH")
    sha256 = _named_hash(call.request.headers.get("Upload-Metadata", ""))
    length = _length(call)
    call.services.rates.take_upload(call.signer.device_id)
    call.services.load.admit(Shed.UPLOADS)
    blob = await call.services.blobs.create(call.signer, length=length, sha256=sha256)
    headers = {**_headers(blob), "Location": f"/v1/blobs/{encode_id(blob.blob_id)}"}
    return web.Response(status=201, headers=headers)


async def status(call: Call) -> web.StreamResponse:
    """HEAD /v1/blobs/{blob_id}."""
    _tus(call)
    blob = await call.services.blobs.status(call.signer, call.path_id("blob_id", limits.BLOB_ID_BYTES))
    return web.Response(headers={**_headers(blob), "Upload-Length": str(blob.length)})


async def _body(call: Call) -> AsyncIterator[bytes]:
    """The body as it comes; nothing for BODY_WITHIN_SECONDS is an end that is told."""
    while True:
        try:
            async with call.services.clock.timeout(BODY_WITHIN_SECONDS):
                part = await call.request.content.readany()
        except TimeoutError as error:
            raise MalformedRequest("the upload stood still: ask by HEAD where to go on") from error
        except web.RequestPayloadError as error:
            raise MalformedRequest("the body is not framed as its headers say") from error
        if not part:
            return
        yield part


def _claimed_hash(call: Call) -> bytes | None:
    text = call.request.headers.get("Upload-Checksum")
    if text is None:
        return None
    algorithm, _, value = text.partition(" ")
    if algorithm != "sha256":
        raise MalformedRequest("Upload-Checksum is `sha256 <base64>`")
    return _base64_hash(value)


async def append(call: Call) -> web.StreamResponse:
    """PATCH /v1/blobs/{blob_id}."""
    call.require(Operation.UPLOAD_BLOB)
    _tus(call)
    if call.request.content_type != "application/offset+octet-stream":
        raise UnsupportedMedia("the bytes of an upload are application/offset+octet-stream")
    if (call.request.content_length or 0) > limits.MAX_BLOB_CHUNK_BYTES:
        raise TooLarge
    call.services.load.admit(Shed.UPLOADS)
    offset = upload_offset(call.request)
    if offset is None:
        raise MalformedRequest("Upload-Offset says where these bytes begin")
    piece = Piece(offset, _body(call), _claimed_hash(call))
    blob_id = call.path_id("blob_id", limits.BLOB_ID_BYTES)
    blob = await call.services.blobs.append(call.signer, blob_id, piece)
    return web.Response(status=204, headers=_headers(blob))


async def remove(call: Call) -> web.StreamResponse:
    """DELETE /v1/blobs/{blob_id}."""
    _tus(call)
    await call.services.blobs.remove(call.signer, call.path_id("blob_id", limits.BLOB_ID_BYTES))
    return web.Response(status=204, headers={"Tus-Resumable": TUS})


def wanted_range(header: str | None, length: int) -> tuple[int, int] | None:
    """First byte and the one behind the last of a Range header (RFC 9110, 14.2); None: all of it.

    What is no single byte range is ignored, as the RFC allows; raises RangeInvalid if no byte of it is there.
    """
    match = _RANGE.fullmatch(header.replace(" ", "")) if header else None
    if match is None:
        return None
    first, last = match.groups()
    if not first:
        if not last:
            return None
        start, end = max(0, length - int(last)), length
    else:
        start, end = int(first), min(length, int(last) + 1) if last else length
        if last and int(last) < start:
            return None
    if start >= length or start >= end:
        raise RangeInvalid
    return start, end


async def download(call: Call) -> web.StreamResponse:
    """GET /v1/blobs/{blob_id}: for whoever knows the id."""
    request = call.request
    blob = await call.services.blobs.find(call.path_id("blob_id", limits.BLOB_ID_BYTES))
    etag = f'"{encode_id(blob.sha256)}"'
    headers = {"Accept-Ranges": "bytes", "ETag": etag, "Content-Type": "application/octet-stream"}
    valid = request.headers.get("If-Range", etag) == etag
    try:
        part = wanted_range(request.headers.get("Range"), blob.length) if valid else None
    except RangeInvalid as error:
        refused = problem(error, request[REQUEST_ID])
        refused.headers["Content-Range"] = f"bytes */{blob.length}"
        return refused
    start, end = part or (0, blob.length)
    if part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{blob.length}"
    return await _stream(
        call, blob, start, end, web.StreamResponse(status=206 if part else 200, headers=headers)
    )


async def _stream(
    call: Call, blob: Blob, start: int, end: int, response: web.StreamResponse
) -> web.StreamResponse:
    """The bytes as the disk gives them. Fewer than promised end the connection: no short answer looks whole."""
    response.content_length = end - start
    await response.prepare(call.request)
    try:
        async for piece in call.services.blobs.read(blob, start=start, end=end):
            await response.write(piece)
    except RelayError as error:
        call.services.log.failure(
            "blob_unreadable", error, request_id=call.request[REQUEST_ID], code=error.code
        )
        if call.request.transport is not None:
            call.request.transport.abort()
        return response
    await response.write_eof()
    return response
