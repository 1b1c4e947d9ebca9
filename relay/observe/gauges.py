"""Figures that go up and down, as they stand now, in memory: no labels that could name a person or an account."""


class Gauges:
    """A name to a number. Names are fixed words of the code, like `audit_rows`."""

    def __init__(self) -> None:
        self._values: dict[str, float] = {}

    def set(self, name: str, value: float) -> None:
        """It is so much now."""
        self._values[name] = value

    def snapshot(self) -> dict[str, float]:
        """All that were ever set, by name."""
        return dict(sorted(self._values.items()))
