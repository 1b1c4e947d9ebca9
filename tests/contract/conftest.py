"""The stores that each contract suite runs on; `reopen` is a restart of the same store."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeAlias

import pytest

from relay.adapters.memory.store import MemoryStore, open_memory_store
from relay.adapters.sqlite.store import open_sqlite_store
from relay.ports.mailboxes import Quotas
from relay.ports.store import Store

QUOTAS = Quotas(envelopes=20, bytes=20_000, nearly_full_percent=80)
Reopen: TypeAlias = Callable[[], Awaitable[Store]]


class Restartable:
    """A store that can be closed and opened again; a memory store crashes, as that is how it keeps what it held."""

    def __init__(self, kind: str, folder: Path) -> None:
        self._kind = kind
        self._folder = folder
        self._stack = AsyncExitStack()
        self.store: Store

    async def open(self) -> Store:
        if self._kind == "sqlite":
            opened = open_sqlite_store(self._folder / "relay.db", quotas=QUOTAS, reserve_bytes=4096)
            self.store = await self._stack.enter_async_context(opened)
        else:
            image = self.store.crash() if isinstance(getattr(self, "store", None), MemoryStore) else None
            self.store = await self._stack.enter_async_context(open_memory_store(image, quotas=QUOTAS))
        return self.store

    async def reopen(self) -> Store:
        if self._kind == "sqlite":
            await self.close()
        return await self.open()

    async def close(self) -> None:
        await self._stack.aclose()


@pytest.fixture(params=["memory", "sqlite"])
async def restartable(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Restartable]:
    made = Restartable(request.param, tmp_path)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def store(restartable: Restartable) -> Store:
    return restartable.store


@pytest.fixture
def reopen(restartable: Restartable) -> Reopen:
    return restartable.reopen
