"""Backups: of one moment, checked before they have a name; put back whole or not at all."""

import asyncio
import hashlib
import io
import json
import shutil
import sqlite3
import stat
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from relay.adapters.backup.layout import BackupRefused
from relay.adapters.backup.making import Made
from relay.adapters.column_keys import read_keys, write_keys
from relay.adapters.data_folder import DataFolder, StartRefused, open_data_folder
from relay.adapters.disk_blobs import open_disk_blobs
from relay.adapters.sqlite import snapshot
from relay.adapters.sqlite.store import open_sqlite_store
from relay.config import Settings
from relay.log_files import verify_audit
from relay.ports.blobs import Blob
from relay.upkeep import back_up, put_back
from tests.contract.people import NOW_MS, bytes_of, new_account
from tests.old_database import make_old

BYTES = {name: name.encode() * 70_000 for name in ("one", "two", "three")}


async def fill(path: Path) -> None:
    """A data folder with a key, an account, three blobs and half of a fourth."""
    with open_data_folder(path) as folder:
        folder.signing_seed(bytes)
        folder.remember_origin("https://chat.example")
        async with (
            open_sqlite_store(folder.database, reserve_bytes=0) as store,
            open_disk_blobs(folder.blobs) as files,
        ):
            owner = await new_account(store, "anna")
            for name, data in [*BYTES.items(), ("half", b"h" * 9)]:
                digest = hashlib.sha256(data).digest()
                fields = {"owner_id": owner.account_id, "length": len(data), "sha256": digest, "offset": 0}
                times = {"created_at_ms": NOW_MS, "expires_at_ms": 2 * NOW_MS}
                blob = Blob(blob_id=id_of(name), complete=False, **fields, **times)
                await store.blobs.create(blob, quota_bytes=10**9)
                piece = data[:5] if name == "half" else data
                await files.append(id_of(name), offset=0, data=piece)
                await store.blobs.advance(
                    id_of(name), from_offset=0, to_offset=len(piece), expires_at_ms=2 * NOW_MS
                )
                if name != "half":
                    await store.blobs.complete(id_of(name), expires_at_ms=2 * NOW_MS)


def id_of(name: str) -> bytes:
    return bytes_of(("blob", name), 32)


def file_of(path: Path, name: str) -> Path:
    (found,) = [file for file in (path / "blobs").rglob("*") if file.is_file() and name_in(file) == name]
    return found


def name_in(file: Path) -> str:
    return next((name for name in BYTES if file.read_bytes()[:20] == BYTES[name][:20]), "")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    asyncio.run(fill(tmp_path / "data"))
    return tmp_path / "data"


def made_from(data: Path, told: Callable[[str, int, int], None] = lambda *_: None) -> Made:
    return back_up(Settings(data=data), data.parent / "backup.tar", config=None, told=told)


def restored(data: Path) -> Path:
    """The folder into which the backup beside `data` was put back."""
    put_back(Settings(data=data.parent / "new"), data.parent / "backup.tar", told=lambda *_: None)
    return data.parent / "new"


def rows(path: Path, statement: str) -> list[tuple]:
    with closing(sqlite3.connect(DataFolder(path).database)) as database:
        return database.execute(statement).fetchall()


def test_a_backup_put_back_is_the_same_but_for_what_a_restore_changes(data: Path):
    (data / "config.toml").write_text('registration = "closed"\n')
    elsewhere = data.parent / "relay.toml"
    elsewhere.write_text("drain_seconds = 3\n")
    made = back_up(Settings(data=data), data.parent / "backup.tar", config=elsewhere, told=lambda *_: None)
    assert stat.S_IMODE(made.file.stat().st_mode) == 0o600
    assert sorted(path.name for path in data.parent.iterdir()) == ["backup.tar", "data", "relay.toml"]
    new = restored(data)
    assert (new / "settings.toml").read_bytes() == elsewhere.read_bytes()
    for name in ("relay.key", "origin", "config.toml"):
        assert (new / name).read_bytes() == (data / name).read_bytes()
    for name, content in BYTES.items():
        assert file_of(new, name).read_bytes() == content
    assert rows(new, "SELECT * FROM accounts") == rows(data, "SELECT * FROM accounts")
    assert rows(new, "SELECT complete, count(*) FROM blobs GROUP BY 1") == [(1, 3)], (
        "an unfinished one is left out"
    )
    assert rows(new, "SELECT log_id FROM transparency_log") != rows(
        data, "SELECT log_id FROM transparency_log"
    )
    assert rows(new, "SELECT action FROM audit_rows ORDER BY row_index DESC LIMIT 1") == [("restore",)]
    assert verify_audit(Settings(data=new), []).faults == ()
    loose = [path for path in [new, *new.rglob("*")] if path.lstat().st_mode & 0o077]
    assert loose == []


