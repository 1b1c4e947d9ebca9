"""The installed `tokenim` command over a real relay keeps what scripts rely on: objects, exit statuses, the outbox."""

import asyncio
import hashlib
import json
import signal
from pathlib import Path

from tests.command import DONE, NOT_REACHED, REFUSED, USAGE, call, done, start


async def test_register_send_listen_history_and_verify(relay, tmp_path):
    alice, bob = tmp_path / "alice", tmp_path / "bob"
    (identity,) = await done(alice, "register", relay.invite, "--handle", "alice")
    assert (identity["handle"], identity["relay"], identity["role"]) == ("alice", relay.origin, "owner")
    await done(bob, "register", "-", "--handle", "bob", stdin=(await relay.create_invite()).encode() + b"\n")
    await done(bob, "contact", "accept", "alice")
    (sent,) = await done(alice, "send", "bob", "hello")
    assert (sent["state"], sent["text"], sent["outgoing"]) == ("accepted", "hello", True)
    (report,) = await done(alice, "send", "bob", "--each-line", stdin="eins\n\nzwei\ndreißig".encode())
    assert (report["accepted"], report["refused"], report["empty"]) == (3, 0, 1)
    picture = bytes(range(256)) * 999
    (tmp_path / "a b.bin").write_bytes(picture)
    await done(alice, "send", "bob", "--file", str(tmp_path / "a b.bin"))

    came = await done(bob, "listen", "--until-caught-up")
    assert [message["type"] for message in came] == ["text"] * 4 + ["file"]
    assert [message["text"] for message in came[:4]] == ["hello", "eins", "zwei", "dreißig"]
    for message in came:
        assert {"type", "id", "conversation", "from", "sent_at"} <= message.keys()
        assert message["from"] == "alice"
    assert came[0]["id"] == sent["id"]
    fetched = Path(came[4]["file"]["path"])
    assert await asyncio.to_thread(fetched.read_bytes) == picture
    assert came[4]["file"]["sha256"] == hashlib.sha256(picture).hexdigest()
    assert await done(bob, "listen", "--until-caught-up") == []

    told = await done(bob, "history", "alice")
    assert [message["id"] for message in told] == [message["id"] for message in came]
    assert [message["id"] for message in await done(alice, "history", "bob")] == [
        message["id"] for message in came
    ]
    (hers,), (his,) = await done(alice, "verify", "bob"), await done(bob, "verify", "alice")
    assert len(hers["digits"]) == 60
    assert (hers["digits"], hers["qr"]) == (his["digits"], his["qr"])


async def test_contacts_ask_are_accepted_blocked_and_may_ask_again(relay, tmp_path):
    alice, bob = tmp_path / "alice", tmp_path / "bob"
    (identity,) = await done(alice, "register", relay.invite, "--handle", "alice")
    await done(bob, "register", await relay.create_invite(), "--handle", "bob")
    (tmp_path / "a.bin").write_bytes(b"what strangers send is not fetched")
    await done(alice, "send", "bob", "--file", str(tmp_path / "a.bin"))
    (came,) = await done(bob, "listen", "--until-caught-up")
    assert (came["type"], came["contact_request"], came["file"]["path"]) == ("file", True, None)

    (request,) = await done(bob, "contact", "list")
    assert request == {
        "type": "contact",
        "account": identity["account"],
        "name": "alice",
        "handle": None,
        "standing": "request",
        "dropped": 0,
    }
    (accepted,) = await done(bob, "contact", "accept", "alice")
    assert accepted["standing"] == "accepted"
    assert await done(alice, "listen", "--until-caught-up") == []
    await done(alice, "send", "bob", "in")
    (came,) = await done(bob, "listen", "--until-caught-up")
    assert "contact_request" not in came


async def test_who_is_blocked_is_not_shown_and_may_ask_again_later(relay, tmp_path):
    alice, bob = tmp_path / "alice", tmp_path / "bob"
    await done(alice, "register", relay.invite, "--handle", "alice")
    await done(bob, "register", await relay.create_invite(), "--handle", "bob")
    (blocked,) = await done(bob, "contact", "block", "alice", "--new-links")
    assert blocked["standing"] == "blocked"
    await done(alice, "send", "bob", "out")
    assert await done(bob, "listen", "--until-caught-up") == []
    assert [one["dropped"] for one in await done(bob, "contact", "list")] == [1]
    status, _, told = await call(bob, "send", "alice", "no")
    assert (status, json.loads(told)["code"]) == (2, "usage")
    status, _, told = await call(bob, "contact", "accept", "alice")
    assert (status, json.loads(told)["code"]) == (2, "usage")
    (unblocked,) = await done(bob, "contact", "unblock", "alice")
    assert unblocked["standing"] == "request"
    status, _, told = await call(bob, "contact", "block", "nobody-here")
    assert (status, json.loads(told)["code"]) == (1, "unknown_recipient")


