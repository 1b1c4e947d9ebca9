"""`audit_log` names what was changed, removed or inserted behind the relay's back, and nothing else."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from relay.adapters.log_check import MOST_FAULTS, LogVerdict
from relay.adapters.sqlite.connection import StoreUnusable
from relay.adapters.sqlite.log_audit import audit_log
from relay.adapters.sqlite.migrate import shipped_migrations
from relay.adapters.sqlite.store import open_sqlite_store
from relay.ports.transparency import KnownRoot
from tests.contract.people import NOW_MS, bytes_of, device_field, make_manifest, new_account

NAMES = ("anna", "bert", "carl", "dora", "emil")
ACCOUNTS = {name: make_manifest(name, [device_field(bytes_of(("device", name)))])[0] for name in NAMES}


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    """Leaves 0 to 4 are the accounts, 5 anna's handle, 6 and 7 bert's, given back, 8 carl's second manifest."""
    path = tmp_path / "relay.sqlite3"
    async with open_sqlite_store(path, reserve_bytes=0) as store:
        for name in NAMES:
            await new_account(store, name)
        anna, bert, carl = (ACCOUNTS[name] for name in NAMES[:3])
        await store.accounts.set_handle(anna.account_id, "anna", None, now_ms=NOW_MS)
        await store.accounts.set_handle(bert.account_id, "bert", None, now_ms=NOW_MS)
        await store.accounts.release_handle(bert.account_id)
        manifest, signed = make_manifest(
            "carl", [device_field(bytes_of("another"))], version=2, previous=carl.hash
        )
        await store.accounts.advance_manifest(manifest, signed, now_ms=NOW_MS)
    return path


def told(verdict: LogVerdict) -> list[tuple[int | None, str]]:
    """Each fault without the names in it."""
    return [(fault.leaf, fault.told) for fault in verdict.faults]


