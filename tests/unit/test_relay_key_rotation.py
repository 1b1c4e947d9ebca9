"""Sealed columns: what is in the database's file, from one key to the next, killed at any step (E2)."""

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from relay.adapters.column_keys import (
    KEY_BYTES,
    OVERHEAD_BYTES,
    ColumnKeys,
    NotOpened,
    key_id_of,
    open_keys,
    read_keys,
    write_keys,
)
from relay.adapters.data_folder import StartRefused
from relay.adapters.memory_clock import ManualClock
from relay.adapters.sqlite.sealing import COLUMNS
from relay.adapters.sqlite.store import SqliteStore, StoreUnusable, open_sqlite_store
from relay.adapters.system_clock import SystemClock
from relay.services.key_rotation import KeyRotation
from relay.wire.errors import Unavailable
from tests.contract.people import NOW_MS, registration

TOKEN = b"public-token-16B"


async def fill(store: SqliteStore, *names: str) -> None:
    for name in names:
        await store.accounts.register(
            registration(name, handle=name, public_token=token_of(name)), now_ms=NOW_MS
        )


def token_of(name: str) -> bytes:
    return (name.encode() + TOKEN)[:16]


def files_of(folder: Path) -> list[Path]:
    return list(folder.glob("relay.sqlite3*"))


def values(database: Path) -> list[bytes]:
    """Every value of every sealed column."""
    with closing(sqlite3.connect(database)) as connection:
        return [
            row[0]
            for column in COLUMNS
            for row in connection.execute(
                f"SELECT {column.column} FROM {column.table} WHERE {column.column} IS NOT NULL"
            )
        ]


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[SqliteStore]:
    async with open_sqlite_store(folder / "relay.sqlite3", reserve_bytes=0) as store:
        yield store


def keys_in(folder: Path) -> set[int]:
    return set(read_keys(folder / "column.keys"))


async def reads_well(store: SqliteStore, *names: str) -> None:
    for name in names:
        binding = await store.accounts.find_handle(name)
        assert binding is not None
        assert binding.public_token == token_of(name)
    assert len(await store.transparency.handle_salt("anna")) == 16


async def test_e2_a_thief_of_the_database_reads_nothing_of_what_is_sealed(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store, "anna", "bert")
        salt = await store.transparency.handle_salt("anna")
    found = values(tmp_path / "relay.sqlite3")
    assert sorted(len(value) for value in found) == [16 + OVERHEAD_BYTES] * 2 + [32 + OVERHEAD_BYTES]
    everything = b"".join(path.read_bytes() for path in files_of(tmp_path))
    for secret in (token_of("anna"), token_of("bert"), salt, *read_keys(tmp_path / "column.keys").values()):
        assert secret not in everything
    assert (tmp_path / "column.keys").stat().st_mode & 0o777 == 0o600


async def test_e2_a_value_opens_at_its_own_place_alone(tmp_path: Path) -> None:
    keys = open_keys(tmp_path / "column.keys")
    sealed = keys.seal("handles.public_token", b"row", b"secret")
    assert keys.open("handles.public_token", b"row", sealed) == b"secret"
    assert keys.seal("handles.public_token", b"row", b"secret") != sealed
    other = ColumnKeys({1: os.urandom(KEY_BYTES)})
    for opener, place, row, value in (
        (keys, "handles.public_token", b"another", sealed),
        (keys, "handles.handle", b"row", sealed),
        (keys, "handles.public_token", b"row", sealed[:-1] + bytes((sealed[-1] ^ 1,))),
        (keys, "handles.public_token", b"row", sealed[:20]),
        (keys, "handles.public_token", b"row", b""),
        (keys, "handles.public_token", b"row", (2).to_bytes(4, "big") + sealed[4:]),
        (other, "handles.public_token", b"row", sealed),
    ):
        with pytest.raises(NotOpened) as caught:
            opener.open(place, row, value)
        assert "secret" not in str(caught.value)


async def test_e2_a_row_moved_to_another_account_does_not_open(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store, "anna", "bert")
    with closing(sqlite3.connect(tmp_path / "relay.sqlite3")) as connection:
        connection.execute(
            "UPDATE handles SET public_token = (SELECT public_token FROM handles WHERE handle = 'anna') WHERE handle = 'bert'"
        )
        connection.commit()
    async with opened(tmp_path) as store:
        with pytest.raises(NotOpened):
            await store.accounts.find_handle("bert")


