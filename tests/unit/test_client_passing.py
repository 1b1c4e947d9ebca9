"""Typing and presence: given while they are fresh, to and from contacts alone, kept and counted nowhere (B14)."""

import os

import msgspec
import pytest

from client.contents import Content, ContentType, direct_conversation, encode_body, encode_content
from client.passing import PassingEvents
from client.passing_contents import PresenceBody, TypingBody, open_passing, seal_passing
from client.passing_events import Presence, Typing
from client.store.session_rows import all_sessions, save_sessions
from crypto.session_snapshots import encode_sessions
from crypto.sessions import encrypt
from relay.wire.frames import Deliver, EnvelopeClass
from relay.wire.links import encode_id
from tests.client_pair import Person, bodies, open_pair
from tests.unit.test_client_mailbox_round import unopened


async def befriended(alice: Person, bob: Person) -> None:
    """Both have written, and the session is answered on both sides."""
    await bob.receive(await alice.say(bob, "hello"))
    await alice.receive(await bob.say(alice, "hello to you"))
    await bob.receive(await alice.say(bob, "so"))


async def sealed(person: Person, to: Person, kind: int, body: msgspec.Struct) -> bytes | None:
    result = await person.database.run(lambda tx: seal_passing(tx, to.id, kind, body, person.system))
    return None if result is None else result.envelopes[0][1]


def passing(envelope: bytes) -> Deliver:
    return Deliver(0, os.urandom(16), 0, EnvelopeClass.EPHEMERAL, envelope)


async def said(person: Person, *envelopes: bytes) -> list:
    frames = [passing(envelope) for envelope in envelopes]
    return await person.database.run(lambda tx: open_passing(tx, frames, person.system))


async def everything(person: Person) -> list:
    """All that is kept, but for sessions."""
    tables = "messages", "counters", "absent", "notices", "unopened", "drafts", "outbox", "sent_contents"
    return await person.database.read(lambda tx: [tx.all(f"SELECT * FROM {table}") for table in tables])


async def snapshot(person: Person, of: Person) -> bytes:
    key = of.account.account_id, of.account.device_id
    own = person.account.account_id, person.account.device_id
    return await person.database.read(lambda tx: encode_sessions(all_sessions(tx, own)[key]))


def typing(alice: Person, bob: Person, is_typing: bool = True) -> TypingBody:
    return TypingBody(direct_conversation(alice.id, bob.id), is_typing)


