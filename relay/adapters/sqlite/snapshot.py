"""A copy of the database as it is at one moment, made beside a relay that goes on writing; and whether such a copy is whole.

The source is held at its moment by a read transaction: the writer is not stopped, only its log is not cut off meanwhile.
"""

import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .connection import PAGE_BYTES, StoreUnusable
from .migrate import shipped_migrations

PAGES_A_STEP: Final = 512  # 4 MiB: between two steps others have the disk, and progress is told
MOST_FAULTS: Final = 20
_FORGOTTEN_AT_ONCE: Final = 500

Progress = Callable[[int, int], None]
"""Is told how many bytes are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class CompleteBlob:
    """A finished blob as the database knows it: 32 B id, its length, its 32 B SHA-256."""

    blob_id: bytes
    length: int
    sha256: bytes


@contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            yield connection
    except sqlite3.DatabaseError as error:
        raise StoreUnusable(f"cannot read {database}: {error}") from error


def copy_database(database: Path, copy: Path, told: Progress) -> int:
    """Write the database of this moment into the new file `copy`; its schema version. Raises StoreUnusable.

    The copy is one file without a log. Uploads that are not finished are not in it: their bytes are not either.
    """
    with _opened(database) as source, _opened(copy) as target:
        source.execute("PRAGMA query_only = ON")
        source.execute("BEGIN")
        version = version_of(source)
        source.backup(
            target,
            pages=PAGES_A_STEP,
            progress=lambda _, left, pages: told((pages - left) * PAGE_BYTES, pages * PAGE_BYTES),
            sleep=0,
        )
        source.execute("ROLLBACK")
        target.execute("PRAGMA journal_mode = DELETE")
        target.execute("DELETE FROM blobs WHERE complete = 0")
    return version


def version_of(connection: sqlite3.Connection) -> int:
    """The schema's version. Raises StoreUnusable for one that this version does not know, and for what is no relay's."""
    newest = shipped_migrations()[-1].number
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'schema_version'").fetchone():
        raise StoreUnusable("this is not the database of a relay")
    ((version,),) = connection.execute("SELECT max(version) FROM schema_version").fetchall()
    if version > newest:
        raise StoreUnusable(
            f"the database has schema {version}, this relay knows up to {newest}: use the newer version's command"
        )
    return int(version)


def schema_of(database: Path) -> int:
    """The same of a file."""
    with _opened(database) as connection:
        connection.execute("PRAGMA query_only = ON")
        return version_of(connection)


def refuse_other_schema(database: Path) -> None:
    """Raise StoreUnusable unless it is of this version's schema: whoever writes it meanwhile is of another version then."""
    schema, newest = schema_of(database), shipped_migrations()[-1].number
    if schema != newest:
        raise StoreUnusable(
            f"the database has schema {schema}, this version {newest}: start the relay of this version, or stop it"
        )


def database_faults(database: Path, *, quick: bool = False) -> list[str]:
    """What is wrong in the file, at most MOST_FAULTS lines. `quick` leaves out indexes and references: much faster."""
    with _opened(database) as connection:
        connection.execute("PRAGMA query_only = ON")
        check = "quick_check" if quick else "integrity_check"
        found = [row[0] for row in connection.execute(f"PRAGMA {check}({MOST_FAULTS})") if row[0] != "ok"]
        if not quick:
            found += [
                f"a row of {table} points at one of {parent} that is not there"
                for table, _, parent, _ in connection.execute("PRAGMA foreign_key_check").fetchmany(
                    MOST_FAULTS
                )
            ]
    return found[:MOST_FAULTS]


def sealing_keys(database: Path) -> frozenset[int]:
    """The ids of the keys that sealed something in it; raises StoreUnusable."""
    with _opened(database) as connection:
        there = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'column_keys'").fetchone()
        rows = connection.execute("SELECT key_id FROM column_keys") if there else ()
        return frozenset(key_id for (key_id,) in rows)


def complete_blobs(database: Path) -> Iterator[CompleteBlob]:
    """The finished blobs, ascending by id."""
    with _opened(database) as connection:
        for row in connection.execute(
            "SELECT blob_id, length, sha256 FROM blobs WHERE complete = 1 ORDER BY blob_id"
        ):
            yield CompleteBlob(*row)


def accounts_of_other_roles(
    database: Path, roles: Collection[str], *, limit: int
) -> list[tuple[str, bytes, str | None]]:
    """(Role, 32 B account id, handle) of accounts whose role is none of these, at most `limit`."""
    with _opened(database) as connection:
        connection.execute("PRAGMA query_only = ON")
        return connection.execute(
            "SELECT a.role, a.account_id, h.handle FROM accounts AS a LEFT JOIN handles AS h USING (account_id)"
            " WHERE a.role NOT IN (SELECT value FROM json_each(?)) ORDER BY a.role, a.account_id LIMIT ?",
            (json.dumps(list(roles)), limit),
        ).fetchall()


def blob_total(database: Path) -> tuple[int, int]:
    """How many finished blobs, and their bytes."""
    with _opened(database) as connection:
        ((count, size),) = connection.execute(
            "SELECT count(*), coalesce(sum(length), 0) FROM blobs WHERE complete = 1"
        ).fetchall()
        return int(count), int(size)


def forget_blobs(database: Path, blob_ids: Sequence[bytes]) -> None:
    """These are not there after all. Never on the relay's own file."""
    with _opened(database) as connection:
        for start in range(0, len(blob_ids), _FORGOTTEN_AT_ONCE):
            part = blob_ids[start : start + _FORGOTTEN_AT_ONCE]
            marks = ",".join("?" * len(part))
            connection.execute(f"DELETE FROM blobs WHERE blob_id IN ({marks})", part)  # noqa: S608
