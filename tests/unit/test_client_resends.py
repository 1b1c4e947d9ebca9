"""What a sender's count says is missing is asked for once more, and told as gone if it cannot be had (B9)."""

from client.contents import ContentType, direct_conversation
from client.conversation_care import next_due_ms, tend
from client.envelopes import Encrypted
from client.message import Gone
from client.resends import ResendBody
from client.store import absent_rows, acts, history, queue, sent_contents
from client.store.absent_rows import ANSWER_EVERY_MS, ASK_EVERY_MS, MAX_ASKED
from tests.client_pair import Clock, Person, bodies, open_pair, open_person
from tests.unit.test_client_acts import rows


async def befriended(alice: Person, bob: Person) -> None:
    await bob.receive(await alice.say(bob, "hello"))
    await alice.receive(await bob.say(alice, "hello to you"))


async def asked(person: Person, to: Person) -> list[bytes]:
    """What was told as missing is asked for, if it is time."""
    await person.database.run(history.tell_absent)
    await person.database.run(lambda tx: tend(tx, person.system, is_listening=True))
    return await sent(person, to)


async def sent(person: Person, to: Person) -> list[bytes]:
    """All drafts of this kind: receipts may be among them."""
    drafts = await person.database.read(lambda tx: queue.next_drafts(tx, 100))
    if not drafts:
        return []
    assert isinstance(await person.encrypt(to), Encrypted)
    return [row.envelopes[0].ciphertext for row in await person.outgoing()]


async def no_receipts(*people: Person) -> None:
    from client.privacy import Privacy, keep_privacy

    for person in people:
        await person.database.run(lambda tx: keep_privacy(tx, Privacy(receipts=False)))


async def gone(person: Person) -> list[int]:
    return [one.count for one in await person.told() if isinstance(one, Gone)]


async def absent(person: Person) -> list:
    return await person.database.read(lambda tx: tx.all("SELECT counter, asked, gone FROM absent ORDER BY 1"))


