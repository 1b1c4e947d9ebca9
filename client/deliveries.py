"""Who waits for which messages to be accepted, and since when the relay is out of reach. In memory only."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from .errors import ClientError, RelayUnreachable
from .system import System

_LOOK_SECONDS: Final = 1.0


class Deliveries:
    """The two workers of the outbox report here; callers of `send` wait here."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._waiters: set[Waiter] = set()
        self._lost_since: float | None = None
        self._lost_by: RelayUnreachable | None = None
        self.broken: BaseException | None = None

    def lost(self, error: RelayUnreachable) -> None:
        """The relay was not reached just now."""
        if self._lost_since is None:
            self._lost_since = self._system.monotonic_seconds()
        self._lost_by = error
        for waiter in self._waiters:
            waiter.changed.set()

    def found(self) -> None:
        """The relay answers (again)."""
        self._lost_since = self._lost_by = None

    def accepted(self, message_numbers: Iterable[int]) -> None:
        """These are with the relay for good."""
        done = set(message_numbers)
        for waiter in self._waiters:
            waiter.accepted += len(waiter.left & done)
            waiter.left -= done
            waiter.changed.set()

    def failed(self, message_numbers: Iterable[int], error: ClientError) -> None:
        """These are not accepted, now or for good: the error says which."""
        failed = set(message_numbers)
        for waiter in self._waiters:
            if waiter.left & failed:
                waiter.refused += len(waiter.left & failed)
                waiter.left -= failed
                waiter.error = waiter.error or error
                waiter.changed.set()

    def worker_ended(self, worker: "asyncio.Task[None]") -> None:
        """A worker only ends by being stopped, or by an error that nobody foresaw: whoever waits gets it."""
        if not worker.cancelled() and worker.exception() is not None:
            self.broken = worker.exception()
            for waiter in self._waiters:
                waiter.changed.set()

    def watch(self, message_numbers: Iterable[int]) -> "Waiter":
        """Begin to wait for messages."""
        waiter = Waiter(self, set(message_numbers))
        self._waiters.add(waiter)
        return waiter

    def forget(self, waiter: "Waiter") -> None:
        """Nobody waits there any more."""
        self._waiters.discard(waiter)

    def out_of_patience(self, patience_seconds: float, begun: float) -> RelayUnreachable | None:
        """The error to raise, if the relay has been out of reach for that long since `begun`."""
        if self._lost_since is None or self._lost_by is None:
            return None
        waited = self.now_seconds() - max(self._lost_since, begun)
        return self._lost_by if waited >= patience_seconds else None

    def now_seconds(self) -> float:
        """Monotonic."""
        return self._system.monotonic_seconds()


class Waiter:
    """One caller's messages. `accepted` and `refused` count; `error` is the first refusal."""

    def __init__(self, deliveries: Deliveries, left: set[int]) -> None:
        self._deliveries = deliveries
        self.left = left
        self.accepted = 0
        self.refused = 0
        self.error: ClientError | None = None
        self.changed = asyncio.Event()

    def add(self, message_numbers: Iterable[int]) -> None:
        """Wait for these too."""
        self.left |= set(message_numbers)

    async def until(
        self, most_left: int, patience_seconds: float, look: Callable[[], Awaitable[None]]
    ) -> None:
        """Return when at most so many are undecided; raises RelayUnreachable out of patience.

        `look` is called while nothing happens: another process may have sent what this one waits for.
        """
        begun = self._deliveries.now_seconds()
        while len(self.left) > most_left:
            self.changed.clear()
            if self._deliveries.broken is not None:
                raise self._deliveries.broken
            error = self._deliveries.out_of_patience(patience_seconds, begun)
            if error is not None:
                raise RelayUnreachable(
                    f"{error}; {_waiting(len(self.left))} with the next call that reaches it"
                )
            try:
                async with asyncio.timeout(min(max(patience_seconds, 0.05), _LOOK_SECONDS)):
                    await self.changed.wait()
            except TimeoutError:
                await look()


def _waiting(count: int) -> str:
    if count == 1:
        return "1 message waits in the outbox and goes out"
    return f"{count} messages wait in the outbox and go out"
