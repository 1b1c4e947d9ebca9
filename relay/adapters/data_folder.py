"""The relay's data folder: who may open it, the lock on it, and the secrets that lie in it.

Knows no database and no network. A file that others than its owner can read is refused, never mended in silence.
"""

import errno
import fcntl
import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from relay.wire import limits
from relay.wire.links import decode_bytes, encode_bytes

from .secret_files import SecretExposed, refuse_exposed

_KEY_MARK: Final = "tokenim-relay-key-v1 "
_INVITE_MARK: Final = "tokenim-owner-invite-v1 "
_SEED_BYTES: Final = 32
RESTORING: Final = ".restoring"
"""A folder of this name in the data folder: a backup is being put back, or was until it was cut off."""


class StartRefused(Exception):
    """The relay cannot start; one line that says what to do. `exit_code` 2: usage or settings, 1: all else."""

    def __init__(self, line: str, *, exit_code: int = 1) -> None:
        super().__init__(line)
        self.exit_code = exit_code


def _os_refusal(path: Path, error: OSError) -> StartRefused:
    match error.errno:
        case errno.EACCES | errno.EPERM:
            hint = (
                "give its owner's rights back, or start the relay as the user it belongs to; "
                "if it is not there yet, make it as root and give it to the relay's user"
            )
        case errno.ENOSPC | errno.EDQUOT:
            hint = "the disk is full: make room, then start again"
        case errno.EROFS:
            hint = "the file system is read-only: mount it for writing, or name another folder with --data"
        case errno.ENOTDIR | errno.EEXIST:
            hint = "this is not a folder: name another one with --data"
        case _:
            hint = "see to it, or name another folder with --data"
    return StartRefused(f"{path}: {error.strerror}; {hint}")


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Turns an OSError in the block into a StartRefused that says what to do about it."""
    try:
        yield
    except OSError as error:
        raise _os_refusal(Path(error.filename or path), error) from error


@dataclass(frozen=True, slots=True)
class DataFolder:
    """An opened data folder; its lock is held until `open_data_folder` ends."""

    path: Path

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.path / "relay.sqlite3"

    @property
    def blobs(self) -> Path:
        """The folder of blob files."""
        return self.path / "blobs"

    @property
    def key_file(self) -> Path:
        """The relay's signing key."""
        return self.path / "relay.key"

    @property
    def column_keys_file(self) -> Path:
        """The keys of sealed columns, unless the settings name another file."""
        return self.path / "column.keys"

    @property
    def owner_invite_file(self) -> Path:
        """The owner invite's secret, until it is used."""
        return self.path / "owner-invite"

    @property
    def origin_file(self) -> Path:
        """The public origin of the last start."""
        return self.path / "origin"

    @property
    def moving_file(self) -> Path:
        """Tells that the relay is moved from SQLite to PostgreSQL or back, or was."""
        return self.path / "moving"

    def signing_seed(self, random: Callable[[int], bytes], file: Path | None = None) -> bytes:
        """32 B Ed25519 seed of the relay, made at the first start. Raises StartRefused.

        `file`: where it is; None: in this folder.
        """
        return self._secret(file or self.key_file, _KEY_MARK, _SEED_BYTES, random)

    def owner_invite(self, random: Callable[[int], bytes]) -> bytes:
        """16 B secret of the owner invite, made if there is none. Raises StartRefused."""
        return self._secret(self.owner_invite_file, _INVITE_MARK, limits.INVITE_SECRET_BYTES, random)

    def forget_owner_invite(self) -> None:
        """Remove the owner invite's secret: it is used."""
        self.owner_invite_file.unlink(missing_ok=True)

    def remember_origin(self, origin: str) -> None:
        """Keep the public origin of this start, for invites made while no relay runs. Raises StartRefused."""
        with refusals(self.origin_file):
            self.origin_file.write_text(origin + "\n", "utf-8")

    def remembered_origin(self) -> str | None:
        """The public origin of the last start, if there was one."""
        with refusals(self.origin_file):
            return self.origin_file.read_text("utf-8").strip() if self.origin_file.exists() else None

    def _secret(self, path: Path, mark: str, length: int, random: Callable[[int], bytes]) -> bytes:
        with refusals(path):
            if not path.exists():
                write_secret(path, mark + encode_bytes(random(length)) + "\n")
            try:
                refuse_exposed(path)
            except SecretExposed as error:
                raise StartRefused(str(error)) from error
            text = path.read_text("utf-8", errors="replace").strip()
        try:
            secret = decode_bytes(text.removeprefix(mark))
        except ValueError:
            secret = b""
        if not text.startswith(mark) or len(secret) != length:
            raise StartRefused(f"{path}: damaged: put it back from a backup")
        return secret


def write_secret(path: Path, text: str) -> None:
    """Durable, complete or absent, readable by its owner only."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 (a descriptor, not a path)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    draft.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class FolderInUse(StartRefused):
    """Another process holds the data folder's lock."""


@contextmanager
def open_data_folder(path: Path, *, create: bool = True, restoring: bool = False) -> Iterator[DataFolder]:
    """The data folder, made (0700) if need be and locked for this process. Raises StartRefused, FolderInUse.

    One into which a backup was half put back is opened for `restoring` alone.
    """
    path = path.absolute()
    with refusals(path):
        if create:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif not path.is_dir():
            raise StartRefused(
                f"{path}: there is no data folder: correct --data, or start the relay first", exit_code=2
            )
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        lock = os.open(path / "relay.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FolderInUse(
                f"{path}: another relay process uses this data folder: stop that one, or name another folder with --data"
            ) from error
        if not restoring and (path / RESTORING).exists():
            raise StartRefused(
                f"{path}: a restore was cut off here: run `tokenim-relay restore` again, or name another folder"
            )
        yield DataFolder(path)
    finally:
        os.close(lock)


def is_in_use(path: Path) -> bool:
    """Whether a process holds the folder's lock now."""
    try:
        lock = os.open(path / "relay.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def secret_line(path: Path | None) -> str | None:
    """The one line of a file that is its owner's alone; None for None. Raises StartRefused."""
    if path is None:
        return None
    path = path.expanduser().absolute()
    with refusals(path):
        try:
            refuse_exposed(path)
        except SecretExposed as error:
            raise StartRefused(str(error)) from error
        return path.read_text("utf-8").strip()


def trust_of(path: Path | None) -> ssl.SSLContext | None:
    """Who believes the authority of this PEM file; None for None. Raises StartRefused."""
    if path is None:
        return None
    path = path.expanduser().absolute()
    with refusals(path):
        try:
            return ssl.create_default_context(cafile=path)
        except ssl.SSLError as error:
            raise StartRefused(f"{path}: not a PEM file of certificates", exit_code=2) from error
