"""What is in a backup file, in which order, and how it is read without trusting it. docs/operations.md, "Backup and restore".

A plain tar: `blobs/ID` for each finished blob, the files of FILES as far as there are any, and at the end `manifest.json`
with the size and SHA-256 of each of these. The hashes of blobs are in the database, which the manifest vouches for.
"""

import hashlib
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from relay.adapters.data_folder import StartRefused
from relay.wire import limits
from relay.wire.links import decode_id, encode_id

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
DATABASE: Final = "relay.sqlite3"
KEY: Final = "relay.key"
CONFIG: Final = "config.toml"
SETTINGS: Final = "settings.toml"
"""The settings file from elsewhere that was named for the backup; put back, it is in effect only if it is named again."""
COLUMN_KEYS: Final = "column.keys"
FILES: Final = (KEY, COLUMN_KEYS, "origin", "owner-invite", CONFIG, SETTINGS, DATABASE)
_BLOBS: Final = "blobs/"
_MAX_MANIFEST_BYTES: Final = 65_536
_READ_BYTES: Final = 1_048_576


class BackupRefused(StartRefused):
    """A backup cannot be made, or not be put back; one line that says why and what to do."""


class Part(BaseModel):
    """A file in the backup."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Manifest(BaseModel):
    """The last file of the backup."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    format: Literal[1] = FORMAT
    made_at_ms: Annotated[int, Field(ge=0)]
    relay_version: Annotated[str, Field(max_length=64)]
    schema_version: Annotated[int, Field(ge=1)]
    parts: dict[str, Part]
    blobs: Annotated[int, Field(ge=0)]
    blob_bytes: Annotated[int, Field(ge=0)]


def parse_manifest(text: bytes) -> Manifest:
    """Raises BackupRefused."""
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise BackupRefused("the backup's manifest is damaged, or of a newer version of the relay") from error


def blob_name(blob_id: bytes) -> str:
    """The name of a blob's file in the backup."""
    return _BLOBS + encode_id(blob_id)


def blob_of(name: str) -> bytes | None:
    """The blob's id if the name is one of a blob. Raises BackupRefused for a name that a backup has not."""
    if name in FILES or name == MANIFEST:
        return None
    try:
        if not name.startswith(_BLOBS):
            raise ValueError(name)
        return decode_id(name.removeprefix(_BLOBS), limits.BLOB_ID_BYTES)
    except ValueError:
        raise BackupRefused("there is a file in the archive that belongs to no backup") from None


class Hashing:
    """Reads through a stream and remembers its SHA-256 and length."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self.bytes = 0

    def read(self, size: int = _READ_BYTES) -> bytes:
        """The next bytes, b"" at the end."""
        data = self._stream.read(size)
        self._digest.update(data)
        self.bytes += len(data)
        return data

    def drain(self) -> None:
        """To the end."""
        while self.read():
            pass

    @property
    def digest(self) -> bytes:
        """32 B of what was read."""
        return self._digest.digest()

    @property
    def part(self) -> Part:
        """What was read, as the manifest has it."""
        return Part(bytes=self.bytes, sha256=self._digest.hexdigest())


@contextmanager
def reading(file: Path) -> Iterator[Iterator[tuple[str, Hashing]]]:
    """Each file of the backup in turn, by name; to be read before the next. Raises BackupRefused for what is no backup."""
    try:
        with tarfile.open(file, "r:") as archive:
            yield _members(archive)
    except (tarfile.TarError, EOFError) as error:
        raise BackupRefused(f"{file}: damaged, cut off, or not a backup of a relay") from error


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, Hashing]]:
    seen: set[str] = set()
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # else it remembers each of a million blobs
        stream = archive.extractfile(member) if member.isreg() else None
        is_blob = blob_of(member.name) is not None
        if stream is None or member.name in seen:
            raise BackupRefused("there is something in the archive that belongs to no backup")
        if not is_blob:
            seen.add(member.name)
        if member.name == MANIFEST and member.size > _MAX_MANIFEST_BYTES:
            raise BackupRefused("the backup's manifest is damaged")
        yield member.name, Hashing(stream)
