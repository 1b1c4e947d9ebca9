"""`tokenim-relay` as a self-hoster uses it: real processes, its lines, its exit codes, what it says when it cannot start."""

import asyncio
import json
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from relay.adapters.data_folder import open_data_folder
from relay.wire.codec import SUBPROTOCOL, decode_from_relay
from relay.wire.frames import Challenge
from relay.wire.links import parse_invite
from tests.raw_device import RawDevice
from tests.relay_process import run, serving


def one_line(finished: subprocess.CompletedProcess[str]) -> str:
    """What it said on standard error, which is one line."""
    (line,) = finished.stderr.splitlines()
    assert line.startswith("tokenim-relay: ")
    assert finished.stdout == ""
    return line


@asynccontextmanager
async def http_session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_a_start_a_registration_and_a_second_start(tmp_path: Path):
    data = tmp_path / "data"
    with serving(data) as served:
        assert served.invite is not None
        assert parse_invite(served.invite).origin == served.url
        async with http_session() as session:
            device = RawDevice(served.url, session, clock=lambda: 0)
            assert (await device.register(served.invite, handle="owner")).json["role"] == "owner"
        assert served.stop()[0] == 0
    with serving(data) as again:
        assert again.invite is None
        assert again.stop(signal.SIGINT)[0] == 0


def test_an_unused_invite_is_the_same_after_a_restart(tmp_path: Path):
    secrets = []
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        with serving(tmp_path) as served:
            secrets.append(parse_invite(served.invite or "").secret)
            served.stop(number)
    assert len(set(secrets)) == 1


def test_e10_what_it_writes_is_its_owners_only(tmp_path: Path):
    with serving(tmp_path / "data") as served:
        loose = [
            path.name
            for path in [tmp_path / "data", *(tmp_path / "data").rglob("*")]
            if path.lstat().st_mode & 0o077
        ]
        assert (tmp_path / "data" / "control.sock").exists()
        served.stop()
    assert loose == []
    assert not (tmp_path / "data" / "control.sock").exists()


def test_e10_a_key_file_that_others_can_read(tmp_path: Path):
    with open_data_folder(tmp_path) as folder:
        folder.signing_seed(bytes)
        folder.key_file.chmod(0o644)
    finished = run("serve", "--data", str(tmp_path), "--listen", "127.0.0.1:0")
    assert finished.returncode == 1
    assert f"chmod 600 {tmp_path / 'relay.key'}" in one_line(finished)


def test_a_port_in_use(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        finished = run("serve", "--data", str(tmp_path), "--listen", listen)
    assert finished.returncode == 2
    assert f"cannot listen on {listen}" in one_line(finished)
    assert "choose another by --listen" in finished.stderr


def test_a_data_folder_in_use(tmp_path: Path):
    with serving(tmp_path) as served:
        finished = run("serve", "--data", str(tmp_path), "--listen", "127.0.0.1:0")
        doctor = run(
            "doctor", "--data", str(tmp_path), "--listen", served.url.removeprefix("http://"), "--json"
        )
        assert served.stop()[0] == 0
    lines = [json.loads(line) for line in doctor.stdout.splitlines()]
    failing = [line for line in lines if line["state"] == "failed"]
    assert (doctor.returncode, failing, len(lines)) == (0, [], 19)
    assert finished.returncode == 1
    assert "another relay process uses this data folder" in one_line(finished)


def test_a_newer_schema(tmp_path: Path):
    import sqlite3

    with serving(tmp_path) as served:
        served.stop()
    with sqlite3.connect(tmp_path / "relay.sqlite3") as database:
        database.execute("INSERT INTO schema_version VALUES (9999, '9999_from_the_future.sql')")
    database.close()
    finished = run("serve", "--data", str(tmp_path), "--listen", "127.0.0.1:0")
    assert finished.returncode == 1
    assert "9999" in one_line(finished)
    assert "run the newer version again" in finished.stderr


def test_a_damaged_database(tmp_path: Path):
    (tmp_path / "relay.sqlite3").write_bytes(b"no database at all" * 1_000)
    finished = run("serve", "--data", str(tmp_path), "--listen", "127.0.0.1:0")
    assert finished.returncode == 1
    assert "backup" in one_line(finished)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("serve", "--listen", "nowhere"), "HOST:PORT"),
        (("serve", "--config", "missing.toml"), "no such file"),
        (("invite", "list", "--data", "missing"), "there is no data folder"),
    ],
)
def test_wrong_usage_is_told_in_one_line(tmp_path: Path, arguments: tuple[str, ...], told: str):
    finished = run(*arguments)
    assert finished.returncode == 2
    assert told in one_line(finished)