def test_a_backup_is_of_one_moment_while_others_write_and_remove(data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(snapshot, "PAGES_A_STEP", 8)
    removed = file_of(data, "two")

    def meanwhile(what: str, done: int, _of: int) -> None:
        with closing(sqlite3.connect(data / "relay.sqlite3")) as database, database:
            database.execute(
                f"INSERT INTO invites VALUES (randomblob(32), 'member', 1, NULL, {done}, NULL, NULL)"
            )
        if what == "database":
            removed.unlink(missing_ok=True)

    made = made_from(data, meanwhile)
    assert (made.manifest.blobs, made.left_out, made.damaged) == (2, 1, ())
    new = restored(data)
    assert rows(new, "SELECT count(*) FROM invites") == [(0,)] != rows(data, "SELECT count(*) FROM invites")
    assert rows(new, "SELECT count(*) FROM blobs") == [(2,)]


def test_f7_a_blob_whose_bytes_went_bad_is_left_out_and_named(data: Path):
    bad = file_of(data, "three")
    bad.write_bytes(bad.read_bytes()[:-1] + b"!")
    short = file_of(data, "one")
    short.write_bytes(short.read_bytes()[:-1])
    made = made_from(data)
    assert set(made.damaged) == {id_of("one"), id_of("three")}
    new = restored(data)
    assert file_of(new, "two").read_bytes() == BYTES["two"]
    assert rows(new, "SELECT count(*) FROM blobs") == [(1,)]


def test_f7_a_damaged_database_is_not_backed_up(data: Path):
    (page,) = rows(data, "SELECT rootpage FROM sqlite_schema WHERE name = 'accounts'")[0]
    with (data / "relay.sqlite3").open("r+b") as file:
        file.seek((page - 1) * 8_192)
        file.write(b"\xff" * 64)
    with pytest.raises(StartRefused, match=r"database|malformed"):
        made_from(data)
    assert sorted(path.name for path in data.parent.iterdir()) == ["data"]


def bytes_at(file: Path) -> dict[str, int]:
    """Where the bytes of each file in the backup begin."""
    with tarfile.open(file) as archive:
        return {member.name.partition("/")[0]: member.offset_data for member in archive}


@pytest.mark.parametrize("part", ["blobs", "relay.key", "origin", "relay.sqlite3", "manifest.json"])
def test_f7_a_flipped_bit_anywhere_in_a_backup_is_found_and_nothing_is_put_back(data: Path, part: str):
    file = made_from(data).file
    with file.open("r+b") as archive:
        archive.seek(bytes_at(file)[part] + 5)
        byte = archive.read(1)[0]
        archive.seek(-1, io.SEEK_CUR)
        archive.write(bytes((byte ^ 1,)))
    with pytest.raises(BackupRefused, match="damaged"):
        restored(data)
    assert [path.name for path in (data.parent / "new").iterdir()] == ["relay.lock"]


@pytest.mark.parametrize("kept", [0, 100, 0.3, 0.9, 0.999])
def test_a_backup_that_is_cut_off_is_refused(data: Path, kept: float):
    file = made_from(data).file
    whole = file.read_bytes()
    file.write_bytes(whole[: int(kept * bytes_at(file)["manifest.json"]) if kept < 1 else int(kept)])
    with pytest.raises(BackupRefused, match="cut off"):
        restored(data)


def with_member(file: Path, name: str, **fields: object) -> None:
    """Put one more file at the end of the archive."""
    member = tarfile.TarInfo(name)
    member.size = 3
    for field, value in fields.items():
        setattr(member, field, value)
    with tarfile.open(file, "a") as archive:
        archive.addfile(member, io.BytesIO(b"abc"))


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("../escaped", {}),
        ("/tmp/escaped", {}),
        ("relay.lock", {}),
        ("blobs/../../escaped", {}),
        ("relay.key", {}),  # a second one
        ("owner-invite", {}),  # that the manifest does not name
        ("origin2", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
    ],
)
def test_what_belongs_to_no_backup_is_refused(data: Path, name: str, fields: dict[str, object]):
    with_member(made_from(data).file, name, **fields)
    with pytest.raises(BackupRefused):
        restored(data)
    assert [path.name for path in (data.parent / "new").iterdir()] == ["relay.lock"]
    assert not list(data.parent.glob("**/escaped"))


def test_a_backup_is_put_into_an_empty_folder_alone(data: Path):
    made_from(data)
    new = data.parent / "new"
    new.mkdir(0o700)
    (new / "mine").write_text("kept")
    with pytest.raises(BackupRefused, match="not empty"):
        restored(data)
    assert (new / "mine").read_text() == "kept"
    (new / "mine").unlink()
    restored(data)
    with pytest.raises(BackupRefused, match="not empty"):
        restored(data)


def test_a_restore_that_is_cut_off_leaves_a_folder_that_no_relay_starts_on_and_is_done_anew(data: Path):
    made_from(data)
    new = restored(data)
    half = new / ".restoring"  # as a kill between two renames leaves it
    half.mkdir()
    (new / "relay.sqlite3").rename(half / "relay.sqlite3")
    with pytest.raises(StartRefused, match="a restore was cut off here"), open_data_folder(new):
        pytest.fail("it opened")
    restored(data)
    with open_data_folder(new) as folder:
        assert folder.database.exists()
        assert not half.exists()


