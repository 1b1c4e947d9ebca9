"""Two people react to, edit, delete and answer messages through a real relay."""

import asyncio
from contextlib import aclosing

import pytest

from client.client import Client
from client.errors import RelayUnreachable, UsageError
from client.message import Message, State
from client.message_acts import Acted, ActKind, MessageName
from tests.chatting import open_people, random_file, waiting

RECEIPTS = (ActKind.DELIVERED, ActKind.READ)


async def acts(client: Client) -> list[tuple[ActKind, str, str | None]]:
    """What came, without messages and receipts: kind, whose, text."""
    events = client.events(until_caught_up=True, patience_seconds=20)
    async with aclosing(events):
        return [
            (one.kind, one.name, one.text)
            async for one in events
            if isinstance(one, Acted) and one.kind not in RECEIPTS
        ]


async def newest(client: Client, with_: str) -> Message:
    return (await client.history(with_))[-1]


async def test_react_edit_answer_and_delete(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        sent = await alice.send("bob", "helo")
        (message,) = await waiting(bob)
        reacted = await bob.react(message, "👍")
        assert [(one.name, one.emoji) for one in reacted.reactions] == [("bob", "👍")]
        family = "👨\u200d👩\u200d👧"  # five characters, one emoji
        assert (await bob.react(message, family)).reactions[0].emoji == family
        await bob.react(message.id, "🎉")
        edited = await alice.edit(sent, "hello")
        assert (edited.text, [one.text for one in edited.edits]) == ("hello", ["helo"])
        answer = await message.reply("yes?")
        assert answer.reply_to == MessageName(sent.account, sent.id)
        assert await acts(alice) == [(ActKind.REACTION, "bob", emoji) for emoji in ("👍", family, "🎉")]
        assert await acts(bob) == [(ActKind.EDIT, "alice", "hello")]
        seen = (await alice.history("bob"))[0]
        assert (seen.text, [one.emoji for one in seen.reactions]) == ("hello", ["🎉"])
        assert (await newest(alice, "bob")).reply_to == MessageName(sent.account, sent.id)
        await bob.react(message, "")
        assert await acts(alice) == [(ActKind.REACTION, "bob", "")]
        assert (await alice.history("bob"))[0].reactions == ()
        gone = await alice.delete(sent)
        assert (gone.deleted, gone.text, gone.as_json()["type"]) == (True, None, "text")
        assert await acts(bob) == [(ActKind.DELETE, "alice", None)]
        assert [one.text for one in await bob.history("alice")] == [None, "yes?"]
        # All of it is as told to somebody who comes later, too.
        assert [one.text for one in await alice.history("bob")] == [None, "yes?"]


async def test_what_makes_no_sense_is_refused_before_anything_is_sent(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        sent = await alice.send("bob", "mine")
        (message,) = await waiting(bob)
        for call in (
            bob.edit(message, "yours"),
            bob.delete(message),
            bob.react(message, "x" * 33),
            bob.react("abc", "👍"),
            alice.edit(sent, ""),
        ):
            with pytest.raises(UsageError):
                await call
        await alice.delete(sent)
        with pytest.raises(UsageError, match="was deleted"):
            await alice.edit(sent, "again")
        assert await bob.outbox_size() == 0


async def test_what_waits_to_be_sent_is_edited_or_deleted_on_the_spot(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice = await people.enter("alice")
        await alice.send("bob", "hello")
        for text in ("first", "second"):
            # Kept as `send` keeps it; nobody has told the workers yet.
            await alice._account.outbox._keep((await alice._account.recipient("bob"))[0], None, [_text(text)])
        first, second = (await _drafts(alice))[-2:]
        assert (first.state, second.state) == (State.QUEUED, State.QUEUED)
        assert (await alice.edit(first, "better")).edited is False
        assert (await alice.delete(second)).refusal == "deleted"
        await alice.flush()
        bob = await people.enter("bob")
        assert [one.text for one in await waiting(bob)] == ["hello", "better"]


def _text(text: str):
    from client.outbox import text_message

    return text_message(text)


async def _drafts(client: Client) -> list[Message]:
    opened = client._account
    numbers = await opened._database.read(
        lambda tx: [row[0] for row in tx.all("SELECT n FROM messages ORDER BY n")]
    )
    return [await opened.message(number) for number in numbers]


async def test_an_act_waits_in_the_outbox_while_the_relay_is_away(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        await alice.send("bob", "hello")
        (message,) = await waiting(bob)
        async with people.client("bob") as away:
            away._account.outbox._submitter._transport.origin = "http://127.0.0.1:9"
            away._account.outbox._draft_worker._transport.origin = "http://127.0.0.1:9"
            with pytest.raises(RelayUnreachable):
                await away.react(message, "👍", patience_seconds=0.2)
        assert (await newest(bob, "alice")).reactions[0].emoji == "👍"  # here it is done
        assert await bob.outbox_size() == 1
        await bob.flush()
        assert await acts(alice) == [(ActKind.REACTION, "bob", "👍")]


async def test_fetched_files_go_with_their_message(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice = await people.enter("alice")
        picture = random_file(tmp_path, "a.png", 1_000)
        sent = await alice.send("bob", file=picture)
        async with people.client("bob") as bob:
            (message,) = await waiting(bob)
            fetched = await message.fetch()
            assert fetched.file is not None
            assert fetched.file.path is not None
            assert fetched.file.path.exists()
            await alice.delete(sent)
            assert await acts(bob) == [(ActKind.DELETE, "alice", None)]
        async with people.client("bob"):
            assert not await asyncio.to_thread(fetched.file.path.exists)
        assert picture.exists()  # the author's own file is hers
