"""Checks of a data folder: rights, room, clock against its files, the database, the blobs. Beside a running relay, too."""

import os
import stat
from collections.abc import Collection
from itertools import islice
from pathlib import Path
from typing import Final

from relay.adapters.column_keys import read_keys
from relay.adapters.data_folder import RESTORING, DataFolder, StartRefused
from relay.adapters.disk_blobs import blob_path
from relay.adapters.moving.marks import read_mark
from relay.adapters.sqlite import snapshot
from relay.adapters.sqlite.connection import StoreUnusable
from relay.adapters.sqlite.migrate import shipped_migrations
from relay.wire.links import encode_id

from .findings import Finding, failed, ok, warning

LEAST_FREE_BYTES: Final = 67_108_864
GOOD_FREE_BYTES: Final = 1_073_741_824
LEAST_FREE_FILES: Final = 1_000
EARLIEST_MS: Final = 1_767_225_600_000  # 2026-01-01, before this version was made
SKEW_MS: Final = 120_000
MOST_BLOBS: Final = 100_000
MOST_NAMED: Final = 10
_MIB: Final = 1 << 20


def check_rights(folder: DataFolder) -> Finding:
    """The folder belongs to this user, and nobody else reads in it."""
    path = folder.path
    if not path.exists():
        parent = next(one for one in path.parents if one.exists())
        if not os.access(parent, os.W_OK | os.X_OK):
            return failed("folder", f"{path} cannot be made in {parent}", "name another folder with --data")
        return ok("folder", f"{path} is made at the first start")
    if not path.is_dir():
        return failed("folder", f"{path} is no folder", "name another one with --data")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return failed("folder", f"{path} cannot be written", "start the relay as the user that it belongs to")
    if (path / RESTORING).exists():
        return failed("folder", f"{path}: a restore was cut off", "run `tokenim-relay restore` again")
    return _check_entries(path)


def _check_entries(path: Path) -> Finding:
    for entry in (path, *path.iterdir()):
        try:
            found = entry.lstat()
        except FileNotFoundError:
            continue  # a running relay's log has its end
        if found.st_uid != os.geteuid():
            return failed("folder", f"{entry} belongs to another user", f"run `chown -R $(id -un) {path}`")
        if stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) & 0o077:
            return failed("folder", f"others can read {entry}", f"run `chmod 600 {entry}`")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return warning("folder", f"others can look into {path}", f"run `chmod 700 {path}`")
    return ok("folder", str(path))


def check_moving(folder: DataFolder) -> Finding:
    """No move is under way; while one is, a relay that runs takes nothing new, and none starts."""
    try:
        mark = read_mark(folder)
    except StartRefused as error:
        return failed("moving", str(error), "or remove it, if no move was ever begun here")
    if mark is None or mark.done:
        return ok("moving", "no move is under way")
    way = "sqlite-to-postgres" if mark.target == "postgres" else "postgres-to-sqlite"
    return warning(
        "moving",
        "the relay is being moved, and takes nothing new",
        f"`tokenim-relay migrate {way}` goes on with it, `tokenim-relay migrate abandon` leaves it where it was",
    )


def check_disk(place: Path) -> Finding:
    """Room on the file system of the folder."""
    found = os.statvfs(place)
    free = found.f_bavail * found.f_frsize
    shown = f"{free // _MIB} MiB free"
    mend = "make room, or move the data folder to a larger disk"
    if free < LEAST_FREE_BYTES:
        return failed("disk", shown, mend)
    if found.f_files and found.f_favail < LEAST_FREE_FILES:
        return failed("disk", f"{shown}, room for {found.f_favail} more files", mend)
    if free < GOOD_FREE_BYTES:
        return warning("disk", shown, mend)
    return ok("disk", shown)


def check_clock(folder: DataFolder, now_ms: int) -> Finding:
    """The time is not before this version, nor before what the relay wrote last. No network is asked."""
    mend = "set the clock, and let a time service keep it: signed requests are refused when it is off by 90 s"
    if now_ms < EARLIEST_MS:
        return failed("clock", "the clock is years behind", mend)
    written = [
        round(path.stat().st_mtime * 1_000)
        for path in (folder.database, folder.database.with_name(folder.database.name + "-wal"))
        if path.exists()
    ]
    ahead_ms = max(written, default=0) - now_ms
    if ahead_ms > SKEW_MS:
        return failed(
            "clock", f"the database was written {ahead_ms // 1_000} s from now: the clock went back", mend
        )
    return ok("clock", "not before what was written last")