def test_a_backup_of_an_earlier_version_is_brought_up_to_date_and_one_of_a_later_refused(
    data: Path, tmp_path: Path
):
    old = tmp_path / "old"
    shutil.copytree(data, old)
    shutil.rmtree(old / "blobs")
    (old / "relay.sqlite3").unlink()
    manifests = make_old(old / "relay.sqlite3")
    assert (
        back_up(
            Settings(data=old), tmp_path / "old.tar", config=None, told=lambda *_: None
        ).manifest.schema_version
        == 2
    )
    put_back(Settings(data=tmp_path / "old-new"), tmp_path / "old.tar", told=lambda *_: None)
    assert rows(tmp_path / "old-new", "SELECT count(*) FROM manifests") == [(len(manifests),)]
    with closing(sqlite3.connect(old / "relay.sqlite3")) as database, database:
        database.execute("INSERT INTO schema_version VALUES (9999, '9999_from_the_future.sql')")
    with pytest.raises(StartRefused, match="9999"):
        back_up(Settings(data=old), tmp_path / "new.tar", config=None, told=lambda *_: None)


def test_a_backup_is_not_begun_without_room_nor_over_a_file(data: Path, monkeypatch: pytest.MonkeyPatch):
    made_from(data)
    with pytest.raises(BackupRefused, match="there is such a file already"):
        made_from(data)
    with pytest.raises(BackupRefused, match="no such folder: make it"):
        back_up(Settings(data=data), data.parent / "none" / "b.tar", config=None, told=lambda *_: None)
    (data.parent / "backup.tar").unlink()

    def meanwhile(what: str, _done: int, _of: int) -> None:
        if what == "checking":
            (data.parent / "backup.tar").write_text("of somebody else")

    with pytest.raises(BackupRefused, match="there is such a file already"):
        made_from(data, meanwhile)
    assert (data.parent / "backup.tar").read_text() == "of somebody else"
    (data.parent / "backup.tar").unlink()
    usage = shutil.disk_usage(data)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000))
    with pytest.raises(BackupRefused, match="make room"):
        made_from(data)
    assert sorted(path.name for path in data.parent.iterdir()) == ["data"]


def test_f7_a_backup_of_a_damaged_database_is_not_put_back_whatever_its_manifest_says(data: Path):
    file = made_from(data).file
    with tarfile.open(file) as archive:
        parts = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    changed = data.parent / "changed.sqlite3"
    changed.write_bytes(parts["relay.sqlite3"])
    with closing(sqlite3.connect(changed)) as connection, connection:
        connection.execute("DELETE FROM accounts")  # what hangs on them stays
    database = changed.read_bytes()
    manifest = json.loads(parts["manifest.json"])
    manifest["parts"]["relay.sqlite3"]["sha256"] = hashlib.sha256(database).hexdigest()
    parts |= {"relay.sqlite3": database, "manifest.json": json.dumps(manifest).encode()}
    with tarfile.open(file, "w") as archive:
        for name, content in parts.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with pytest.raises(BackupRefused, match="its database is damaged"):
        restored(data)
    assert [path.name for path in (data.parent / "new").iterdir()] == ["relay.lock"]


@pytest.mark.parametrize("part", ["blobs", "relay.key", "relay.sqlite3", "manifest.json"])
def test_f7_a_backup_that_the_disk_spoiled_while_it_was_written_gets_no_name(data: Path, part: str):
    def spoil(what: str, done: int, _of: int) -> None:
        if (what, done) == ("checking", 0):
            file = data.parent / "backup.tar.partial"
            with file.open("r+b") as archive:
                archive.seek(bytes_at(file)[part] + 5)
                archive.write(b"?")

    with pytest.raises(BackupRefused, match="damaged"):
        made_from(data, spoil)
    assert [path.name for path in data.parent.iterdir()] == ["data"]


def test_e2_a_backup_whose_keys_were_rotated_while_it_was_made_is_refused(data: Path):
    file = data / "column.keys"

    def rotate(what: str, _done: int, _of: int) -> None:
        if what == "blobs":  # the copy of the database is made
            (key,) = read_keys(file).values()
            write_keys(file, {2: key})

    with pytest.raises(BackupRefused, match="were changed meanwhile: make the backup again"):
        made_from(data, rotate)
    assert [path.name for path in data.parent.iterdir()] == ["data"]


def test_what_a_kill_left_of_a_backup_is_its_owners_alone_too(data: Path):
    left = data.parent / "backup.tar.partial"
    left.write_bytes(b"x" * 10_000_000)
    left.chmod(0o644)
    made = made_from(data)
    assert (stat.S_IMODE(made.file.stat().st_mode), left.exists()) == (0o600, False)
    assert made.file.stat().st_size == made.file_bytes < 10_000_000


def test_two_backups_are_not_written_into_one_file(data: Path):
    def second(what: str, _done: int, _of: int) -> None:
        if what == "database":
            with pytest.raises(BackupRefused, match="another process is writing this backup"):
                made_from(data)

    assert made_from(data, second).file.exists()