async def test_b9_what_is_missing_is_asked_for_and_comes_where_it_was_sent(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await no_receipts(alice, bob)
        await befriended(alice, bob)
        one, _two, _three, four = await alice.say(bob, "1", "2", "3", "4")
        await bob.receive([one, four])
        requests = await asked(bob, alice)
        assert len(requests) == 1
        await alice.receive(requests)
        again = await sent(alice, bob)
        assert len(again) == 2
        await bob.receive(again)
        assert await bob.texts(alice) == bodies("hello", "1", "2", "3", "4")
        assert await absent(bob) == []
        assert await bob.warned() == []  # asked for, so not out of order
        assert await gone(bob) == []


async def test_b9_contents_that_overtook_each_other_are_told_once(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        one, two, three = await alice.say(bob, "1", "2", "3")
        await bob.receive([three])
        await bob.receive([one, two])
        assert await bob.warned() == ["reordered"]
        assert await bob.texts(alice) == bodies("1", "2", "3")
        await bob.receive([one, two])
        assert await bob.warned() == ["reordered"]


async def test_b9_what_cannot_be_given_again_is_told_as_gone_and_not_asked_for_again(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await no_receipts(alice, bob)
        await befriended(alice, bob)
        _one, _two, three = await alice.say(bob, "1", "2", "3")
        await bob.receive([three])
        target = (await rows(alice))[-3]
        assert target.body == bodies("1")[0]
        await alice.database.run(lambda tx: acts.wipe(tx, target.n, 0, alice.id))
        await alice.receive(await asked(bob, alice))
        await bob.receive(await sent(alice, bob))
        assert await gone(bob) == [1]
        assert await bob.texts(alice) == bodies("hello", "2", "3")
        bob.clock.ms += ASK_EVERY_MS
        assert await asked(bob, alice) == []
        assert await bob.database.read(lambda tx: next_due_ms(tx, is_listening=True)) is None


async def test_a_device_is_asked_seldom_and_not_for_ever(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await no_receipts(alice, bob)
        await befriended(alice, bob)
        _lost, last = await alice.say(bob, "lost", "last")
        await bob.receive([last])
        for number in range(MAX_ASKED):
            assert len(await asked(bob, alice)) == 1
            assert await asked(bob, alice) == []
            due = await bob.database.read(lambda tx: next_due_ms(tx, is_listening=True))
            assert due == (bob.clock.ms + ASK_EVERY_MS if number + 1 < MAX_ASKED else None)
            bob.clock.ms += ASK_EVERY_MS
        assert await asked(bob, alice) == []
        assert await absent(bob) == [(2, MAX_ASKED, 0)]


async def request(asker: Person, to: Person, counters: list[int], *, of: bytes | None = None) -> list[bytes]:
    body = ResendBody(
        to.account.device_id if of is None else of, direct_conversation(asker.id, to.id), counters, []
    )
    return await asker.signal(to, ContentType.RESEND, body)


async def test_a_stranger_is_not_asked(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        _one, two = await alice.say(bob, "1", "2")
        await bob.receive([two])  # Bob has not written to Alice
        assert await asked(bob, alice) == []
        assert await absent(bob) == [(1, 0, 0)]


async def test_c1_who_is_no_contact_any_more_is_not_answered(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await no_receipts(alice, bob)
        await befriended(alice, bob)

        def estrange(tx):
            tx.run("UPDATE peers SET accepted = 0")
            tx.cache.clear()

        await bob.database.run(estrange)
        assert not (await bob.receive(await request(alice, bob, [1, 2]))).drafted
        assert await bob.database.read(queue.waiting) == 0


async def test_only_what_was_for_the_device_goes_to_it_again(tmp_path):
    async with open_pair(tmp_path) as (alice, bob), open_person(tmp_path / "c", "carol", Clock()) as carol:
        await no_receipts(alice, bob)
        await befriended(alice, bob)
        await alice.knows(carol)
        await carol.receive(await alice.say(carol, "for Carol"))
        await alice.receive(await carol.say(alice, "yes"))
        # Carol asks for what Alice sent to Bob: under the conversation of the two it is another content, or none.
        conversation = direct_conversation(alice.id, bob.id)
        body = ResendBody(alice.account.device_id, conversation, [1], [])
        await alice.receive(await carol.signal(alice, ContentType.RESEND, body))
        assert await sent(alice, carol) == []
        kept = await alice.database.read(
            lambda tx: sent_contents.find_for(tx, conversation, 1, carol.account.device_id)
        )
        assert kept is None
        # Another device's numbers are not this one's to answer.
        await alice.receive(await request(bob, alice, [1], of=bytes(16)))
        assert await sent(alice, bob) == []


async def test_answers_are_bounded_in_time_and_number(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await no_receipts(alice, bob)
        await befriended(alice, bob)
        answers = []
        for _ in range(sent_contents.MAX_RESENT + 2):
            for _ in range(3):
                await alice.receive(await request(bob, alice, [1]))
                answers.append(len(await sent(alice, bob)))
            alice.clock.ms += ANSWER_EVERY_MS
        # Each time one content, at last the word that it is gone; and once in each minute.
        assert answers == [1, 0, 0] * (sent_contents.MAX_RESENT + 2)
        await alice.receive(await request(bob, alice, [10_000]))  # was never sent: no answer at all
        assert await sent(alice, bob) == []


async def test_what_is_kept_for_that_is_bounded(tmp_path, monkeypatch):
    async with open_pair(tmp_path) as (alice, bob):
        monkeypatch.setattr(sent_contents, "MAX_KEPT", 3)
        await alice.say(bob, *(str(number) for number in range(10)))
        counters = "SELECT counter FROM sent_contents ORDER BY counter"
        assert await alice.database.read(lambda tx: tx.all(counters)) == [(8,), (9,), (10,)]
        ((size,),) = await alice.database.read(
            lambda tx: tx.all("SELECT sum(length(content)) FROM sent_contents")
        )
        monkeypatch.setattr(sent_contents, "MAX_KEPT_BYTES", size - 1)
        await alice.database.run(lambda tx: sent_contents.forget_old(tx, alice.clock.ms))
        left = await alice.database.read(lambda tx: tx.all(counters))
        assert left == [(9,), (10,)]
        await alice.database.run(
            lambda tx: sent_contents.forget_old(tx, alice.clock.ms + sent_contents.KEPT_MS + 1)
        )
        assert await alice.database.read(lambda tx: tx.all(counters)) == []


async def test_a_gone_from_another_device_than_the_one_it_is_about_is_ignored(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await no_receipts(alice, bob)
        await befriended(alice, bob)
        _one, two = await alice.say(bob, "1", "2")
        await bob.receive([two])
        body = ResendBody(bytes(16), direct_conversation(alice.id, bob.id), [], [2])
        await bob.receive(await alice.signal(bob, ContentType.RESEND, body))
        assert await gone(bob) == []
        assert [(counter, is_gone) for counter, _, is_gone in await absent(bob)] == [(2, 0)]
        assert (
            await bob.database.read(lambda tx: absent_rows.to_ask(tx, bob.id, bob.clock.ms)) == []
        )  # not told yet
