"""`doctor`: each thing that can be wrong has its line, with what to do; it changes nothing."""

import asyncio
import json
import os
import re
import shutil
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from relay.adapters.column_keys import read_keys, write_keys
from relay.adapters.data_folder import open_data_folder
from relay.adapters.doctor import folder as folder_checks
from relay.adapters.doctor import machine
from relay.adapters.doctor.findings import Finding
from relay.adapters.memory_clock import ManualClock
from relay.adapters.system_clock import SystemClock
from relay.cli import main
from relay.config import Settings
from relay.config.settings import AdminSettings
from relay.upkeep import examine
from tests.old_database import make_old
from tests.unit.test_relay_backup import file_of, fill


@pytest.fixture
def data(tmp_path: Path) -> Path:
    mask = os.umask(0o077)  # as the command has it
    try:
        asyncio.run(fill(tmp_path / "data"))
    finally:
        os.umask(mask)
    (tmp_path / "data" / "relay.lock").unlink()
    return tmp_path / "data"


def found(
    data: Path, *, now_ms: int | None = None, listen: str = "127.0.0.1:0", admin: str | None = None
) -> dict[str, Finding]:
    """All lines, by check."""
    clock = SystemClock() if now_ms is None else ManualClock(now_ms)
    settings = Settings(data=data, listen=listen, admin=AdminSettings(listen=admin))
    return {one.check: one for one in examine(settings, clock)}


def wrong(lines: dict[str, Finding]) -> dict[str, str]:
    """State of each line that is not in order; each has a mend, and no other."""
    assert all((line.state == "ok") == (line.mend is None) for line in lines.values())
    return {name: line.state for name, line in lines.items() if line.state != "ok"}


def all_of(path: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(each.relative_to(path)): (each.stat().st_mode, each.read_bytes() if each.is_file() else b"")
        for each in path.rglob("*")
    }


@pytest.fixture(autouse=True)
def many_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_descriptors", lambda: -1)


def test_before_the_first_start_all_is_well_and_nothing_is_made(tmp_path: Path):
    assert wrong(found(tmp_path / "not" / "there")) == {}
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_in_order_stays_as_it_is(data: Path):
    before = all_of(data)
    assert wrong(found(data)) == {}
    assert all_of(data) == before


def loosen_key(data: Path) -> None:
    (data / "relay.key").chmod(0o640)


def loosen_folder(data: Path) -> None:
    data.chmod(0o755)


def cut_restore_off(data: Path) -> None:
    (data / ".restoring").mkdir()


def damage(data: Path) -> None:
    with closing(sqlite3.connect(data / "relay.sqlite3")) as database:
        ((page,),) = database.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'manifests'"
        ).fetchall()
    with (data / "relay.sqlite3").open("r+b") as file:
        file.seek((page - 1) * 8_192)
        file.write(b"\xff" * 64)


def overwrite(data: Path) -> None:
    (data / "relay.sqlite3").write_bytes(b"no database at all" * 1_000)


def from_the_future(data: Path) -> None:
    with closing(sqlite3.connect(data / "relay.sqlite3")) as database, database:
        database.execute("INSERT INTO schema_version VALUES (9999, '9999_from_the_future.sql')")


def from_the_past(data: Path) -> None:
    (data / "relay.sqlite3").unlink()
    make_old(data / "relay.sqlite3")
    (data / "relay.sqlite3").chmod(0o600)


def lose_the_keys(data: Path) -> None:
    (data / "column.keys").unlink()


def leave_a_rotation(data: Path) -> None:
    keys = read_keys(data / "column.keys")
    write_keys(data / "column.keys", {**keys, 2: bytes(32)})


def lose_a_blob(data: Path) -> None:
    file_of(data, "two").unlink()


def cut_a_blob(data: Path) -> None:
    file = file_of(data, "two")
    file.write_bytes(file.read_bytes()[:-1])


def replace_by_a_file(data: Path) -> None:
    shutil.rmtree(data)
    data.write_text("no folder")


