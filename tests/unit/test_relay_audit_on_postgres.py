"""The audit log of a relay of several nodes, as its commands verify and export it: straight from PostgreSQL."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from relay.adapters.data_folder import DataFolder, StartRefused
from relay.adapters.postgres import audit_snapshot
from relay.adapters.postgres.store import open_postgres_store
from relay.adapters.system_clock import system_randomness
from relay.config import Settings, load_settings
from relay.log_files import export_audit, verify_audit, verify_audit_export
from relay.services.audit import Action
from relay.session.proof import RelayKey
from relay.wire.audit_rows import Party
from tests.audit_logs import audit_over
from tests.servers.databases import give_back, new_database
from tests.servers.postgres import PostgresServer

ROWS = 7


async def on_server(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def url(postgres: PostgresServer):
    url = asyncio.run(new_database(postgres))
    yield url
    asyncio.run(give_back(postgres, url))


@pytest.fixture
def settings(tmp_path: Path, url: str) -> Settings:
    (tmp_path / "password").touch(0o600)
    (tmp_path / "password").write_text("tokenim\n")
    shared = {"url": url.replace(":tokenim@", "@"), "password_file": tmp_path / "password"}
    given = {"origin": "https://chat.example", "postgres": shared, "signing_key_file": tmp_path / "relay.key"}
    return load_settings(file=None, environment={}, command_line={**given, "data": tmp_path / "data"})


@pytest.fixture
def key(settings: Settings, tmp_path: Path) -> RelayKey:
    return RelayKey(DataFolder(tmp_path).signing_seed(system_randomness, settings.signing_key_file))


@pytest.fixture
def head(url: str, key: RelayKey, tmp_path: Path) -> bytes:
    """Of a log of ROWS rows, that are there."""

    async def record() -> bytes:
        async with open_postgres_store(url, keys_file=tmp_path / "column.keys") as store:
            audit = audit_over(store.audit, key=key)
            for _ in range(ROWS):
                await store.audit.append(
                    audit.entry(Action.ROLE_GRANT, actor=Party.operator(7), detail="admin")
                )
            return (await audit.head()).signed

    return asyncio.run(record())


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_snapshot, "ROWS_A_PAGE", 3)


def test_e4_the_log_in_postgresql_is_verified_and_exported(
    settings: Settings, head: bytes, tmp_path: Path
) -> None:
    verdict = verify_audit(settings, [head])
    assert (verdict.rows, verdict.faults) == (ROWS, ())
    export = tmp_path / "export"
    assert export_audit(settings, export) == ROWS
    assert export.stat().st_mode & 0o777 == 0o600
    assert verify_audit_export(export.read_text("utf-8").splitlines(), [head]) == verdict
    with pytest.raises(FileExistsError):
        export_audit(settings, export)
    assert not (tmp_path / "data").exists()


def test_e4_what_was_changed_by_hand_in_postgresql_is_named(
    settings: Settings, head: bytes, url: str
) -> None:
    asyncio.run(
        on_server(
            url,
            "UPDATE audit_rows SET detail = 'owner' WHERE row_index = 4",
            "INSERT INTO audit_rows (row_index, at_ms, leaf_hash) SELECT -7, at_ms, leaf_hash FROM audit_rows LIMIT 1",
        )
    )
    assert [fault.row for fault in verify_audit(settings, []).faults] == [-7, 4]
    nothing = ("DELETE FROM audit_rows", "UPDATE audit_log SET size = 0, peaks = '', signature = ''")
    asyncio.run(on_server(url, *nothing))
    assert verify_audit(settings, []).faults == ()
    assert ["are gone" in fault.told for fault in verify_audit(settings, [head]).faults] == [True]


def test_what_stands_in_the_way_is_said(settings: Settings, head: bytes, url: str, tmp_path: Path) -> None:
    export = tmp_path / "export"
    asyncio.run(on_server(url, "DELETE FROM audit_log"))
    with pytest.raises(StartRefused, match="has lost where it stands"):
        verify_audit(settings, [])
    asyncio.run(on_server(url, "DROP TABLE audit_log"))
    with pytest.raises(StartRefused, match="there is no audit log yet"):
        export_audit(settings, export)
    (tmp_path / "password").write_text("a guess\n")
    with pytest.raises(StartRefused, match="PostgreSQL cannot be used"):
        export_audit(settings, export)
    (tmp_path / "relay.key").unlink()
    with pytest.raises(StartRefused, match=r"relay\.key: there is no such file") as refused:
        verify_audit(settings, [])
    assert refused.value.exit_code == 2
    assert not (tmp_path / "relay.key").exists()  # a new one would fit no row
    assert list(tmp_path.glob("export*")) == []
