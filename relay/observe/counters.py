"""Counts of what happened since the start, in memory: no labels that could name a person or an account."""

from collections import Counter


class Counters:
    """A name to a count. Names are fixed words of the code, like `submit_accepted` or `refused_rate_limited`."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, name: str, amount: int = 1) -> None:
        """Count `amount` more of `name`."""
        self._counts[name] += amount

    def snapshot(self) -> dict[str, int]:
        """All counts, by name."""
        return dict(sorted(self._counts.items()))
