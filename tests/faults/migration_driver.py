"""A node that only brings the schema up to date, to be killed within a step.

python -m tests.faults.migration_driver URL NUMBER: all steps up to NUMBER. The last waits once all that it changes is done.
"""

import asyncio
import sys
from typing import Final

from relay.adapters.column_keys import ColumnKeys
from relay.adapters.postgres.database import open_database
from relay.adapters.postgres.migrate import Migration, migrate, migration, shipped_migrations

NEXT: Final = migration(
    f"{len(shipped_migrations()) + 1:04}_next.sql",
    "CREATE TABLE made_next (a integer); CREATE TABLE also_next (b integer)",
)
STEPS: Final = (*shipped_migrations(), NEXT)
SECONDS: Final = 3


def slow(step: Migration) -> Migration:
    """The step, which then waits within its transaction."""
    return Migration(
        step.number, step.name, f"{step.sql}\n; SELECT pg_sleep({SECONDS})", step.compatible_with
    )


async def main(url: str, number: int) -> None:
    """Until it is killed."""
    async with open_database(url, ColumnKeys({1: bytes(32)}), connections=1) as database:
        await migrate(database, (*STEPS[: number - 1], slow(STEPS[number - 1])))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