@pytest.mark.parametrize(
    ("spoil", "lines"),
    [
        (loosen_key, {"folder": "failed"}),
        (loosen_folder, {"folder": "warning"}),
        (cut_restore_off, {"folder": "failed"}),
        (replace_by_a_file, {"folder": "failed"}),
        (damage, {"database": "failed"}),
        (overwrite, {"database": "failed", "roles": "failed", "keys": "failed", "blobs": "failed"}),
        (lose_the_keys, {"keys": "failed"}),
        (leave_a_rotation, {"keys": "warning"}),
        (from_the_future, {"database": "failed"}),
        (from_the_past, {"database": "warning"}),
        (lose_a_blob, {"blobs": "warning"}),
        (cut_a_blob, {"blobs": "warning"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_wrong_with_a_folder_is_told_with_its_mend(
    data: Path, spoil: Callable[[Path], None], lines: dict[str, str]
):
    spoil(data)
    assert wrong(found(data)) == lines


def test_e3_who_has_a_role_that_is_defined_no_more_is_named(data: Path) -> None:
    with closing(sqlite3.connect(data / "relay.sqlite3")) as database, database:
        database.execute("UPDATE accounts SET role = 'helpdesk'")
    lines = found(data)
    assert wrong(lines) == {"roles": "warning"}
    assert "(helpdesk)" in lines["roles"].found
    assert "tokenim-relay role grant" in (lines["roles"].mend or "")
    defined = Settings(data=data, listen="127.0.0.1:0", roles={"helpdesk": ("list_accounts",)})
    assert {one.check: one.state for one in examine(defined)}["roles"] == "ok"


def test_a_clock_that_is_behind_what_was_written_is_told(data: Path):
    written_ms = int((data / "relay.sqlite3").stat().st_mtime * 1_000)
    assert wrong(found(data, now_ms=written_ms - 60_000)) == {}
    assert wrong(found(data, now_ms=written_ms - 200_000)) == {"clock": "failed"}
    assert wrong(found(data.parent / "new", now_ms=0)) == {"clock": "failed"}


def test_a_full_disk_is_told(data: Path, monkeypatch: pytest.MonkeyPatch):
    real = os.statvfs(data)
    for free, files, state in (
        (10**7, 10**6, "failed"),
        (5 * 10**8, 10**6, "warning"),
        (10**10, 5, "failed"),
    ):
        fields = {"f_bavail": free, "f_frsize": 1, "f_files": 10**6, "f_favail": files}
        monkeypatch.setattr(
            os, "statvfs", lambda _, fields=fields: type("Disk", (), {**vars(type(real)), **fields})
        )
        assert folder_checks.check_disk(data).state == state


@pytest.mark.parametrize(
    ("limit", "state"), [(256, "failed"), (4_096, "warning"), (65_536, "ok"), (-1, "ok")]
)
def test_few_descriptors_are_told(limit: int, state: str):
    assert machine.check_descriptors(lambda: limit).state == state


def test_an_address_that_cannot_be_had_is_told(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert wrong(found(tmp_path / "data", listen=address)) == {"listen": "failed"}
        with open_data_folder(tmp_path / "data"):
            assert wrong(found(tmp_path / "data", listen=address)) == {}, "it is the relay's own"
        assert wrong(found(tmp_path / "data", admin=address)) == {"admin": "failed"}
    assert wrong(found(tmp_path / "data", listen="192.0.2.1:80")) == {"listen": "failed"}


def test_a_library_that_signs_wrongly_is_told(monkeypatch: pytest.MonkeyPatch):
    assert machine.check_crypto().state == "ok"
    monkeypatch.setattr(machine, "_verifies", lambda _: True)
    assert machine.check_crypto().state == "failed"
    monkeypatch.setattr(machine, "_SIGNATURE", bytes(64))
    assert machine.check_crypto().state == "failed"


def test_too_old_libraries_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "LEAST_SQLITE", (99, 0, 0))
    monkeypatch.setattr(machine, "LEAST_PYTHON", (99, 0))
    assert wrong(found(tmp_path)) == {"python": "failed", "sqlite": "failed"}


def test_the_command_says_each_line_and_ends_with_1_if_one_fails(data: Path):
    arguments = ["doctor", "--data", str(data), "--listen", "127.0.0.1:0"]
    well = CliRunner().invoke(main, arguments)
    assert (well.exit_code, len(well.stdout.splitlines())) == (0, 19)
    loosen_key(data)
    ill = CliRunner().invoke(main, [*arguments, "--json"])
    lines = [json.loads(line) for line in ill.stdout.splitlines()]
    assert ill.exit_code == 1
    assert [line["mend"] for line in lines if line["state"] == "failed"] == [
        f"run `chmod 600 {data / 'relay.key'}`"
    ]
    unusable = CliRunner().invoke(main, ["doctor", "--data", str(data), "--listen", "nowhere", "--json"])
    lines = [json.loads(line) for line in unusable.stdout.splitlines()]
    assert (unusable.exit_code, lines[0]["check"], lines[0]["state"]) == (1, "config", "failed")
    assert len(lines) == 19


def test_the_settings_in_the_data_folder_are_looked_at(data: Path):
    (data / "config.toml").write_text('registration = "perhaps"\n')
    told = CliRunner().invoke(main, ["doctor", "--data", str(data), "--listen", "127.0.0.1:0", "--json"])
    first = json.loads(told.stdout.splitlines()[0])
    assert (told.exit_code, first["check"], first["state"]) == (1, "config", "failed")
    assert "registration" in first["found"]


@pytest.mark.parametrize(
    ("on_loopback", "origin", "has_tls", "has_trusted", "state"),
    [
        (True, "https://chat.example", False, False, "warning"),
        (True, "https://chat.example", False, True, "ok"),
        (True, "https://chat.example", True, False, "ok"),
        (True, None, False, False, "ok"),
        (False, "https://chat.example", False, False, "ok"),
    ],
)
def test_a_proxy_of_this_machine_that_is_not_trusted_is_told(
    on_loopback: bool, origin: str | None, has_tls: bool, has_trusted: bool, state: str
):
    line = machine.check_proxy(origin, on_loopback=on_loopback, has_tls=has_tls, has_trusted=has_trusted)
    assert line.state == state
    assert (line.mend is None) == (state == "ok")


@pytest.mark.parametrize("name", ["operations.md", "operations.zh.md", "scripts.md"])
def test_every_check_stands_in_the_documents(tmp_path: Path, name: str):
    text = (Path(__file__).parents[2] / "docs" / name).read_text("utf-8")
    if name == "scripts.md":
        told = re.search(r"The checks are (.*); more may come", text)
        assert told is not None
        named = told[1]
    else:  # the first column of the table after the command
        rows = text.partition("tokenim-relay doctor --data")[2].partition("\n## ")[0]
        named = "".join(line.split("|")[1] for line in rows.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`([a-z]+)`", named)) == {"config", *found(tmp_path / "data")}


def test_each_push_service_that_is_on_has_a_line(data: Path) -> None:
    before = all_of(data)
    assert found(data)["push"].state == "ok"
    kinds = {"web": True, "unifiedpush": True, "webhook": True, "contact": "mailto:a@b.example"}
    lines = {one.check: one.state for one in examine(Settings(data=data, listen="127.0.0.1:0", push=kinds))}
    assert {name: state for name, state in lines.items() if name.startswith("push")} == {
        "push web": "ok",
        "push unifiedpush": "ok",
        "push webhook": "ok",
    }
    assert all_of(data) == before


def test_a_second_place_of_heads_that_is_not_there_is_told(tmp_path: Path):
    assert folder_checks.check_heads(None).state == "ok"
    assert folder_checks.check_heads(tmp_path / "heads").state == "ok"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "heads").touch()
    assert folder_checks.check_heads(tmp_path / "heads").state == "ok"
    for path in (tmp_path, tmp_path / "not mounted" / "heads"):
        finding = folder_checks.check_heads(path)
        assert (finding.state, finding.found) == ("warning", f"{path} cannot be written")
        assert finding.mend is not None
        assert "`audit.heads_file`" in finding.mend
