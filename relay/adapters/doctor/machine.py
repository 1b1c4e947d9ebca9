"""Checks of the machine: Python, SQLite, cryptography, the address to listen on, file descriptors. Knows no data folder."""

import errno
import os
import resource
import socket
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from .findings import Finding, failed, ok, warning

LEAST_PYTHON: Final = (3, 11)
LEAST_SQLITE: Final = (3, 37, 0)  # STRICT tables
LEAST_DESCRIPTORS: Final = 1_024
GOOD_DESCRIPTORS: Final = 16_384  # one for each connection, and a few hundred

# RFC 8032, section 7.1, TEST 2: seed, public key, message, signature.
_SEED: Final = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
_PUBLIC: Final = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
_MESSAGE: Final = b"\x72"
_SIGNATURE: Final = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def check_python() -> Finding:
    """The interpreter."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < LEAST_PYTHON:
        least = ".".join(map(str, LEAST_PYTHON))
        return failed("python", found, f"install Python {least} or newer")
    return ok("python", found)


def check_sqlite(folder: Path) -> Finding:
    """The library, and whether its write-ahead log works on the file system of `folder`."""
    found = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < LEAST_SQLITE:
        least = ".".join(map(str, LEAST_SQLITE))
        return failed("sqlite", found, f"use a Python with SQLite {least} or newer")
    try:
        with TemporaryDirectory(dir=folder, prefix=".doctor-") as place:
            mode = _journal_mode(Path(place) / "try.sqlite3")
    except OSError as error:
        return failed("sqlite", f"{found}; nothing can be written in {folder}", str(error.strerror))
    except sqlite3.Error as error:
        return failed("sqlite", f"{found}; {error}", "put the data folder on a local disk")
    if mode != "wal":
        return failed("sqlite", f"{found}; no write-ahead log here", "put the data folder on a local disk")
    return ok("sqlite", f"{found}, write-ahead log works")


def _journal_mode(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        ((mode,),) = connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE tried (one INTEGER) STRICT")
        connection.execute("INSERT INTO tried VALUES (1) RETURNING one").fetchall()
        connection.commit()
        return str(mode)


def check_crypto() -> Finding:
    """A signature that is known, made and verified; one that is wrong, refused."""
    try:
        found = ", ".join(f"{name} {version(name)}" for name in ("PyNaCl", "cryptography"))
    except PackageNotFoundError as error:
        return failed(
            "crypto", f"{error.name} is not installed", "install TokenIM anew, with its dependencies"
        )
    if SigningKey(_SEED).sign(_MESSAGE).signature != _SIGNATURE or not _verifies(_SIGNATURE):
        return failed("crypto", f"{found}: a known signature does not come out", "install PyNaCl anew")
    if _verifies(_SIGNATURE[:-1] + b"\x01"):
        return failed("crypto", f"{found}: a wrong signature passes", "install PyNaCl anew")
    return ok("crypto", f"{found}, signatures as in RFC 8032")


def _verifies(signature: bytes) -> bool:
    try:
        VerifyKey(_PUBLIC).verify(_MESSAGE, signature)
    except BadSignatureError:
        return False
    return True


def check_listen(check: str, host: str, port: int, *, is_running: bool) -> Finding:
    """Whether the address can be listened on; by the relay that runs on the data folder, it is."""
    setting = {"listen": "`listen`", "admin": "`admin.listen`"}[check]
    shown = f"{host}:{port}" if ":" not in host else f"[{host}]:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE and is_running:
            return ok(check, f"{shown} is in use, by the running relay as it seems")
        mend = {
            errno.EADDRINUSE: f"stop the other program, or choose another address by {setting}",
            errno.EACCES: "ports below 1024 need a right of their own: choose a higher one, or put a proxy in front",
            errno.EADDRNOTAVAIL: f"this machine has no such address: correct {setting}",
        }.get(error.errno or 0, f"correct {setting}")
        return failed(check, f"{shown}: {error.strerror}", mend)
    return ok(check, f"{shown} is free")


def check_proxy(origin: str | None, *, on_loopback: bool, has_tls: bool, has_trusted: bool) -> Finding:
    """Whether limits by address count anybody: what comes from loopback, by a proxy that is not trusted, does not."""
    if has_tls or has_trusted or not on_loopback or not (origin or "").startswith("https://"):
        return ok("proxy", "addresses are counted as they come")
    return warning(
        "proxy",
        "`origin` is https, and no proxy is trusted: limits by address count nobody",
        "name the proxy in `proxy.trusted`, like 127.0.0.1",
    )


def check_descriptors(limit: Callable[[], int] | None = None) -> Finding:
    """How many files and connections the process may have open."""
    soft = (limit or _descriptors)()
    mend = "raise it: `ulimit -Hn 65536`, or LimitNOFILE=65536 in the systemd unit"
    found = "no limit" if soft < 0 else f"{soft} files and connections"
    if 0 <= soft < LEAST_DESCRIPTORS:
        return failed("descriptors", found, mend)
    if 0 <= soft < GOOD_DESCRIPTORS:
        return warning("descriptors", f"{found}: so many devices at once, at most", mend)
    return ok("descriptors", found)


def _descriptors() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)  # `serve` raises what it has to that
    return -1 if hard == resource.RLIM_INFINITY else hard


def nearest_folder(path: Path) -> Path:
    """The path itself, or the folder in which it would be made."""
    for folder in (path, *path.parents):
        if folder.is_dir():
            return folder
    return Path(os.sep)