def check_database(folder: DataFolder) -> Finding:
    """The schema and the file's structure; on a database of gigabytes this takes a while."""
    if not folder.database.exists():
        return ok("database", "none yet: made at the first start")
    newest = shipped_migrations()[-1].number
    try:
        schema = snapshot.schema_of(folder.database)
        faults = snapshot.database_faults(folder.database, quick=True)
    except StoreUnusable as error:
        return failed("database", str(error), "use the version that wrote it, or restore a backup")
    if faults:
        return failed("database", f"damaged: {faults[0]}", "stop the relay, and restore the last backup")
    if schema < newest:
        return warning(
            "database",
            f"schema {schema}, whole; this version has {newest}",
            "the next start brings it up to date: make a backup before",
        )
    return ok("database", f"schema {schema}, whole")


def check_roles(folder: DataFolder, roles: Collection[str]) -> Finding:
    """Every account has a role that there is; `roles`: their names, those that the settings define too."""
    if not folder.database.exists():
        return ok("roles", "no accounts yet")
    try:
        lost = snapshot.accounts_of_other_roles(folder.database, roles, limit=MOST_NAMED)
    except StoreUnusable as error:
        return failed("roles", str(error), "see the line of the database")
    if not lost:
        return ok("roles", "every account has one that is defined")
    named = ", ".join(f"{handle or encode_id(account)} ({role})" for role, account, handle in lost)
    more = " and maybe others" if len(lost) == MOST_NAMED else ""
    return warning(
        "roles",
        f"defined no more, so these may do nothing: {named}{more}",
        "define the role again under [roles], or give another: `tokenim-relay role grant ACCOUNT ROLE`",
    )


def check_keys(folder: DataFolder, keys_file: Path) -> Finding:
    """The file with the keys of sealed columns has each that the database needs, and is its owner's alone."""
    if not keys_file.exists() and not folder.database.exists():
        return ok("keys", f"{keys_file} is made at the first start")
    try:
        needed = snapshot.sealing_keys(folder.database) if folder.database.exists() else frozenset()
        there = read_keys(keys_file).keys() if keys_file.exists() else frozenset()
    except (StartRefused, StoreUnusable) as error:
        return failed("keys", str(error), "see that only its owner reads it, or put it back from a copy")
    if missing := sorted(needed - there):
        mend = "put it back from a copy, or restore a backup: without it what it sealed is lost"
        return failed("keys", f"{keys_file}: key {missing[0]} of the database is missing", mend)
    if len(there) > 1:
        mend = "run `tokenim-relay keys rotate`: it goes on where it was cut off"
        return warning("keys", f"{len(there)} keys: a rotation is under way, or was cut off", mend)
    return ok("keys", f"key {max(there)}" if there else f"{keys_file} is made at the next start")


def check_heads(path: Path | None) -> Finding:
    """Whether heads of the audit log get to their second place. A unit of systemd may keep the relay from it all the same."""
    if path is None:
        return ok("heads", "kept in no second place")
    place, rights = (path, os.R_OK | os.W_OK) if path.exists() else (path.parent, os.W_OK | os.X_OK)
    if path.is_dir() or not os.access(place, rights):
        mend = "correct `audit.heads_file`, mount what is there, or let the relay's user write there"
        return warning("heads", f"{path} cannot be written", mend)
    return ok("heads", str(path))


def check_blobs(folder: DataFolder) -> Finding:
    """The files of the blobs that the database names are there, of the right length; what is in them, a backup reads."""
    if not folder.database.exists():
        return ok("blobs", "none yet")
    wrong = count = 0
    try:
        for blob in islice(snapshot.complete_blobs(folder.database), MOST_BLOBS):
            count += 1
            path = blob_path(folder.blobs, blob.blob_id)
            wrong += not path.exists() or path.stat().st_size != blob.length
    except StoreUnusable as error:
        return failed("blobs", str(error), "see the line of the database")
    if wrong:
        mend = (
            "their users are told when they fetch them; look for what removes files there, and check the disk"
        )
        return warning("blobs", f"{wrong} of {count} are missing or cut short", mend)
    return ok("blobs", f"{count} looked at")
