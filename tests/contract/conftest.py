"""The stores that each contract suite runs on; `reopen` is a restart of the same store."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeAlias

import pytest

from relay.adapters.memory.store import MemoryStore, open_memory_store
from relay.adapters.postgres.store import open_postgres_store
from relay.adapters.sqlite.store import open_sqlite_store
from relay.ports.mailboxes import Quotas
from relay.ports.store import Store
from tests.adapter_counts import note_adapter
from tests.servers.databases import give_back, new_database
from tests.servers.postgres import PostgresServer

QUOTAS = Quotas(envelopes=20, bytes=20_000, nearly_full_percent=80)
Reopen: TypeAlias = Callable[[], Awaitable[Store]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each suite runs on every store."""
    if "restartable" in metafunc.fixturenames:
        metafunc.parametrize("restartable", ["memory", "sqlite", "postgres"], indirect=True)


class Restartable:
    """A store that can be closed and opened again; a memory store crashes, as that is how it keeps what it held."""

    def __init__(self, kind: str, folder: Path, url: str = "") -> None:
        self._kind = kind
        self._folder = folder
        self._url = url
        self._stack = AsyncExitStack()
        self.store: Store

    async def open(self) -> Store:
        if self._kind == "sqlite":
            opened = open_sqlite_store(self._folder / "relay.db", quotas=QUOTAS, reserve_bytes=4096)
            self.store = await self._stack.enter_async_context(opened)
        elif self._kind == "postgres":
            self.store = await self._stack.enter_async_context(
                open_postgres_store(
                    self._url, keys_file=self._folder / "column.keys", quotas=QUOTAS, connections=4
                )
            )
        else:
            image = self.store.crash() if isinstance(getattr(self, "store", None), MemoryStore) else None
            self.store = await self._stack.enter_async_context(open_memory_store(image, quotas=QUOTAS))
        return self.store

    async def reopen(self) -> Store:
        if self._kind != "memory":
            await self.close()
        return await self.open()

    async def close(self) -> None:
        await self._stack.aclose()


@pytest.fixture
async def restartable(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Restartable]:
    note_adapter(request, "store", request.param)
    url = ""
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = await new_database(server)
    made = Restartable(request.param, tmp_path, url)
    await made.open()
    yield made
    await made.close()
    if url:
        await give_back(server, url)


@pytest.fixture
def store(restartable: Restartable) -> Store:
    return restartable.store


@pytest.fixture
def reopen(restartable: Restartable) -> Reopen:
    return restartable.reopen


@pytest.fixture
async def two_nodes(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[tuple[Store, Store]]:
    """Two stores on one database, as two nodes have them; their connections stand, so that what runs at once meets."""
    url = await new_database(postgres)
    keys_file = tmp_path / "column.keys"
    async with (
        open_postgres_store(url, keys_file=keys_file, quotas=QUOTAS, connections=4) as one,
        open_postgres_store(url, keys_file=keys_file, quotas=QUOTAS, connections=4) as other,
    ):
        waits = (node.database.rows("SELECT pg_sleep(0.05)") for node in (one, other) for _ in range(4))
        await asyncio.gather(*waits)
        yield one, other
    await give_back(postgres, url)
