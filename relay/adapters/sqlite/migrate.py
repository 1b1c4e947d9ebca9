"""Brings the schema up to date, one transaction a step: after a kill at any moment it is the old one or the new one."""

import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Final, TypeAlias

import aiosqlite

from relay.adapters.column_keys import ColumnKeys
from relay.ports.clock import Randomness

from .connection import StoreUnusable
from .enter_log import enter_existing
from .sealing import seal_existing

Filling: TypeAlias = Callable[[aiosqlite.Connection, Randomness, ColumnKeys], Awaitable[None]]
"""What SQL cannot say; runs after the step's statements and in their transaction."""
_FILLINGS: Final[Mapping[str, Filling]] = MappingProxyType(
    {"transparency.sql": enter_existing, "sealed_columns.sql": seal_existing}
)


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered step: the statements of one SQL file, and what fills the new tables where SQL cannot."""

    number: int
    name: str
    sql: str
    fill: Filling | None = None

    def statements(self) -> Iterator[str]:
        """The single statements, in order; a trigger's inner semicolons do not end one."""
        pending = ""
        for line in self.sql.splitlines(keepends=True):
            pending += line
            if sqlite3.complete_statement(pending):
                yield pending
                pending = ""
        if any(line.strip() and not line.lstrip().startswith("--") for line in pending.splitlines()):
            raise ValueError(f"{self.name} ends inside a statement")


def shipped_migrations() -> tuple[Migration, ...]:
    """The steps that come with this version, in order, numbered 1, 2, 3 …"""
    folder = resources.files("relay.adapters.sqlite.migrations")
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name
    )
    steps = tuple(
        Migration(int(file.name[:4]), file.name, file.read_text("utf-8"), _FILLINGS.get(file.name[5:]))
        for file in files
    )
    if [step.number for step in steps] != list(range(1, len(steps) + 1)):
        raise ValueError("migrations are not numbered 1, 2, 3 …")
    return steps


async def schema_version(connection: aiosqlite.Connection) -> int:
    """The highest step that was applied, 0 for an empty database."""
    found = await connection.execute_fetchall("SELECT 1 FROM sqlite_schema WHERE name = 'schema_version'")
    if not list(found):
        return 0
    ((version,),) = await connection.execute_fetchall("SELECT coalesce(max(version), 0) FROM schema_version")
    return int(version)


async def migrate(
    connection: aiosqlite.Connection,
    migrations: Sequence[Migration],
    randomness: Randomness,
    keys: ColumnKeys,
) -> int:
    """Apply what is missing; the number of steps done. Raises StoreUnusable for a schema newer than `migrations`."""
    version = await schema_version(connection)
    newest = migrations[-1].number if migrations else 0
    if version > newest:
        raise StoreUnusable(
            f"the database has schema {version}, this relay knows up to {newest}: "
            "run the newer version again, or restore the backup made before it"
        )
    missing = [step for step in migrations if step.number > version]
    for step in missing:
        await _apply(connection, step, randomness, keys)
    return len(missing)


async def _apply(
    connection: aiosqlite.Connection, step: Migration, randomness: Randomness, keys: ColumnKeys
) -> None:
    await connection.execute_fetchall("BEGIN IMMEDIATE")
    try:
        await connection.execute_fetchall(
            "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT"
        )
        for statement in step.statements():
            await connection.execute_fetchall(statement)
        if step.fill is not None:
            await step.fill(connection, randomness, keys)
        await connection.execute_fetchall(
            "INSERT INTO schema_version VALUES (?, ?)", (step.number, step.name)
        )
    except BaseException:
        await connection.execute_fetchall("ROLLBACK")
        raise
    await connection.execute_fetchall("COMMIT")
