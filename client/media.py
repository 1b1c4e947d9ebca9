"""Files as encrypted blobs: sealed to a spool file, sent up by tus 1.0.0 and resumed where it was cut, fetched with Range.

Each file has its own random key, so equal files are different blobs; nothing is compressed (D4).
docs/protocol.md, "Blobs".
"""

import asyncio
import base64
import hashlib
import mimetypes
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from crypto.blob_cipher import ciphertext_length, open_blob, seal_blob
from crypto.errors import CryptoError
from crypto.limits import BLOB_KEY_BYTES, BLOB_SALT_BYTES
from crypto.primitives import RandomBytes
from relay.wire.limits import BLOB_ID_BYTES, MAX_BLOB_BYTES
from relay.wire.links import decode_id, encode_id

from .contents import MAX_NAME_CHARACTERS, FilePointer
from .errors import (
    FileDamaged,
    FileUnavailable,
    MediaError,
    Refused,
    RelayMisbehaved,
    RelayUnreachable,
    UsageError,
)
from .store.queue import Upload
from .transport import Transport

Progress = Callable[[int, int], None]
_CHUNK_BYTES: Final = 1_048_576
_PATCH_BYTES: Final = 4_194_304
_OFFSET_DIGITS: Final = 15
_TUS: Final = {"Tus-Resumable": "1.0.0"}
_LOCATION: Final = "/v1/blobs/"
_ATTEMPTS: Final = 3
# Beside the file that a sender named; `safe_name` gives no name that begins with a dot.
_SEALED_NAME: Final = ".sealed"
_OPENED_NAME: Final = ".opened"


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted copy of a file, ready to go up. `pointer` still lacks the blob's id."""

    spool: Path
    pointer: FilePointer
    length: int
    """Of the ciphertext, bytes."""
    plain_sha256: bytes = field(repr=False)


def _chunks(file: BinaryIO, digest: "hashlib._Hash | None" = None) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        if digest is not None:
            digest.update(chunk)
        yield chunk


