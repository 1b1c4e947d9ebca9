"""A relay's SQLite database with rows in every table, and what is in such a database, whatever numbers it gives them."""

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

from relay.adapters.data_folder import DataFolder, open_data_folder
from relay.adapters.sqlite.records import RECORD
from relay.adapters.sqlite.store import open_sqlite_store
from relay.adapters.system_clock import SystemClock, system_randomness
from relay.services.audit import Action, Audit
from relay.session.proof import RelayKey

PEOPLE = 3
MANY = 450
"""Rows of the table that is long: more than two pages of a move."""
AUDITED = 12
"""Rows of the audit log."""
_LONG = {"envelopes"}
_REAL = {
    "schema_version",
    "audit_log",
    "audit_rows",
    "column_keys",
    "deletion_traces",
    "transparency_log",
    "recent_records",
}
"""Tables whose rows the relay itself has made, or which mean something together."""
_IN_ORDER = ("accounts", "devices", "account_logs", "group_logs", "invites", "guests", "push_registrations")


def _bytes(*name: object) -> bytes:
    return hashlib.sha256(repr(name).encode()).digest()


ACCOUNTS = [_bytes("account", number) for number in range(PEOPLE)]
DEVICES = [_bytes("device", number)[:16] for number in range(PEOPLE)]
_GIVEN = {
    "account_id": lambda number: ACCOUNTS[number % PEOPLE],
    "owner_id": lambda number: ACCOUNTS[number % PEOPLE],
    "made_by": lambda number: ACCOUNTS[number % PEOPLE],
    "host_id": lambda number: ACCOUNTS[(number + 1) % PEOPLE],
    "device_id": lambda number: DEVICES[number % PEOPLE],
    "device_number": lambda number: number % PEOPLE + 1,
    "log_number": lambda number: number % PEOPLE + 1,
    "shared_number": lambda number: number % PEOPLE + 1,
    "secret_hash": lambda number: _bytes("secret", number),
    "registration_id": lambda number: _bytes("registration", number)[:16],
    "key_class": lambda number: number % 2 + 1,
}
_TRUTHS = {"suspended", "urgent", "quarantined", "complete"}


def _value(table: str, column: str, kind: str, number: int, *, may_miss: bool) -> object:
    if may_miss and number % 3 == 1:
        return None
    if column in _TRUTHS:
        return number % 2
    if column in _GIVEN:
        return _GIVEN[column](number)
    if kind == "TEXT":
        return f"{column}-{number}"
    return _bytes(table, column, number) if kind == "BLOB" else number * 7 + len(column)


def _fill(connection: sqlite3.Connection, table: str) -> None:
    columns = connection.execute(
        'SELECT name, type, "notnull", pk FROM pragma_table_info(?)', (table,)
    ).fetchall()
    rows = [
        [
            _value(table, name, kind, number, may_miss=not required and not pk)
            for name, kind, required, pk in columns
        ]
        for number in range(MANY if table in _LONG else PEOPLE)
    ]
    if table == "envelopes":  # the ciphertext is in one place
        names = [column[0] for column in columns]
        for row in rows:
            if row[names.index("shared_number")] is not None:
                row[names.index("ciphertext")] = None
            elif row[names.index("ciphertext")] is None:
                row[names.index("ciphertext")] = _bytes("ciphertext", row[0])
    marks = ", ".join("?" * len(columns))
    connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)


def tables_of(connection: sqlite3.Connection) -> list[str]:
    """The names of a relay's tables."""
    found = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    )
    return [name for (name,) in found]


async def fill_folder(path: Path, keys_file: Path | None = None) -> DataFolder:
    """A data folder with such a database, and the files of its blobs."""
    with open_data_folder(path) as folder:
        key = RelayKey(folder.signing_seed(system_randomness))
        async with open_sqlite_store(folder.database, keys_file=keys_file) as store:
            audit = Audit(store.audit, key=key, clock=SystemClock(), randomness=system_randomness)
            for number in range(AUDITED):
                await store.audit.append(audit.by_relay(Action.CONFIG_RELOAD, detail=str(number)))
        with closing(sqlite3.connect(folder.database)) as connection, connection:
            tables = tables_of(connection)
            for table in (*_IN_ORDER, *(name for name in tables if name not in _IN_ORDER)):
                if table not in _REAL:
                    _fill(connection, table)
            fresh = [
                (number % PEOPLE + 1, _bytes("fresh", number)[:16], _bytes(number)[:16], number)
                for number in range(5)
            ]
            connection.execute(
                "INSERT INTO recent_records (batch) VALUES (?)",
                (b"".join(RECORD.pack(*row) for row in fresh),),
            )
            connection.execute(
                "INSERT INTO records VALUES (99, ?, ?, 1)", (bytes(16), bytes(16))
            )  # of a device that is gone
        return folder


_NUMBERS = {
    # as the rows show it, where they show more
    "given_up_to": "max(given_up_to, (SELECT coalesce(max(sequence), 0) FROM envelopes AS n "
    "WHERE n.device_number = {}.device_number))",
    "device_number": "(SELECT device_id FROM devices AS n WHERE n.device_number = {}.device_number)",
    "shared_number": "(SELECT ciphertext FROM shared_ciphertexts AS n WHERE n.shared_number = {}.shared_number)",
}
_LOGS = {
    "account_log_entries": "(SELECT hex(account_id) || name FROM account_logs AS n WHERE n.log_number = {}.log_number)",
    "group_log_entries": "(SELECT log_id FROM group_logs AS n WHERE n.log_number = {}.log_number)",
}


def content_of(database: Path) -> dict[str, list[tuple[object, ...]]]:
    """The rows of each table, by what numbers stand for; not what the relay noted of itself: the audit log's end."""
    told: dict[str, list[tuple[object, ...]]] = {}
    with closing(sqlite3.connect(database)) as connection:
        for table in tables_of(connection):
            columns = [
                name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
            ]
            values = []
            for column in columns:
                if column == "envelope_number" or (
                    column == "log_number" and table in ("account_logs", "group_logs")
                ):
                    continue
                number = _LOGS.get(table) if column == "log_number" else _NUMBERS.get(column)
                if table == "devices" and column == "device_number":
                    continue
                values.append(column if number is None else number.format(table))
            rows = connection.execute(f"SELECT {', '.join(values)} FROM {table}").fetchall()
            told[table] = sorted(rows, key=repr)
    for table in ("deletion_traces", "audit_log", "sqlite_sequence"):
        told.pop(table, None)
    told["audit_rows"] = [row for row in told["audit_rows"] if row[2] != "migrate"]
    told["records"] = [row for row in told["records"] if row[0] is not None]
    return told