async def test_e2_a_rotation_seals_everything_anew_and_the_old_key_is_gone(tmp_path: Path) -> None:
    names = [f"person{number}" for number in range(30)]
    async with opened(tmp_path) as store:
        await fill(store, "anna", *names)
        before = read_keys(tmp_path / "column.keys")
        rotation = KeyRotation(store.sealing, SystemClock())
        assert [(use.key_id, use.current, use.values) for use in await rotation.keys()] == [(1, True, 32)]
        done = await rotation.rotate(begin=True)
        assert (done.values, done.forgotten, done.done) == (32, (1,), True)
        assert [(use.key_id, use.current, use.values) for use in await rotation.keys()] == [(2, True, 32)]
        await reads_well(store, "anna", *names)
        await fill(store, "later")
    after = read_keys(tmp_path / "column.keys")
    assert set(after) == {2}
    assert before[1] not in (tmp_path / "column.keys").read_bytes()
    assert after[2] != before[1]
    assert {key_id_of(value) for value in values(tmp_path / "relay.sqlite3")} == {2}
    async with opened(tmp_path) as store:
        await reads_well(store, "anna", "later", *names)


async def test_people_come_and_go_while_it_goes_on(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store, "anna", "bert", "carl")
        await store.sealing.begin()
        assert await store.sealing.reseal(limit=1) == 1
        await fill(store, "dora")  # under the new key
        await store.accounts.release_handle(
            registration("bert").manifest.account_id
        )  # from under an old one, maybe
        with pytest.raises(Unavailable):
            await store.sealing.finish()
        assert keys_in(tmp_path) == {1, 2}
        while await store.sealing.reseal(limit=1):
            pass
        assert await store.sealing.finish() == (1,)
        await reads_well(store, "anna", "carl", "dora")


class Killed(BaseException):
    """As by SIGKILL: nothing after it happens."""


@pytest.mark.parametrize(
    "step", ["new key written", "noted", "one value", "all values", "rows dropped", "never"]
)
async def test_e2_killed_at_any_step_it_goes_on_and_loses_nothing(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as store:
        await fill(store, "anna", "bert")
        written = 0

        def kill_at_write(path: Path, keys: dict[int, bytes]) -> None:
            nonlocal written
            written += 1
            if step == "rows dropped" and written == 2:
                raise Killed
            write_keys(path, keys)
            if step == "new key written" and written == 1:
                raise Killed

        monkeypatch.setattr("relay.adapters.sqlite.sealing.write_keys", kill_at_write)
        try:
            await store.sealing.begin()
            if step == "noted":
                raise Killed
            while await store.sealing.reseal(limit=1):
                if step == "one value":
                    raise Killed
            if step == "all values":
                raise Killed
            await store.sealing.finish()
        except Killed:
            pass
        monkeypatch.undo()
    async with opened(tmp_path) as store:
        await reads_well(store, "anna", "bert")
        done = await KeyRotation(store.sealing, SystemClock()).rotate(begin=step != "never")
        assert done.done
        await reads_well(store, "anna", "bert")
    assert keys_in(tmp_path) == {2}
    assert {key_id_of(value) for value in values(tmp_path / "relay.sqlite3")} == {2}


async def test_long_work_is_told_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.services.key_rotation.STEP_VALUES", 1)
    monkeypatch.setattr("relay.services.key_rotation.CALL_SECONDS", 0.0)
    async with opened(tmp_path) as store:
        await fill(store, "anna", "bert")
        rotation = KeyRotation(store.sealing, ManualClock())
        steps = [await rotation.rotate(begin=True)]
        while not steps[-1].done:
            steps.append(await rotation.rotate(begin=False))
        assert [step.values for step in steps] == [1, 1, 1, 0]
        assert steps[-1].forgotten == (1,)


async def test_e2_a_relay_does_not_start_without_its_key_file_or_with_another_one(tmp_path: Path) -> None:
    file = tmp_path / "column.keys"
    async with opened(tmp_path) as store:
        await fill(store, "anna")
    kept = file.read_text()
    file.unlink()
    for wrong, told in (
        (None, "missing"),
        ({1: os.urandom(KEY_BYTES)}, "not the key file of this database"),
        ({2: read_keys_of(kept)}, "not the key file of this database"),
    ):
        if wrong is not None:
            write_keys(file, wrong)
        with pytest.raises(StoreUnusable, match=told):
            async with opened(tmp_path):
                pass
        assert file.exists() is (wrong is not None), "no new key takes the place of a lost one"
    file.write_text(kept)
    async with opened(tmp_path) as store:
        await reads_well(store, "anna")


def read_keys_of(text: str) -> bytes:
    from relay.wire.links import decode_bytes

    return decode_bytes(text.split()[2])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tokenim-column-keys-v1\n",
        "tokenim-column-keys-v1\n1 AAAA\n",
        "tokenim-column-keys-v1\n0 " + "A" * 43 + "\n",
        "x\n",
    ],
)
def test_e10_a_damaged_key_file_is_told_without_what_is_in_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "column.keys"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(StartRefused, match="damaged"):
        read_keys(file)


def test_e10_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "column.keys"
    open_keys(file)
    file.chmod(0o640)
    with pytest.raises(StartRefused, match="chmod 600"):
        read_keys(file)
