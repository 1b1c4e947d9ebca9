"""`tokenim-relay account …` and `role …` as installed: on a relay that runs, and on the folder of one that is stopped."""

import asyncio
import json
from pathlib import Path

import pytest

from tests import command
from tests.relay_process import run, serving

pytestmark = pytest.mark.timeout(120)  # each call is a process


def told(*arguments: str, data: Path) -> list[dict]:
    """The objects that a command prints, which must succeed."""
    done = run(*arguments, "--data", str(data), "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def refused(*arguments: str, data: Path) -> str:
    done = run(*arguments, "--data", str(data))
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    return line


async def test_an_operator_lists_suspends_resumes_and_gives_roles(tmp_path: Path):
    data, alice, bob = tmp_path / "data", tmp_path / "alice", tmp_path / "bob"
    with serving(data) as served:
        await command.done(alice, "register", served.invite or "", "--handle", "alice")
        (invite,) = told("invite", "create", data=data)
        await command.done(bob, "register", invite["link"], "--handle", "bob")
        accounts = {one["handle"]: one for one in told("account", "list", data=data)}
        assert {handle: one["role"] for handle, one in accounts.items()} == {
            "alice": "owner",
            "bob": "member",
        }
        assert accounts["bob"]["devices"] == 1
        assert not accounts["bob"]["suspended"]
        await command.done(alice, "send", "bob", "one")
        (waits,) = told("account", "list", "--handle", "bo", data=data)
        assert waits["envelopes"] == 1
        assert waits["envelope_bytes"] > 0

        listening = await command.start(bob, "listen", "--json", "--events")
        assert listening.stdout is not None
        async with asyncio.timeout(30):
            while b"caught_up" not in await listening.stdout.readline():
                pass
            assert told("account", "suspend", "bob", data=data)[0]["suspended"]
            # Cut off within a second, and refused from then on; told in words, not tried for ever.
            assert await listening.wait() == command.REFUSED
        status, _, said = await command.call(bob, "listen", "--until-caught-up")
        assert (status, "not_allowed" in said) == (command.REFUSED, True)
        assert [one["handle"] for one in told("account", "list", "--suspended", data=data)] == ["bob"]
        assert "last_owner" in refused("account", "suspend", "alice", data=data)
        assert "last_owner" in refused("role", "revoke", "alice", data=data)
        assert "not_found" in refused("account", "suspend", "carol", data=data)
        assert "no role" in refused("role", "grant", "bob", "king", data=data)
        assert served.stop()[0] == 0

    # The same on the folder alone.
    assert not told("account", "resume", "bob", data=data)[0]["suspended"]
    assert told("role", "grant", "bob", "owner", data=data)[0]["role"] == "owner"
    assert told("role", "revoke", "alice", data=data)[0]["role"] == "member"
    assert [(one["handle"], one["role"]) for one in told("role", "list", data=data)] == [("bob", "owner")]

    plain = run("account", "list", "--data", str(data)).stdout
    assert plain.count("\n") == 2
    assert "SUSPENDED" not in plain
    rows = [(row["action"], row["outcome"]) for row in told("audit", "show", "--limit", "8", data=data)]
    assert rows == [
        ("account.suspend", "done"),
        ("account.suspend", "last_owner"),
        ("role.revoke", "last_owner"),
        ("account.suspend", "not_found"),
        ("role.grant", "malformed_request"),
        ("account.resume", "done"),
        ("role.grant", "done"),
        ("role.revoke", "done"),
    ]
    with serving(data, "--listen", served.url.removeprefix("http://")):
        await command.done(alice, "send", "bob", "two")
        heard = await command.done(bob, "listen", "--until-caught-up")
        assert [one["text"] for one in heard if one["type"] == "text"] == ["two"]


async def test_a_role_of_the_settings_is_given_and_once_out_of_them_its_owner_is_named(tmp_path: Path):
    data = tmp_path / "data"
    with serving(data):
        (invite,) = told("invite", "create", data=data)
        await command.done(tmp_path / "alice", "register", invite["link"], "--handle", "alice")
    (data / "config.toml").write_text('[roles]\nhelpdesk = ["read_mailbox", "submit", "list_accounts"]\n')
    checked = run("config", "check", "--data", str(data))
    assert checked.stdout.splitlines()[0] == "role helpdesk: read_mailbox, submit, list_accounts"
    assert told("role", "grant", "alice", "helpdesk", data=data)[0]["role"] == "helpdesk"
    roles = {one["role"]: one for one in told("role", "list", "--permissions", data=data)}
    assert (roles["helpdesk"]["accounts"], roles["helpdesk"]["defined"]) == (1, True)
    (data / "config.toml").unlink()
    marked = {one["handle"]: one["defined"] for one in told("role", "list", data=data)}
    assert marked == {"alice": False}
    assert "NOT DEFINED" in run("role", "list", "--data", str(data)).stdout
    assert "alice (helpdesk)" in run("doctor", "--data", str(data)).stdout
    assert told("role", "revoke", "alice", data=data)[0]["role"] == "member"
    rows = [(row["action"], row["outcome"]) for row in told("audit", "show", "--limit", "2", data=data)]
    assert rows == [("role.grant", "done"), ("role.revoke", "done")]
