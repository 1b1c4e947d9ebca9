"""What is left alone for a while, each until a time of its own. Waits for nothing itself."""

from collections.abc import Callable, KeysView
from typing import Generic, TypeVar

P = TypeVar("P")


class Pauses(Generic[P]):
    """Places that are not tried again before their time; `now` gives monotonic seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._until: dict[P, float] = {}

    def __contains__(self, place: P) -> bool:
        return place in self._until

    @property
    def places(self) -> KeysView[P]:
        """All that are paused."""
        return self._until.keys()

    def begin(self, place: P, seconds: float) -> None:
        """Leave it alone for so long from now."""
        self._until[place] = self._now() + seconds

    def end(self, place: P) -> None:
        """Try it again, whatever its time."""
        self._until.pop(place, None)

    def end_all(self) -> None:
        """Try all again."""
        self._until.clear()

    def end_due(self) -> None:
        """Try again those whose time has come."""
        now = self._now()
        self._until = {place: until for place, until in self._until.items() if until > now}

    def remaining_seconds(self) -> float | None:
        """Until the first one's time comes, 0 if it has; None if nothing is paused."""
        first = min(self._until.values(), default=None)
        return None if first is None else max(0.0, first - self._now())
