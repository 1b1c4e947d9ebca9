"""Usage by day, in PostgreSQL: what several nodes count adds up.

A node puts what it knows of a day, which is what it knew before and what came since; the difference is added. A day that
is rounded down while other nodes have counted in it as well stays as it is until a node starts, which knows all of it.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from relay.ports.usage import UsageDay

from .database import Database, Transaction

_DEVICES: Final = "active_devices"


def _counts(day: UsageDay) -> dict[str, int]:
    return {_DEVICES: day.active_devices, **day.accepted}


class PostgresUsage:
    """UsageStore on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[int, Mapping[str, int]] = {}

    async def devices_seen(self, day: int) -> int:
        """Devices that were last here on this day, counted in their index."""
        ((count,),) = await self._database.rows("SELECT count(*) FROM device_owners WHERE seen_day = $1", day)
        return int(count)

    async def put(self, days: Sequence[UsageDay]) -> None:
        """In the place of what this node knew."""

        async def operation(transaction: Transaction) -> None:
            for one in sorted(days, key=lambda each: each.day):
                await self._put(transaction, one)

        await self._database.run(operation)
        self._known |= {one.day: _counts(one) for one in days}

    async def _put(self, transaction: Transaction, day: UsageDay) -> None:
        known, wanted = self._known.get(day.day, {}), _counts(day)
        rows = await transaction.rows("SELECT counted, count FROM usage WHERE day = $1 FOR UPDATE", day.day)
        standing = {row[0]: int(row[1]) for row in rows}
        if all(count <= known.get(counted, 0) for counted, count in standing.items()):
            after = wanted  # nobody else has counted
        else:
            grown = {counted: count - known.get(counted, 0) for counted, count in wanted.items()}
            after = {
                counted: standing.get(counted, 0) + max(grown.get(counted, 0), 0)
                for counted in standing.keys() | wanted.keys()
            }
            after[_DEVICES] = max(standing.get(_DEVICES, 0), wanted[_DEVICES])  # each node sees all of them
        await transaction.execute("DELETE FROM usage WHERE day = $1", day.day)
        await transaction.execute_many(
            """INSERT INTO usage VALUES ($1, $2, $3)
               ON CONFLICT (day, counted) DO UPDATE SET count = usage.count + excluded.count""",
            [(day.day, counted, count) for counted, count in sorted(after.items())],
        )

    async def list(self, *, since_day: int) -> tuple[UsageDay, ...]:
        """From that day on."""
        days: dict[int, dict[str, int]] = {}
        for day, counted, count in await self._database.rows(
            "SELECT day, counted, count FROM usage WHERE day >= $1 ORDER BY day", since_day
        ):
            days.setdefault(day, {})[counted] = count
        for day, counts in days.items():
            self._known.setdefault(day, dict(counts))
        return tuple(UsageDay(day, counts.pop(_DEVICES, 0), counts) for day, counts in days.items())

    async def remove_before(self, day: int) -> int:
        """Forget what is older."""
        gone = await self._database.change("DELETE FROM usage WHERE day < $1 RETURNING day", day)
        self._known = {each: counts for each, counts in self._known.items() if each >= day}
        return len({row[0] for row in gone})
