"""What a benchmark says: a name, a value in a unit, the rounds it is the median of, and the floor it is compared with."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Result:
    """One row of the table. `ratio` is value over floor, each round with its own; None where nothing is compared.

    `limit`: what the ratio has to stay below; None: nothing is asked of it.
    """

    name: str
    value: float
    unit: str
    rounds: tuple[float, ...]
    floor: float | None = None
    ratio: float | None = None
    limit: float | None = None

    @classmethod
    def of(
        cls,
        name: str,
        unit: str,
        rounds: Sequence[float],
        floors: Sequence[float] = (),
        *,
        limit: float | None = None,
    ) -> "Result":
        """The median of the rounds, and of their ratios to the floors."""
        ratios = [value / floor for value, floor in zip(rounds, floors, strict=True)] if floors else []
        return cls(
            name,
            statistics.median(rounds),
            unit,
            tuple(rounds),
            statistics.median(floors) if floors else None,
            statistics.median(ratios) if ratios else None,
            limit,
        )

    @property
    def has_failed(self) -> bool:
        """Whether it is not below what is asked of it; so is what was not compared at all."""
        return self.limit is not None and (self.ratio is None or not self.ratio < self.limit)

    @property
    def verdict(self) -> str:
        """For the table; nothing where nothing is asked."""
        if self.limit is None:
            return ""
        return f"{'FAILED' if self.has_failed else 'ok'}: below {self.limit:.2f}"

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
    rows = [("name", "value", "unit", "range", "floor", "ratio", "asked")]
    for result in results:
        low, high = min(result.rounds), max(result.rounds)
        spread = f"{shown(low)} – {shown(high)}" if len(result.rounds) > 1 else ""
        rows.append(
            (
                result.name,
                shown(result.value),
                result.unit,
                spread,
                shown(result.floor),
                shown(result.ratio),
                result.verdict,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, 2, 6) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
