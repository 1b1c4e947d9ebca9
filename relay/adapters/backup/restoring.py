"""Puts a backup into an empty data folder: unpacked and checked in a folder inside it, brought into use at the end.

Cut off at any moment, the data folder is one that no relay starts on (RESTORING stands in it), and that the next try
takes over. What is not whole, or not one of this version, leaves the folder as empty as it was.
"""

import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, Final

from relay.adapters.data_folder import RESTORING, DataFolder, refusals
from relay.adapters.disk_blobs import blob_path, sync_folder
from relay.adapters.sqlite import snapshot
from relay.adapters.sqlite.connection import StoreUnusable

from .checking import Tally
from .layout import DATABASE, MANIFEST, BackupRefused, Hashing, Manifest, blob_of, parse_manifest, reading

_IGNORED: Final = frozenset({"relay.lock", "lost+found", RESTORING})

BringUp = Callable[[DataFolder], Awaitable[None]]
"""Opens the database in this folder, which migrates an older one, and marks it as restored."""


async def restore_backup(
    folder: DataFolder, file: Path, *, bring_up: BringUp, told: Callable[[int, int], None]
) -> Manifest:
    """Fill the folder, whose lock the caller holds. Raises BackupRefused."""
    with refusals(folder.path):
        _require_empty(folder.path)
        side = folder.path / RESTORING
        side.mkdir(mode=0o700)
        sync_folder(folder.path)
        try:
            manifest = _unpack(file, side, told)
            await bring_up(DataFolder(side))
        except StoreUnusable as error:
            _drop(folder.path)
            raise BackupRefused(f"{file}: {error}") from error
        except BaseException:
            _drop(folder.path)
            raise
        _bring_into_use(folder.path, side)
    return manifest


def _require_empty(path: Path) -> None:
    """Raise BackupRefused for a folder that has something; what a restore that was cut off left is removed."""
    if (path / RESTORING).exists():
        _drop(path)
    if any(entry.name not in _IGNORED for entry in path.iterdir()):
        raise BackupRefused(
            f"{path}: not empty: a backup is restored into an empty folder; move this one away first",
            exit_code=2,
        )


def _drop(path: Path) -> None:
    """Everything goes that came with a restore; the side folder last, for it says that the rest may go."""
    for entry in path.iterdir():
        if entry.name in _IGNORED:
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    shutil.rmtree(path / RESTORING)


def _unpack(file: Path, side: Path, told: Callable[[int, int], None]) -> Manifest:
    tally = Tally()
    manifest: Manifest | None = None
    done, total = 0, file.stat().st_size
    blobs = side / "blobs"
    blobs.mkdir(mode=0o700)
    with reading(file) as members:
        for name, stream in members:
            if name == MANIFEST:
                manifest = parse_manifest(stream.read())
                continue
            blob_id = blob_of(name)
            path = side / name if blob_id is None else blob_path(blobs, blob_id)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            _write(path, stream)
            tally.take(name, stream.part)
            done += stream.bytes
            told(done, total)
    if manifest is None:
        raise BackupRefused(f"{file}: cut off, or not a backup of a relay")
    tally.verify_files(manifest)
    if faults := snapshot.database_faults(side / DATABASE):
        raise BackupRefused(f"{file}: its database is damaged: {faults[0]}")
    for blob_id in tally.verify_blobs(side / DATABASE):
        blob_path(blobs, blob_id).unlink()
    return manifest


def _write(path: Path, stream: Hashing) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb", buffering=0) as written:  # noqa: PTH123  # a descriptor, not a path
        while data := stream.read():
            _all_of(written, data)
        os.fsync(written.fileno())


def _all_of(file: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _bring_into_use(path: Path, side: Path) -> None:
    """What is in the side folder becomes the data folder; the side folder goes last, and with it the mark."""
    for folder in (side, *(entry for entry in side.rglob("*") if entry.is_dir())):
        sync_folder(folder)
    for entry in side.iterdir():
        entry.rename(path / entry.name)
    sync_folder(path)
    side.rmdir()
    sync_folder(path)
