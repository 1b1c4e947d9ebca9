"""The data folder: its lock, and secrets that nobody else may read."""

import os
import stat
from pathlib import Path

import pytest

from relay.adapters.data_folder import DataFolder, FolderInUse, StartRefused, open_data_folder


def counting(start: int = 0):
    """Randomness that is the same in each run."""
    numbers = iter(range(start, 255))
    return lambda count: bytes((next(numbers),)) * count


def test_it_is_made_for_its_owner_only(tmp_path: Path):
    with open_data_folder(tmp_path / "a" / "data") as folder:
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        folder.signing_seed(counting())
        assert stat.S_IMODE(folder.key_file.stat().st_mode) == 0o600


def test_a_second_process_is_refused_and_the_first_frees_it(tmp_path: Path):
    with (
        open_data_folder(tmp_path),
        pytest.raises(FolderInUse, match="another relay process"),
        open_data_folder(tmp_path),
    ):
        raise AssertionError("not reached")
    with open_data_folder(tmp_path) as folder:
        assert folder.path == tmp_path


def test_secrets_are_made_once(tmp_path: Path):
    with open_data_folder(tmp_path) as folder:
        made = folder.signing_seed(counting(1)), folder.owner_invite(counting(2))
    with open_data_folder(tmp_path) as folder:
        assert (folder.signing_seed(counting(3)), folder.owner_invite(counting(4))) == made
    assert made == (b"\x01" * 32, b"\x02" * 16)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_e10_a_secret_that_others_can_read_is_refused_with_what_to_do(tmp_path: Path, mode: int):
    with open_data_folder(tmp_path) as folder:
        folder.signing_seed(counting())
        folder.key_file.chmod(mode)
        with pytest.raises(StartRefused) as refused:
            folder.signing_seed(counting())
    assert f"mode {mode:04o}" in str(refused.value)
    assert f"chmod 600 {folder.key_file}" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tokenim-relay-key-v1 ",
        "tokenim-relay-key-v1 AAAA",
        "x" * 60,
        "tokenim-owner-invite-v1 " + "A" * 43,
    ],
)
def test_a_damaged_secret_is_refused_and_left_alone(tmp_path: Path, text: str):
    with open_data_folder(tmp_path) as folder:
        folder.signing_seed(counting())
        folder.key_file.write_text(text)
        with pytest.raises(StartRefused, match="damaged: put it back from a backup"):
            folder.signing_seed(counting())
        assert folder.key_file.read_text() == text


def test_a_draft_left_by_a_kill_is_replaced(tmp_path: Path):
    with open_data_folder(tmp_path) as folder:
        folder.key_file.with_name("relay.key.new").write_text("half")
        assert len(folder.signing_seed(counting())) == 32
        assert not folder.key_file.with_name("relay.key.new").exists()


def test_a_file_in_its_place_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(StartRefused, match="not a folder: name another one with --data"),
        open_data_folder(tmp_path / "file"),
    ):
        raise AssertionError("not reached")


def test_a_missing_folder_is_not_made_where_none_is_wanted(tmp_path: Path):
    with pytest.raises(StartRefused) as refused, open_data_folder(tmp_path / "no", create=False):
        raise AssertionError("not reached")
    assert refused.value.exit_code == 2
    assert not (tmp_path / "no").exists()


def test_an_unreadable_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root, as tests may run, is refused nothing
    with (
        pytest.raises(StartRefused, match="start the relay as the user it belongs to"),
        open_data_folder(tmp_path),
    ):
        raise AssertionError("not reached")


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    with open_data_folder(tmp_path) as folder:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StartRefused, match="the disk is full: make room, then start again"):
            folder.signing_seed(counting())
        assert not folder.key_file.exists()


def test_the_origin_of_the_last_start_is_remembered(tmp_path: Path):
    folder = DataFolder(tmp_path)
    assert folder.remembered_origin() is None
    folder.remember_origin("https://chat.example")
    assert folder.remembered_origin() == "https://chat.example"
