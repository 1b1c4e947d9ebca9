"""Writes client/store/newest.sql from the migrations beside it: python -m tests.upgrades.client_schema"""

from pathlib import Path
from typing import Any

from sqlcipher3 import dbapi2 as sqlcipher

from client.store.migrate import migrate

FILE = Path(__file__).parents[2] / "client" / "store" / "newest.sql"
HEAD = """\
-- What the migrations leave, for a new store. Made from them: python -m tests.upgrades.client_schema
"""


def schema_of(connection: Any) -> list[tuple[str, ...]]:
    """(type, name, table, SQL) of all that was created, in that order, and the version."""
    rows = connection.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY rowid"
    )
    return [*rows, *connection.execute("PRAGMA user_version")]


def made(*, step_by_step: bool) -> list[tuple[str, ...]]:
    """Of a new store."""
    connection = sqlcipher.connect(":memory:", isolation_level=None)
    try:
        migrate(connection, step_by_step=step_by_step)
        return schema_of(connection)
    finally:
        connection.close()


def main() -> None:
    *created, _ = made(step_by_step=True)
    FILE.write_text(HEAD + "".join(f"{sql};\n" for _, _, _, sql in created), encoding="utf-8")


if __name__ == "__main__":
    main()
