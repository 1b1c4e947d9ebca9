"""Typing and presence, and contents that the relay lost, between two people and a real relay."""

from contextlib import aclosing

from client.client import Client
from client.mailbox_round import take
from client.message import Gap, Message
from client.passing_events import Presence, Typing
from client.privacy import Privacy
from relay.wire.frames import Deliver
from tests.chatting import open_people, waiting


async def next_of(client: Client, kind: type, count: int = 1) -> list:
    """The next events of this kind, by a client that listens."""
    found: list = []
    events = client.events(patience_seconds=20)
    async with aclosing(events):
        async for event in events:
            if isinstance(event, kind):
                found.append(event)
                if len(found) == count:
                    break
    return found


async def befriended(alice: Client, bob: Client) -> None:
    await alice.send("bob", "hello")
    await waiting(bob)
    await bob.send("alice", "hello to you")
    await waiting(alice)
    await alice.send("bob", "so")
    await waiting(bob)


async def test_who_types_and_who_is_here_is_told_at_once_or_never(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        for one in (alice, bob):
            await one.set_privacy(Privacy(receipts=False))  # these go by the outbox, some seconds later
        await befriended(alice, bob)
        assert await alice.typing("bob") is True
        assert await alice.typing("bob") is False  # told just now
        assert await alice.typing("bob", False) is True
        told = await next_of(bob, Typing, 2)
        assert [(one.name, one.is_typing) for one in told] == [("alice", True), ("alice", False)]
        assert await bob.presence("alice") is True
        (here,) = await next_of(alice, Presence)
        assert (here.name, here.is_here) == ("bob", True)
        await alice.set_privacy(Privacy(receipts=False, typing=False))
        assert await alice.typing("bob") is False
        assert await alice.presence("bob") is True
        assert await bob.outbox_size() == await alice.outbox_size() == 0
        assert await bob.unopened() == {}
    async with people.client("alice") as alice:
        assert await alice.presence("bob", False) is False  # not connected: dropped


async def test_b9_what_the_relay_lost_comes_from_the_sender_again(tmp_path, monkeypatch):
    lost: list[object] = []

    def losing(tx, frames, *more, **options):
        """As if the relay had dropped what it delivers first."""
        if not lost and any(isinstance(frame, Deliver) for frame in frames):
            lost.append(frames[0])
            frames = frames[1:]
        return take(tx, frames, *more, **options)

    async with open_people(tmp_path, "alice", "bob") as people:
        alice = await people.enter("alice")
        async with people.client("bob") as bob:
            await befriended(alice, bob)
        await alice.send_lines("bob", ["lost", "further"])
        monkeypatch.setattr("client.inbox.take", losing)
        bob = await people.enter("bob")
        events = [event async for event in bob.events(until_caught_up=True, patience_seconds=20)]
        assert [event.text for event in events if isinstance(event, Message)] == ["further"]
        assert len(lost) == 1
        (gap,) = [event for event in events if isinstance(event, Gap)]
        assert (gap.name, gap.count) == ("alice", 1)
        await waiting(alice)  # from here on Alice listens too, and is asked
        (late,) = await next_of(bob, Message)
        assert late.text == "lost"
        assert [one.text for one in await bob.history("alice")][-2:] == ["lost", "further"]
