"""Migrations killed at each step leave the old schema or the new one (F21); a newer schema is refused in one line."""

import shutil
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import aiosqlite
import pytest

from relay.adapters.column_keys import ColumnKeys
from relay.adapters.sqlite.connection import StoreUnusable, open_writer
from relay.adapters.sqlite.log_audit import audit_log
from relay.adapters.sqlite.migrate import Migration, migrate, schema_version, shipped_migrations
from relay.adapters.sqlite.store import open_sqlite_store
from relay.adapters.system_clock import system_randomness
from tests.contract.people import new_account
from tests.faults.disk_shim import Disk
from tests.faults.store_driver import NEXT_MIGRATION
from tests.old_database import make_old

KEYS = ColumnKeys({1: bytes(32)})


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[aiosqlite.Connection]:
    async with open_writer(tmp_path / "relay.db") as connection:
        yield connection


def tables(database: Path) -> set[str]:
    with closing(sqlite3.connect(database)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


async def test_the_shipped_migrations_make_the_schema_once(writer: aiosqlite.Connection) -> None:
    steps = shipped_migrations()
    assert await schema_version(writer) == 0
    assert await migrate(writer, steps, system_randomness, KEYS) == len(steps) >= 1
    assert await migrate(writer, steps, system_randomness, KEYS) == 0
    assert await schema_version(writer) == len(steps)


async def test_a_schema_newer_than_this_relay_is_refused_with_what_to_do(tmp_path: Path) -> None:
    steps = (*shipped_migrations(), NEXT_MIGRATION)
    async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0, migrations=steps):
        pass
    with pytest.raises(
        StoreUnusable, match=r"schema \d+, this relay knows up to \d+: run the newer version"
    ) as refused:
        async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0):
            pytest.fail("it opened")
    assert "\n" not in str(refused.value)
    async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0, migrations=steps) as store:
        assert await store.accounts.accounts_count() == 0


async def test_f21_a_migration_that_fails_leaves_the_old_schema(tmp_path: Path) -> None:
    number = len(shipped_migrations()) + 1
    broken = Migration(
        number,
        f"{number:04}_broken.sql",
        "CREATE TABLE half_way (a INTEGER);\nINSERT INTO nowhere VALUES (1);\n",
    )
    async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0) as store:
        account = await new_account(store, "anna")
    with pytest.raises(sqlite3.OperationalError):
        async with open_sqlite_store(
            tmp_path / "relay.db", reserve_bytes=0, migrations=(*shipped_migrations(), broken)
        ):
            pytest.fail("it opened")
    assert "half_way" not in tables(tmp_path / "relay.db")
    async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0) as store:
        assert await store.accounts.account(account.account_id) == account


async def sweep(
    tmp_path: Path, what: str, prepared: Path | None, *, first: int = 1, stride: int = 1
) -> list[Path]:
    """Kill `what` at each write and sync, or at each so many from the first one on; the folders it leaves."""
    whole = tmp_path / "whole"
    whole.mkdir()
    for folder in (whole, tmp_path):
        if prepared is not None:
            shutil.copyfile(prepared, folder / "relay.db")
            if prepared.with_name("column.keys").exists() and folder != prepared.parent:
                shutil.copy(prepared.with_name("column.keys"), folder / "column.keys")
    steps = range(first, Disk(whole).run(what).steps + 1, stride)
    swept = Disk(tmp_path).run(f"sweep-{what}", *map(str, steps))
    assert swept.exit_code == 0
    assert sum(line.endswith(" -9") for line in swept.lines) >= len(steps) - 2
    return [tmp_path / str(step) for step in steps]


@pytest.mark.timeout(180)  # a process for each write
@pytest.mark.parametrize("first", [1, 4])
async def test_f21_the_first_migration_killed_at_each_third_write_leaves_all_of_it_or_nothing(
    tmp_path: Path, first: int
) -> None:
    found: set[frozenset[str]] = set()
    for folder in await sweep(tmp_path, "create", None, first=first, stride=6):
        if (folder / "relay.db").exists():
            found.add(frozenset(tables(folder / "relay.db")))
        async with open_sqlite_store(folder / "relay.db", reserve_bytes=0) as store:
            await new_account(store, "anna")
    whole = {
        frozenset(await tables_after(tmp_path, count)) for count in range(1, len(shipped_migrations()) + 1)
    }
    assert found - {frozenset()} <= whole
    assert {frozenset(), max(whole, key=len)} <= found


async def tables_after(tmp_path: Path, count: int) -> set[str]:
    """Of a database at which that many steps were made."""
    path = tmp_path / f"after-{count}.db"
    async with open_writer(path) as connection:
        await migrate(connection, shipped_migrations()[:count], system_randomness, KEYS)
    return tables(path)


@pytest.mark.timeout(180)  # a process for each write
@pytest.mark.parametrize("first", [1, 2, 3])
async def test_f21_entering_all_accounts_into_the_log_killed_at_each_write_is_done_or_not(
    tmp_path: Path, first: int
) -> None:
    manifests = make_old(tmp_path / "prepared.db")
    entered: set[bool] = set()
    for folder in await sweep(tmp_path, "create", tmp_path / "prepared.db", first=first, stride=3):
        found = "transparency_leaves" in tables(folder / "relay.db")
        entered.add(found)
        if found:
            verdict = audit_log(folder / "relay.db")
            assert verdict.faults == ()
            assert verdict.leaves > len(manifests)
        async with open_sqlite_store(folder / "relay.db", reserve_bytes=0):
            assert audit_log(folder / "relay.db").faults == ()
    assert entered == {False, True}


@pytest.mark.timeout(180)  # a process for each write
async def test_f21_a_later_migration_killed_at_each_write_is_done_or_not_and_loses_nothing(
    tmp_path: Path,
) -> None:
    async with open_sqlite_store(tmp_path / "prepared.db", reserve_bytes=0) as store:
        accounts = [await new_account(store, name) for name in range(30)]
    versions: set[tuple[int, bool]] = set()
    steps: Sequence[Migration] = (*shipped_migrations(), NEXT_MIGRATION)
    for folder in await sweep(tmp_path, "migrate", tmp_path / "prepared.db"):
        with closing(sqlite3.connect(folder / "relay.db")) as raw:
            ((version,),) = raw.execute("SELECT max(version) FROM schema_version")
            columns = {row[1] for row in raw.execute("PRAGMA table_info(accounts)")}
            assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        versions.add((version, "nickname" in columns and "nicknames" in tables(folder / "relay.db")))
        async with open_sqlite_store(folder / "relay.db", reserve_bytes=0, migrations=steps) as store:
            assert [await store.accounts.account(each.account_id) for each in accounts] == accounts
    newest = len(steps)
    assert versions == {(newest - 1, False), (newest, True)}
