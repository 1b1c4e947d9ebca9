"""All that a relay keeps goes from SQLite to PostgreSQL and back: nothing is forgotten, and what is not alike is told."""

import asyncio
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from relay import moves
from relay.adapters.data_folder import DataFolder, StartRefused, open_data_folder
from relay.adapters.disk_blobs import open_disk_blobs
from relay.adapters.moving.blobs import BlobsMoved
from relay.adapters.moving.tables import NOT_OF_POSTGRES, NOT_OF_SQLITE, TABLES
from relay.adapters.sqlite.store import open_sqlite_store
from relay.adapters.system_clock import SystemClock
from relay.config.cluster import S3Settings
from relay.states import open_postgres_state
from relay.wire.errors import Unavailable
from tests.full_database import AUDITED, content_of, fill_folder, tables_of
from tests.moving import refused_on, settings_with, told
from tests.servers.databases import drop_database, empty_database
from tests.servers.postgres import PostgresServer
from tests.servers.s3 import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server

DRIVER = Path(__file__).parents[1] / "faults" / "move_driver.py"


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Server]:
    with S3Server(tmp_path / "s3") as server:
        yield server


@pytest.fixture
async def url(postgres: PostgresServer) -> AsyncIterator[str]:
    made = await empty_database(postgres)
    yield made
    await drop_database(postgres, made)


async def test_every_table_goes_there_and_comes_back_as_it_was(tmp_path: Path, url: str) -> None:
    folder = await fill_folder(tmp_path / "data")
    settings = settings_with(folder.path, url)
    with closing(sqlite3.connect(folder.database)) as connection:
        empty = [
            name
            for name in tables_of(connection)
            if not connection.execute(f"SELECT 1 FROM {name}").fetchone()
        ]
    assert empty == []
    before = content_of(folder.database)

    there = await moves.to_postgres(settings, told)
    assert there.finished
    assert {one.table: (one.source_rows > 0, one.source_rows == one.target_rows) for one in there.tables} == {
        table.name: (True, True) for table in TABLES
    }
    assert all(one.source_sha256 == one.target_sha256 for one in there.tables)
    assert await refused_on(folder, settings) == (True, False)

    back = await moves.to_sqlite(settings, told)
    assert (back.finished, back.orphans) == (True, ())
    after = content_of(folder.database)
    # What was noted by the commit, and not merged yet, is among the others now.
    records = {"records", "recent_records"}
    assert {name: rows for name, rows in after.items() if name not in records} == {
        name: rows for name, rows in before.items() if name not in records
    }
    assert (len(after["records"]), after["recent_records"]) == (len(before["records"]) + 5, [])
    assert await refused_on(folder, settings) == (False, True)
    async with open_sqlite_store(folder.database) as store:
        assert (await store.audit.tip()).size == AUDITED + 2  # each way is a row

    with closing(sqlite3.connect(folder.database)) as connection:
        came = [
            at
            for (at,) in connection.execute("SELECT received_at_ms FROM envelopes ORDER BY envelope_number")
        ]
    assert came == sorted(came)


