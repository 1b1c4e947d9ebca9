"""A database from before the transparency log: the migration enters what is there, in order, all or nothing (F21)."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from relay.adapters.sqlite import enter_log
from relay.adapters.sqlite.log_audit import audit_log
from relay.adapters.sqlite.migrate import Migration
from relay.adapters.sqlite.store import open_sqlite_store
from relay.wire.log_leaves import LeafKind, handle_leaf, handle_subject, manifest_leaf
from tests.contract.people import bytes_of, device_field, make_manifest, new_account
from tests.merkle_log import root_of
from tests.old_database import COUNT, LOG, OLD, make_old


@pytest.mark.parametrize("piece", [1, 4, 1_000])
async def test_every_manifest_and_handle_is_entered_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(enter_log, "_PIECE_ROWS", piece)
    manifests = make_old(tmp_path / "relay.db")
    async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0) as store:
        log = store.transparency
        for index, manifest in enumerate(manifests):
            found = await log.find(LeafKind.MANIFEST, manifest.account_id, manifest.version)
            assert found is not None
            assert found.index == index
        leaves = [manifest_leaf(each.account_id, each.version, each.hash) for each in manifests]
        for number in range(0, COUNT, 5):
            subject = handle_subject(await log.handle_salt(f"handle{number}"), f"handle{number}")
            account_id = make_manifest(number, [device_field(bytes_of(("device", number)))])[0].account_id
            leaves.append(handle_leaf(subject, 1, account_id))
        assert (await log.state()).size == len(leaves)
        anna = await new_account(store, "anna")
        leaves.append(manifest_leaf(anna.account_id, 1, anna.manifest_hash))
    verdict = audit_log(tmp_path / "relay.db")
    assert (verdict.leaves, verdict.faults) == (len(leaves), ())
    assert verdict.root == root_of([leaf.encode() for leaf in leaves])


async def test_f21_a_fault_while_entering_leaves_the_old_database(tmp_path: Path) -> None:
    make_old(tmp_path / "relay.db")

    async def fails(connection, randomness, keys) -> None:
        await enter_log.enter_existing(connection, randomness, keys)
        raise sqlite3.OperationalError("the disk")

    broken = Migration(LOG.number, LOG.name, LOG.sql, fails)
    with pytest.raises(sqlite3.OperationalError, match="the disk"):
        async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0, migrations=(*OLD, broken)):
            pytest.fail("it opened")
    with closing(sqlite3.connect(tmp_path / "relay.db")) as database:
        assert database.execute("SELECT max(version) FROM schema_version").fetchone() == (LOG.number - 1,)
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_schema")]
    assert not [name for name in tables if name.startswith("transparency")]
    async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0) as store:
        assert (await store.transparency.state()).size == audit_log(tmp_path / "relay.db").leaves > COUNT


async def test_two_databases_have_two_logs(tmp_path: Path) -> None:
    found = []
    for name in ("one.db", "other.db"):
        async with open_sqlite_store(tmp_path / name, reserve_bytes=0) as store:
            found.append(
                ((await store.transparency.state()).log_id, await store.transparency.handle_salt("a"))
            )
    assert len({log_id for log_id, _ in found}) == len({salt for _, salt in found}) == 2
