"""A relay's state from SQLite to PostgreSQL and back: composes the sides of a move, and switches once both are alike.

Whatever is killed when: what stands in the data folder (`moving`) and in PostgreSQL tells which side is the truth, no relay
starts on the other nor writes there, and the same command goes on. A relay that runs on SQLite is read-only meanwhile, and ends
by itself. docs/decisions/0032-a-move-is-a-copy-that-is-compared.md.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from relay.adapters.column_keys import ColumnKeys, read_keys
from relay.adapters.data_folder import DataFolder, FolderInUse, StartRefused, open_data_folder, write_secret
from relay.adapters.disk_blobs import open_disk_blobs, sync_folder
from relay.adapters.moving.blobs import BlobsMoved, move_blobs
from relay.adapters.moving.copying import Compared, Told, compare, copy
from relay.adapters.moving.marks import Mark, draft_of, moved_from, read_mark, remove_mark, write_mark
from relay.adapters.moving.progress import Source
from relay.adapters.moving.running import after_relay, only_move, wait_for_writer
from relay.adapters.moving.sqlite_side import (
    begin_draft,
    is_draft_of,
    open_beside,
    open_draft,
    open_source,
    remove_draft,
    settle_log,
)
from relay.adapters.sqlite.snapshot import refuse_other_schema, sealing_keys
from relay.adapters.sqlite.store import StoreUnusable, open_sqlite_store
from relay.adapters.system_clock import SystemClock, system_randomness
from relay.config import Settings
from relay.control.asking import CommandRefused, NoRelay, ask
from relay.ports.store import Store
from relay.services.audit import Action, Audit
from relay.session.proof import RelayKey
from relay.states import connecting_to, open_files, postgres_adapter
from relay.wire.audit_rows import Party

if TYPE_CHECKING:
    from relay.adapters.moving.postgres_side import PostgresSide

_ID_BYTES: Final = 16
_NODES_GO_SECONDS: Final = 5
"""A node that was stopped a moment ago may still have connections."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of it. `orphans`: rows that SQLite would not have. `finished`: the other side is the truth now."""

    tables: tuple[Compared, ...] = ()
    blobs: BlobsMoved | None = None
    orphans: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether nothing stood in the way of the switch; it is made then."""
        return (
            all(one.alike for one in self.tables)
            and not self.orphans
            and not (self.blobs and self.blobs.unlike)
        )


async def to_postgres(settings: Settings, told: Told, *, keep_blobs: bool = False) -> Moved:
    """Move the folder's relay into the database of `postgres.url`, or go on with that. Raises StartRefused, RelayError."""
    _require_url(settings)
    bucket = settings.s3.bucket is not None and not keep_blobs
    with _one_line(), only_move(settings.data_folder):
        try:
            with open_data_folder(settings.data_folder, create=False) as folder:
                mark, moved = await _fill_postgres(folder, settings, told, bucket=bucket, running=False)
                if mark.done:
                    await _finish_in_postgres(folder, settings, mark)
                return moved
        except FolderInUse:
            folder = DataFolder(settings.data_folder.absolute())
            if await _ask_relay(folder) is None:
                raise  # something else has it
        if bucket and read_mark(folder) is None:
            await _blobs_beside(folder, settings, told)  # most of them, before the pause begins
        mark, moved = await _fill_postgres(folder, settings, told, bucket=bucket, running=True)
        if mark.done:
            async with after_relay(settings.data_folder, SystemClock()) as folder:
                await _finish_in_postgres(folder, settings, mark)
        return moved


async def _ask_relay(folder: DataFolder) -> bool | None:
    """Whether the relay that has this folder is read-only by now; None: none answers. Raises StartRefused.

    One of a version that looks for no mark does not know the question.
    """
    try:
        answer = await asyncio.to_thread(ask, folder.path, "move.state", {})
    except NoRelay:
        return None
    except CommandRefused as error:
        raise StartRefused(
            f"{folder.path}: the relay that runs cannot be moved so ({error}): stop it, or start this version, then run "
            "this again"
        ) from error
    return bool(answer["being_moved"])


