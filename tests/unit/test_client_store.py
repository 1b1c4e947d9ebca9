"""The client's store: encrypted, private, one transaction a job, safe to open twice."""

import asyncio
import contextlib
import os
import stat

import pytest

from client.errors import (
    LoosePermissions,
    NoAccount,
    StoreDamaged,
    StoreError,
    StoreTooNew,
    UsageError,
    WrongPassphrase,
)
from client.registration import prepare_home
from client.store.database import STORE_FILE_NAME, Database
from client.store.key_file import KEY_FILE_NAME, create_key, load_key
from client.store.migrate import migrations
from client.system import this_machine
from tests.upgrades.client_schema import made


def count(tx):
    return tx.one("SELECT count(*) FROM facts")[0]


def add(name):
    return lambda tx: tx.run("INSERT INTO facts (name, value) VALUES (?, x'00')", name)


async def test_what_is_committed_is_there_after_reopening_and_nothing_is_readable(tmp_path):
    key = os.urandom(32)
    marker = "a marker that must not be found"
    async with Database(tmp_path, key) as database:
        await database.run(add(marker))
        # Also while it is open: the write-ahead log is encrypted too.
        for path in tmp_path.iterdir():
            assert marker.encode() not in path.read_bytes()
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with Database(tmp_path, key) as database:
        assert await database.read(lambda tx: tx.all("SELECT name FROM facts")) == [(marker,)]
        assert await database.read(lambda tx: tx.one("PRAGMA synchronous")) == (2,)
        assert await database.read(lambda tx: tx.one("PRAGMA journal_mode")) == ("wal",)
    assert marker.encode() not in (tmp_path / STORE_FILE_NAME).read_bytes()
    assert not (tmp_path / STORE_FILE_NAME).read_bytes().startswith(b"SQLite format")


async def test_who_watches_hears_of_what_was_said_after_the_commit_and_not_of_what_was_rolled_back(tmp_path):
    heard = []
    async with Database(tmp_path, bytes(32)) as database:
        database.watch("topic", lambda: heard.append(True))

        def say(tx):
            tx.said |= {"topic", "of interest to nobody"}
            return count(tx)

        def say_in_vain(tx):
            say(tx)
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            await database.run(say_in_vain)
        assert heard == []
        await database.run(count)
        assert heard == []
        await database.run(say)
        assert heard == [True]


async def test_a_job_that_raises_leaves_nothing_and_the_next_one_works(tmp_path):
    async with Database(tmp_path, bytes(32)) as database:

        def half(tx):
            add("half")(tx)
            tx.cache["half"] = True
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            await database.run(half)
        assert await database.read(count) == 0
        assert not await database.read(lambda tx: "half" in tx.cache)
        with pytest.raises(StoreError):
            await database.run(lambda tx: tx.run("INSERT INTO facts (name) VALUES ('no value')"))
        await database.run(add("whole"))
        assert await database.read(count) == 1


async def test_small_writes_may_share_a_transaction_and_are_all_there(tmp_path):
    async with Database(tmp_path, bytes(32)) as database:
        small = [database.run_soon(add(str(number))) for number in range(200)]
        counted = asyncio.ensure_future(database.read(count))
        await asyncio.sleep(0)  # it is given now, between the small ones
        small += [database.run_soon(add(str(number))) for number in range(200, 300)]
        await asyncio.gather(*small)
        assert await counted == 200  # order is kept
        assert await database.read(count) == 300
    # Also those that are still on their way when it is closed.
    async with Database(tmp_path, bytes(32)) as database:
        last = [database.run_soon(add(f"last {number}")) for number in range(10)]
    await asyncio.gather(*last)
    async with Database(tmp_path, bytes(32)) as database:
        assert await database.read(count) == 310


async def test_two_processes_see_each_others_changes_and_never_a_stale_cache(tmp_path):
    async with Database(tmp_path, bytes(32)) as one, Database(tmp_path, bytes(32)) as other:

        def cached(tx):
            if "rows" not in tx.cache:
                tx.cache["rows"] = count(tx)
            return tx.cache["rows"]

        assert await one.run(cached) == 0
        await other.run(add("by the other"))
        assert await one.run(cached) == 1
        await asyncio.gather(
            *(
                database.run(add(f"{n} {number}"))
                for n, database in enumerate((one, other))
                for number in range(50)
            )
        )
        assert await one.run(cached) == await other.run(cached) == 101


async def test_a_wrong_key_a_damaged_file_and_a_newer_schema_are_said_in_a_line(tmp_path):
    async with Database(tmp_path, bytes(32)) as database:
        await database.run(add("x"))
    with pytest.raises(StoreDamaged):
        async with Database(tmp_path, b"\x01" * 32):
            pass
    async with Database(tmp_path, bytes(32)) as database:
        await database.run(lambda tx: tx.run(f"PRAGMA user_version = {migrations()[-1][0] + 1}"))
    with pytest.raises(StoreTooNew, match="upgrade"):
        async with Database(tmp_path, bytes(32)):
            pass
    (tmp_path / STORE_FILE_NAME).write_bytes(os.urandom(8_192))
    with pytest.raises(StoreDamaged):
        async with Database(tmp_path, bytes(32)):
            pass


