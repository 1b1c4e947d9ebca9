"""How the relay stands, for who watches it: what nobody counts as it changes is looked up when it is asked for."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from relay.observe.figures import Figures
from relay.observe.recent import EVERY_SECONDS, Recent
from relay.ports.clock import Clock
from relay.ports.store import Store
from relay.services.connections import Connections
from relay.services.load import Load
from relay.session.session import Session
from relay.wire.errors import RelayError

from .beside import beside

STOCK_SECONDS: Final = 300.0
"""So often one-time prekeys are counted: in a store of millions that takes a second or two, a little at a time."""
FRESH_SECONDS: Final = 5.0
"""So old a look into the store may be: who asks more often gets the same."""
TICK_SECONDS: Final = 1.0


def _kind(session: Session) -> str:
    """What somebody is connected for."""
    if session.delivery is not None:
        return "mailbox"
    return "anonymous" if session.signer is None else "signed"


class Vitals:
    """Looks at the store, the connections and the event loop."""

    def __init__(
        self, store: Store, connections: Connections, figures: Figures, clock: Clock, load: Load
    ) -> None:
        self.recent: Final = Recent(figures)
        self._store = store
        self._connections = connections
        self._figures = figures
        self._clock = clock
        self._load = load
        self._looking = asyncio.Lock()
        self._looked_at: float | None = None

    async def look(self) -> None:
        """Bring the figures up to date. A store that cannot be read leaves its own as they were."""
        self._look_at_connections()
        self._figures.set("store_failed", self._store.failed.is_set())
        async with self._looking:
            now = self._clock.monotonic_seconds()
            if self._looked_at is not None and now - self._looked_at < FRESH_SECONDS:
                return
            with suppress(RelayError):
                await self._look_at_store()
            self._looked_at = now

    async def count_prekeys(self) -> None:
        """Count one-time prekeys every STOCK_SECONDS, until cancelled."""
        while True:
            with suppress(RelayError):
                self._figures.set("one_time_prekeys", await self._store.prekeys.count_one_time())
            await self._clock.sleep(STOCK_SECONDS)

    def _look_at_connections(self) -> None:
        kinds = Counter(_kind(session) for session in self._connections.sessions())
        for kind in ("mailbox", "signed", "anonymous"):
            self._figures.set("connections", kinds[kind], label=kind)

    async def _look_at_store(self) -> None:
        levels = await self._store.levels()
        oldest = levels.oldest_received_at_ms
        age = 0.0 if oldest is None else max(self._clock.now_ms() - oldest, 0) / 1_000
        for name, value in (
            ("accounts", levels.accounts),
            ("waiting_envelopes", levels.waiting),
            ("oldest_waiting_seconds", age),
            ("database_bytes", levels.file_bytes),
            ("database_log_bytes", levels.log_bytes),
            ("disk_bytes", levels.disk_bytes),
            ("disk_free_bytes", levels.disk_free_bytes),
            ("storage_full", levels.full),
        ):
            self._figures.set(name, value)
        if levels.clock_ahead_seconds is not None:
            self._figures.set("clock_ahead_seconds", levels.clock_ahead_seconds)
        told = self._figures.value("commits_unreplicated_total") or 0
        self._figures.add("commits_unreplicated_total", levels.unreplicated - int(told))

    async def sample(self) -> None:
        """Keep a sample every EVERY_SECONDS, until cancelled."""
        while True:
            await self.look()
            self.recent.sample(now_ms=self._clock.now_ms(), at=self._clock.monotonic_seconds())
            await self._clock.sleep(EVERY_SECONDS)

    async def feel_the_loop(self) -> None:
        """Note once a second how late the event loop is, and what that means for the load, until cancelled."""
        while True:
            due = self._clock.monotonic_seconds() + TICK_SECONDS
            await self._clock.sleep(TICK_SECONDS)
            late = max(self._clock.monotonic_seconds() - due, 0.0)
            self._figures.took("loop_late_seconds", late)
            await self._load.look(late)


@asynccontextmanager
async def open_vitals(vitals: Vitals) -> AsyncIterator[None]:
    """The event loop is felt, and prekeys are counted, until the block ends."""
    async with beside(vitals.feel_the_loop(), "vitals"), beside(vitals.count_prekeys(), "prekey-stock"):
        yield


@asynccontextmanager
async def open_samples(vitals: Vitals, failed: Callable[[BaseException], None]) -> AsyncIterator[None]:
    """Samples are kept until the block ends; `failed` is told what ends them before."""

    async def keep() -> None:
        try:
            await vitals.sample()
        except Exception as error:  # noqa: BLE001  (a bug of ours: charts stand still, the relay goes on)
            failed(error)

    async with beside(keep(), "samples"):
        yield
