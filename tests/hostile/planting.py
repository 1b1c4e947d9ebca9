"""Plants a leak in a copy of a relay's files, in each kind of place and in several encodings: a search that does not
find it there proves nothing when it finds nothing elsewhere."""

import base64
import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from tests.hostile.relay_files import RelayFiles


class NothingToPlantIn(Exception):
    """The copy holds no row to hide something in: it was made when the relay had nothing."""


def plant_everywhere(files: RelayFiles, text: bytes, name: bytes, leave_out: Collection[str]) -> set[str]:
    """Hides both in a row, the write-ahead log, a blob file, a log and a new file; returns the names of the places."""
    secret = text + b" " + name
    places = {_plant_in_row(database, secret, leave_out) for database in files.databases()}
    places |= {f"{database.name}-wal" for database in files.databases()}
    others = [path for path in files.others() if path.stat().st_size and path.name not in places]
    ways = (base64.b32encode, base64.b64encode, bytes.hex, lambda data: data.decode().encode("utf-16-le"))
    for number, path in enumerate([*others, files.folder / "new-file"]):
        hidden = ways[number % len(ways)](b"x" * (number % 5) + secret)
        with path.open("ab") as file:
            file.write(hidden.encode() if isinstance(hidden, str) else hidden)
        places.add(path.name)
    return places


def _plant_in_row(database: Path, secret: bytes, leave_out: Collection[str]) -> str:
    """Puts it into the longest value of bytes outside the tables left out, and leaves that change in the log."""
    wal = database.with_name(database.name + "-wal")
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        longest = max(
            (
                (length or 0, table, column)
                for table, column in _columns(connection, leave_out)
                for (length,) in connection.execute(
                    f'SELECT max(length("{column}")) FROM "{table}" WHERE typeof("{column}") = \'blob\''
                )
            ),
            default=(0, "", ""),
        )
        length, table, column = longest
        if length < len(secret):
            raise NothingToPlantIn(f"no value in {database.name} is longer than {length} bytes")
        connection.execute(
            f'UPDATE "{table}" SET "{column}" = CAST(? || substr("{column}", ?) AS BLOB) WHERE length("{column}") = ?',
            (secret, len(secret) + 1, length),
        )
        kept = database.read_bytes(), wal.read_bytes()
    database.write_bytes(kept[0])  # closing has moved the log into the file: as it was before
    wal.write_bytes(kept[1])
    return table


def _columns(connection: sqlite3.Connection, leave_out: Collection[str]) -> list[tuple[str, str]]:
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return [
        (table, row[1])
        for table in tables
        if table not in leave_out and not table.startswith("sqlite_")
        for row in connection.execute(f'PRAGMA table_info("{table}")')
    ]
