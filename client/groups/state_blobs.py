"""The state of a large group as a blob: for welcomes that are too large for an envelope."""

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Final

from client.contents import FilePointer
from client.errors import FileDamaged
from client.media import create_upload, send_up
from client.store.queue import Upload
from client.system import System
from client.transport import Transport
from crypto.blob_cipher import ciphertext_length, open_blob, seal_blob
from crypto.errors import CryptoError
from crypto.group_log import GroupView
from crypto.limits import BLOB_KEY_BYTES, BLOB_SALT_BYTES
from relay.wire.limits import BLOB_ID_BYTES
from relay.wire.links import decode_id, encode_id

MAX_STATE_BLOB_BYTES: Final = 4_194_304  # 10,000 members, as many bans, and all settings fit in 1.3 MB


async def store_state(transport: Transport, system: System, spool: Path, view: GroupView) -> FilePointer:
    """Encrypt the state and bring it to the relay. Raises RelayUnreachable, Refused, MediaError."""
    state = view.state.encode()
    key, salt = system.random(BLOB_KEY_BYTES), system.random(BLOB_SALT_BYTES)
    sealed = await asyncio.to_thread(lambda: b"".join(seal_blob(key, salt, len(state), [state])))
    digest = hashlib.sha256(sealed).digest()
    place = spool / system.random(16).hex()
    await asyncio.to_thread(_write, spool, place, sealed)
    try:
        upload = Upload(0, place.name, len(sealed), digest, None)
        location = await create_upload(transport, upload)
        upload = Upload(0, place.name, len(sealed), digest, location)
        if not await send_up(transport, upload, place, lambda done, total: None):
            raise FileDamaged("the relay forgot a blob while it came")
    finally:
        await asyncio.to_thread(place.unlink, missing_ok=True)
    blob_id = decode_id(location, BLOB_ID_BYTES)
    return FilePointer(blob_id, key, len(state), digest, "state", "application/octet-stream")


def _write(spool: Path, place: Path, sealed: bytes) -> None:
    spool.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(sealed)


async def fetch_state(transport: Transport, pointer: FilePointer) -> bytes:
    """The encoded state of a blob. Raises RelayUnreachable, Refused, FileDamaged."""
    total = ciphertext_length(pointer.size_bytes) if pointer.size_bytes <= MAX_STATE_BLOB_BYTES else 0
    if not total:
        raise FileDamaged("a group's state is not that large")
    sealed = bytearray()
    async with transport.stream("GET", f"/v1/blobs/{encode_id(pointer.blob_id)}") as response:
        async for chunk in response.content.iter_chunked(262_144):
            sealed += chunk
            if len(sealed) > total:
                raise FileDamaged("the relay gave more than was sent")
    if hashlib.sha256(sealed).digest() != pointer.ciphertext_sha256:
        raise FileDamaged("the state of the group is not what was sent")
    try:
        return b"".join(open_blob(pointer.key, pointer.size_bytes, [bytes(sealed)]))
    except CryptoError as error:
        raise FileDamaged("the state of the group is not what was sent") from error
