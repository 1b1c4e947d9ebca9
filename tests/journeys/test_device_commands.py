"""`tokenim link` and `tokenim device` as installed, over a real relay: two processes, the question, the list, the end."""

import asyncio
import json
import signal

import pytest

from tests.command import DONE, REFUSED, USAGE, call, done, start

pytestmark = pytest.mark.timeout(180)  # each call is a process


async def line_of(process: asyncio.subprocess.Process) -> dict:
    assert process.stdout is not None
    return json.loads(await asyncio.wait_for(process.stdout.readline(), 20))


async def link(relay, phone, laptop, *options: str) -> dict:
    """Link the folder `laptop` to the account of `phone`; what `accept` printed last."""
    showing = await start(laptop, "link", "show", relay.origin, "--name", "laptop", "--yes", "--json")
    code = (await line_of(showing))["link"]
    *_, linked = await done(phone, "link", "accept", code, "--yes", *options)
    output, told = await showing.communicate()
    assert showing.returncode == DONE, told.decode()
    assert [json.loads(line)["type"] for line in output.splitlines()] == ["digits", "identity"]
    return linked


async def test_a_device_is_linked_named_and_revoked(relay, tmp_path):
    phone, laptop = tmp_path / "phone", tmp_path / "laptop"
    await done(phone, "register", relay.invite, "--handle", "alice")
    linked = await link(relay, phone, laptop)
    assert (linked["type"], linked["name"], linked["manager"]) == ("linked", "laptop", False)
    (identity,) = await done(laptop, "whoami")
    assert (identity["device"], identity["handle"]) == (linked["device"], "alice")

    (renamed,) = await done(laptop, "device", "rename", identity["device"], "my laptop")
    assert renamed["name"] == "my laptop"
    await done(phone, "listen", "--until-caught-up")
    devices = {one["name"]: one for one in await done(phone, "device", "list")}
    assert devices["my laptop"]["device"] == linked["device"]
    assert [one["this"] for one in devices.values()].count(True) == 1
    assert all(one["seen"] for one in devices.values())

    status, _, told = await call(laptop, "device", "revoke", devices["my laptop"]["device"], "--yes")
    assert (status, json.loads(told)["code"]) == (USAGE, "usage")
    (promoted,) = await done(phone, "device", "promote", "my laptop")
    assert promoted["manager"]
    status, _, told = await call(phone, "device", "revoke", "my laptop")  # no yes, and nobody to ask
    assert (status, json.loads(told.splitlines()[-1])["code"]) == (USAGE, "usage")
    listening = await start(laptop, "listen", "--json")
    await done(phone, "device", "revoke", "my laptop", stdin=b"yes\n")
    _, told = await asyncio.wait_for(listening.communicate(), 20)
    assert listening.returncode == REFUSED
    assert json.loads(told.splitlines()[-1])["code"] == "device_revoked"
    status, _, told = await call(laptop, "send", "alice2", "nobody hears this")
    assert (status, json.loads(told)["code"]) == (REFUSED, "device_revoked")
    assert len(await done(phone, "device", "list")) == 1


async def test_a_no_on_the_manager_links_nothing(relay, tmp_path):
    phone, laptop = tmp_path / "phone", tmp_path / "laptop"
    await done(phone, "register", relay.invite)
    showing = await start(laptop, "link", "show", relay.origin, "--yes", "--json")
    code = (await line_of(showing))["link"]
    status, shown, told = await call(phone, "link", "accept", "-", stdin=f"{code}\nno\n".encode())
    assert (status, json.loads(told.splitlines()[-1])["code"]) == (REFUSED, "link_failed")
    assert [one["type"] for one in shown] == ["digits"]
    assert (await line_of(showing)) == shown[0]
    showing.send_signal(signal.SIGINT)
    await showing.communicate()
    assert len(await done(phone, "device", "list")) == 1


async def test_messages_of_own_devices_are_printed_when_asked_for(relay, tmp_path):
    phone, laptop, bob = tmp_path / "phone", tmp_path / "laptop", tmp_path / "bob"
    await done(phone, "register", relay.invite, "--handle", "alice")
    await done(bob, "register", await relay.create_invite(), "--handle", "bob")
    await link(relay, phone, laptop)
    await done(laptop, "device", "silence", "0")
    (sent,) = await done(phone, "send", "bob", "from the phone")
    (copy,) = await done(laptop, "listen", "--until-caught-up", "--own")
    assert (copy["id"], copy["outgoing"]) == (sent["id"], True)
    await done(phone, "send", "bob", "again")
    assert await done(laptop, "listen", "--until-caught-up") == []
    assert [one["text"] for one in await done(laptop, "history", "bob")] == ["from the phone", "again"]


@pytest.mark.parametrize("kind", [(), ("--broadcast",)], ids=["group", "broadcast"])
async def test_a_new_device_is_in_the_groups_after_the_commands_that_linked_it(relay, tmp_path, kind):
    phone, laptop, bob = tmp_path / "phone", tmp_path / "laptop", tmp_path / "bob"
    await done(phone, "register", relay.invite, "--handle", "alice")
    await done(bob, "register", await relay.create_invite())
    (group,) = await done(phone, "group", "create", "good friends", *kind)
    (way,) = await done(phone, "group", "invite", "good friends", "--role", "listener")
    await done(bob, "group", "join", way["link"])
    for one in (phone, bob):
        await done(one, "listen", "--until-caught-up")
    await link(relay, phone, laptop)
    # From here on the phone is off.
    await done(laptop, "listen", "--until-caught-up")
    (shown,) = await done(laptop, "group", "list")
    assert (shown["id"], shown["status"]) == (group["id"], "member")
    await done(laptop, "send", "group:good friends", "from the laptop")
    heard = await done(bob, "listen", "--until-caught-up")
    assert [one["text"] for one in heard if one["type"] == "text"] == ["from the laptop"]
