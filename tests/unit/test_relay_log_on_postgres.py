"""The transparency log of a relay of several nodes, as its command verifies it: straight from PostgreSQL.

Which fault is told of what: test_sqlite_log_audit.py, since the check is the same; here, that each of its statements finds
the same in PostgreSQL.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from click.testing import CliRunner

from relay.adapters.data_folder import DataFolder, StartRefused
from relay.adapters.log_check import LogVerdict
from relay.adapters.postgres import log_audit
from relay.adapters.postgres.store import open_postgres_store
from relay.adapters.system_clock import system_randomness
from relay.cli.transparency import transparency
from relay.config import Settings, load_settings
from relay.log_files import verify_log
from relay.ports.transparency import KnownRoot
from relay.session.proof import RelayKey
from relay.wire.errors import MalformedRequest
from relay.wire.log_leaves import head_transcript
from tests.contract.people import NOW_MS, bytes_of, device_field, make_manifest, new_account
from tests.servers.databases import give_back, new_database
from tests.servers.postgres import PostgresServer

NAMES = ("anna", "bert", "carl", "dora", "emil")
ACCOUNTS = {name: make_manifest(name, [device_field(bytes_of(("device", name)))])[0] for name in NAMES}


@pytest.fixture
def url(postgres: PostgresServer, tmp_path: Path) -> Iterator[str]:
    """Leaves 0 to 4 are the accounts, 5 anna's handle, 6 and 7 bert's, given back, 8 carl's second manifest."""
    url = asyncio.run(new_database(postgres))
    asyncio.run(fill(url, tmp_path / "column.keys"))
    yield url
    asyncio.run(give_back(postgres, url))


async def fill(url: str, keys_file: Path) -> None:
    async with open_postgres_store(url, keys_file=keys_file) as store:
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


@pytest.fixture
def settings(tmp_path: Path, url: str) -> Settings:
    (tmp_path / "password").touch(0o600)
    (tmp_path / "password").write_text("tokenim\n")
    DataFolder(tmp_path).signing_seed(system_randomness, tmp_path / "relay.key")
    (tmp_path / "cluster.toml").write_text(
        f'origin = "https://chat.example"\ndata = "{tmp_path}/data"\n'
        f'signing_key_file = "{tmp_path}/relay.key"\nkeys_file = "{tmp_path}/column.keys"\n'
        f'[postgres]\nurl = "{url.replace(":tokenim@", "@")}"\npassword_file = "{tmp_path}/password"\n'
    )
    return load_settings(file=tmp_path / "cluster.toml", environment={})


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_audit, "ROWS_A_PAGE", 2)


def told(verdict: LogVerdict) -> list[tuple[int | None, str]]:
    return [(fault.leaf, fault.told) for fault in verdict.faults]


async def on_server(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET session_replication_role = replica")  # no foreign key keeps a forger
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def log_id_of(url: str) -> bytes:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("SELECT log_id FROM transparency_log")
    finally:
        await connection.close()


def signed(head: KnownRoot, key: RelayKey) -> bytes:
    body = head_transcript(head.log_id, head.size, head.root, head.time_ms)
    return key.sign(body) + body


def blob(data: bytes) -> str:
    return f"'\\x{data.hex()}'::bytea"


A = {name: blob(manifest.account_id) for name, manifest in ACCOUNTS.items()}
OTHER = blob(bytes_of("somebody", 32))


@pytest.mark.parametrize(
    ("statement", "leaf", "words"),
    [
        (f"UPDATE transparency_leaves SET value_hash = {OTHER} WHERE leaf_index = 2", 2, "leaf was changed"),
        ("DELETE FROM transparency_leaves WHERE leaf_index = 3", 3, "leaf is gone"),
        ("DELETE FROM transparency_nodes WHERE node_number = 14", 7, "over leaves 0 to 7 is gone"),
        ("UPDATE transparency_log SET size = 12", None, "the log counts 12 leaves, and there are 9"),
        (f"DELETE FROM manifests WHERE account_id = {A['bert']}", 1, "is gone"),
        (f"INSERT INTO manifests SELECT account_id, 2, body, signer, signature FROM manifests WHERE account_id = {A['bert']}",
         None, "manifest 2 of account"),
        (f"UPDATE accounts SET manifest_version = 1 WHERE account_id = {A['carl']}", 8, "does not stand at"),
        (f"DELETE FROM accounts WHERE account_id = {A['dora']}", 3, "there are leaves of it"),
        (f"DELETE FROM accounts WHERE account_id = {A['dora']}", None, "there are devices of it"),
        (f"UPDATE devices SET signing_key = {OTHER} WHERE account_id = {A['emil']}", 4, "devices of account"),
        ("DELETE FROM handles", 5, "handle that was bound here is gone"),
        (f"INSERT INTO handles VALUES ('bert', {A['emil']}, NULL)", 7, "the handle bert names another account"),
        ("UPDATE transparency_leaves SET version = 7 WHERE leaf_index = 7", 7, "versions of this handle are missing"),
    ],
)  # fmt: skip
def test_each_change_by_hand_is_named(
    settings: Settings, url: str, statement: str, leaf: int | None, words: str
) -> None:
    asyncio.run(on_server(url, statement))
    found = told(verify_log(settings, []))
    assert [fault for fault in found if fault[0] == leaf and words in fault[1]], found


def test_the_command_verifies_what_the_nodes_wrote_and_heads_of_it(
    settings: Settings, url: str, tmp_path: Path
) -> None:
    verdict = verify_log(settings, [])
    assert (verdict.leaves, told(verdict)) == (9, [])
    key = RelayKey(DataFolder(tmp_path).signing_seed(system_randomness, tmp_path / "relay.key"))
    known = KnownRoot(asyncio.run(log_id_of(url)), verdict.leaves, verdict.root, NOW_MS)
    assert verify_log(settings, [signed(known, key)]) == verdict
    longer = signed(replace(known, size=12), key)
    assert told(verify_log(settings, [longer])) == [
        (None, "the log has shrunk: a head was signed over 12 leaves")
    ]
    with pytest.raises(MalformedRequest):
        verify_log(settings, [signed(known, RelayKey(bytes(32)))])
    config = ["--config", str(tmp_path / "cluster.toml"), "--json"]
    right = CliRunner().invoke(transparency, ["verify", *config])
    assert (right.exit_code, json.loads(right.stdout)["leaves"]) == (0, 9)
    asyncio.run(on_server(url, "DELETE FROM handles"))
    wrong = CliRunner().invoke(transparency, ["verify", *config])
    assert wrong.exit_code == 1
    assert "is gone" in wrong.stdout


def test_what_stands_in_the_way_is_said(settings: Settings, url: str, tmp_path: Path) -> None:
    (tmp_path / "column.keys").rename(tmp_path / "kept")
    with pytest.raises(StartRefused, match=r"column\.keys"):
        verify_log(settings, [])
    (tmp_path / "kept").rename(tmp_path / "column.keys")
    asyncio.run(on_server(url, "DELETE FROM transparency_log"))
    with pytest.raises(StartRefused, match="has lost its id and key"):
        verify_log(settings, [])
    asyncio.run(on_server(url, "DROP TABLE transparency_log"))
    with pytest.raises(StartRefused, match="there is no transparency log yet"):
        verify_log(settings, [])