async def _fill_postgres(
    folder: DataFolder, settings: Settings, told: Told, *, bucket: bool, running: bool
) -> tuple[Mark, Moved]:
    """All is in PostgreSQL and was compared, if the mark says done. `running`: a relay has the folder, and keeps it."""
    mark = read_mark(folder)
    if mark is not None and mark.target != "postgres":
        raise StartRefused(
            f"{folder.path}: this relay is being moved the other way: finish or abandon that first"
        )
    keys_file = _bring_keys(folder, settings)
    if mark is not None and mark.done:
        return mark, Moved()
    if not folder.database.exists():
        raise StartRefused(
            f"{folder.database}: there is no relay on SQLite here: correct --data", exit_code=2
        )
    if running:
        refuse_other_schema(folder.database)
    else:
        async with open_sqlite_store(folder.database, keys_file=keys_file):
            pass  # of an earlier version, maybe: it is of this one now, and this is its key file
    mark = mark or Mark("postgres", system_randomness(_ID_BYTES))
    async with _postgres_side(settings, ColumnKeys(read_keys(keys_file))) as there:
        await _begin_filling(there, folder, mark)
        # The mark stands: from here on a relay that runs commits nothing.
        await asyncio.to_thread(wait_for_writer, folder.database)
        if running:
            await _check_relay(folder, keys_file)
        with open_source(folder.database) as here:
            await copy(here, there, told)
            await there.end_filling()
            tables = tuple([one async for one in compare(here, there, told)])
            blobs = await _to_bucket(here, folder, settings, told) if bucket else None
        moved = Moved(tables, blobs)
        if not moved.finished:
            return mark, moved
        mark = Mark(mark.target, mark.move_id, done=True)
        write_mark(folder, mark)
        return mark, moved


async def _check_relay(folder: DataFolder, keys_file: Path) -> None:
    """The relay sees the mark; its keys did not change meanwhile. Raises StartRefused.

    It answers once it has opened its database, so what a start writes there, past its writer, is behind it; and one that
    starts after it sees the mark before it opens anything.
    """
    match await _ask_relay(folder):
        case None:
            raise FolderInUse(f"{folder.path}: the relay ended, or starts anew: run this again, it goes on")
        case False:
            raise StartRefused(
                f"{folder.path}: the relay that runs does not see the mark of the move: stop it, run this again"
            )
    if missing := sealing_keys(folder.database) - read_keys(keys_file).keys():
        raise StartRefused(
            f"{keys_file}: key {min(missing)} of the database is missing: copy the relay's own key file there"
        )


async def _begin_filling(there: "PostgresSide", folder: DataFolder, mark: Mark) -> None:
    known = await there.mark()
    if known == (mark.move_id, "postgres"):
        return
    if known is not None:
        raise StartRefused("postgres.url: this database has part in another move: name a new one")
    filled = await there.filled()
    if filled:
        raise StartRefused(
            f"postgres.url: a relay has begun in this database ({', '.join(filled[:3])}): name a new one",
            exit_code=2,
        )
    await _wait_for_nodes(there)
    write_mark(folder, mark)
    await there.begin_filling(mark.move_id)


async def _finish_in_postgres(folder: DataFolder, settings: Settings, mark: Mark) -> None:
    """SQLite's file gets another name, and nodes may come. Each step may have been done before. No relay has the folder."""
    if folder.database.exists():
        settle_log(folder.database)
        folder.database.rename(moved_from(folder.database))
        folder.database.with_name(folder.database.name + ".reserve").unlink(missing_ok=True)
        sync_folder(folder.path)
    async with _postgres_side(settings) as there:
        if await there.mark() != (mark.move_id, "postgres"):
            return
        async with postgres_adapter().open_postgres_store(
            settings.postgres.url,
            keys_file=settings.column_keys_file or folder.column_keys_file,
            connections=2,
            moving=True,
            **connecting_to(settings.postgres),
        ) as store:
            await _record(store, folder, settings, "postgres")
        await there.unmark()


