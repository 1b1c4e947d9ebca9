"""The audit log read straight from the file, beside a running relay or without one: one snapshot, row after row."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from relay.wire.audit_rows import AuditRow, Tip

from .audit import ROW_COLUMNS, TIP, row_of, tip_of
from .connection import StoreUnusable

_ALL: Final = f"SELECT {ROW_COLUMNS} FROM audit_rows ORDER BY row_index"  # noqa: S608


@dataclass(frozen=True, slots=True)
class AuditSnapshot:
    """A log at one moment; `rows` can be gone through once."""

    tip: Tip
    rows: Iterator[AuditRow]


@contextmanager
def open_audit_file(database: Path) -> Iterator[AuditSnapshot]:
    """The log in this file; raises StoreUnusable, also while it is read."""
    try:
        # Not mode=ro: where no relay runs, a log that was left over has to be joined with the file to be read.
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("BEGIN")
            if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'audit_log'").fetchone():
                raise StoreUnusable("there is no audit log yet: start the relay once, which begins it")
            found = connection.execute(TIP).fetchone()
            if found is None:
                raise StoreUnusable(
                    "the audit log has lost where it stands: restore the database from a backup"
                )
            yield AuditSnapshot(tip_of(*found), map(row_of, connection.execute(_ALL)))
    except sqlite3.DatabaseError as error:
        raise StoreUnusable(f"cannot read {database}: {error}") from error
