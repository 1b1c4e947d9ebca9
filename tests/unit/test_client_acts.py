"""What comes in as an act on a message: done if it is right, held until its message comes, refused from the wrong hand."""

import os
from dataclasses import replace
from itertools import permutations

import pytest

from client.act_bodies import DeleteBody, EditBody, ReactionBody, ReceiptBody, ReceiptEntry
from client.acts import facts_of
from client.contents import ContentType, Reference
from client.message import Message, Warned
from client.message_acts import Acted, ActKind
from client.shown_message import Showing
from client.store import acts, facts, history
from relay.wire.links import encode_id
from tests.client_pair import Clock, Person, open_pair, open_person


async def rows(person: Person) -> list[history.MessageRow]:
    return await person.database.read(
        lambda tx: [
            row
            for (n,) in tx.all("SELECT n FROM messages WHERE hidden = 0 ORDER BY n")
            if (row := history.find(tx, n)) is not None
        ]
    )


async def shown(person: Person) -> list[Message]:
    showing = Showing(person.account, reply=None, fetch=None)
    kept = await rows(person)
    return await person.database.read(lambda tx: [showing.message(tx, row) for row in kept])


def reference(row: history.MessageRow) -> Reference:
    target = facts_of(row)
    assert target is not None
    return Reference(target.account, target.message_id, target.reference())


async def said(author: Person, reader: Person, text: str) -> Reference:
    """A text that both have; what names it (both compute the same)."""
    await reader.receive(await author.say(reader, text))
    here, there = (await rows(author))[-1], (await rows(reader))[-1]
    assert reference(here) == reference(there)
    return reference(there)


async def done(person: Person) -> list[tuple[ActKind, str, str | None]]:
    return [(one.kind, one.account, one.text) for one in await person.told() if isinstance(one, Acted)]


async def refused(person: Person) -> int:
    return await person.database.read(lambda tx: facts.number(tx, facts.REFUSED_ACTS))


def receipt(author: Person, *, delivered=(), read=()) -> ReceiptBody:
    return ReceiptBody(
        author.id,
        [ReceiptEntry(one.message_id, one.reference) for one in delivered],
        [ReceiptEntry(one.message_id, one.reference) for one in read],
    )


