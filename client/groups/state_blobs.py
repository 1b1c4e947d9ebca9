"""The state of a large group as a blob: for welcomes that are too large for an envelope."""

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
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

from .hand_outs import StateBlob

_GOOD_MS: Final = 600_000
MAX_STATE_BLOB_BYTES: Final = 4_194_304  # 10,000 members, as many bans, and all settings fit in 1.3 MB


StoreState = Callable[[GroupView], Awaitable[FilePointer]]


class StateBlobs:
    """The blob that was made last of each group's state, as long as it is new: many may ask for a welcome at once."""

    def __init__(self, store_state: StoreState, system: System) -> None:
        self._store_state = store_state
        self._system = system
        self._made: dict[bytes, tuple[StateBlob, int]] = {}
        """By group id, with the time."""

    def newest(self, group_id: bytes) -> StateBlob | None:
        """The one of this group; None if there is none, or it is so old that it may be gone before it is fetched."""
        blob, made_at_ms = self._made.get(group_id, (None, 0))
        return blob if made_at_ms <= self._system.now_ms() < made_at_ms + _GOOD_MS else None

    async def make(self, view: GroupView) -> None:
        """Bring this state to the relay. Raises RelayUnreachable, Refused, MediaError."""
        pointer = await self._store_state(view)
        self._made[view.state.group_id] = StateBlob(view.state.hash, pointer), self._system.now_ms()


async def store_state(transport: Transport, system: System, spool: Path, view: GroupView) -> FilePointer:
    """Encrypt the state and bring it to the relay. Raises RelayUnreachable, Refused, MediaError."""
    key, salt = system.random(BLOB_KEY_BYTES), system.random(BLOB_SALT_BYTES)
    place = spool / system.random(16).hex()
    size, upload = await asyncio.to_thread(_seal, view, key, salt, place)
    try:
        location = await create_upload(transport, upload)
        if not await send_up(transport, replace(upload, location=location), place, lambda done, total: None):
            raise FileDamaged("the relay forgot a blob while it came")
    finally:
        await asyncio.to_thread(place.unlink, missing_ok=True)
    blob_id = decode_id(location, BLOB_ID_BYTES)
    return FilePointer(blob_id, key, size, upload.sha256, "state", "application/octet-stream")


def _seal(view: GroupView, key: bytes, salt: bytes, place: Path) -> tuple[int, Upload]:
    """(Size of the state, the upload) of the state, encrypted to the file `place`. Blocking: a state has up to 1.3 MB."""
    state = view.state.encode()
    sealed = b"".join(seal_blob(key, salt, len(state), [state]))
    _write(place, sealed)
    return len(state), Upload(0, place.name, len(sealed), hashlib.sha256(sealed).digest(), None)


def _write(place: Path, sealed: bytes) -> None:
    place.parent.mkdir(mode=0o700, exist_ok=True)
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
    return await asyncio.to_thread(_open, pointer, bytes(sealed))


def _open(pointer: FilePointer, sealed: bytes) -> bytes:
    if hashlib.sha256(sealed).digest() != pointer.ciphertext_sha256:
        raise FileDamaged("the state of the group is not what was sent")
    try:
        return b"".join(open_blob(pointer.key, pointer.size_bytes, [sealed]))
    except CryptoError as error:
        raise FileDamaged("the state of the group is not what was sent") from error