async def test_a_block_without_the_relay_stands_and_is_told_later(relay, tmp_path):
    alice, bob = tmp_path / "alice", tmp_path / "bob"
    await done(alice, "register", relay.invite, "--handle", "alice")
    await done(bob, "register", await relay.create_invite(), "--handle", "bob")
    await done(bob, "contact", "accept", "alice")
    await relay.stop()
    status, shown, told = await call(bob, "contact", "block", "alice", "--patience", "0.1")
    assert (status, shown, json.loads(told)["code"]) == (NOT_REACHED, [], "unreachable")
    assert [one["standing"] for one in await done(bob, "contact", "list")] == ["blocked"]
    await relay.start()
    await done(alice, "send", "bob", "nobody hears this")
    assert await done(bob, "listen", "--until-caught-up") == []


async def test_a_relay_that_is_away_is_exit_status_3_and_the_message_goes_out_later(relay, tmp_path):
    alice, bob = tmp_path / "alice", tmp_path / "bob"
    await done(alice, "register", relay.invite, "--handle", "alice")
    await done(bob, "register", await relay.create_invite(), "--handle", "bob")
    await done(alice, "send", "bob", "before")
    await relay.stop()
    status, shown, told = await call(alice, "send", "bob", "while away", "--patience", "0.1")
    assert (status, shown) == (NOT_REACHED, [])
    assert json.loads(told)["code"] == "unreachable"
    assert "in the outbox" in told
    status, _, told = await call(bob, "listen", "--until-caught-up", "--patience", "0.1")
    assert (status, json.loads(told)["code"]) == (NOT_REACHED, "unreachable")
    states = [message["state"] for message in await done(alice, "history", "bob")]
    assert states[0] == "accepted" != states[1]
    await relay.start()
    await done(alice, "send", "bob", "after")
    came = await done(bob, "listen", "--until-caught-up")
    assert [message["text"] for message in came] == ["before", "while away", "after"]


async def test_refusals_name_their_code_and_are_exit_status_1(relay, tmp_path):
    await done(tmp_path / "alice", "register", relay.invite, "--handle", "alice")
    invite = await relay.create_invite(uses=2)
    for home, arguments, expected, code in (
        ("new", ("register", relay.invite, "--handle", "else"), REFUSED, "invite_invalid"),
        ("new", ("register", invite, "--handle", "alice"), REFUSED, "handle_taken"),
        ("new", ("register", "http://relay/invite#v1.cut"), USAGE, "usage"),
        ("new", ("whoami",), REFUSED, "no_account"),
        ("alice", ("send", "nobody", "hello"), REFUSED, "unknown_recipient"),
        ("alice", ("register", invite), REFUSED, "account_exists"),
    ):
        status, shown, told = await call(tmp_path / home, *arguments)
        assert (status, shown, json.loads(told)["code"]) == (expected, [], code)
        assert told.count("\n") == 1


async def test_e10_a_key_that_others_can_read_is_refused_with_what_to_do(relay, tmp_path):
    alice = tmp_path / "alice"
    await done(alice, "register", relay.invite)
    key_files = [path for path in alice.rglob("*") if path.is_file() and "key" in path.name]
    assert key_files
    key_files[0].chmod(0o644)
    status, _, told = await call(alice, "whoami")
    assert (status, json.loads(told)["code"]) == (REFUSED, "loose_permissions")
    assert "chmod" in told


async def test_e10_a_store_under_a_passphrase_opens_with_it_alone(relay, tmp_path):
    alice, secret = tmp_path / "alice", tmp_path / "passphrase"
    secret.write_text("correct horse battery\n")
    secret.chmod(0o600)
    await done(alice, "--passphrase-file", str(secret), "register", relay.invite, "--handle", "alice")
    assert (await done(alice, "--passphrase-file", str(secret), "whoami"))[0]["handle"] == "alice"
    status, _, told = await call(alice, "whoami")
    assert (status, json.loads(told)["code"]) == (REFUSED, "wrong_passphrase")
    secret.write_text("another\n")
    status, _, told = await call(alice, "--passphrase-file", str(secret), "whoami")
    assert (status, json.loads(told)["code"]) == (REFUSED, "wrong_passphrase")


async def test_lines_go_out_as_they_are_typed_and_listening_ends_well_on_a_signal(relay, tmp_path):
    alice, bob = tmp_path / "alice", tmp_path / "bob"
    await done(alice, "register", relay.invite, "--handle", "alice")
    await done(bob, "register", await relay.create_invite(), "--handle", "bob")
    listening = await start(bob, "listen", "--json")
    typing = await start(alice, "send", "bob", "--each-line", "--json", stdin=b"")
    assert typing.stdin
    assert listening.stdout
    for text in ("one", "two", "three"):
        typing.stdin.write(text.encode() + b"\n")
        await typing.stdin.drain()
        assert json.loads(await listening.stdout.readline())["text"] == text  # before the next is typed
    typing.stdin.close()
    output, _ = await typing.communicate()
    assert (typing.returncode, json.loads(output)["accepted"]) == (DONE, 3)
    listening.send_signal(signal.SIGTERM)
    _, told = await listening.communicate()
    assert (listening.returncode, told) == (DONE, b"")
