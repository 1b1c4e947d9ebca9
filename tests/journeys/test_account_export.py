"""What a relay holds about an account, as a document: for an operator by the command, for its owner by a signed request."""

import asyncio
import json
from pathlib import Path

import pytest

from relay.composition import commands_of
from relay.ports.exports import Section
from relay.services.exports import FORMAT, PAGE_ROWS
from relay.services.roles import Authority
from tests import command
from tests.journeys.test_account_commands import refused, run, told
from tests.relay_process import serving
from tests.running_relay import open_world


async def test_operator_and_owner_get_the_same_document(tmp_path: Path) -> None:
    data, alice, bob = tmp_path / "data", tmp_path / "alice", tmp_path / "bob"
    with serving(data) as served:
        await command.done(alice, "register", served.invite or "", "--handle", "alice")
        (invite,) = told("invite", "create", data=data)
        await command.done(bob, "register", invite["link"], "--handle", "bob")
        await command.done(alice, "send", "bob", "a secret of theirs")
        (done,) = told("account", "export", "bob", str(tmp_path / "running.json"), data=data)
        (own,) = await command.done(bob, "account", "export", str(tmp_path / "own.json"))
        assert own == {
            "type": "exported",
            "file": str(tmp_path / "own.json"),
            "bytes": (tmp_path / "own.json").stat().st_size,
        }
        for export in (("account", "export", "bob"), ("audit", "export"), ("backup",)):
            refusal = run(*export, str(tmp_path / "own.json"), "--data", str(data), "--json")
            assert (refusal.returncode, refusal.stdout) == (2, "")
            said = json.loads(refusal.stderr)
            assert (said["type"], said["code"]) == ("error", "usage")
            assert "there is such a file already" in said["detail"]
        status, _, said = await command.call(bob, "account", "export", str(tmp_path / "own.json"))
        assert (status, "cannot be written" in said) == (2, True)
        assert served.stop()[0] == 0
    assert (
        run("account", "export", "bob", str(tmp_path / "stopped.json"), "--data", str(data)).returncode == 0
    )

    documents = {
        name: json.loads((tmp_path / f"{name}.json").read_text()) for name in ("running", "own", "stopped")
    }
    for name, document in documents.items():
        assert (tmp_path / f"{name}.json").stat().st_mode & 0o777 == 0o600
        assert document["format"] == FORMAT
        assert list(document)[-1] == "complete"
        assert set(Section) <= document.keys()
        (account,) = document["account"]
        assert (account["account_id"], account["envelopes"]) == (done["account"], 1)
        assert document["handles"] == [{"handle": "bob", "findable": True}]
        assert document["limits"]["mailbox_bytes"] > 0
    for section in (
        Section.MANIFESTS,
        Section.DELIVERY_TOKENS,
        Section.MAILBOXES,
        Section.LOG_ENTRIES,
        Section.PREKEYS,
    ):
        assert documents["running"][section] == documents["own"][section] == documents["stopped"][section]
    assert done["rows"] == sum(len(documents["running"][section]) for section in Section)
    # That an operator looked is in the log, whether the file came to be or not; that bob did is his own business.
    exports = [row for row in told("audit", "show", data=data) if row["action"] == "account.export"]
    assert [row["subject"] for row in exports] == [f"account:{done['account']}"] * 3
    assert "not_found" in refused("account", "export", "carol", str(tmp_path / "carol.json"), data=data)
    assert not (tmp_path / "carol.json").exists()


async def test_an_own_export_is_streamed_whole_and_bounded_in_how_often() -> None:
    async with open_world() as world:
        bob, carol = await world.member(handle="bob"), await world.member(handle="carol")
        logs, device = world.relay.services.logs, await world.relay.services.devices.find(bob.device_id)
        assert device is not None
        entries = PAGE_ROWS * 2 + 7
        for index in range(entries):
            await logs.append(device, "notes", index, b"x")
        answered = await bob.call("GET", "/v1/accounts/self/export")
        document = json.loads(answered.body)
        assert (answered.status, document["complete"]) == (200, True)
        assert [row["index"] for row in document["log_entries"]] == list(range(entries))
        assert carol.account not in answered.body.decode()
        assert answered.body.endswith(b'"complete": true\n}\n')

        # A suspended account has a right to it as well.
        suspended = {"account": "carol"}
        await commands_of(world.relay.services).run("account.suspend", suspended, by=Authority.of_machine(0))
        assert (await carol.call("GET", "/v1/accounts/self/export")).status == 200
        answers = [await bob.call("GET", "/v1/accounts/self/export") for _ in range(5)]
        assert [one.status for one in answers] == [200] * 4 + [429]


@pytest.mark.parametrize("cut", [False, True])
async def test_what_was_cut_off_does_not_look_whole(
    tmp_path: Path, cut: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from client import account_requests
    from client.errors import RelayMisbehaved

    class Content:
        async def iter_chunked(self, _size: int):  # type: ignore[no-untyped-def]
            await asyncio.sleep(0)
            yield b'{\n"account": [\n],\n'
            if not cut:
                yield b'"complete": tr'
                yield b"ue\n}\n"

    class Response:
        content = Content()

        async def __aenter__(self) -> "Response":
            return self

        async def __aexit__(self, *_: object) -> None:
            return None

    class Transport:
        def stream(self, _method: str, _target: str, *, signed: bool) -> Response:
            assert signed
            return Response()

    file = tmp_path / "own.json"
    if cut:
        with pytest.raises(RelayMisbehaved, match="cut off"):
            await account_requests.export_account(Transport(), file)  # type: ignore[arg-type]
        assert not file.exists()
    else:
        size = await account_requests.export_account(Transport(), file)  # type: ignore[arg-type]
        assert file.stat().st_size == size
        assert json.loads(file.read_text())["complete"] is True