async def to_sqlite(settings: Settings, told: Told, *, keep_blobs: bool = False) -> Moved:
    """Move the relay of `postgres.url` into the folder, or go on with that. Raises StartRefused, RelayError."""
    _require_url(settings)
    with _one_line(), open_data_folder(settings.data_folder) as folder:
        mark = read_mark(folder)
        if mark is not None and mark.target == "postgres" and not mark.done:
            raise StartRefused(
                f"{folder.path}: this relay is being moved the other way: finish or abandon that first"
            )
        keys_file = settings.column_keys_file or folder.column_keys_file
        for file in (keys_file, settings.relay_key_file or folder.key_file):
            if not file.exists():
                raise StartRefused(f"{file}: is not there: copy it from a node of this relay", exit_code=2)
        if mark is None or mark.target == "postgres":
            mark = Mark("sqlite", system_randomness(_ID_BYTES))
        moved = Moved()
        if not mark.done:
            bucket = settings.s3.bucket is not None and not keep_blobs
            moved = await _fill_draft(
                folder, settings, ColumnKeys(read_keys(keys_file)), mark, told, bucket=bucket
            )
            if not moved.finished:
                return moved
            write_mark(folder, Mark(mark.target, mark.move_id, done=True))
        await _finish_in_sqlite(folder, settings, keys_file)
        return moved


async def _fill_draft(
    folder: DataFolder, settings: Settings, keys: ColumnKeys, mark: Mark, told: Told, *, bucket: bool
) -> Moved:
    if folder.database.exists():
        raise StartRefused(
            f"{folder.database}: there is a relay on SQLite here: name another folder with --data"
        )
    draft = draft_of(folder.database)
    async with _postgres_side(settings, keys) as there:
        await _begin_leaving(there, folder, mark)
        if not is_draft_of(draft, mark.move_id):
            await begin_draft(draft, mark.move_id, system_randomness, keys)
        with open_draft(draft) as here:
            await copy(there, here, told)
            tables = tuple([one async for one in compare(there, here, told)])
            orphans = tuple(here.orphans())
            blobs = await _from_bucket(here, folder, settings, told) if bucket else None
        return Moved(tables, blobs, orphans)


async def _begin_leaving(there: "PostgresSide", folder: DataFolder, mark: Mark) -> None:
    """From now on no node has a connection, nor gets one."""
    known = await there.mark()
    if known == (mark.move_id, "sqlite"):
        await _wait_for_nodes(there)
        return
    if known is not None:
        raise StartRefused(
            "postgres.url: the relay of this database was moved to another folder, or is being moved there: go on there"
        )
    await _wait_for_nodes(there)
    write_mark(folder, mark)
    await there.begin_leaving(mark.move_id)
    await _wait_for_nodes(there)  # one that came between the two


async def _finish_in_sqlite(folder: DataFolder, settings: Settings, keys_file: Path) -> None:
    """The draft is the database. Each step may have been done before."""
    draft = draft_of(folder.database)
    if draft.exists():
        with open_draft(draft) as here:
            here.close_draft()
        draft.rename(folder.database)
        sync_folder(folder.path)
    async with open_sqlite_store(folder.database, keys_file=keys_file) as store:
        await _record(store, folder, settings, "sqlite")
    remove_mark(folder)


async def abandon(settings: Settings) -> Mark:
    """Leave the relay where it is; the move that was begun. A relay that runs on SQLite writes again. Raises StartRefused."""
    with _one_line(), only_move(settings.data_folder), ExitStack() as stack:
        try:
            folder = stack.enter_context(open_data_folder(settings.data_folder, create=False))
        except FolderInUse:
            folder = DataFolder(settings.data_folder.absolute())
            if (mark := read_mark(folder)) is not None and mark.target != "postgres":
                raise
        mark = read_mark(folder)
        if mark is None or mark.done:
            raise StartRefused(f"{folder.path}: no move is under way here")
        if mark.target == "postgres":
            remove_mark(folder)
            return mark
        _require_url(settings)
        remove_draft(draft_of(folder.database))
        async with _postgres_side(settings) as there:
            if await there.mark() == (mark.move_id, "sqlite"):
                await there.unmark()
        write_mark(folder, Mark("postgres", mark.move_id, done=True))
        return mark


