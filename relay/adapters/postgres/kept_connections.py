"""Connections of the pool that are kept between two uses: what the pool does to give one and to take it back is more work
for a node than a short statement."""

import logging
from contextlib import suppress
from typing import Final, TypeAlias

import asyncpg

_log = logging.getLogger(__name__)

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

CONNECT_SECONDS: Final = 5.0
"""For a connection, a new one or one of the pool's."""

FAILURES: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # of a connection that goes in the middle of something
    OSError,
    TimeoutError,
)
"""How the server, or the way to it, fails."""


class KeptConnections:
    """Takes from the pool, and gives back to it what is not kept."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", most: int) -> None:
        """`most`: so many are kept; fewer than the pool has, so that nobody who asks the pool itself waits for ever."""
        self._pool = pool
        self._most = most
        self._kept: list[Connection] = []
        self._wanting = 0

    async def take(self) -> Connection:
        """The one that was used last, or one of the pool's. Raises FAILURES."""
        while self._kept:
            connection = self._kept.pop()
            if not _has_gone(connection):
                return connection
            await self.give_back(connection)
        self._wanting += 1
        try:
            return await self._pool.acquire(timeout=CONNECT_SECONDS)
        finally:
            self._wanting -= 1

    def keep(self, connection: Connection) -> bool:
        """Keep one that nothing is under way on; False: somebody waits for it, or there are enough, or it has gone."""
        if self._wanting or len(self._kept) >= self._most or _has_gone(connection):
            return False
        self._kept.append(connection)
        return True

    async def give_back(self, connection: Connection) -> None:
        """To the pool, which ends what is under way on it."""
        try:
            await self._pool.release(connection, timeout=CONNECT_SECONDS)
        except FAILURES:
            terminate(connection)  # it is not used again; its place in the pool is free
            _log.warning("connection_lost")

    async def give_back_all(self) -> None:
        """Before the pool is closed."""
        self._most = 0
        while self._kept:
            await self.give_back(self._kept.pop())


def _has_gone(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # the pool has noticed, and taken it back
        return True


def terminate(connection: Connection) -> None:
    """Close it at once, unless the pool has noticed before that it is gone."""
    with suppress(asyncpg.InterfaceError):
        connection.terminate()
