"""What a relay keeps its state in: SQLite in its data folder, a PostgreSQL that it shares with other nodes, or memory."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from relay.adapters.alone import Alone
from relay.adapters.column_keys import KEY_BYTES, ColumnKeys
from relay.adapters.data_folder import DataFolder, StartRefused, secret_line, trust_of
from relay.adapters.disk_blobs import open_disk_blobs
from relay.adapters.memory.store import open_memory_store
from relay.adapters.moving.marks import refuse_moved
from relay.adapters.sqlite.store import StoreUnusable, open_sqlite_store
from relay.config import PostgresSettings, Settings
from relay.ports.blob_files import BlobFiles
from relay.ports.bus import Bus
from relay.ports.clock import Clock
from relay.ports.leadership import Leadership, Work
from relay.ports.store import Store
from relay.services.audit import Audit
from relay.services.reload import quotas_of

if TYPE_CHECKING:
    from types import ModuleType

    from relay.adapters.postgres.database import Database


@dataclass(frozen=True, slots=True)
class State:
    """What a relay keeps."""

    store: Store
    files: BlobFiles
    leadership: Leadership = field(default_factory=Alone)
    watching: Callable[[Bus, Callable[[BaseException], None]], AbstractAsyncContextManager[None]] | None = (
        None
    )
    """Until the block ends, nodes that the bus does not reach say so and are looked for; None: there are no others."""


_WORKS: Final = {"housekeeping": Work.HOUSEKEEPING, "push": Work.PUSH}
OpenState: TypeAlias = Callable[[DataFolder, Settings, Clock], AbstractAsyncContextManager[State]]


@asynccontextmanager
async def open_sqlite_state(folder: DataFolder, settings: Settings, clock: Clock) -> AsyncIterator[State]:
    """SQLite under the data folder; raises StartRefused, also for a relay that was moved to PostgreSQL."""
    refuse_moved(folder, "sqlite")
    async with AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(
                open_sqlite_store(
                    folder.database,
                    quotas=quotas_of(settings),
                    keys_file=settings.column_keys_file,
                    moving_file=folder.moving_file,
                )
            )
            files = await stack.enter_async_context(open_files(folder, settings))
        except StoreUnusable as error:
            raise StartRefused(str(error)) from error
        yield State(store, files)


@asynccontextmanager
async def open_memory_state(folder: DataFolder, settings: Settings, _clock: Clock) -> AsyncIterator[State]:
    """A store that forgets at the end, for tests of clients; blobs are files all the same."""
    async with open_memory_store(quotas=quotas_of(settings)) as store, open_disk_blobs(folder.blobs) as files:
        yield State(store, files)


@asynccontextmanager
async def open_postgres_state(folder: DataFolder, settings: Settings, clock: Clock) -> AsyncIterator[State]:
    """The database of `postgres.url`; raises StartRefused, also for a folder of a relay that was on SQLite until now."""
    refuse_moved(folder, "postgres")
    if folder.database.exists():
        raise StartRefused(
            f"{folder.database}: this folder has a relay on SQLite: `tokenim-relay migrate sqlite-to-postgres` moves it, "
            "or take postgres.url out of the settings, or name an empty folder with --data",
            exit_code=2,
        )
    postgres = postgres_adapter()
    async with AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(
                postgres.open_postgres_store(
                    settings.postgres.url,
                    keys_file=settings.column_keys_file or folder.column_keys_file,
                    quotas=quotas_of(settings),
                    connections=settings.postgres.connections,
                    **connecting_to(settings.postgres),
                )
            )
            files = await stack.enter_async_context(open_files(folder, settings))
        except postgres.StoreUnreachable as error:
            raise StartRefused(str(error)) from error
        leadership = postgres.PostgresLeadership(
            store.database, [_WORKS[role] for role in settings.work if role in _WORKS], clock
        )
        await stack.enter_async_context(postgres.watching_clock(store.database, clock))
        await stack.enter_async_context(postgres.leading(leadership))
        yield State(
            store,
            files,
            leadership,
            lambda bus, failed: postgres.telling_unheard(store.database, bus, clock, failed),
        )


@asynccontextmanager
async def _looking(settings: Settings) -> "AsyncIterator[Database]":
    """The database, by one connection, to look at: nothing is changed there. Raises StartRefused."""
    postgres = postgres_adapter()
    no_keys = ColumnKeys({1: bytes(KEY_BYTES)})
    try:
        async with postgres.open_database(
            settings.postgres.url, no_keys, connections=1, **connecting_to(settings.postgres)
        ) as database:
            yield database
    except postgres.StoreUnreachable as error:
        raise StartRefused(str(error)) from error


async def check_postgres(settings: Settings, clock: Clock) -> str | None:
    """What would go on and should not, if anything. Changes nothing there.

    Raises StartRefused or Unavailable unless the database answers, takes writes, and has about the time of `clock`.
    """
    postgres = postgres_adapter()
    async with _looking(settings) as database:
        ahead = await postgres.ClockWatch(database, clock).look()
        if abs(ahead) > postgres.FAR_OFF_SECONDS:
            raise StartRefused(
                f"the clock here is {abs(ahead):.0f} s {_side(ahead)} PostgreSQL's: no node is ready so"
            )
        await database.check()
    return (
        f"the clock here is {abs(ahead):.0f} s {_side(ahead)} PostgreSQL's"
        if abs(ahead) > postgres.OFF_SECONDS
        else None
    )


def _side(ahead: float) -> str:
    return "ahead of" if ahead > 0 else "behind"


async def refuse_nodes(settings: Settings) -> None:
    """Raise StartRefused if a node has a connection to the database, Unavailable if nobody can say."""
    async with _looking(settings) as database:
        sessions = await database.other_sessions()
    if sessions:
        raise StartRefused(
            f"nodes have {sessions} connections to this database: stop all of them first", exit_code=2
        )


async def refuse_another_key(audit: Audit, settings: Settings) -> None:
    """A node with another signing key is another relay: its clients and the logs would say so, and it would be too late."""
    if settings.is_cluster and not await audit.is_signed_here():
        raise StartRefused(
            "this node's signing key did not sign the newest row of the audit log in this database: each node has the same "
            "signing_key_file; copy it from a node that runs",
            exit_code=2,
        )


def open_state(folder: DataFolder, settings: Settings, clock: Clock) -> AbstractAsyncContextManager[State]:
    """That of the settings; raises StartRefused."""
    opening = open_postgres_state if settings.is_cluster else open_sqlite_state
    return opening(folder, settings, clock)


def open_files(folder: DataFolder, settings: Settings) -> AbstractAsyncContextManager[BlobFiles]:
    """A bucket, or files under the data folder. Raises StartRefused."""
    s3 = settings.s3
    if s3.bucket is None:
        return open_disk_blobs(folder.blobs)
    try:
        from relay.adapters.s3_blobs import S3Options, open_s3_blobs  # noqa: PLC0415  (an extra)
    except ModuleNotFoundError as error:
        raise StartRefused(
            f"s3.bucket: {error.name} is not installed: install the extra, as in `pip install 'tokenim[cluster]'`"
        ) from error
    secret = secret_line(s3.secret_key_file)
    return open_s3_blobs(S3Options(s3.bucket, s3.region, s3.endpoint, s3.prefix, s3.access_key, secret))


def postgres_adapter() -> "ModuleType":
    """Its adapter, which a relay on SQLite neither needs nor installs. Raises StartRefused."""
    try:
        from relay.adapters.postgres import store  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise StartRefused(
            f"postgres.url: {error.name} is not installed: install the extra, as in `pip install 'tokenim[cluster]'`"
        ) from error
    return store


def connecting_to(settings: PostgresSettings) -> dict[str, Any]:
    """What the URL does not say: the password, and whom to believe. Raises StartRefused."""
    password = secret_line(settings.password_file)
    return {"ssl": trust_of(settings.ca) or False} | ({} if password is None else {"password": password})
