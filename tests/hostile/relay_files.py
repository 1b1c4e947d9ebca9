"""Everything that a relay's data folder holds, in a form that can be searched: files, rows, pages of the write-ahead log.

Works on a copy, so that it may look while the relay runs, and so that a test can plant a leak.
"""

import shutil
import sqlite3
import struct
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.leak_scanner import Finding, LeakScanner

SQLITE_MAGIC = b"SQLite format 3\x00"
_WAL_HEADER_BYTES = 32
_WAL_FRAME_HEADER_BYTES = 24
_COPY_ATTEMPTS = 20


class CopyFailed(Exception):
    """The database changed too quickly to be copied whole."""


@dataclass(frozen=True, slots=True)
class RelayFiles:
    """A copy of a data folder."""

    folder: Path

    def files(self) -> list[Path]:
        """Every file, of every kind."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def databases(self) -> list[Path]:
        """Those that are SQLite databases."""
        return [path for path in self.files() if _begins_with(path, SQLITE_MAGIC)]

    def others(self) -> list[Path]:
        """Those that are not, nor belong to one: blobs, logs, keys."""
        beside = {
            path.with_name(path.name + end)
            for path in self.databases()
            for end in ("", "-wal", "-shm", "-journal")
        }
        return [path for path in self.files() if path not in beside]


def _begins_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def copy_relay_files(data: Path, into: Path, leave_out: Collection[str] = ()) -> RelayFiles:
    """A copy of the data folder that opens, also while the relay writes; raises CopyFailed when it never does.

    `leave_out`: names of folders in it.
    """
    for attempt in range(_COPY_ATTEMPTS):
        folder = into / f"copy-{attempt}"
        folder.mkdir(parents=True)
        for path in sorted(data.rglob("*")):
            if path.relative_to(data).parts[0] in leave_out:
                continue
            target = folder / path.relative_to(data)
            if path.is_dir():
                target.mkdir(exist_ok=True)
            elif path.is_file() and not path.name.endswith("-shm"):
                target.write_bytes(path.read_bytes())
        files = RelayFiles(folder)
        if all(map(_is_whole, files.databases())):
            return files
        shutil.rmtree(folder)
    raise CopyFailed(f"{data} changed during each of {_COPY_ATTEMPTS} copies")


def _is_whole(database: Path) -> bool:
    """Whether a copy opens and is sound; on a further copy, since opening may move the log into the file."""
    trial = database.with_name(database.name + ".trial")
    wal, trial_wal = database.with_name(database.name + "-wal"), trial.with_name(trial.name + "-wal")
    shutil.copy(database, trial)
    if wal.exists():
        shutil.copy(wal, trial_wal)
    try:
        with closing(sqlite3.connect(trial)) as connection:
            return bool(connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok")
    except sqlite3.DatabaseError:
        return False
    finally:
        for path in trial.parent.glob(trial.name + "*"):
            path.unlink()


def _opened(database: Path) -> sqlite3.Connection:
    """The database with its log, in memory: looking changes no file."""
    trial = database.with_name(database.name + ".read")
    wal = database.with_name(database.name + "-wal")
    shutil.copy(database, trial)
    if wal.exists():
        shutil.copy(wal, trial.with_name(trial.name + "-wal"))
    memory = sqlite3.connect(":memory:")
    try:
        with closing(sqlite3.connect(trial)) as connection:
            connection.backup(memory)
    finally:
        for path in trial.parent.glob(trial.name + "*"):
            path.unlink()
    return memory


def table_names(database: Path) -> list[str]:
    """The tables of a database."""
    with closing(_opened(database)) as connection:
        return [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]


def rows_of(database: Path, leave_out: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """(table, one value as bytes), for each value of each row outside the tables left out."""
    with closing(_opened(database)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        for name in names:
            if name in leave_out:
                continue
            for row in connection.execute(f'SELECT * FROM "{name}"'):
                for value in row:
                    if isinstance(value, bytes):
                        yield name, value
                    elif isinstance(value, str):
                        yield name, value.encode()


def pages_of(database: Path, leave_out: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """(file and page, its bytes), of the file and of its log, outside the trees of the tables left out.

    Free and superseded pages are among them: what was deleted is still a leak as long as it can be read.
    """
    raw = database.read_bytes()
    size = _page_size(raw)
    with closing(_opened(database)) as connection:
        image = connection.serialize()
        roots = [
            root
            for table, root in connection.execute(
                "SELECT tbl_name, rootpage FROM sqlite_schema WHERE rootpage > 0"
            )
            if table in leave_out
        ]
    excluded = set().union(*(_tree(image, root) for root in roots)) if roots else set()
    for number in range(1, len(raw) // size + 1):
        if number not in excluded:
            yield f"{database.name} page {number}", raw[(number - 1) * size : number * size]
    wal = database.with_name(database.name + "-wal")
    log = wal.read_bytes() if wal.exists() else b""
    step = _WAL_FRAME_HEADER_BYTES + size
    for start in range(_WAL_HEADER_BYTES, len(log) - step + 1, step):
        number = int.from_bytes(log[start : start + 4], "big")
        if number not in excluded:
            yield f"{wal.name} page {number}", log[start + _WAL_FRAME_HEADER_BYTES : start + step]


def _page_size(image: bytes) -> int:
    size: int = struct.unpack(">H", image[16:18])[0]
    return 65_536 if size == 1 else size


def _varint(page: bytes, at: int) -> tuple[int, int]:
    value = 0
    for count in range(8):
        byte = page[at + count]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + count + 1
    return value << 8 | page[at + 8], at + 9


def _tree(image: bytes, root: int) -> set[int]:
    """The page numbers of one b-tree with its overflow chains (SQLite file format, section 1.6)."""
    size = _page_size(image)
    usable = size - image[20]
    found: set[int] = set()
    waiting = [root]
    while waiting:
        number = waiting.pop()
        found.add(number)
        page = image[(number - 1) * size : number * size]
        start = 100 if number == 1 else 0
        kind, count = page[start], int.from_bytes(page[start + 3 : start + 5], "big")
        interior = kind in (2, 5)
        if interior:
            waiting.append(int.from_bytes(page[start + 8 : start + 12], "big"))
        for index in range(count):
            pointer = start + (12 if interior else 8) + 2 * index
            cell = int.from_bytes(page[pointer : pointer + 2], "big")
            if interior:
                waiting.append(int.from_bytes(page[cell : cell + 4], "big"))
                cell += 4
            if kind == 5:  # an interior page of a table holds no payload
                continue
            payload, cell = _varint(page, cell)
            if kind == 13:
                _, cell = _varint(page, cell)
            most = usable - 35 if kind == 13 else (usable - 12) * 64 // 255 - 23
            if payload <= most:
                continue
            least = (usable - 12) * 32 // 255 - 23
            local = least + (payload - least) % (usable - 4)
            cell += local if local <= most else least
            overflow = int.from_bytes(page[cell : cell + 4], "big")
            while overflow:
                found.add(overflow)
                overflow = int.from_bytes(image[(overflow - 1) * size : (overflow - 1) * size + 4], "big")
    return found


def find_text(files: RelayFiles, scanner: LeakScanner) -> list[Finding]:
    """Every hit in every file raw, and in every value of every row (one that spans pages is whole there)."""
    findings = [hit for path in files.files() for hit in scanner.scan_file(path)]
    for database in files.databases():
        findings += _in_parts(scanner, rows_of(database, ()))
    return findings


def find_sender(files: RelayFiles, scanner: LeakScanner, identity_tables: Collection[str]) -> list[Finding]:
    """Every hit outside the identity tables: rows, pages of file and log, and all other files."""
    findings = [hit for path in files.others() for hit in scanner.scan_file(path)]
    for database in files.databases():
        findings += _in_parts(scanner, rows_of(database, identity_tables))
        findings += _in_parts(scanner, pages_of(database, identity_tables))
    return findings


def _in_parts(scanner: LeakScanner, parts: Iterator[tuple[str, bytes]]) -> list[Finding]:
    """Hits in many small parts: searched together, told by part."""
    findings: list[Finding] = []
    for where, data in parts:
        findings += scanner.scan(data, where)
    return findings


IDENTITY_TABLES = frozenset(
    {
        "accounts",
        "manifests",
        "devices",
        "handles",
        "delivery_tokens",
        "nonces",  # of signed requests, for 180 s: that a device fetched or acknowledged something, not what it sent
        "blobs",  # whose quota a blob uses; not for whom it is
        "account_logs",  # whose settings and archive they are; group logs are nobody's
        "audit_rows",  # on which days an account came and changed its list of devices, and what operators did to it
        "transparency_leaves",  # which accounts there are, and the hashes of their manifests: it is there to be shown
    }
)
"""Where the relay has to know who somebody is. Nothing in them says who wrote to whom."""