async def test_a_full_disk_is_a_store_error_and_costs_nothing_that_was_there(tmp_path):
    async with Database(tmp_path, bytes(32)) as database:
        await database.run(add("before"))
        pages = (await database.read(lambda tx: tx.one("PRAGMA page_count")))[0]
        await database.run(lambda tx: tx.run(f"PRAGMA max_page_count = {pages + 1}"))
        with pytest.raises(StoreError, match="full"):
            await database.run(
                lambda tx: tx.run("INSERT INTO facts (name, value) VALUES ('big', ?)", bytes(100_000))
            )
        await database.run(lambda tx: tx.run("PRAGMA max_page_count = 1000000"))
        await database.run(add("after"))
        assert await database.read(count) == 2


async def test_f21_a_migration_that_is_cut_leaves_the_old_schema(tmp_path, monkeypatch):
    steps = migrations()
    broken = (*steps, (steps[-1][0] + 1, "CREATE TABLE fresh (x); CREATE TABLE fresh (x);"))
    async with Database(tmp_path, bytes(32)) as database:
        await database.run(add("kept"))
    with monkeypatch.context() as patch:
        patch.setattr("client.store.migrate.migrations", lambda: broken)
        with pytest.raises(StoreError):
            async with Database(tmp_path, bytes(32)):
                pass
    async with Database(tmp_path, bytes(32)) as database:
        assert await database.read(lambda tx: tx.one("PRAGMA user_version")) == (steps[-1][0],)
        assert await database.read(count) == 1
        assert (
            await database.read(lambda tx: tx.one("SELECT 1 FROM sqlite_master WHERE name = 'fresh'")) is None
        )


def test_a_new_store_is_as_the_migrations_leave_one():
    by_steps = made(step_by_step=True)
    assert len(by_steps) > 50
    assert made(step_by_step=False) == by_steps, "python -m tests.upgrades.client_schema"


def test_migrations_are_in_order_and_each_number_is_there_once():
    numbers = [number for number, _ in migrations()]
    assert numbers[0] == 1
    assert numbers == sorted(set(numbers))


async def test_a_closed_store_says_so(tmp_path):
    async with Database(tmp_path, bytes(32)) as database:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        await database.read(count)


async def test_a_caller_that_is_cancelled_does_not_stop_its_job(tmp_path):
    async with Database(tmp_path, bytes(32)) as database:
        task = asyncio.ensure_future(database.run(add("still")))
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert await database.read(count) == 1


# The key file.


def test_e10_the_key_file_is_private_and_a_loose_one_is_refused(tmp_path):
    key = create_key(tmp_path, None, os.urandom)
    path = tmp_path / KEY_FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_key(tmp_path, None) == key
    for mode in (0o640, 0o604, 0o660, 0o601):
        path.chmod(mode)
        with pytest.raises(LoosePermissions, match="chmod 600"):
            load_key(tmp_path, None)


async def test_e10_a_loose_store_is_refused(tmp_path):
    async with Database(tmp_path, bytes(32)):
        pass
    (tmp_path / STORE_FILE_NAME).chmod(0o644)
    with pytest.raises(LoosePermissions, match="chmod 600"):
        async with Database(tmp_path, bytes(32)):
            pass


def test_a_passphrase_wraps_the_key(tmp_path):
    key = create_key(tmp_path, "correct horse", os.urandom)
    assert key not in (tmp_path / KEY_FILE_NAME).read_bytes()
    assert load_key(tmp_path, "correct horse") == key
    for wrong in ("incorrect horse", "", None):
        with pytest.raises(WrongPassphrase):
            load_key(tmp_path, wrong)


def test_a_passphrase_for_a_bare_key_is_an_error_not_ignored(tmp_path):
    create_key(tmp_path, None, os.urandom)
    with pytest.raises(WrongPassphrase):
        load_key(tmp_path, "given all the same")


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[" * 4_000, b'{"type":"bare","key":"AAAA"}', b'{"type":"other"}', b"\xff"]
)
def test_what_is_no_key_file_is_said_to_be_damaged(tmp_path, content):
    path = tmp_path / KEY_FILE_NAME
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(StoreDamaged):
        load_key(tmp_path, None)


def test_an_absurd_cost_of_the_passphrase_is_not_paid(tmp_path):
    path = tmp_path / KEY_FILE_NAME
    create_key(tmp_path, "x", os.urandom)
    path.write_bytes(path.read_bytes().replace(b'"memory_kib":65536', b'"memory_kib":4294967295'))
    with pytest.raises(StoreDamaged):
        load_key(tmp_path, "x")


def test_the_home_is_made_private_and_one_that_others_write_to_is_refused(tmp_path):
    home = tmp_path / "deep" / "home"
    key = prepare_home(home, None, this_machine())
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert prepare_home(home, None, this_machine()) == key
    home.chmod(0o770)
    with pytest.raises(LoosePermissions, match="chmod 700"):
        prepare_home(home, None, this_machine())
    with pytest.raises(UsageError):
        prepare_home(tmp_path / "deep" / "home" / KEY_FILE_NAME, None, this_machine())


def test_a_store_without_its_key_gets_no_new_one(tmp_path):
    (tmp_path / STORE_FILE_NAME).write_bytes(b"x")
    with pytest.raises(StoreError, match="put it back"):
        prepare_home(tmp_path, None, this_machine())
    with pytest.raises(NoAccount):
        load_key(tmp_path, None)
