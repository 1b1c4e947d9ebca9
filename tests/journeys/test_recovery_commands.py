"""`tokenim recovery` as installed, over a real relay: no word ever stands on a command line (E10)."""

import json

import pytest

from tests.command import REFUSED, USAGE, call, done

pytestmark = pytest.mark.timeout(180)  # each call is a process


async def test_e10_an_account_comes_back_by_words_from_standard_input(relay, tmp_path):
    phone, bob, new = tmp_path / "phone", tmp_path / "bob", tmp_path / "new"
    await done(phone, "register", relay.invite, "--handle", "alice")
    await done(bob, "register", await relay.create_invite(), "--handle", "bob")
    await done(phone, "send", "bob", "before")
    shown, unconfirmed = await done(phone, "recovery", "create", stdin=b"\n")
    assert (shown["type"], unconfirmed["confirmed"]) == ("recovery_words", False)
    words = shown["words"]
    status, _, told = await call(phone, "recovery", "create", stdin=b"abandon ability able\n")
    assert (status, json.loads(told.splitlines()[-1])["code"]) == (USAGE, "usage")
    again, confirmed = await done(phone, "recovery", "create", stdin=words.encode() + b"\n")
    assert again["words"] == words
    assert (confirmed["confirmed"], confirmed["backed_up"]) == (True, True)
    status, _, told = await call(phone, "recovery", "create", "--yes")
    assert (status, json.loads(told)["code"]) == (USAGE, "usage")

    status, _, told = await call(new, "recovery", "restore", relay.origin, stdin=b"")
    assert (status, json.loads(told.splitlines()[-1])["code"]) == (USAGE, "usage")
    (restored,) = await done(new, "recovery", "restore", relay.origin, stdin=words.encode() + b"\n")
    assert (restored["contacts"], restored["backup"], restored["handle"]) == (1, True, "alice")
    assert restored["backup_at"].endswith("Z")
    status, _, told = await call(phone, "listen", "--until-caught-up")
    assert (status, json.loads(told)["code"]) == (REFUSED, "device_revoked")
    (sent,) = await done(new, "send", "bob", "it is me")
    assert sent["state"] == "accepted"
    assert [one["text"] for one in await done(bob, "listen", "--until-caught-up")] == ["before", "it is me"]
