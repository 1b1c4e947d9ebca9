"""The transparency log in a file, checked (adapters/log_check.py): beside a running relay or without one."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from relay.adapters.column_keys import NAME as KEYS_NAME
from relay.adapters.column_keys import ColumnKeys, NotOpened, read_keys
from relay.adapters.data_folder import StartRefused
from relay.adapters.log_check import LogCheck, LogVerdict
from relay.ports.transparency import KnownRoot

from .connection import StoreUnusable
from .sealing import HANDLE_KEY, ONLY_ROW
from .writer import Row


def audit_log(
    database: Path, heads: Sequence[KnownRoot] = (), *, keys_file: Path | None = None
) -> LogVerdict:
    """The verdict; `heads` are earlier heads that this relay signed. Raises StoreUnusable.

    `keys_file`: of sealed columns; None: beside the database.
    """
    try:
        # Not mode=ro: where no relay runs, a log that was left over has to be joined with the file to be read.
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("BEGIN")
            return _check(connection, keys_file or database.with_name(KEYS_NAME)).run(heads)
    except sqlite3.DatabaseError as error:
        raise StoreUnusable(f"cannot read {database}: {error}") from error


def _check(connection: sqlite3.Connection, keys_file: Path) -> LogCheck:
    def ask(statement: str, *parameters: object) -> Iterator[Row]:
        return connection.execute(statement.replace("$", "?"), parameters)

    if not _has_table(connection, "transparency_log"):
        raise StoreUnusable("there is no transparency log yet: start the relay once, which begins it")
    row = connection.execute("SELECT log_id, handle_key FROM transparency_log").fetchone()
    if row is None:
        raise StoreUnusable(
            "the transparency log has lost its id and key: restore the database from a backup"
        )
    log_id, handle_key = row
    if _has_table(connection, "column_keys"):  # since then it is sealed
        try:
            handle_key = ColumnKeys(read_keys(keys_file)).open(HANDLE_KEY, ONLY_ROW, handle_key)
        except (StartRefused, NotOpened) as error:
            raise StoreUnusable(str(error)) from error
    return LogCheck(ask, log_id, handle_key)


def _has_table(connection: sqlite3.Connection, name: str) -> bool:
    found = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    return found is not None
