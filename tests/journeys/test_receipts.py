"""Receipts and messages that disappear, between two people and a real relay."""

from contextlib import aclosing

import pytest

from client import receipts
from client.client import Client
from client.errors import UsageError
from client.message_acts import Acted, ActKind
from client.privacy import Privacy
from tests.chatting import open_people, waiting


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Nobody waits for the random wait here; it has tests of its own."""
    monkeypatch.setattr(receipts, "JITTER_MS", 1)
    monkeypatch.setattr(receipts, "APART_MS", 1)


async def next_act(client: Client, kind: ActKind) -> Acted:
    events = client.events(patience_seconds=20)
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Acted) and event.kind is kind:
                return event
    raise AssertionError("the events ended")


async def test_a_contact_hears_that_a_message_came_and_was_read(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        await bob.send("alice", "write to me")
        await waiting(alice)
        sent = await alice.send("bob", "here I am")
        assert (sent.delivered_to, sent.read_by) == ((), ())
        (message,) = await waiting(bob)  # and from now on Bob listens
        told = await next_act(alice, ActKind.DELIVERED)
        assert (told.message.id, told.name) == (sent.id, "bob")
        assert message.read_at_ms is None
        await bob.mark_read(message)
        await next_act(alice, ActKind.READ)
        (_, shown) = await alice.history("bob")
        assert [one.name for one in shown.read_by] == ["bob"] == [one.name for one in shown.delivered_to]
        assert (await bob.history("alice"))[-1].read_at_ms is not None
        assert (await bob.history("alice"))[-1].read_by == ()


async def test_what_the_user_does_not_want_to_tell_stays_here(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        assert await bob.privacy() == Privacy()
        await bob.set_privacy(Privacy(receipts=False))
        async with people.client("bob") as again:
            assert await again.privacy() == Privacy(receipts=False)
        await bob.send("alice", "write to me")
        await waiting(alice)
        await alice.send("bob", "here I am")
        (message,) = await waiting(bob)
        await bob.mark_read(message)
        await bob.send("alice", "that is all")
        assert [one.text for one in await waiting(alice)] == ["that is all"]
        assert (await alice.history("bob"))[1].delivered_to == ()


async def test_a_message_that_disappears_goes_on_both_sides(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        await bob.send("alice", "write to me")
        await waiting(alice)
        with pytest.raises(UsageError):
            await alice.send("bob", "x", expires_after_seconds=-1)
        sent = await alice.send("bob", "only for now", expires_after_seconds=1)
        assert sent.as_json()["expires_after"] == 1
        (message,) = await waiting(bob)
        assert message.expires_after_seconds == 1
        await bob.mark_read(message)
        for client in (bob, alice):
            gone = await next_act(client, ActKind.EXPIRED)
            assert gone.message.id == sent.id
        assert [one.text for one in await alice.history("bob")] == ["write to me"]
        assert [one.text for one in await bob.history("alice")] == ["write to me"]


async def test_what_is_over_goes_when_the_store_is_opened(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice = await people.enter("alice")
        await alice.send("bob", "only for now", expires_after_seconds=1)
        async with people.client("bob") as bob:
            await bob.mark_read(*await waiting(bob))
            later = bob._account._system.now_ms() + 1_000
        machine = bob._system
        people.machines["bob"] = type(machine)(
            lambda: later, machine.monotonic_seconds, machine.random, machine.sleep
        )
        async with people.client("bob") as bob:
            assert await bob.history("alice") == []
