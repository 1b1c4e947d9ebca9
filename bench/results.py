"""What a benchmark says: a name, a value in a unit, the rounds it is the median of, and the floor it is compared with."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Result:
    """One row of the table. `ratio` is value over floor, each round with its own; None where nothing is compared."""

    name: str
    value: float
    unit: str
    rounds: tuple[float, ...]
    floor: float | None = None
    ratio: float | None = None

    @classmethod
    def of(cls, name: str, unit: str, rounds: Sequence[float], floors: Sequence[float] = ()) -> "Result":
        """The median of the rounds, and of their ratios to the floors."""
        ratios = [value / floor for value, floor in zip(rounds, floors, strict=True)] if floors else []
        return cls(
            name,
            statistics.median(rounds),
            unit,
            tuple(rounds),
            statistics.median(floors) if floors else None,
            statistics.median(ratios) if ratios else None,
        )

    def as_json(self) -> dict[str, Any]:
        """As it stands in results.json."""
        return asdict(self)


def shown(value: float | None) -> str:
    """A number for a person: three figures that count."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def table(results: Sequence[Result]) -> str:
    """The results as aligned columns."""
    rows = [("name", "value", "unit", "range", "floor", "ratio")]
    for result in results:
        low, high = min(result.rounds), max(result.rounds)
        spread = f"{shown(low)} – {shown(high)}" if len(result.rounds) > 1 else ""
        rows.append(
            (result.name, shown(result.value), result.unit, spread, shown(result.floor), shown(result.ratio))
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, 2) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