def test_invites_go_through_the_running_relay_or_without_one(tmp_path: Path):
    data = ("--data", str(tmp_path))
    with serving(tmp_path) as served:
        link = parse_invite(run("invite", "create", *data, "--role", "admin", "--uses", "3").stdout.strip())
        assert link.origin == served.url
        served.stop()
    offline = parse_invite(run("invite", "create", *data).stdout.strip())
    assert (offline.origin, offline.signing_key) == (link.origin, link.signing_key)

    listed = [json.loads(line) for line in run("invite", "list", *data, "--json").stdout.splitlines()]
    assert [(one["role"], one["uses_left"]) for one in listed] == [("owner", 1), ("admin", 3), ("member", 1)]

    name = listed[1]["name"]
    with serving(tmp_path) as served:
        assert run("invite", "revoke", *data, name).stdout == f"revoked {name}\n"
        again = run("invite", "revoke", *data, name)
        assert again.returncode == 1
        assert "not_found" in one_line(again)
        served.stop()
    left = [json.loads(line)["role"] for line in run("invite", "list", *data, "--json").stdout.splitlines()]
    assert left == ["owner", "member"]


def test_a_role_that_there_is_not(tmp_path: Path):
    with open_data_folder(tmp_path):
        pass
    refused = run("invite", "create", "--data", str(tmp_path), "--role", "king")
    assert refused.returncode == 1
    assert "there is no role `king`: there are owner, admin" in one_line(refused)


def test_the_settings_in_effect_are_shown_with_their_sources(tmp_path: Path):
    data = ("--data", str(tmp_path / "data"))
    file = tmp_path / "data" / "config.toml"
    assert run("config", "init", *data).stdout == f"wrote {file}\n"
    before = file.read_bytes()
    again = run("config", "init", *data)
    assert (again.returncode, "there is such a file already" in one_line(again)) == (2, True)
    assert file.read_bytes() == before
    file.write_text(file.read_text().replace("#mailbox_envelopes = 10000", "mailbox_envelopes = 5"))
    shown = run("config", "show", *data, "--json", TOKENIM_RELAY_LISTEN="127.0.0.1:9")
    rows = {row["name"]: row for row in map(json.loads, shown.stdout.splitlines())}
    told = {name: (row["value"], row["source"], row["where"]) for name, row in rows.items()}
    assert told["limits.mailbox_envelopes"] == (5, "file", str(file))
    assert told["listen"] == ("127.0.0.1:9", "environment", "TOKENIM_RELAY_LISTEN")
    assert told["data"] == (data[1], "command line", None)
    assert told["origin"] == (None, "default", None)
    assert run("config", "check", *data).returncode == 0
    assert json.loads(run("config", "check", *data, "--json").stdout) == {"ok": True, "roles": {}}
    file.write_text("[limits]\nmailbox_envelops = 5\n")
    wrong = run("config", "check", *data)
    assert wrong.returncode == 2
    assert f"{file}: there is no setting `limits.mailbox_envelops`; did you mean" in one_line(wrong)


def test_the_settings_shown_are_a_file_for_the_next_start(tmp_path: Path):
    file = tmp_path / "relay.toml"
    file.write_text(run("config", "show", "--data", str(tmp_path / "data")).stdout)
    assert run("config", "check", "--config", str(file)).stdout == "the settings are in order\n"


async def test_f23_sigterm_closes_sockets_with_a_code_and_ends_requests(tmp_path: Path):
    with serving(tmp_path) as served:
        async with http_session() as session:
            device = RawDevice(served.url, session)
            now = await session.get(served.url + "/.well-known/tokenim")
            started_ms = (await now.json())["time_ms"]
            device.clock = lambda: started_ms
            assert served.invite is not None
            assert (await device.register(served.invite)).status == 201
            sockets = [
                await session.ws_connect(served.url + "/v1/connect", protocols=(SUBPROTOCOL,))
                for _ in range(20)
            ]
            for opened in sockets:
                (challenge,) = decode_from_relay(await opened.receive_bytes())
                assert isinstance(challenge, Challenge)
            waiting = asyncio.create_task(device.call("GET", "/v1/mailbox?after=0&wait_seconds=50"))
            for _ in range(3):  # the poll is on its way; another request after it shows that it came
                assert (await device.call("GET", "/v1/accounts/self")).status == 200
            served.process.send_signal(signal.SIGTERM)
            closed = [await closing_of(opened) for opened in sockets]
            answered = await waiting
        code = await asyncio.to_thread(served.process.wait, 10)
    assert closed == [1012] * 20
    assert (answered.status, answered.json["envelopes"]) == (200, [])
    assert code == 0


async def closing_of(opened: aiohttp.ClientWebSocketResponse) -> int | None:
    """The code that the other side closed with."""
    async for _ in opened:
        pass
    return opened.close_code