# What both ways need


def _require_url(settings: Settings) -> None:
    if not settings.is_cluster:
        raise StartRefused("postgres.url: is missing: it says which database", exit_code=2)


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except StoreUnusable as error:
        raise StartRefused(str(error)) from error


@asynccontextmanager
async def _postgres_side(settings: Settings, keys: ColumnKeys | None = None) -> "AsyncIterator[PostgresSide]":
    """One connection to the database; with `keys`: brought up to date before. Raises StartRefused."""
    store = postgres_adapter()
    from relay.adapters.moving.postgres_side import open_postgres_side  # noqa: PLC0415  (an extra)

    options: dict[str, Any] = connecting_to(settings.postgres)
    try:
        if keys is not None:
            async with store.open_database(
                settings.postgres.url, keys, connections=1, moving=True, **options
            ) as database:
                await store.migrate(database, store.shipped_migrations())
        async with open_postgres_side(str(settings.postgres.url), **options) as side:
            yield side
    except store.StoreUnreachable as error:
        raise StartRefused(str(error)) from error


async def _wait_for_nodes(there: "PostgresSide") -> None:
    """Until none has a connection. Raises StartRefused."""
    clock = SystemClock()
    for _ in range(_NODES_GO_SECONDS):
        if await there.nodes() == 0:
            return
        await clock.sleep(1)
    nodes = await there.nodes()
    if nodes:
        raise StartRefused(
            f"postgres.url: nodes run on this database ({nodes} connections): stop all, run this again"
        )


def _bring_keys(folder: DataFolder, settings: Settings) -> Path:
    """The two key files are where the settings of the nodes name them; that of sealed columns. Raises StartRefused."""
    signing, keys = settings.relay_key_file, settings.column_keys_file
    for named, own in ((signing, folder.key_file), (keys, folder.column_keys_file)):
        if named is not None and not named.exists() and own.exists():
            write_secret(named, own.read_text("utf-8"))
    if (
        signing is not None
        and folder.key_file.exists()
        and signing.read_bytes() != folder.key_file.read_bytes()
    ):
        raise StartRefused(
            f"{signing}: is another key than {folder.key_file}: take away the one that this relay never used",
            exit_code=2,
        )
    return keys or folder.column_keys_file


async def _record(store: Store, folder: DataFolder, settings: Settings, target: str) -> None:
    """That somebody moved the relay is a row of its audit log; two, if it was killed right after that."""
    key = RelayKey(folder.signing_seed(system_randomness, settings.relay_key_file))
    audit = Audit(store.audit, key=key, clock=SystemClock(), randomness=system_randomness)
    await audit.record(audit.entry(Action.MIGRATE, actor=Party.operator(os.getuid()), detail=target))


async def _to_bucket(rows: Source, folder: DataFolder, settings: Settings, told: Told) -> BlobsMoved:
    async with open_disk_blobs(folder.blobs) as disk, open_files(folder, settings) as bucket:
        return await move_blobs(rows, disk, bucket, told)


async def _from_bucket(rows: Source, folder: DataFolder, settings: Settings, told: Told) -> BlobsMoved:
    async with open_disk_blobs(folder.blobs) as disk, open_files(folder, settings) as bucket:
        return await move_blobs(rows, bucket, disk, told)


async def _blobs_beside(folder: DataFolder, settings: Settings, told: Told) -> BlobsMoved:
    """Files that are whole do not change: they go while the relay runs."""
    with _one_line(), open_beside(folder.database) as rows:
        async with open_disk_blobs(folder.blobs) as disk, open_files(folder, settings) as bucket:
            return await move_blobs(rows, disk, bucket, told, finished_only=True)