async def test_each_act_is_done_shown_and_told(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        name = await said(alice, bob, "hello")
        bob_id, alice_id = encode_id(bob.id), encode_id(alice.id)
        await alice.receive(await bob.signal(alice, ContentType.REACTION, ReactionBody(name, "👍")))
        await alice.receive(
            await bob.signal(alice, ContentType.RECEIPT, receipt(alice, delivered=[name], read=[name]))
        )
        (message,) = await shown(alice)
        assert [(one.account, one.emoji) for one in message.reactions] == [(bob_id, "👍")]
        assert (
            [one.account for one in message.delivered_to]
            == [bob_id]
            == [one.account for one in message.read_by]
        )
        await bob.receive(
            await alice.signal(bob, ContentType.EDIT, EditBody(name, "hello, all"), sent_at_ms=7)
        )
        (message,) = await shown(bob)
        assert (message.text, message.edited, message.edited_at_ms) == ("hello, all", True, 7)
        assert [one.text for one in message.edits] == ["hello"]
        await bob.receive(await alice.signal(bob, ContentType.DELETE, DeleteBody(name)))
        (message,) = await shown(bob)
        assert (message.type, message.text, message.deleted, message.edits) == ("text", None, True, ())
        assert await bob.database.read(lambda tx: tx.one("SELECT body FROM messages WHERE hidden = 0")) == (
            b"",
        )
        assert await bob.database.read(lambda tx: tx.one("SELECT count(*) FROM edits")) == (0,)
        assert await done(alice) == [
            (ActKind.REACTION, bob_id, "👍"),
            (ActKind.DELIVERED, bob_id, None),
            (ActKind.READ, bob_id, None),
        ]
        assert await done(bob) == [(ActKind.EDIT, alice_id, "hello, all"), (ActKind.DELETE, alice_id, None)]
        assert await refused(alice) == await refused(bob) == 0


async def test_an_act_that_comes_again_changes_nothing_and_is_told_once(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        name = await said(alice, bob, "hello")
        for _ in range(2):
            await bob.receive(
                await alice.signal(bob, ContentType.REACTION, ReactionBody(name, "🎉"), sent_at_ms=5)
            )
            await bob.receive(await alice.signal(bob, ContentType.DELETE, DeleteBody(name)))
        assert [kind for kind, _, _ in await done(bob)] == [ActKind.REACTION, ActKind.DELETE]


@pytest.mark.parametrize(
    ("kind", "body"),
    [(ContentType.EDIT, lambda name: EditBody(name, "I said so")), (ContentType.DELETE, DeleteBody)],
    ids=["edit", "delete"],
)
async def test_b10_who_is_not_the_author_neither_edits_nor_deletes(tmp_path, kind, body):
    async with open_pair(tmp_path) as (alice, bob):
        name = await said(alice, bob, "hello")
        for _ in range(3):
            await alice.receive(await bob.signal(alice, kind, body(name)))
        (message,) = await shown(alice)
        assert (message.text, message.edited, message.deleted) == ("hello", False, False)
        assert await refused(alice) == 3
        assert [one.kind for one in await alice.told() if isinstance(one, Warned)] == ["act_refused"]  # once
        assert await done(alice) == []


@pytest.mark.parametrize("act", ["reaction", "receipt"])
async def test_b10_an_act_on_another_content_than_the_one_here_is_refused(tmp_path, act):
    async with open_pair(tmp_path) as (alice, bob):
        name = await said(alice, bob, "I owe you 10")
        wrong = Reference(name.account, name.message_id, bytes(32))
        if act == "reaction":
            sent = await bob.signal(alice, ContentType.REACTION, ReactionBody(wrong, "👍"))
        else:
            sent = await bob.signal(alice, ContentType.RECEIPT, receipt(alice, read=[wrong]))
        await alice.receive(sent)
        (message,) = await shown(alice)
        assert (message.reactions, message.read_by) == ((), ())
        assert await refused(alice) == 1


async def test_b10_who_is_not_in_the_conversation_acts_on_nothing_in_it(tmp_path):
    async with open_pair(tmp_path) as (alice, bob), open_person(tmp_path / "c", "carol", Clock()) as carol:
        name = await said(alice, bob, "between us")
        await carol.knows(alice)
        await alice.receive(await carol.signal(alice, ContentType.REACTION, ReactionBody(name, "👀")))
        await alice.receive(await carol.signal(alice, ContentType.RECEIPT, receipt(alice, read=[name])))
        (message,) = await shown(alice)
        assert (message.reactions, message.read_by) == ((), ())
        assert await refused(alice) == 2


async def test_b10_the_author_gives_no_receipt_and_a_file_is_not_edited(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await alice.draft(bob, "", body=b"\x90", kind=ContentType.FILE)
        await alice.encrypt(bob)
        await bob.receive([row.envelopes[0].ciphertext for row in await alice.outgoing()])
        name = reference((await rows(bob))[0])
        await bob.receive(await alice.signal(bob, ContentType.RECEIPT, receipt(alice, read=[name])))
        await bob.receive(await alice.signal(bob, ContentType.EDIT, EditBody(name, "another")))
        assert await refused(bob) == 2
        assert await done(bob) == []


async def test_b10_a_message_from_before_references_were_kept_takes_no_acts(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        name = await said(alice, bob, "old")
        await alice.database.run(
            lambda tx: tx.run("UPDATE messages SET content_hash = NULL, device_id = NULL")
        )
        await alice.receive(await bob.signal(alice, ContentType.REACTION, ReactionBody(name, "👍")))
        assert await refused(alice) == 1


async def test_acts_that_come_before_their_message_wait_for_it(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        (late,) = await alice.say(bob, "late")
        name = reference((await rows(alice))[0])
        await bob.receive(await alice.signal(bob, ContentType.EDIT, EditBody(name, "better"), sent_at_ms=9))
        forged = replace_reference(name)
        await bob.receive(await alice.signal(bob, ContentType.REACTION, ReactionBody(forged, "🙈")))
        assert await done(bob) == []
        assert await refused(bob) == 0
        await bob.receive([late])
        (message,) = await shown(bob)
        assert (message.text, message.reactions) == ("better", ())
        assert [kind for kind, _, _ in await done(bob)] == [ActKind.EDIT]
        assert await refused(bob) == 1
        assert await bob.database.read(lambda tx: tx.one("SELECT count(*) FROM waiting_acts")) == (0,)


def replace_reference(name: Reference) -> Reference:
    return Reference(name.account, name.message_id, os.urandom(32))


async def test_a_message_that_was_deleted_before_it_came_is_never_shown(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        (late,) = await alice.say(bob, "a mistake")
        name = reference((await rows(alice))[0])
        await bob.receive(await alice.signal(bob, ContentType.DELETE, DeleteBody(name)))
        await bob.receive([late])
        (message,) = await shown(bob)
        assert (message.text, message.deleted) == (None, True)


async def test_what_waits_is_bounded_for_each_actor_and_in_all(tmp_path, monkeypatch):
    monkeypatch.setattr(acts, "MAX_WAITING_OF_ONE", 5)
    monkeypatch.setattr(acts, "MAX_WAITING", 8)

    def act(actor: bytes, number: int) -> acts.StoredAct:
        message_id = number.to_bytes(16, "big")
        return acts.StoredAct(
            ActKind.DELETE, bytes(32), message_id, bytes(32), None, actor, message_id, number
        )

    async with open_pair(tmp_path) as (alice, _):

        def fill(tx):
            for actor in (b"one", b"two"):
                for number in range(20):
                    acts.hold(tx, act(actor, number))
            return tx.all("SELECT actor, at_ms FROM waiting_acts ORDER BY n")

        kept = await alice.database.run(fill)
        assert kept == [(b"one", n) for n in range(17, 20)] + [(b"two", n) for n in range(15, 20)]


async def test_in_whatever_order_acts_come_all_devices_agree(tmp_path):
    """Two devices of one account react and edit; who hears them in another order sees the same."""

    def act(kind: ActKind, number: int, at_ms: int, text: str) -> acts.StoredAct:
        act_id = number.to_bytes(16, "big")
        return acts.StoredAct(kind, bytes(32), bytes(16), bytes(32), None, b"a" * 32, act_id, at_ms, text)

    done_by_all = [
        act(ActKind.REACTION, 1, 10, "👍"),
        act(ActKind.REACTION, 2, 10, "👎"),
        act(ActKind.REACTION, 3, 9, ""),
        act(ActKind.EDIT, 4, 12, "second"),
        act(ActKind.EDIT, 5, 11, "first"),
    ]
    async with open_pair(tmp_path) as (alice, bob):
        await alice.draft(bob, "text")
        (row,) = await rows(alice)
        ends = set()

        def apply(tx, order):
            tx.run("DELETE FROM reactions")
            tx.run("DELETE FROM edits")
            for one in order:
                (acts.put_reaction if one.kind is ActKind.REACTION else acts.put_edit)(tx, row.n, one)
            return tuple(acts.reactions(tx, row.n)), tuple(acts.edits(tx, row.n))

        for order in permutations(done_by_all):
            ends.add(await alice.database.run(lambda tx, order=order: apply(tx, order)))
        assert ends == {(((b"a" * 32, "👎", 10),), (("first", 11), ("second", 12)))}


async def test_an_answer_names_its_message_only_if_it_is_that_message(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        name = await said(alice, bob, "yes or no?")
        from client.outbox import text_message

        for answers in (name, Reference(name.account, name.message_id, bytes(32)), None):
            await bob.draft(alice, "", body=text_message("yes", answers).body)
        await bob.encrypt(alice)
        await alice.receive([row.envelopes[0].ciphertext for row in await bob.outgoing()])
        _, right, wrong, none = await shown(alice)
        assert right.reply_to is not None
        assert (right.text, right.reply_to.id) == ("yes", encode_id(name.message_id))
        assert (wrong.text, wrong.reply_to, none.reply_to) == ("yes", None, None)
        assert replace(right, id="x").as_json()["reply_to"]["id"] == encode_id(name.message_id)


async def test_an_edit_history_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(acts, "MAX_EDITS", 3)
    async with open_pair(tmp_path) as (alice, bob):
        name = await said(alice, bob, "0")
        for number in range(1, 6):
            await bob.receive(
                await alice.signal(bob, ContentType.EDIT, EditBody(name, str(number)), sent_at_ms=number)
            )
        (message,) = await shown(bob)
        assert ([one.text for one in message.edits], message.text) == (["0", "3", "4"], "5")
