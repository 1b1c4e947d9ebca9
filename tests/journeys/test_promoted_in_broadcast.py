"""A listener of a broadcast group who may speak from now on reaches those whom it never wrote to."""

import pytest

from tests.command import done

pytestmark = pytest.mark.timeout(180)


async def test_who_is_promoted_to_speak_reaches_the_other_listeners(relay, tmp_path):
    owner, bob, carol = tmp_path / "owner", tmp_path / "bob", tmp_path / "carol"
    await done(owner, "register", relay.invite, "--handle", "owner")
    await done(bob, "register", await relay.create_invite(), "--handle", "bob")
    await done(carol, "register", await relay.create_invite())
    await done(owner, "group", "create", "news", "--broadcast")
    for one in (bob, carol):
        (way,) = await done(owner, "group", "invite", "news", "--role", "listener")
        await done(one, "group", "join", way["link"])
        await done(owner, "listen", "--until-caught-up")
        await done(one, "listen", "--until-caught-up")
    (bobs,) = await done(bob, "whoami")
    await done(owner, "group", "promote", "news", bobs["account"], "member")
    # The owner is off from here on.
    await done(bob, "listen", "--until-caught-up")
    (sent,) = await done(bob, "send", "group:news", "good evening")
    assert sent["state"] == "accepted"
    heard = await done(carol, "listen", "--until-caught-up")
    assert [one["text"] for one in heard if one["type"] == "text"] == ["good evening"]
