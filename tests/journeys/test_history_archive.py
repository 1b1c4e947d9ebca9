"""The history archive on a real relay: what was said comes back with the words, or on a device that may have it; else nothing."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from client.archive.following import LOG_NAME
from client.client import Client
from client.errors import UsageError
from client.logs import LogPage, append_account_log, read_account_log, trim_account_log
from client.message import Event, Gap, Gone, HistoryRestored, Message, Warned
from client.recovery.restoring import RestoreWishes
from client.store import archive_rows, history
from client.system import Step, this_machine
from relay.wire.links import decode_id
from tests.chatting import People, open_people, random_file, texts
from tests.group_people_online import acquaint, group_of, hear
from tests.own_devices import link_device

WISHES = RestoreWishes("new phone")


async def confirmed(client: Client) -> str:
    words = " ".join(await client.recovery.words())
    await client.recovery.confirm(words)
    return words


async def events_of(client: Client) -> list[Event]:
    return [event async for event in client.events(until_caught_up=True, patience_seconds=20)]


async def log_of(client: Client) -> LogPage:
    """The archive as it lies at the relay."""
    return await read_account_log(client._account._transport, LOG_NAME, 0)


async def restored(people: People, words: str, home: Path) -> Client:
    await Client.restore(home, people.world.relay.url, words, WISHES)
    return await people.stack.enter_async_context(Client.open(home))


async def until_restored(client: Client) -> list[Event]:
    """Listen until the history is back, which is told last; nothing of it may be given out as new."""
    events: list[Event] = []
    async with asyncio.timeout(20):
        async for event in client.events():
            assert not isinstance(event, Message), event
            events.append(event)
            if isinstance(event, HistoryRestored):
                break
    return events


def shown(messages: Iterable[Message]) -> list[tuple[object, ...]]:
    """What the user sees of messages that the archive keeps."""
    return [
        (
            one.id,
            one.text,
            one.file.name if one.file else None,
            one.outgoing,
            one.name,
            one.sent_at_ms,
            [(edit.text, edit.at_ms) for edit in one.edits],
            [(reaction.emoji, reaction.account) for reaction in one.reactions],
            one.deleted_at_ms,
        )
        for one in messages
    ]


async def test_what_was_said_comes_back_with_the_words(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        bob = await people.enter("bob")
        async with people.client("alice") as alice:
            await alice.send("bob", "one")
            assert await texts(bob) == ["one"]
            await bob.send("alice", "two", expires_after_seconds=3_600)
            wrong = await bob.send("alice", "thre")
            gone = await bob.send("alice", "never said")
            await bob.send("alice", file=random_file(tmp_path, "four.bin", 2_000))
            words = await confirmed(alice)
            await events_of(alice)
            assert (await log_of(alice)).next_index == 0  # off, unless the user wants it
            state = await alice.history_archive.turn_on()
            assert (state.is_on, state.is_here, state.devices) == (True, True, 1)
            assert (state.archived, state.waiting) == (4, 0)
            await alice.react((await alice.history("bob"))[2], "👍")
            await bob.edit(wrong, "three")
            await bob.delete(gone)
            await alice.send("bob", "five")
            await events_of(alice)
            assert await alice.history_archive.save() is False
            await alice.recovery.back_up()
            before = await alice.history("bob")
            assert (await log_of(alice)).next_index == 2
        again = await restored(people, words, tmp_path / "new")
        assert await again.history("bob") == []
        told = await until_restored(again)
        kept = [one for one in before if not one.expires_after_seconds]
        assert told[-1] == HistoryRestored(5, max(one.received_at_ms or one.sent_at_ms for one in kept))
        assert shown(await again.history("bob")) == shown(kept)
        (file,) = [one for one in await again.history("bob") if one.file]
        assert (await file.fetch()).file.path.read_bytes() == (tmp_path / "four.bin").read_bytes()
        # They are messages as others are: named by what is done to them, and in order with what comes.
        answer = await (await again.history("bob"))[1].reply("six")
        assert answer.reply_to.id == wrong.id
        await bob.send("alice", "seven")
        await bob.edit(wrong, "3")
        await events_of(again)
        after = await again.history("bob")
        assert [one.text for one in after] == ["one", "3", None, None, "five", "six", "seven"]
        # Whoever had the lost phone has the old key: what it opened is written anew, and goes.
        await again.history_archive.save()
        page = await log_of(again)
        assert page.first_index >= 2
        keys = await again._account._database.read(archive_rows.history_keys)
        assert len(keys) == 2
        assert {entry.entry[1:9] for entry in page.entries} == {
            keys[0].id_for(decode_id(again.whoami().account, 32))
        }


async def test_an_archive_that_was_on_before_the_words_comes_back_with_them(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        async with people.client("alice") as alice:
            await alice.send("bob", "one")
            await alice.history_archive.turn_on()
            words = await confirmed(alice)
        again = await restored(people, words, tmp_path / "again")
        await until_restored(again)
        assert [one.text for one in await again.history("bob")] == ["one"]


async def test_nothing_is_kept_once_it_is_off(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice = await people.enter("alice")
        words = await confirmed(alice)
        await alice.send("bob", "hello")
        assert (await alice.history_archive.turn_on()).archived == 1
        assert (await alice.history_archive.turn_on()).archived == 1  # nothing is written twice
        state = await alice.history_archive.turn_off()
        assert (state.is_on, state.is_here, state.archived) == (False, False, 0)
        page = await log_of(alice)
        assert (page.entries, page.first_index) == ((), page.next_index)
        assert await alice._account._database.read(archive_rows.history_keys) == []
        await alice.send("bob", "not kept")
        assert await alice.history_archive.save() is False
        assert (await log_of(alice)).entries == ()
        # On again, all of it is written anew, under another key.
        assert (await alice.history_archive.turn_on()).archived == 2
        await alice.recovery.back_up()
        again = await restored(people, words, tmp_path / "new")
        await until_restored(again)
        assert [one.text for one in await again.history("bob")] == ["hello", "not kept"]


class Crash(BaseException):
    """The process is killed."""


async def test_killed_between_the_log_and_the_store_nothing_is_twice(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alive = [True]

        def reached(at: Step) -> None:
            if at is Step.ARCHIVED and alive:
                alive.clear()
                raise Crash

        people.machines["alice"] = replace(this_machine(), reached=reached)
        async with people.client("alice") as dying:
            await dying.send("bob", "once")
            with pytest.raises(Crash):
                await dying.history_archive.turn_on()
            assert (await log_of(dying)).next_index == 1
        async with people.client("alice") as alice:
            await alice.history_archive.save()
            assert (await alice.history_archive.status()).waiting == 0
            assert (await log_of(alice)).next_index == 1  # it read its own entry, and wrote no other
            assert [one.text for one in await alice.history("bob")] == ["once"]


async def test_a_linked_device_has_the_history_only_if_the_owner_says_so(tmp_path):
    async with open_people(tmp_path, "alice", "bob", "carol") as people:
        clients = await acquaint(people, "alice", "bob", "carol")
        alice, bob = clients["alice"], clients["bob"]
        group = (await group_of(clients, "alice", "bob", "carol")).id
        await alice.send(f"group:{group}", "welcome", patience_seconds=40)
        await hear(bob, group, "welcome")
        await (await bob.history(f"group:{group}"))[0].reply("thanks")
        await hear(alice, group, "thanks")
        with pytest.raises(UsageError, match="no history archive"):
            await link_device(alice, tmp_path / "early", with_history=True)
        await alice.history_archive.turn_on()
        await link_device(alice, tmp_path / "public", name="public")
        linked = await link_device(alice, tmp_path / "laptop", name="laptop", with_history=True)
        conversation = decode_id(group, 32)

        async def said(client: Client) -> list[str | None]:
            rows = await client._account._database.read(
                lambda tx: history.of_conversation(tx, conversation, None)
            )
            return [(await client._account.message(row.n)).text for row in rows]

        async with Client.open(tmp_path / "public") as public:
            await events_of(public)
            assert await public.history_archive.save() is False
            state = await public.history_archive.status()
            assert (state.is_on, state.is_here, state.devices) == (True, False, 2)
            assert await public._account._database.read(archive_rows.history_keys) == []
            assert await said(public) == []
        async with Client.open(tmp_path / "laptop") as laptop:
            await events_of(laptop)
            await laptop.history_archive.save()
            assert await said(laptop) == ["welcome", "thanks"] == await said(alice)
        # Out again, it cannot read what is written from then on.
        await alice.devices.revoke(linked.device)
        await alice.history_archive.save()
        assert (await alice.history_archive.status()).devices == 1
        assert len(await alice._account._database.read(archive_rows.history_keys)) == 2


async def test_a_device_that_may_not_have_the_history_lacks_no_number_of_the_one_that_gave_it(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice = await people.enter("alice")
        await alice.history_archive.turn_on()
        await link_device(alice, tmp_path / "public", name="public")
        await alice.flush()
        async with Client.open(tmp_path / "public") as public:
            await events_of(public)  # from now on it counts what alice's device says
        await link_device(alice, tmp_path / "laptop", name="laptop", with_history=True)
        await alice.flush()
        await alice.send("bob", "hello")
        told: list[Event] = []
        for _ in range(2):  # what is not there is told, and asked for; then, that it is gone
            async with Client.open(tmp_path / "public") as public:
                told += [one for one in await events_of(public) if isinstance(one, Gap | Gone)]
                await public.flush()
            await events_of(alice)
            await alice.flush()
        assert told == []
        async with Client.open(tmp_path / "public") as public:
            assert [one.text for one in await public.history("bob")] == ["hello"]
            assert await public._account._database.read(archive_rows.history_keys) == []
        async with Client.open(tmp_path / "laptop") as laptop:
            await events_of(laptop)
            assert (await laptop.history_archive.status()).is_here


async def test_two_devices_write_one_archive_and_each_knows_what_is_in_it(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice = await people.enter("alice")
        await link_device(alice, tmp_path / "laptop", manager=True)
        await alice.flush()
        async with Client.open(tmp_path / "laptop") as laptop:
            await events_of(laptop)
            await alice.history_archive.turn_on()
            await alice.send("bob", "from the phone")
            await events_of(laptop)
            await laptop.send("bob", "from the laptop")
            await events_of(alice)
            await asyncio.gather(alice.history_archive.save(), laptop.history_archive.save())
            for device in (alice, laptop):
                await device.history_archive.save()
                state = await device.history_archive.status()
                assert (state.archived, state.waiting) == (2, 0)
            written = (await log_of(alice)).next_index
            for device in (alice, laptop):
                await device.history_archive.save()
            assert (await log_of(alice)).next_index == written


async def test_what_the_relay_takes_away_is_told(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        async with people.client("alice") as alice:
            words = await confirmed(alice)
            for text in ("one", "two", "three"):
                await alice.send("bob", text)
                await alice.history_archive.turn_on()
            await alice.recovery.back_up()
            transport = alice._account._transport
            await trim_account_log(transport, LOG_NAME, 1)
            await append_account_log(transport, LOG_NAME, 3, bytes(500))
        again = await restored(people, words, tmp_path / "new")
        kinds = [one.kind for one in await until_restored(again) if isinstance(one, Warned)]
        assert kinds == ["history_refused", "history_gap"]
        assert [one.text for one in await again.history("bob")] == ["two", "three"]
