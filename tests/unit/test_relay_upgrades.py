"""A data folder of each earlier schema, as that version left it, opens in this one with all that was in it."""

import hashlib
import lzma
import os
import re
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from relay.adapters.data_folder import open_data_folder
from relay.adapters.memory_clock import ManualClock
from relay.adapters.sqlite.log_audit import audit_log
from relay.adapters.sqlite.migrate import shipped_migrations
from relay.adapters.sqlite.sealing import COLUMNS, PUBLIC_TOKEN
from relay.adapters.system_clock import system_randomness
from relay.app import open_relay
from relay.composition import Machine
from relay.config import Settings
from relay.ports.mailboxes import StoredEnvelope
from relay.session.proof import KnownDevice

KEPT = Path(__file__).parents[1] / "upgrades"
FOLDERS = sorted(KEPT.glob("schema-*.tar.xz"))
ROW = dict[str, object]


def unpack(packed: Path, data: Path) -> Path:
    data.mkdir(0o700)
    with lzma.open(packed) as stream, tarfile.open(fileobj=stream) as archive:
        archive.extractall(data, filter="data")
    return data


@contextmanager
def opened(data: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(data / "relay.sqlite3")) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def contents(data: Path) -> dict[str, list[ROW]]:
    """All rows of all tables."""
    with opened(data) as database:
        names = [
            row["name"] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        ]
        return {
            name: [dict(row) for row in database.execute(f"SELECT * FROM {name} ORDER BY 1")]
            for name in names
            if not name.startswith("sqlite_")
        }


def still_there(before: list[ROW], after: list[ROW]) -> bool:
    """Each row with all of its columns that there still are; new columns and rows do not matter."""
    columns = before[0].keys() & after[0].keys() if before and after else set()
    kept = [{name: row[name] for name in columns} for row in after]
    return all({name: row[name] for name in columns} in kept for row in before) and bool(
        columns or not before
    )


ASKER = KnownDevice(bytes(16), bytes(32), bytes(32), "member", False)


@pytest.mark.parametrize("packed", FOLDERS, ids=lambda path: path.name.partition(".")[0])
async def test_the_folder_of_an_earlier_version_opens_with_all_that_was_in_it(packed: Path, tmp_path: Path):
    data = unpack(packed, tmp_path / "data")
    before = contents(data)
    assert f"schema-{max(row['version'] for row in before['schema_version'])}." in packed.name
    waiting = before["envelopes"]
    assert len(waiting) >= 3
    assert before["blobs"]
    now_ms = max(int(str(row["received_at_ms"])) for row in waiting) + 1_000
    with open_data_folder(data) as folder:
        settings = Settings(data=data, listen="127.0.0.1:0", origin=folder.remembered_origin())
        key = folder.signing_seed(os.urandom)
        machine = Machine(clock=ManualClock(now_ms), randomness=system_randomness)
        async with open_relay(settings, folder, machine) as relay:
            store = relay.services.store
            ids = {row["device_number"]: row["device_id"] for row in before["devices"]}
            device = await store.accounts.device(ids[waiting[0]["device_number"]])
            assert device is not None
            page = await store.mailboxes.read(
                device.device_id, after=0, max_envelopes=9, max_bytes=10**6, now_ms=now_ms
            )
            texts = [item.ciphertext for item in page.items if isinstance(item, StoredEnvelope)]
            assert texts == [row["ciphertext"] for row in waiting]
            for row in before["blobs"]:
                blob = await relay.services.blobs.find(bytes(row["blob_id"]))
                read = b"".join(
                    [part async for part in relay.services.blobs.read(blob, start=0, end=blob.length)]
                )
                assert hashlib.sha256(read).digest() == row["sha256"]
            for row in before["handles"]:
                found = await relay.services.identity.find(str(row["handle"]), ASKER)
                kept = bytes(row["public_token"])
                token = (
                    store._reader.keys.open(PUBLIC_TOKEN, bytes(row["account_id"]), kept)
                    if "column_keys" in before
                    else kept
                )
                assert found == (row["account_id"], token)
        assert folder.signing_seed(os.urandom) == key
    after = contents(data)
    assert max(row["version"] for row in after["schema_version"]) == len(shipped_migrations())
    changed = {"nonces", "recent_records", "records"}  # their time is over, or they were merged
    changed.add("deletion_traces")  # what was in the clear goes from free pages
    for column in COLUMNS:  # sealed now, and read above
        for rows in (before.get(column.table, []), after[column.table]):
            for row in rows:
                row.pop(column.column)
    assert [name for name in before.keys() - changed if not still_there(before[name], after[name])] == []
    assert audit_log(data / "relay.sqlite3").faults == ()
    with opened(data) as database:
        assert [row[0] for row in database.execute("PRAGMA integrity_check")] == ["ok"]


def test_there_is_a_folder_of_each_earlier_schema():
    kept = {int(re.findall(r"\d+", path.name)[0]) for path in FOLDERS}
    earlier = set(range(1, shipped_migrations()[-1].number))
    assert earlier - kept == set(), (
        "before a migration is added, `python -m tests.upgrades.make_folder` keeps a folder of the schema so far"
    )
