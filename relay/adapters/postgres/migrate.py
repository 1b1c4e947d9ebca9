"""Brings the schema up to date, one transaction a step, by one node at a time: old or new after a kill, nothing between.

A step may keep to what older relays know: its file begins with `-- compatible with: N`, the schema that a relay must know
at least to work beside it. So nodes of N and N+1 run side by side, and an upgrade needs no pause (F21).
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final

from relay.wire.errors import Unavailable

from .database import Database, Lock, Operation, StoreUnreachable, Transaction, is_busy

_log = logging.getLogger(__name__)

_COMPATIBLE: Final = re.compile(r"^-- compatible with: ([0-9]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered step. `compatible_with`: relays that know this schema can go on beside it."""

    number: int
    name: str
    sql: str
    compatible_with: int


def migration(name: str, sql: str) -> Migration:
    """The step of a file; without a word of it, only relays that know the step can work with it."""
    number = int(name[:4])
    said = _COMPATIBLE.search(sql)
    return Migration(number, name, sql, int(said[1]) if said else number)


def shipped_migrations() -> tuple[Migration, ...]:
    """The steps that come with this version, in order, numbered 1, 2, 3 …"""
    folder = resources.files("relay.adapters.postgres.migrations")
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    steps = tuple(migration(name, (folder / name).read_text("utf-8")) for name in names)
    if [step.number for step in steps] != list(range(1, len(steps) + 1)):
        raise ValueError("migrations are not numbered 1, 2, 3 …")
    return steps


async def migrate(database: Database, migrations: Sequence[Migration]) -> int:
    """Apply what is missing; the number of steps done. Waits for a node that is at it, and for tables that are in use.

    Raises StoreUnreachable for a schema this relay cannot work with, Unavailable.
    """
    newest = migrations[-1].number if migrations else 0
    done = 0
    for step in migrations:

        async def apply(transaction: Transaction, step: Migration = step) -> bool:
            return await _apply(transaction, step, newest)

        done += await _once_free(database, apply)
    return done


async def _once_free(database: Database, apply: Operation[bool]) -> bool:
    """Each try waits as long as a lock may be waited for, so that traffic is not held up behind it; then it goes on."""
    while True:
        try:
            return await database.run(apply)
        except Unavailable as error:
            if not is_busy(error):
                raise
            _log.info("migration_waits")


async def _apply(transaction: Transaction, step: Migration, newest: int) -> bool:
    """The step, unless it is there; whoever comes second waits and finds it done."""
    await transaction.lock(Lock.MIGRATION)
    await transaction.execute(
        """CREATE TABLE IF NOT EXISTS schema_version (
               version integer NOT NULL PRIMARY KEY, name text NOT NULL, compatible_with integer NOT NULL)"""
    )
    found = await transaction.rows("SELECT version, compatible_with FROM schema_version ORDER BY version")
    if found and (needed := max(row[1] for row in found)) > newest:
        raise StoreUnreachable(
            f"the database has schema {found[-1][0]}, which needs a relay that knows {needed}; this one knows up to "
            f"{newest}: run the newer version"
        )
    if any(row[0] == step.number for row in found):
        return False
    await transaction.execute(
        "SET LOCAL statement_timeout = 0"
    )  # lock_timeout stays: traffic is not held up behind it
    await transaction.script(step.sql)
    await transaction.execute(
        "INSERT INTO schema_version VALUES ($1, $2, $3)", step.number, step.name, step.compatible_with
    )
    return True