@pytest.mark.timeout(120)
async def test_killed_at_any_step_it_goes_on_and_ends_as_if_nothing_had_been(
    tmp_path: Path, url: str
) -> None:
    folder = await fill_folder(tmp_path / "data")
    before = content_of(folder.database)
    for target in ("postgres", "sqlite"):
        driver = [sys.executable, str(DRIVER), target, str(folder.path), url]
        environment = {**os.environ, "PYTHONPATH": str(DRIVER.parents[2])}
        done = await asyncio.to_thread(
            subprocess.run, driver, capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert int(done.stdout) > 10
    after = content_of(folder.database)
    records = {"records", "recent_records"}
    assert [name for name in before if before[name] != after[name] and name not in records] == []
    assert len(after["records"]) == len(before["records"]) + 5


async def test_a_new_column_or_table_does_not_go_forgotten(
    tmp_path: Path, postgres: PostgresServer, url: str
) -> None:
    settings = settings_with((await fill_folder(tmp_path / "data")).path, url)
    await moves.to_postgres(settings, told)
    connection = await asyncpg.connect(url)
    found = await connection.fetch(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
    )
    await connection.close()
    named = {(table.name, column) for table in TABLES for column in (*table.columns, *table.constants)}
    assert {tuple(row) for row in found if row[0] not in NOT_OF_POSTGRES} == named

    database = tmp_path / "data" / "relay.sqlite3.moved"
    read: set[tuple[str, str]] = set()

    def note(action: int, table: str | None, column: str | None, *_: object) -> int:
        if action == sqlite3.SQLITE_READ:
            read.add((str(table), str(column)))
        return sqlite3.SQLITE_OK

    with closing(sqlite3.connect(database)) as reading:
        every = {
            (table, column)
            for table in tables_of(reading)
            for (column,) in reading.execute("SELECT name FROM pragma_table_info(?)", (table,))
        }
        reading.execute("CREATE TEMP TABLE moving_shared (shared_number INTEGER PRIMARY KEY, shared_id BLOB)")
        reading.set_authorizer(note)
        for table in TABLES:
            reading.execute(table.from_sqlite(after=False))
    left = {
        (table, column)
        for table, column in every - read
        if table not in NOT_OF_SQLITE and f"{table}.{column}" not in NOT_OF_SQLITE
    }
    assert left == set()


@pytest.mark.parametrize(
    ("tampering", "table", "first"),
    [
        ("UPDATE accounts SET role = 'owner'", "accounts", None),
        ("DELETE FROM audit_rows WHERE row_index = 7", "audit_rows", "7"),
        ("INSERT INTO usage VALUES (1, 'active_devices', 9)", "usage", "1, active_devices"),
        ("UPDATE mailboxes SET bytes = bytes + 1", "mailboxes", None),
        ("UPDATE blobs SET complete = NOT complete", "blobs", None),
    ],
)
async def test_what_is_not_alike_is_told_and_nothing_is_switched(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, tampering: str, table: str, first: str | None
) -> None:
    folder = await fill_folder(tmp_path / "data")
    settings = settings_with(folder.path, url)
    copy = moves.copy

    async def copy_badly(*sides: object) -> None:
        await copy(*sides)  # type: ignore[arg-type]
        connection = await asyncpg.connect(url)
        await connection.execute(tampering)
        await connection.close()

    monkeypatch.setattr(moves, "copy", copy_badly)
    moved = await moves.to_postgres(settings, told)
    assert not moved.finished
    (unlike,) = [one for one in moved.tables if not one.alike]
    assert unlike.table == table
    assert first in (None, unlike.first)
    assert unlike.source_sha256 != unlike.target_sha256
    assert await refused_on(folder, settings) == (True, True)

    await moves.abandon(settings)
    assert await refused_on(folder, settings) == (False, True)


async def keep_blobs(folder: DataFolder, *, broken: bytes) -> dict[bytes, bytes]:
    """The files of the blobs that the database tells of; whole ones, one that is on its way, and one that is damaged."""
    kept = {}
    with closing(sqlite3.connect(folder.database)) as connection, connection:
        blob_ids = [
            blob_id for (blob_id,) in connection.execute("SELECT blob_id FROM blobs ORDER BY blob_id")
        ]
        async with open_disk_blobs(folder.blobs) as files:
            for number, blob_id in enumerate(blob_ids):
                data = bytes((number + 1,)) * 5_000_000
                kept[blob_id] = data[: 5_000 if number == 0 else len(data)]
                connection.execute(
                    "UPDATE blobs SET length = ?, offset = ?, sha256 = ?, complete = ? WHERE blob_id = ?",
                    (len(data), len(kept[blob_id]), hashlib.sha256(data).digest(), number > 0, blob_id),
                )
                await files.append(blob_id, offset=0, data=broken if number == 1 else kept[blob_id])
                await files.sync(blob_id)
    return kept


async def test_files_go_into_the_bucket_and_come_out_as_they_were(
    tmp_path: Path, url: str, s3: S3Server
) -> None:
    folder = await fill_folder(tmp_path / "data")
    kept = await keep_blobs(folder, broken=b"not what it was")
    unfinished, damaged, whole = kept
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text(SECRET_KEY)
    bucket = S3Settings(bucket=BUCKET, endpoint=s3.url, access_key=ACCESS_KEY, secret_key_file=secret)
    settings = settings_with(folder.path, url).model_copy(update={"s3": bucket})

    with open_data_folder(folder.path):  # as a relay has it
        beside = await moves._blobs_beside(folder, settings, told)
        assert (beside.copied, beside.damaged) == (1, [damaged])
    there = await moves.to_postgres(settings, told)
    assert there.finished
    assert there.blobs == BlobsMoved(copied=1, there=1, size=there.blobs.size, damaged=[damaged])
    shutil.rmtree(folder.blobs)

    back = await moves.to_sqlite(settings, told)
    assert back.finished
    assert back.blobs == BlobsMoved(copied=2, there=0, size=5_005_000, damaged=[damaged])
    async with open_disk_blobs(folder.blobs) as files:
        for blob_id in (unfinished, whole):
            assert await files.sha256(blob_id) == hashlib.sha256(kept[blob_id]).digest()
        assert damaged not in await files.list(after=b"", limit=9)


async def test_only_a_new_database_is_filled(tmp_path: Path, url: str) -> None:
    folder = await fill_folder(tmp_path / "data")
    with open_data_folder(tmp_path / "other") as other:
        async with open_postgres_state(other, settings_with(other.path, url), SystemClock()):
            with pytest.raises(StartRefused, match="a relay has begun in this database"):
                await moves.to_postgres(settings_with(folder.path, url), told)
    assert (await refused_on(folder, settings_with(folder.path, url)))[0] is False


async def test_a_node_that_runs_is_told_of_and_none_comes_once_it_has_begun(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "_NODES_GO_SECONDS", 1)
    folder = await fill_folder(tmp_path / "data")
    settings = settings_with(folder.path, url)
    await moves.to_postgres(settings, told)
    with open_data_folder(tmp_path / "node") as node:
        node.column_keys_file.write_bytes(folder.column_keys_file.read_bytes())
        node.column_keys_file.chmod(0o600)
        async with open_postgres_state(node, settings, SystemClock()):
            with pytest.raises(StartRefused, match="nodes run on this database"):
                await moves.to_sqlite(settings, told)
        assert (await moves.to_sqlite(settings, told)).finished
        assert (await refused_on(node, settings))[1] is True


async def test_a_node_that_was_away_when_it_began_does_not_come_back_into_the_database(
    tmp_path: Path, url: str
) -> None:
    with open_data_folder(tmp_path / "node") as node:
        async with open_postgres_state(node, settings_with(node.path, url), SystemClock()) as state:
            await state.store.check()
            connection = await asyncpg.connect(url)
            await connection.execute("CREATE TABLE moving (target text)")
            await connection.execute("INSERT INTO moving VALUES ('sqlite')")
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            for _ in range(2):  # the first may meet the end of its connection
                with pytest.raises(Unavailable):
                    await state.store.accounts.accounts_count()
            with pytest.raises(Unavailable, match="was moved to SQLite"):
                await state.store.check()
            await connection.execute("DROP TABLE moving")
            await state.store.check()
            await connection.close()


async def test_rows_that_sqlite_would_not_have_are_told_and_it_can_be_left_as_it_was(
    tmp_path: Path, url: str
) -> None:
    folder = await fill_folder(tmp_path / "data")
    settings = settings_with(folder.path, url)
    await moves.to_postgres(settings, told)
    connection = await asyncpg.connect(url)
    await connection.execute("INSERT INTO guest_hosts SELECT account_id, $1 FROM guests LIMIT 1", bytes(32))
    await connection.close()
    moved = await moves.to_sqlite(settings, told)
    assert all(one.alike for one in moved.tables)
    assert (moved.finished, moved.orphans) == (
        False,
        ("guest_hosts names a row of accounts that is not there",),
    )
    assert await refused_on(folder, settings) == (True, True)
    await moves.abandon(settings)
    assert await refused_on(folder, settings) == (True, False)
    assert not list(folder.path.glob("*.moving*"))


async def test_the_key_files_come_to_where_the_nodes_look_for_them(tmp_path: Path, url: str) -> None:
    folder = await fill_folder(tmp_path / "data")
    signing, keys = tmp_path / "node.key", tmp_path / "node.keys"
    named = {"signing_key_file": signing, "keys_file": keys}
    settings = settings_with(folder.path, url).model_copy(update=named)
    signing.write_text("another relay's")
    with pytest.raises(StartRefused, match="is another key than"):
        await moves.to_postgres(settings, told)
    signing.unlink()
    assert (await moves.to_postgres(settings, told)).finished
    for copied, own in ((signing, folder.key_file), (keys, folder.column_keys_file)):
        assert copied.read_bytes() == own.read_bytes()
        assert copied.stat().st_mode & 0o777 == 0o600

    other = settings.model_copy(update={"data": tmp_path / "back", "keys_file": tmp_path / "not there"})
    with pytest.raises(StartRefused, match="not there: is not there: copy it from a node"):
        await moves.to_sqlite(other, told)
    assert (await moves.to_sqlite(other.model_copy(update=named), told)).finished
