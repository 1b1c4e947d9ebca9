"""Brings a store's schema to the newest version: one transaction for each numbered file, so a kill leaves old or new.

The version stands in `PRAGMA user_version`; a store of a newer one is refused. A new store is not taken through them all:
`newest.sql` is what they leave (`python -m tests.upgrades.client_schema` makes it from them), in a third of the time.
"""

from functools import cache
from importlib import resources
from typing import Any

from sqlcipher3 import dbapi2 as sqlcipher

from client.errors import StoreTooNew


@cache
def migrations() -> tuple[tuple[int, str], ...]:
    """(version, SQL) of each file `NNNN_name.sql`, ascending."""
    folder = resources.files(__package__) / "migrations"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda f: f.name)
    return tuple((int(file.name[:4]), file.read_text("utf-8")) for file in files)


@cache
def _newest_schema() -> str:
    return (resources.files(__package__) / "newest.sql").read_text("utf-8")


def migrate(connection: Any, *, step_by_step: bool = False) -> None:
    """Run what is missing on an open connection (no transaction open); of a new store, too, `step_by_step`.

    Raises StoreTooNew.
    """
    steps = migrations()
    # The lock first: of two processes that open a new store, one makes it and the other sees it made.
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        newest = steps[-1][0]
        if version > newest:
            raise StoreTooNew(
                f"this folder was written by a newer version (schema {version}, known {newest}): upgrade"
            )
        if version == 0 and not step_by_step:
            steps = ((newest, _newest_schema()),)
        for number, sql in steps:
            if number > version:
                for statement in _statements(sql):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _statements(sql: str) -> list[str]:
    """The statements of a file; `executescript` would commit on its own. A trigger's inner semicolons do not end one."""
    lines = [line for line in sql.splitlines() if not line.lstrip().startswith("--")]
    statements = []
    begun = ""
    for part in "\n".join(lines).split(";")[:-1]:
        begun += part + ";"
        if sqlcipher.complete_statement(begun):
            statements.append(begun.strip())
            begun = ""
    return statements