def seal_file(path: Path, spool: Path, random: RandomBytes) -> Sealed:
    """Encrypt the file at `path` to `spool` (mode 0600, durable). Blocking. Raises UsageError, MediaError."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the name of {path.name!r} is not UTF-8: rename the file") from error
    try:
        with path.open("rb") as plain:
            size = os.fstat(plain.fileno()).st_size
            if ciphertext_length(size) > MAX_BLOB_BYTES:
                raise UsageError(f"{path.name} is larger than the {MAX_BLOB_BYTES} bytes that a relay takes")
            key, plain_digest, digest = random(BLOB_KEY_BYTES), hashlib.sha256(), hashlib.sha256()
            descriptor = os.open(spool, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as sealed:
                for piece in seal_blob(key, random(BLOB_SALT_BYTES), size, _chunks(plain, plain_digest)):
                    digest.update(piece)
                    sealed.write(piece)
                sealed.flush()
                os.fsync(sealed.fileno())
    except CryptoError as error:
        spool.unlink(missing_ok=True)
        raise MediaError(f"{path} changed while it was read: send it again") from error
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        spool.unlink(missing_ok=True)
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except OSError as error:
        spool.unlink(missing_ok=True)
        raise MediaError(f"cannot keep an encrypted copy of {path}: {error.strerror}") from error
    pointer = FilePointer(
        blob_id=bytes(BLOB_ID_BYTES),
        key=key,
        size_bytes=size,
        ciphertext_sha256=digest.digest(),
        name=path.name[-MAX_NAME_CHARACTERS:],
        media_type=mimetypes.guess_type(path.name)[0] or "application/octet-stream",
    )
    return Sealed(spool, pointer, ciphertext_length(size), plain_digest.digest())


async def create_upload(transport: Transport, upload: Upload) -> str:
    """Announce a blob; its id in text form. Raises Refused (`quota_exceeded` …), RelayUnreachable."""
    checksum = base64.b64encode(upload.sha256).decode()
    headers = {**_TUS, "Upload-Length": str(upload.length), "Upload-Metadata": f"sha256 {checksum}"}
    answered = await transport.ask("POST", "/v1/blobs", headers=headers, signed=True)
    blob_id = answered.headers.get("Location", "").removeprefix(transport.origin).removeprefix(_LOCATION)
    try:
        decode_id(blob_id, BLOB_ID_BYTES)
    except ValueError as error:
        raise RelayMisbehaved("the relay named no place for the file") from error
    return blob_id


async def send_up(transport: Transport, upload: Upload, sealed: Path, on_progress: Progress) -> bool:
    """Send what the relay lacks of the blob in the file `sealed`; False if the relay has forgotten it: announce it anew.

    Raises Refused, RelayUnreachable, FileDamaged (the copy here is not what was sealed), MediaError.
    """
    target = _LOCATION + (upload.location or "")
    for _ in range(_ATTEMPTS):
        try:
            answered = await transport.ask("HEAD", target, headers=_TUS, signed=True)
            offset = _offset(answered.headers)
            on_progress(offset, upload.length)
            while offset < upload.length:
                chunk = await asyncio.to_thread(_read, sealed, offset)
                if not chunk:
                    raise FileDamaged("the encrypted copy of the file is cut short: send the file again")
                headers = {
                    **_TUS,
                    "Content-Type": "application/offset+octet-stream",
                    "Upload-Offset": str(offset),
                }
                async with transport.stream(
                    "PATCH", target, content=chunk, headers=headers, signed=True, upload_offset=offset
                ) as response:
                    taken = _offset(response.headers)
                if taken != offset + len(chunk):
                    raise RelayMisbehaved("the relay took another part of the file than it was given")
                offset = taken
                on_progress(offset, upload.length)
            return True
        except Refused as refused:
            if refused.reason in ("not_found", "http_404"):
                return False
            if refused.reason == "checksum_mismatch":
                raise FileDamaged(
                    "the encrypted copy of the file changed on disk: send the file again"
                ) from refused
            if refused.reason != "offset_conflict":
                raise
    raise RelayMisbehaved("the relay does not say where the upload stands")


def _offset(headers: Mapping[str, str]) -> int:
    value = headers.get("Upload-Offset", "")
    if not (value.isascii() and value.isdigit() and len(value) <= _OFFSET_DIGITS):
        raise RelayMisbehaved("the relay does not say where the upload stands")
    return int(value)


def _read(spool: Path, offset: int) -> bytes:
    try:
        with spool.open("rb") as file:
            file.seek(offset)
            return file.read(_PATCH_BYTES)
    except OSError as error:
        raise MediaError(f"the encrypted copy of the file cannot be read: {error.strerror}") from error


async def fetch_file(
    transport: Transport, pointer: FilePointer, folder: Path, on_progress: Progress
) -> tuple[Path, bytes]:
    """The file under its name in `folder` (made if missing), and the SHA-256 of it; a cut fetch goes on where it was.

    Checked as a whole before it gets its name. Raises FileUnavailable, FileDamaged, MediaError, RelayUnreachable, Refused.
    """
    partial = folder / _SEALED_NAME
    try:
        await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        await _fetch_sealed(transport, pointer, partial, on_progress)
        return await asyncio.to_thread(_open_sealed, pointer, partial, folder / safe_name(pointer.name))
    except OSError as error:
        raise MediaError(f"the file cannot be kept in {folder}: {error.strerror}") from error


async def _fetch_sealed(
    transport: Transport, pointer: FilePointer, partial: Path, on_progress: Progress
) -> None:
    total = ciphertext_length(pointer.size_bytes)
    target = _LOCATION + encode_id(pointer.blob_id)
    for attempt in range(_ATTEMPTS):
        have = await asyncio.to_thread(_size, partial)
        if have >= total:
            return
        headers = {"Range": f"bytes={have}-"} if have else {}
        try:
            async with transport.stream("GET", target, headers=headers) as response:
                if response.status != 206:
                    have = 0
                with partial.open("ab" if have else "wb") as file:
                    async for chunk in response.content.iter_chunked(262_144):
                        have += len(chunk)
                        if have > total:
                            await asyncio.to_thread(partial.unlink)
                            raise FileDamaged("the relay gave more than was sent")
                        await asyncio.to_thread(file.write, chunk)
                        on_progress(have, total)
            return
        except Refused as refused:
            if refused.reason in ("not_found", "http_404"):
                raise FileUnavailable(f"the relay does not have {pointer.name} any more") from refused
            raise
        except RelayUnreachable:
            if attempt == _ATTEMPTS - 1:
                raise


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _open_sealed(pointer: FilePointer, sealed: Path, path: Path) -> tuple[Path, bytes]:
    """Check and decrypt; the sealed copy goes."""
    digest, plain_digest = hashlib.sha256(), hashlib.sha256()
    opened = path.with_name(_OPENED_NAME)
    try:
        with sealed.open("rb") as source, opened.open("wb") as target:
            for piece in open_blob(pointer.key, pointer.size_bytes, _chunks(source, digest)):
                plain_digest.update(piece)
                target.write(piece)
            target.flush()
            os.fsync(target.fileno())
        if digest.digest() != pointer.ciphertext_sha256:
            raise FileDamaged(f"{pointer.name} is not what was sent")
    except CryptoError as error:
        sealed.unlink(missing_ok=True)
        opened.unlink(missing_ok=True)
        raise FileDamaged(f"{pointer.name} is not what was sent") from error
    except FileDamaged:
        sealed.unlink(missing_ok=True)
        opened.unlink(missing_ok=True)
        raise
    opened.replace(path)
    sealed.unlink()
    return path, plain_digest.digest()


def safe_name(name: str) -> str:
    """A name that stays in its folder: the last part of a path, nothing that controls a terminal, not hidden."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(character for character in last if character.isprintable()).lstrip(".").strip()
    # 200 bytes: file systems take 255, some of them less.
    while len(kept.encode()) > 200:
        kept = kept[1:]
    return kept or "file"
