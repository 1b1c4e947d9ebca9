"""Usage by day, in SQLite."""

from collections.abc import Sequence
from typing import Final

from relay.ports.usage import UsageDay

from .reader import Reader
from .writer import Transaction, Writer

_DEVICES: Final = "active_devices"


class SqliteUsage:
    """UsageStore on one file."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def devices_seen(self, day: int) -> int:
        """Devices that were last here on this day, counted in their index."""
        ((count,),) = await self._reader.rows("SELECT count(*) FROM devices WHERE seen_day = ?", (day,))
        return int(count)

    async def put(self, days: Sequence[UsageDay]) -> None:
        """In the place of what was known."""

        async def operation(transaction: Transaction) -> None:
            for one in days:
                await transaction.rows("DELETE FROM usage WHERE day = ?", (one.day,))
                for counted, count in {_DEVICES: one.active_devices, **one.accepted}.items():
                    await transaction.rows("INSERT INTO usage VALUES (?, ?, ?)", (one.day, counted, count))

        await self._writer.run(operation, frees=True)

    async def list(self, *, since_day: int) -> tuple[UsageDay, ...]:
        """From that day on."""
        days: dict[int, dict[str, int]] = {}
        for day, counted, count in await self._reader.rows(
            "SELECT day, counted, count FROM usage WHERE day >= ? ORDER BY day", (since_day,)
        ):
            days.setdefault(day, {})[counted] = count
        return tuple(UsageDay(day, counts.pop(_DEVICES, 0), counts) for day, counts in days.items())

    async def remove_before(self, day: int) -> int:
        """Forget what is older."""
        if await self._reader.one("SELECT 1 FROM usage WHERE day < ? LIMIT 1", (day,)) is None:
            return 0

        async def operation(transaction: Transaction) -> int:
            gone = await transaction.rows("DELETE FROM usage WHERE day < ? RETURNING day", (day,))
            return len({each for (each,) in gone})

        return await self._writer.run(operation, frees=True)
