"""Makes a backup of a data folder, beside the relay that runs on it or without one, and reads it back before it has its name.

The database is of one moment. Blobs come after it: one that was removed since then is left out, in the database too, and so
is one whose bytes are not what they were. Nothing is written into the data folder.
"""

import fcntl
import io
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from relay.adapters.column_keys import read_keys
from relay.adapters.data_folder import DataFolder, refusals
from relay.adapters.disk_blobs import blob_path, sync_folder
from relay.adapters.sqlite import snapshot

from .checking import check_archive
from .layout import (
    COLUMN_KEYS,
    CONFIG,
    DATABASE,
    MANIFEST,
    SETTINGS,
    BackupRefused,
    Hashing,
    Manifest,
    Part,
    blob_name,
)

Told = Callable[[str, int, int], None]
"""Progress: what is being done, bytes done, bytes in all."""
_SPARE_BYTES: Final = 16_777_216  # headers of a tar, and what the relay writes meanwhile


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that stands. `left_out`: blobs that were removed meanwhile. `damaged`: blobs whose bytes on the disk are wrong."""

    file: Path
    file_bytes: int
    manifest: Manifest
    left_out: int
    damaged: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """What the backup says of itself: the relay's version, and when it is made."""

    relay_version: str
    now_ms: int


def make_backup(folder: DataFolder, file: Path, origin: Origin, *, config: Path | None, told: Told) -> Made:
    """Write the backup to `file`, mode 0600; with the settings file, if one is named. Raises BackupRefused, StoreUnusable.

    It needs room for the database twice and the blobs once where `file` is.
    """
    _refuse_existing(file)
    if not file.parent.is_dir():
        raise BackupRefused(
            f"{file.parent}: there is no such folder: make it, or name another file", exit_code=2
        )
    if not folder.database.exists():
        raise BackupRefused(f"{folder.path}: there is no database: correct --data", exit_code=2)
    with refusals(file), _draft(file) as (draft, path):
        _require_room(folder, file.parent)
        copy = file.with_name(f".{file.name}.database")
        try:
            made = _write(folder, file, copy, draft, origin, config, told)
            os.fsync(draft.fileno())
            told("checking", 0, made.file_bytes)
            check_archive(path, copy, lambda done: told("checking", done, made.file_bytes))
        finally:
            for left in (copy, copy.with_name(copy.name + "-journal")):
                left.unlink(missing_ok=True)
        _refuse_existing(file)  # it took a while; not every disk can link a name that must be new
        path.rename(file)
        sync_folder(file.parent)
    return made


def _refuse_existing(file: Path) -> None:
    if file.exists():
        raise BackupRefused(f"{file}: there is such a file already: choose another name", exit_code=2)


@contextmanager
def _draft(file: Path) -> Iterator[tuple[IO[bytes], Path]]:
    """The file under the name that it has until it is whole; one that was left by a kill is begun anew."""
    path = file.with_name(file.name + ".partial")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as draft:  # noqa: PTH123  # a descriptor, not a path
        try:
            fcntl.flock(draft, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupRefused(f"{path}: another process is writing this backup") from None
        os.fchmod(draft.fileno(), 0o600)
        draft.truncate()
        try:
            yield draft, path
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _require_room(folder: DataFolder, place: Path) -> None:
    log = folder.database.with_name(folder.database.name + "-wal")
    database = folder.database.stat().st_size + (log.stat().st_size if log.exists() else 0)
    _, blobs = snapshot.blob_total(folder.database)
    needed, free = 2 * database + blobs + _SPARE_BYTES, shutil.disk_usage(place).free
    if free < needed:
        raise BackupRefused(
            f"{place}: {free >> 20} MiB are free, the backup needs {needed >> 20} MiB while it is made: "
            "make room, or write it to another disk"
        )


def _write(
    folder: DataFolder,
    file: Path,
    copy: Path,
    draft: IO[bytes],
    origin: Origin,
    config: Path | None,
    told: Told,
) -> Made:
    copy.unlink(missing_ok=True)
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    schema = snapshot.copy_database(folder.database, copy, lambda done, of: told("database", done, of))
    with tarfile.open(fileobj=draft, mode="w", format=tarfile.PAX_FORMAT) as archive:
        gone, damaged = _add_blobs(archive, folder.blobs, copy, told)
        snapshot.forget_blobs(copy, [*gone, *damaged])
        if faults := snapshot.database_faults(copy):
            raise BackupRefused(
                f"the relay's database is damaged ({faults[0]}): nothing was backed up; restore the last good backup"
            )
        parts = {}
        for name, path in _files(folder, copy, config):
            with path.open("rb") as stream:
                hashed = Hashing(stream)
                _add(archive, name, path.stat().st_size, hashed)
                parts[name] = hashed.part
        if (
            COLUMN_KEYS in parts
            and not snapshot.sealing_keys(copy) <= read_keys(folder.column_keys_file).keys()
        ):
            raise BackupRefused("the keys of sealed columns were changed meanwhile: make the backup again")
        manifest = _manifest(origin, schema, parts, copy)
        text = manifest.model_dump_json(indent=1).encode() + b"\n"
        _add(archive, MANIFEST, len(text), io.BytesIO(text))
    draft.flush()
    return Made(file, draft.tell(), manifest, len(gone), tuple(damaged))


def _manifest(origin: Origin, schema: int, parts: dict[str, Part], copy: Path) -> Manifest:
    blobs, blob_bytes = snapshot.blob_total(copy)
    return Manifest(
        made_at_ms=origin.now_ms,
        relay_version=origin.relay_version,
        schema_version=schema,
        parts=parts,
        blobs=blobs,
        blob_bytes=blob_bytes,
    )


def _files(folder: DataFolder, copy: Path, config: Path | None) -> Iterator[tuple[str, Path]]:
    own = folder.path / CONFIG
    for path in (folder.key_file, folder.column_keys_file, folder.origin_file, folder.owner_invite_file, own):
        if path.exists():
            yield path.name, path
    if config is not None and config.absolute() != own:
        yield SETTINGS, config
    yield DATABASE, copy


def _add_blobs(
    archive: tarfile.TarFile, blobs: Path, copy: Path, told: Told
) -> tuple[list[bytes], list[bytes]]:
    """(Ids of blobs that were removed since the database's moment, ids of those that are not what they were)."""
    _, total = snapshot.blob_total(copy)
    gone: list[bytes] = []
    damaged: list[bytes] = []
    done = 0
    for blob in snapshot.complete_blobs(copy):
        try:
            stream = blob_path(blobs, blob.blob_id).open("rb")
        except FileNotFoundError:
            gone.append(blob.blob_id)
            continue
        with stream:
            if os.fstat(stream.fileno()).st_size != blob.length:
                damaged.append(blob.blob_id)
                continue
            hashed = Hashing(stream)
            _add(archive, blob_name(blob.blob_id), blob.length, hashed)
            if hashed.digest != blob.sha256:
                damaged.append(blob.blob_id)
        done += blob.length
        told("blobs", done, total)
    return gone, damaged


def _add(archive: tarfile.TarFile, name: str, size: int, stream: Any) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    archive.addfile(member, stream)
    archive.members.clear()  # type: ignore[attr-defined]  # else it remembers each of a million blobs