def tamper(database: Path, *statements: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_what_the_relay_wrote_fits(database: Path) -> None:
    verdict = audit_log(database)
    assert told(verdict) == []
    assert verdict.leaves == 9


def blob(data: bytes) -> str:
    return f"x'{data.hex()}'"


A = {name: blob(manifest.account_id) for name, manifest in ACCOUNTS.items()}
OTHER = blob(bytes_of("somebody", 32))


@pytest.mark.parametrize(
    ("statement", "leaf", "words"),
    [
        (f"UPDATE transparency_leaves SET value_hash = {OTHER} WHERE leaf_index = 2", 2, "leaf was changed"),
        ("UPDATE transparency_leaves SET version = 7 WHERE leaf_index = 7", 7, "leaf was changed"),
        ("UPDATE transparency_leaves SET kind = 9 WHERE leaf_index = 1", 1, "none any more"),
        ("UPDATE transparency_leaves SET version = -1 WHERE leaf_index = 1", 1, "none any more"),
        ("DELETE FROM transparency_leaves WHERE leaf_index = 3", 3, "leaf is gone"),
        ("DELETE FROM transparency_leaves WHERE leaf_index = 8", 8, "leaf is gone"),
        (f"INSERT INTO transparency_leaves VALUES (9, 1, {OTHER}, 1, {OTHER})", 9, "hash is gone from the tree"),
        (f"INSERT INTO transparency_leaves VALUES (-1, 1, {OTHER}, 1, {OTHER})", -1, "is gone"),
        (f"UPDATE transparency_nodes SET hash = {OTHER} WHERE node_number = 2", 1, "over leaves 0 to 1 was changed"),
        ("DELETE FROM transparency_nodes WHERE node_number = 14", 7, "over leaves 0 to 7 is gone"),
        ("DELETE FROM transparency_nodes WHERE node_number = 7", 4, "hash is gone from the tree"),
        (f"INSERT INTO transparency_nodes VALUES (16, {OTHER})", 9, "leaf is gone"),
        (f"DELETE FROM manifests WHERE account_id = {A['bert']}", 1, "is gone"),
        (f"UPDATE manifests SET body = CAST(body || 'x' AS BLOB) WHERE account_id = {A['bert']}", 1, "was changed"),
        (f"INSERT INTO manifests SELECT account_id, 2, body, signer, signature FROM manifests WHERE account_id = {A['bert']}",
         None, "manifest 2 of account"),
        (f"UPDATE accounts SET manifest_version = 1 WHERE account_id = {A['carl']}", 8, "does not stand at"),
        (f"UPDATE accounts SET manifest_hash = {OTHER} WHERE account_id = {A['dora']}", 3, "does not stand at"),
        (f"DELETE FROM accounts WHERE account_id = {A['dora']}", 3, "is gone"),
        (f"INSERT INTO accounts VALUES ({OTHER}, 'member', 0, 0, 1, {OTHER})", None, "was inserted"),
        (f"INSERT INTO devices VALUES (99, x'{'07' * 16}', {A['anna']}, {OTHER}, {OTHER}, 1, 0, 0)", 0, "devices of account"),
        (f"INSERT INTO devices VALUES (99, x'{'07' * 16}', {OTHER}, {OTHER}, {OTHER}, 1, 0, 0)",
         None, "is gone, and there are devices"),
        (f"DELETE FROM devices WHERE account_id = {A['anna']}", 0, "devices of account"),
        (f"UPDATE devices SET signing_key = {OTHER} WHERE account_id = {A['emil']}", 4, "devices of account"),
        ("DELETE FROM handles", 5, "handle that was bound here is gone"),
        (f"INSERT INTO handles VALUES ('eve', {A['emil']}, NULL)", None, "the handle eve was inserted"),
        (f"INSERT INTO handles VALUES ('bert', {A['emil']}, NULL)", 7, "the handle bert names another account"),
        (f"UPDATE handles SET account_id = {A['emil']}", 5, "the handle anna names another account"),
        ("UPDATE handles SET handle = 'hanna'", None, "the handle hanna was inserted"),
    ],
)  # fmt: skip
def test_each_change_by_hand_is_named(database: Path, statement: str, leaf: int | None, words: str) -> None:
    tamper(database, statement)
    found = told(audit_log(database))
    assert [fault for fault in found if fault[0] == leaf and words in fault[1]], found


def test_one_change_of_the_tree_is_one_fault(database: Path) -> None:
    tamper(database, f"UPDATE transparency_nodes SET hash = {OTHER} WHERE node_number = 0")
    assert [leaf for leaf, _ in told(audit_log(database))] == [0, 1]  # the leaf's own, and the node above


def test_somebody_who_makes_the_whole_tree_anew_is_found_by_an_earlier_head(database: Path) -> None:
    before = audit_log(database)
    head = KnownRoot(log_id_of(database), before.leaves, before.root, NOW_MS)
    assert told(audit_log(database, [head])) == []
    # Carl's second manifest never was.
    forge_without_the_last(database)
    assert told(audit_log(database)) == []
    assert told(audit_log(database, [head])) == [
        (None, "the log has shrunk: a head was signed over 9 leaves")
    ]


def test_a_head_of_other_leaves_is_seen(database: Path) -> None:
    verdict = audit_log(database)
    other = KnownRoot(log_id_of(database), 4, verdict.root, NOW_MS)
    ((leaf, words),) = told(audit_log(database, [other]))
    assert leaf is None
    assert f"the first 4 leaves are not those of the head signed at {NOW_MS}" in words


async def test_a_head_from_before_a_restore_is_told_as_such(database: Path) -> None:
    verdict = audit_log(database)
    head = KnownRoot(log_id_of(database), verdict.leaves, verdict.root, NOW_MS)
    async with open_sqlite_store(database, reserve_bytes=0) as store:
        await store.mark_restored()
    ((_, words),) = told(audit_log(database, [head]))
    assert "is of another log: there was a restore since" in words
    assert told(audit_log(database, [replace(head, log_id=log_id_of(database))])) == []


async def test_it_reads_beside_a_relay_that_has_the_file_open(database: Path) -> None:
    async with open_sqlite_store(database, reserve_bytes=0) as store:
        await new_account(store, "fritz")
        verdict = audit_log(database)
        assert (verdict.leaves, told(verdict)) == (10, [])
        await new_account(store, "gustav")


def test_a_row_far_away_does_not_keep_it_for_ever(database: Path) -> None:
    tamper(database, f"INSERT INTO transparency_leaves VALUES (1000000000000, 1, {OTHER}, 1, {OTHER})")
    assert len(audit_log(database).faults) == MOST_FAULTS


async def test_a_file_without_a_log_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "relay.sqlite3"
    async with open_sqlite_store(path, reserve_bytes=0, migrations=shipped_migrations()[:1]):
        pass
    with pytest.raises(StoreUnusable, match="start the relay once"):
        audit_log(path)
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreUnusable, match="cannot read"):
        audit_log(path)


def log_id_of(database: Path) -> bytes:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT log_id FROM transparency_log").fetchone()[0]


def forge_without_the_last(database: Path) -> None:
    """Take the newest leaf away with all that it is about, and leave a tree that fits."""
    with closing(sqlite3.connect(database)) as connection:
        (size,) = connection.execute("SELECT count(*) FROM transparency_leaves").fetchone()
    carl = ACCOUNTS["carl"]
    (device,) = carl.devices
    columns = {
        "device_id": device.device_id,
        "signing_key": device.signing_key,
        "identity_key": device.identity_key,
    }
    tamper(
        database,
        f"DELETE FROM transparency_leaves WHERE leaf_index = {size - 1}",
        "DELETE FROM transparency_nodes WHERE node_number = (SELECT max(node_number) FROM transparency_nodes)",
        f"DELETE FROM manifests WHERE account_id = {A['carl']} AND version = 2",
        f"UPDATE accounts SET manifest_version = 1, manifest_hash = {blob(carl.hash)} WHERE account_id = {A['carl']}",
        f"UPDATE devices SET {', '.join(f'{name} = {blob(value)}' for name, value in columns.items())}"
        f" WHERE account_id = {A['carl']}",
    )
