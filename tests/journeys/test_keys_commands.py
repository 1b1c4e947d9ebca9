"""`tokenim-relay keys` as an operator uses it: beside people who talk, on a stopped relay, and before a restore (E2)."""

import json
import shutil
from pathlib import Path

from client.client import Client
from tests.chatting import texts
from tests.relay_process import run, serving


def rotate(data: Path, *more: str) -> dict[str, object]:
    done = run("keys", "rotate", "--json", "--data", str(data), *more)
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


def keys_of(file: str) -> list[str]:
    """The keys that stand in a key file: below its mark, one a line after its number."""
    return [line.split()[1] for line in file.splitlines()[1:]]


async def test_e2_a_key_is_changed_while_people_talk_and_a_stranger_finds_them(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data) as relay:
        assert relay.invite is not None
        invites = run("invite", "create", "--uses", "2", "--data", str(data)).stdout.strip()
        await Client.register(tmp_path / "alice", relay.invite, handle="alice")
        await Client.register(tmp_path / "bob", invites, handle="bob")
        old = (data / "column.keys").read_text()
        async with Client.open(tmp_path / "alice") as alice, Client.open(tmp_path / "bob") as bob:
            await alice.send("bob", "before")
            assert rotate(data) == {"values": 3, "forgotten": [1], "key": 2}
            await alice.send("bob", "after")
            assert await texts(bob) == ["before", "after"]
        assert old.split()[2] not in (data / "column.keys").read_text()
        shown = [
            json.loads(line)
            for line in run("keys", "show", "--json", "--data", str(data)).stdout.splitlines()
        ]
        assert shown == [{"key": 2, "current": True, "values": 3}]
        audited = run("audit", "show", "--json", "--data", str(data)).stdout
        assert "keys.rotate" in audited
        known = keys_of(old) + keys_of((data / "column.keys").read_text())
        assert len(known) == 2
        assert not [key for key in known if key in audited]
        await Client.register(tmp_path / "carol", invites, handle="carol")
        async with Client.open(tmp_path / "carol") as carol, Client.open(tmp_path / "bob") as bob:
            await carol.send("bob", "found by name")
            assert await texts(bob) == ["found by name"]
        assert run("transparency", "verify", "--data", str(data)).returncode == 0
    # On a stopped relay, too; then the old backup still opens with the file that is in it.
    backup = tmp_path / "backup.tar"
    assert run("backup", str(backup), "--data", str(data)).returncode == 0
    assert rotate(data)["key"] == 3
    assert run("restore", str(backup), "--data", str(tmp_path / "restored")).returncode == 0
    assert "2 " in (tmp_path / "restored/column.keys").read_text()
    assert run("doctor", "--data", str(tmp_path / "restored"), "--listen", "127.0.0.1:0").returncode == 0
    with serving(data):
        pass


async def test_a_key_file_elsewhere_is_in_no_backup_and_needed_for_the_restore(tmp_path: Path) -> None:
    data, keys, backup = tmp_path / "data", tmp_path / "elsewhere.keys", tmp_path / "backup.tar"
    setting = {"TOKENIM_RELAY_KEYS_FILE": str(keys)}
    with serving(data, **setting):
        pass
    assert keys.exists()
    assert not (data / "column.keys").exists()
    assert run("backup", str(backup), "--data", str(data), **setting).returncode == 0
    assert keys.read_text().split()[2].encode() not in backup.read_bytes()
    refused = run("restore", str(backup), "--data", str(tmp_path / "restored"))
    assert refused.returncode == 1
    assert "keys_file" in refused.stderr
    assert run("restore", str(backup), "--data", str(tmp_path / "restored"), **setting).returncode == 0
    with serving(tmp_path / "restored", **setting):
        pass
    lost = run("serve", "--data", str(tmp_path / "restored"), "--listen", "127.0.0.1:0")
    assert (lost.returncode, "missing" in lost.stderr) == (1, True)


def test_a_key_file_that_the_settings_in_the_folder_name_is_found_by_the_restore(tmp_path: Path) -> None:
    data, keys, backup = tmp_path / "data", tmp_path / "elsewhere.keys", tmp_path / "backup.tar"
    data.mkdir(mode=0o700)
    (data / "config.toml").write_text(f'keys_file = "{keys}"\n')
    where = ("--data", str(data))
    assert run("invite", "create", *where).returncode == 0
    assert run("backup", str(backup), *where).returncode == 0
    shutil.rmtree(data)
    restored = run("restore", str(backup), *where)
    assert (restored.returncode, restored.stderr) == (0, "")
    assert run("keys", "show", *where).returncode == 0
    assert not (data / "column.keys").exists()
