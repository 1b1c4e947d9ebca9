"""The scripted relay's blobs: uploads as tus 1.0.0 has them, and whole blobs for whoever knows their id."""

import base64
import os
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from client.conformance.report import Failed
from client.conformance.wire import sha256, to_base32

from .house import Account, House
from .limits import LIMITS
from .refusal import Refusal

_TUS: Final = {"Tus-Resumable": "1.0.0"}
_METADATA: Final = "sha256 "


@dataclass
class Blob:
    """One upload; `owner` is its account's id."""

    owner: bytes
    length: int
    digest: bytes
    data: bytearray = field(default_factory=bytearray)

    @property
    def is_whole(self) -> bool:
        """Whether the last byte is there."""
        return len(self.data) == self.length


class BlobDoors:
    """`/v1/blobs`, of one relay."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._blobs: dict[str, Blob] = {}

    def put(self, data: bytes) -> bytes:
        """A whole blob, of nobody; its id."""
        blob_id = os.urandom(32)
        self._blobs[to_base32(blob_id)] = Blob(b"", len(data), sha256(data), bytearray(data))
        return blob_id

    def whole(self, blob_id: bytes) -> bytes:
        """What lies under this id; raises Failed if nothing whole does."""
        blob = self._blobs.get(to_base32(blob_id))
        if blob is None or not blob.is_whole:
            raise Failed("a message names a blob that is not whole at the relay")
        return bytes(blob.data)

    def create(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """A new upload: its length and the hash of all of it, and nothing else."""
        _require_tus(request)
        metadata = request.headers.get("Upload-Metadata", "")
        if body or asker is None or not metadata.startswith(_METADATA):
            raise Failed(
                "an upload is begun signed, without a body, with Upload-Metadata: sha256 and the hash"
            )
        digest = base64.b64decode(metadata.removeprefix(_METADATA), validate=True)
        if len(digest) != 32:
            raise Failed("Upload-Metadata holds sha256 alone, 32 B of it")
        name = to_base32(os.urandom(32))
        self._blobs[name] = Blob(asker.manifest.account_id, int(request.headers["Upload-Length"]), digest)
        return web.Response(status=201, headers={**_TUS, "Location": f"/v1/blobs/{name}"})

    def stand(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """How far an upload is."""
        blob = self._own(request, asker)
        headers = {"Upload-Offset": str(len(blob.data)), "Upload-Length": str(blob.length)}
        return web.Response(headers={**_TUS, **headers})

    def go_on(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """The next bytes of an upload."""
        blob = self._own(request, asker)
        if request.content_type != "application/offset+octet-stream":
            raise Failed("the PATCH of an upload is application/offset+octet-stream")
        if len(body) > LIMITS["max_blob_chunk_bytes"]:
            raise Failed(f"a PATCH of {len(body)} B is above max_blob_chunk_bytes")
        if int(request.headers["Upload-Offset"]) != len(blob.data):
            raise Refusal("offset_conflict", 409)
        blob.data += body
        if len(blob.data) > blob.length or (blob.is_whole and sha256(bytes(blob.data)) != blob.digest):
            raise Failed("what was uploaded is not of the length and hash that were named")
        return web.Response(status=204, headers={**_TUS, "Upload-Offset": str(len(blob.data))})

    def remove(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """An own one."""
        self._own(request, asker)
        del self._blobs[request.match_info["blob"]]
        return web.Response(status=204, headers=_TUS)

    def give(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """All of a whole blob: a range may be answered so."""
        blob = self._blobs.get(request.match_info["blob"])
        if blob is None or not blob.is_whole:
            raise Refusal("not_found", 404)
        data = self._house.script.blob(bytes(blob.data))
        return web.Response(body=data, content_type="application/octet-stream")

    def _own(self, request: web.Request, asker: Account | None) -> Blob:
        _require_tus(request)
        blob = self._blobs.get(request.match_info["blob"])
        if blob is None or asker is None or blob.owner != asker.manifest.account_id:
            raise Refusal("not_found", 404)
        return blob


def _require_tus(request: web.Request) -> None:
    if request.headers.get("Tus-Resumable") != "1.0.0":
        raise Failed("requests of an upload carry Tus-Resumable: 1.0.0")
