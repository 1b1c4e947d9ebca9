"""`tokenim group …` as installed, over a real relay: each call is a process that ends, and the others hear of what it did."""

import pytest

from tests.command import REFUSED, USAGE, call, done
from tests.faults.relay_process import RelayProcess, warm_relay

pytestmark = pytest.mark.timeout(120)  # each call is a process


def changes(shown: list[dict]) -> list[tuple[str, str]]:
    """(What, whom) of the changes that `listen` told of."""
    told = [one for one in shown if one["type"] == "group_changed"]
    return [(change["kind"], change["name"]) for one in told for change in one["changes"]]


async def test_a_group_by_commands_alone(tmp_path):
    alice, bob = tmp_path / "alice", tmp_path / "bob"
    async with RelayProcess(tmp_path / "relay", tmp_path / "relay.log", program=warm_relay()) as relay:
        await relay.start()
        await done(alice, "register", relay.invite, "--handle", "alice")
        await done(bob, "register", await relay.create_invite(), "--handle", "bob")
        await done(alice, "send", "bob", "hello")
        await done(bob, "listen", "--until-caught-up")
        await done(bob, "send", "alice", "hello")
        await done(alice, "listen", "--until-caught-up")
        (group,) = await done(alice, "group", "create", "good friends")
        (link,) = await done(alice, "group", "invite", "good friends")
        (asked,) = await done(bob, "group", "join", link["link"])
        assert asked["type"] == "group_asked"
        told = await done(alice, "listen", "--until-caught-up")  # lets in who has the link, before it ends
        assert ("joined", "bob") in changes(await done(bob, "listen", "--until-caught-up"))
        await done(bob, "send", "group:good friends", "here I am")
        assert [one["text"] for one in await done(bob, "history", f"group:{group['id'][:8]}")] == [
            "here I am"
        ]
        status, _, said = await call(bob, "send", "group:bad friends", "hello?")
        assert (status, "no group here is called so" in said) == (USAGE, True)
        told += await done(alice, "listen", "--until-caught-up")
        assert ("added", "bob") in changes(told)
        (heard,) = [one for one in told if one["type"] == "text"]
        assert (heard["text"], heard["group"]) == ("here I am", group["id"])

        await done(alice, "group", "mute", "good friends", "bob")
        assert ("rights", "bob") in changes(await done(bob, "listen", "--until-caught-up"))
        status, _, told = await call(bob, "send", f"group:{group['id']}", "not any more")
        assert (status, "not_entitled" in told) == (REFUSED, True)
        # Bob reads neither of the two before he is out, and hears all the same that he is.
        await done(alice, "group", "set", "good friends", "name", "old friends")
        await done(alice, "group", "remove", "old friends", "bob")
        assert ("removed", "bob") in changes(await done(bob, "listen", "--until-caught-up"))
        (out,) = await done(bob, "group", "list")
        assert out["status"] == "out"
        await done(alice, "group", "ban", "old friends", "bob")
        (shown,) = await done(alice, "group", "show", "old friends")
        assert ([one["name"] for one in shown["members"]], len(shown["banned"])) == (["alice"], 1)
        status, _, told = await call(alice, "group", "show", "good friends")
        assert (status, "no group here is called so" in told) == (USAGE, True)
        await done(alice, "group", "leave", "old friends")
