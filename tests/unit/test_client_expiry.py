"""Messages that disappear go on both sides: after the reading, after the first receipt, and at last by themselves."""

from client import receipts
from client.act_bodies import ReactionBody, ReceiptBody, ReceiptEntry
from client.contents import ContentType, decode_content
from client.conversation_care import next_due_ms, tend
from client.envelopes import Encrypted
from client.message_acts import Acted, ActKind
from client.store import history, queue
from relay.wire.limits import MAX_TTL_SECONDS
from tests.client_pair import Person, bodies, open_pair
from tests.unit.test_client_acts import reference, rows, shown

HOUR_MS = 3_600_000


async def say_for_an_hour(author: Person, reader: Person, text: str) -> bytes:
    number = await author.draft(reader, text)
    await author.database.run(
        lambda tx: tx.run("UPDATE messages SET expires_after_seconds = 3600 WHERE n = ?", number)
    )
    assert isinstance(await author.encrypt(reader), Encrypted)
    (row,) = await author.outgoing()
    assert decode_content(row.content).expires_after_seconds == 3_600
    return row.envelopes[0].ciphertext


async def tidy(person: Person) -> None:
    await person.database.run(lambda tx: tend(tx, person.system, is_listening=False))


async def next_ms(person: Person) -> int | None:
    return await person.database.read(lambda tx: next_due_ms(tx, is_listening=False))


async def read_newest(person: Person) -> None:
    row = (await rows(person))[-1]
    await person.database.run(lambda tx: receipts.mark_read(tx, row, person.system))


async def test_the_readers_copy_goes_its_time_after_the_reading(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await bob.receive(
            [await say_for_an_hour(alice, bob, "for an hour"), *await alice.say(bob, "for good")]
        )
        bob.clock.ms += 5 * HOUR_MS
        await tidy(bob)
        assert await bob.texts(alice) == bodies("for an hour", "for good")
        row = (await rows(bob))[0]
        await bob.database.run(lambda tx: receipts.mark_read(tx, row, bob.system))
        assert await next_ms(bob) == bob.clock.ms + HOUR_MS
        assert (await shown(bob))[0].expires_at_ms == bob.clock.ms + HOUR_MS
        bob.clock.ms += HOUR_MS - 1
        await tidy(bob)
        assert len(await bob.texts(alice)) == 2
        bob.clock.ms += 1
        await tidy(bob)
        assert await bob.texts(alice) == bodies("for good")
        assert [one.kind for one in await bob.told() if isinstance(one, Acted)] == [ActKind.EXPIRED]
        assert await next_ms(bob) is None


async def test_the_authors_copy_goes_its_time_after_the_first_receipt(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await bob.receive([await say_for_an_hour(alice, bob, "for an hour")])
        target = reference((await rows(bob))[0])
        entry = ReceiptEntry(target.message_id, target.reference)
        alice.clock.ms += HOUR_MS
        receipt = ReceiptBody(alice.id, [entry], [])
        # What the reader says about the time does not count.
        await alice.receive(await bob.signal(alice, ContentType.RECEIPT, receipt, sent_at_ms=5))
        assert await next_ms(alice) == alice.clock.ms + HOUR_MS
        alice.clock.ms += HOUR_MS // 2
        await alice.receive(await bob.signal(alice, ContentType.RECEIPT, ReceiptBody(alice.id, [], [entry])))
        assert await next_ms(alice) == alice.clock.ms + HOUR_MS // 2
        await alice.receive(await bob.signal(alice, ContentType.REACTION, ReactionBody(target, "👍")))
        alice.clock.ms += HOUR_MS // 2
        await tidy(alice)
        assert await rows(alice) == []
        for table in ("reactions", "receipts"):
            assert await alice.database.read(lambda tx, t=table: tx.one(f"SELECT count(*) FROM {t}")) == (0,)


async def test_unread_and_without_receipts_both_go_after_thirty_days_and_their_time(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await bob.receive([await say_for_an_hour(alice, bob, "for an hour")])
        for person in (alice, bob):
            assert await next_ms(person) == person.clock.ms + MAX_TTL_SECONDS * 1_000 + HOUR_MS


async def test_a_message_that_disappeared_does_not_come_back(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        number = await alice.draft(bob, "once")
        await alice.database.run(lambda tx: tx.run("UPDATE messages SET expires_after_seconds = 3600"))
        await alice.encrypt(bob)
        (first,) = await alice.outgoing()
        await alice.database.run(lambda tx: queue.add_draft(tx, number, "bob", bob.id, content=first.content))
        await alice.encrypt(bob)
        (again,) = await alice.outgoing()
        await bob.receive([first.envelopes[0].ciphertext])
        await read_newest(bob)
        bob.clock.ms += HOUR_MS
        await tidy(bob)
        assert await rows(bob) == []
        await bob.receive([again.envelopes[0].ciphertext])
        assert await rows(bob) == []
        assert await bob.database.read(lambda tx: history.not_given(tx, 0, 10)) == []