async def test_typing_and_presence_are_given_and_leave_nothing(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await befriended(alice, bob)
        before = await everything(alice), await everything(bob)
        one = await sealed(alice, bob, ContentType.TYPING, typing(alice, bob))
        two = await sealed(alice, bob, ContentType.PRESENCE, PresenceBody(False))
        conversation = encode_id(direct_conversation(alice.id, bob.id))
        assert await said(bob, one, two, one) == [
            Typing(conversation, encode_id(alice.id), "alice", True),
            Presence(encode_id(alice.id), "alice", False),
        ]  # the repeat is dropped
        assert (await everything(alice), await everything(bob)) == before
        await bob.receive(await alice.say(bob, "the next number"))
        assert await bob.texts(alice) == bodies("hello", "so", "the next number")
        assert await bob.told() == []


async def test_b14_lost_ephemeral_messages_leave_the_session_as_small_as_it_was(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await befriended(alice, bob)
        first = await sealed(alice, bob, ContentType.TYPING, typing(alice, bob))
        await said(bob, first)
        size = len(await snapshot(bob, alice))
        last = None
        for _ in range(300):
            last = await sealed(alice, bob, ContentType.TYPING, typing(alice, bob))
        assert len(await said(bob, last)) == 1
        assert len(await snapshot(bob, alice)) <= size + 4  # the counter itself takes more bytes


async def test_c1_a_stranger_is_told_nothing_and_is_not_listened_to(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await befriended(alice, bob)
        envelope = await sealed(alice, bob, ContentType.TYPING, typing(alice, bob))

        def estrange(tx):
            tx.run("UPDATE peers SET accepted = 0")
            tx.cache.clear()

        await bob.database.run(estrange)
        before = await snapshot(bob, alice)
        assert await said(bob, envelope) == []
        assert await snapshot(bob, alice) == before
        assert await sealed(bob, alice, ContentType.TYPING, typing(alice, bob)) is None


async def test_nothing_is_sealed_before_the_session_is_answered(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await alice.say(bob, "hello")
        assert await sealed(alice, bob, ContentType.TYPING, typing(alice, bob)) is None


@pytest.mark.proves("M-CONTENT-01")
async def test_an_ephemeral_message_in_the_mailbox_and_a_message_beside_it_are_refused(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await befriended(alice, bob)
        envelope = await sealed(alice, bob, ContentType.TYPING, typing(alice, bob))
        await bob.receive([envelope])
        assert await unopened(bob) == ["invalid_encoding"]
        assert len(await said(bob, envelope)) == 1  # that changed nothing
        (message,) = await alice.say(bob, "durable")
        assert await said(bob, message) == []
        await bob.receive([message])
        assert (await bob.texts(alice))[-1:] == bodies("durable")


@pytest.mark.parametrize(
    ("fields", "ephemeral"),
    [
        ({"type": ContentType.TYPING}, False),
        ({"counter": 0, "previous_hash": b""}, False),
        ({"type": ContentType.TEXT}, True),
        ({"type": ContentType.TYPING, "conversation_id": bytes(32)}, True),
        ({"type": ContentType.TYPING, "counter": 1}, True),
        ({"type": ContentType.TYPING, "body": msgspec.Raw(b"\x90")}, True),
    ],
    ids=["kept typing", "not counted", "passing text", "elsewhere", "counted", "no body"],
)
async def test_what_is_in_the_wrong_kind_of_message_is_not_taken(tmp_path, fields, ephemeral):
    async with open_pair(tmp_path) as (alice, bob):
        await befriended(alice, bob)
        body = encode_body(typing(alice, bob))
        content = Content(
            type=ContentType.TEXT,
            conversation_id=direct_conversation(alice.id, bob.id),
            message_id=os.urandom(16),
            counter=0 if ephemeral else 3,
            previous_hash=b"" if ephemeral else bytes(32),
            sent_at_ms=0,
            expires_after_seconds=0,
            introduction=None,
            body=msgspec.Raw(body),
        )
        encoded = encode_content(msgspec.structs.replace(content, **fields))

        def seal(tx):
            own = alice.account.account_id, alice.account.device_id
            key = bob.account.account_id, bob.account.device_id
            sessions, envelope = encrypt(
                all_sessions(tx, own)[key],
                encoded,
                alice.account.own,
                now_ms=alice.clock.now(),
                random=os.urandom,
                ephemeral=ephemeral,
            )
            save_sessions(tx, own, {key: sessions}, alice.clock.now())
            return envelope

        envelope = await alice.database.run(seal)
        if ephemeral:
            assert await said(bob, envelope) == []
        else:
            await bob.receive([envelope])
            assert await unopened(bob) == ["invalid_encoding"]
        assert await bob.texts(alice) == bodies("hello", "so")


async def test_what_nobody_took_is_bounded_and_gets_old(tmp_path):
    async with open_pair(tmp_path) as (alice, _):
        now = [0.0]
        system = type(alice.system)(
            alice.system.now_ms, lambda: now[0], alice.system.random, alice.system.sleep
        )
        events = PassingEvents(system)
        events.put(Presence(str(number), "x", True) for number in range(1_000))
        taken = [events.take() for _ in range(65)]
        assert taken[0] == Presence("936", "x", True)
        assert taken[-1] is None
        events.put([Presence("late", "x", True)])
        now[0] = 31.0
        assert events.take() is None
