"""From drafts to envelopes, and what the relay's answers mean: for one device of a recipient and for several."""

import asyncio
from dataclasses import replace

import pytest

from client.account import new_account
from client.envelopes import Encrypted, encrypt_drafts
from client.errors import NotSent, Refused
from client.first_contact import Fetched, Missing
from client.message import State, Unopened
from client.store import history, queue
from client.store.database import Database, Transaction
from client.store.peers import find_peer, mark_stale, save_chain
from client.store.session_rows import all_sessions, save_sessions
from client.submit_answers import Answer, draft_anew, file_answers, grant_for
from client.system import Step
from crypto.sealed_first_message import KIND_SETUP
from relay.wire.frames import Outcome
from relay.wire.links import InviteLink
from tests.client_pair import DAY_MS, Person, bodies, open_pair, open_person, with_device

INVITE = InviteLink("http://relay.example", bytes(32), bytes(16))


async def state_of(person: Person, number: int) -> tuple[State, str | None]:
    row = await person.database.read(lambda tx: history.find(tx, number))
    assert row is not None
    return row.state, row.refusal


async def test_without_a_device_list_or_bundles_nothing_changes_and_it_says_what_is_missing(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await alice.draft(bob, "hello")
        drafts = await alice.database.read(lambda tx: queue.next_drafts(tx, 10))

        async def attempt() -> Encrypted | Missing:
            return await alice.database.run(
                lambda tx: encrypt_drafts(tx, bob.id, drafts, Fetched(), alice.system)
            )

        assert await attempt() == Missing(bob.id, devices=(bob.account.device_id,))
        await alice.database.run(lambda tx: mark_stale(tx, bob.id))
        assert await attempt() == Missing(bob.id, chain=True)
        assert await alice.database.read(lambda tx: queue.outgoing_after(tx, 0, 10)) == []
        assert await state_of(alice, drafts[0].message_n) == (State.QUEUED, None)


@pytest.mark.proves("M-KEEP-01")
async def test_b13_two_processes_that_encrypt_at_once_use_no_message_key_twice(tmp_path):
    """Each has its own connection to the store and its own memory of the session, as another process has."""
    async with open_pair(tmp_path) as (alice, bob):
        await bob.receive(await alice.say(bob, "to begin with"))
        path = alice.database._path.parent
        async with Database(path, alice.database._key) as other_store:
            other = replace(alice, database=other_store)
            count = 20
            for number in range(count):
                await alice.draft(bob, str(number))
            drafts = await alice.database.read(lambda tx: queue.next_drafts(tx, count))

            async def work(process: Person, mine: list[queue.Draft]) -> None:
                for draft in mine:
                    assert isinstance(
                        await process.database.run(
                            lambda tx, one=draft: encrypt_drafts(tx, bob.id, [one], Fetched(), alice.system)
                        ),
                        Encrypted,
                    )

            # In turns, and then both at once.
            for turn, draft in enumerate(drafts[: count // 2]):
                await work((alice, other)[turn % 2], [draft])
            rest = drafts[count // 2 :]
            await asyncio.gather(work(alice, rest[::2]), work(other, rest[1::2]))
        sent = [row.envelopes[0].ciphertext for row in await alice.outgoing()]
        assert len(sent) == count
        await bob.receive(sent)
        # A key that was used before opens nothing a second time: the other message under it would not be shown.
        texts = await bob.texts(alice)
        assert sorted(texts) == sorted(bodies("to begin with", *map(str, range(count))))
        assert [one for one in await bob.told() if isinstance(one, Unopened)] == []


async def test_a_recipient_without_prekeys_is_tried_again_later(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await alice.draft(bob, "hello")
        drafts = await alice.database.read(lambda tx: queue.next_drafts(tx, 10))
        none = Fetched({bob.account.device_id: None}, alice.clock.now())
        with pytest.raises(Refused, match="no_prekeys") as raised:
            await alice.database.run(lambda tx: encrypt_drafts(tx, bob.id, drafts, none, alice.system))
        assert raised.value.retryable
        assert await alice.database.read(queue.waiting) == 1


async def test_a11_stale_and_false_bundles_are_refused_and_told(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await alice.draft(bob, "hello")
        drafts = await alice.database.read(lambda tx: queue.next_drafts(tx, 10))
        good = await bob.bundle()
        false = replace(good, sealing=replace(good.sealing, signature=bytes(64)))
        fetched = Fetched({bob.account.device_id: false}, alice.clock.now())
        with pytest.raises(Refused, match=r"wrong keys for .* \(bad_prekeys\)"):
            await alice.database.run(lambda tx: encrypt_drafts(tx, bob.id, drafts, fetched, alice.system))
        alice.clock.ms += 46 * DAY_MS
        fetched = Fetched({bob.account.device_id: good}, alice.clock.now())
        with pytest.raises(Refused, match=r"45 days: the device is dormant \(dormant_device\)"):
            await alice.database.run(lambda tx: encrypt_drafts(tx, bob.id, drafts, fetched, alice.system))
        assert await alice.database.read(lambda tx: queue.outgoing_after(tx, 0, 10)) == []


async def test_an_unanswered_session_ends_after_7_days_and_a_new_set_up_follows(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        (first,) = await alice.say(bob, "day 0")
        alice.clock.ms += 7 * DAY_MS
        (last,) = await alice.say(bob, "day 7")
        alice.clock.ms += 1
        await alice.draft(bob, "after that")
        drafts = await alice.database.read(lambda tx: queue.next_drafts(tx, 10))
        missing = await alice.database.run(
            lambda tx: encrypt_drafts(tx, bob.id, drafts, Fetched(), alice.system)
        )
        assert missing == Missing(bob.id, devices=(bob.account.device_id,))
        await bob.refresh_prekeys()
        assert isinstance(await alice.encrypt(bob), Encrypted)
        (row,) = await alice.outgoing()
        fresh = row.envelopes[0].ciphertext
        assert {first[0], last[0], fresh[0]} == {KIND_SETUP}
        await bob.receive([first, last, fresh])
        assert await bob.texts(alice) == bodies("day 0", "day 7", "after that")


async def test_b13_a_crash_before_the_commit_leaves_state_and_outbox_as_they_were(tmp_path):
    class Crash(BaseException):
        pass

    def crash(step: Step) -> None:
        if step is Step.ENCRYPTED:
            raise Crash

    async with open_pair(tmp_path) as (alice, bob):
        await bob.receive(await alice.say(bob, "hello"))
        before = await alice.database.read(lambda tx: tx.all("SELECT state FROM sessions"))
        await alice.draft(bob, "lost in the crash?")
        healthy, alice.system = alice.system, replace(alice.system, reached=crash)
        with pytest.raises(Crash):
            await alice.encrypt(bob)
        assert await alice.database.read(lambda tx: tx.all("SELECT state FROM sessions")) == before
        assert await alice.outgoing() == []
        alice.system = healthy
        assert isinstance(await alice.encrypt(bob), Encrypted)
        await bob.receive([row.envelopes[0].ciphertext for row in await alice.outgoing()])
        assert await bob.texts(alice) == bodies("hello", "lost in the crash?")


async def test_drafts_that_another_process_took_are_left_alone(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await alice.draft(bob, "once")
        drafts = await alice.database.read(lambda tx: queue.next_drafts(tx, 10))
        fetched = Fetched({bob.account.device_id: await bob.bundle()}, alice.clock.now())

        async def encrypt() -> Encrypted | Missing:
            return await alice.database.run(
                lambda tx: encrypt_drafts(tx, bob.id, drafts, fetched, alice.system)
            )

        first, second = await encrypt(), await encrypt()
        assert isinstance(first, Encrypted)
        assert first.messages == [drafts[0].message_n]
        assert second == Encrypted([], [], [])


async def answer(person: Person, *outcomes: Outcome, behind: bool = False, error: Refused | None = None):
    """File one answer for the oldest row of the outbox; (message number, what became of it)."""
    (row,) = await person.database.read(lambda tx: queue.outgoing_after(tx, 0, 1))
    filed = await person.database.run(
        lambda tx: file_answers(
            tx, [Answer(row, outcomes, (row.account_id,) if behind else (), error=error)], person.system
        )
    )
    return row.message_n, filed


async def test_what_each_answer_means(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        for text in ("stored", "full", "refused", "whole"):
            await alice.draft(bob, text)
        assert isinstance(await alice.encrypt(bob), Encrypted)

        number, filed = await answer(alice, Outcome.STORED)
        assert (filed.accepted, filed.refused, filed.full) == ([number], [], [])
        assert await state_of(alice, number) == (State.ACCEPTED, None)

        number, filed = await answer(alice, Outcome.MAILBOX_FULL)
        assert [message for message, _ in filed.full] == [number]
        assert await state_of(alice, number) == (State.ENCRYPTED, None)
        await answer(alice, Outcome.STORED)
        assert await state_of(alice, number) == (State.ACCEPTED, None)

        number, filed = await answer(alice, Outcome.NOT_ALLOWED)
        ((told, error),) = filed.refused
        assert told == number
        assert isinstance(error, NotSent)
        assert await state_of(alice, number) == (State.REFUSED, "not_allowed")

        number, filed = await answer(alice, error=Refused("too_large", "too large"))
        assert await state_of(alice, number) == (State.REFUSED, "too_large")
        assert await alice.database.read(queue.waiting) == 0


async def test_a_second_device_of_the_recipient_gets_what_the_first_has_and_all_that_follows(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        joined = replace(new_account(INVITE, "bob", now_ms=0, random=bob.system.random))
        local = replace(joined.local, account_id=bob.id)
        with_device(bob, replace(joined, local=local))
        own = replace(bob.account, local=local)
        async with open_person(tmp_path / "second", "bob", bob.clock, account=own) as second:
            await alice.draft(bob, "for both")
            assert isinstance(await alice.encrypt(bob), Encrypted)
            (row,) = await alice.database.read(lambda tx: queue.outgoing_after(tx, 0, 10))
            assert [one.device_id for one in row.envelopes] == [bob.account.device_id]
            await bob.receive([row.envelopes[0].ciphertext])
            number, filed = await answer(alice, Outcome.STORED, behind=True)
            assert filed.redrafted
            assert filed.accepted == []  # not yet for every device
            peer = await alice.database.read(lambda tx: find_peer(tx, bob.id))
            assert peer is not None
            assert peer.stale

            await alice.database.run(lambda tx: save_chain(tx, bob.account.own))
            assert isinstance(await alice.encrypt(bob, second), Encrypted)
            (row,) = await alice.database.read(lambda tx: queue.outgoing_after(tx, 0, 10))
            assert [one.device_id for one in row.envelopes] == [local.device_id]
            await second.receive([row.envelopes[0].ciphertext])
            _, filed = await answer(alice, Outcome.STORED)
            assert filed.accepted == [number]

            await alice.draft(bob, "for both at once")
            assert isinstance(await alice.encrypt(bob, second), Encrypted)
            (row,) = await alice.outgoing()
            to = {one.device_id: one.ciphertext for one in row.envelopes}
            assert set(to) == {bob.account.device_id, local.device_id}
            await bob.receive([to[bob.account.device_id]])
            await second.receive([to[local.device_id]])
            for device in (bob, second):
                assert await device.texts(alice) == bodies("for both", "for both at once")
                assert await device.told() == []
            grant = await alice.database.read(lambda tx: grant_for(tx, bob.id))
            assert grant.manifest_version == 2


async def test_a_relay_that_always_names_a_newer_device_list_gets_each_device_once(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        joined = new_account(INVITE, "bob", now_ms=0, random=bob.system.random)
        local = replace(joined.local, account_id=bob.id)
        with_device(bob, replace(joined, local=local))
        own = replace(bob.account, local=local)
        async with open_person(tmp_path / "second", "bob", bob.clock, account=own) as second:
            await alice.draft(bob, "for both")
            tried = []
            for _ in range(2):
                assert isinstance(await alice.encrypt(bob, second, bob), Encrypted)
                (row,) = await alice.database.read(lambda tx: queue.outgoing_after(tx, 0, 10))
                tried += [one.device_id for one in row.envelopes]
                number, filed = await answer(alice, Outcome.STORED, behind=True)
                assert filed.redrafted
                await alice.database.run(lambda tx: save_chain(tx, bob.account.own))
            assert tried == [bob.account.device_id, local.device_id]
            ended = await alice.encrypt(bob, second)
            assert isinstance(ended, Encrypted)
            assert (ended.messages, ended.done) == ([], [number])
            assert await alice.database.read(queue.waiting) == 0


async def test_a_removed_device_gets_nothing_and_is_not_heard(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await bob.receive(await alice.say(bob, "hello"))
        await alice.receive(await bob.say(alice, "hello to you"))
        (late,) = await bob.say(alice, "from a device that is removed")
        joined = new_account(INVITE, "bob", now_ms=0, random=bob.system.random)
        with_device(bob, replace(joined, local=replace(joined.local, account_id=bob.id)), keep_first=False)
        own = replace(bob.account, local=replace(joined.local, account_id=bob.id))
        async with open_person(tmp_path / "second", "bob", bob.clock, account=own) as second:
            await second.knows(alice)
            await alice.receive(await second.say(alice, "from the new one"))
            await alice.receive([late])
            assert await alice.texts(bob) == bodies("hello to you", "from the new one")
            await alice.draft(bob, "to the new one only")
            assert isinstance(await alice.encrypt(bob, second), Encrypted)
            (row,) = await alice.outgoing()
            assert [one.device_id for one in row.envelopes] == [own.device_id]


async def test_an_unknown_device_is_looked_up_and_a_relay_that_insists_ends_it(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await alice.draft(bob, "hello")
        assert isinstance(await alice.encrypt(bob), Encrypted)
        number, filed = await answer(alice, Outcome.UNKNOWN_DEVICE)
        assert (filed.redrafted, filed.refused) == (True, [])
        await alice.database.run(lambda tx: save_chain(tx, bob.account.own))
        result = await alice.encrypt(bob)
        assert isinstance(result, Encrypted)
        assert (result.messages, result.done, result.refused) == ([], [], [number])
        assert await state_of(alice, number) == (State.REFUSED, "unknown_device")


async def test_after_7_days_the_same_content_goes_out_under_another_id(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await alice.draft(bob, "old")
        assert isinstance(await alice.encrypt(bob), Encrypted)
        (old,) = await alice.database.read(lambda tx: queue.outgoing_after(tx, 0, 10))
        await alice.database.run(lambda tx: draft_anew(tx, [old]))
        assert isinstance(await alice.encrypt(bob), Encrypted)
        (new,) = await alice.outgoing()
        assert new.envelope_id != old.envelope_id
        assert new.envelopes != old.envelopes
        # Should both arrive after all, it is one message.
        await bob.receive([old.envelopes[0].ciphertext, new.envelopes[0].ciphertext])
        assert await bob.texts(alice) == bodies("old")


async def test_a_dormant_second_device_is_told_and_asked_about_once_a_day(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await bob.receive(await alice.say(bob, "hello"))
        await alice.receive(await bob.say(alice, "hello to you"))
        joined = new_account(INVITE, "bob", now_ms=0, random=bob.system.random)
        local = replace(joined.local, account_id=bob.id)
        with_device(bob, replace(joined, local=local))
        await alice.database.run(lambda tx: save_chain(tx, bob.account.own))
        own = replace(bob.account, local=local)
        async with open_person(tmp_path / "second", "bob", bob.clock, account=own) as second:
            alice.clock.ms += 46 * DAY_MS

            async def send(*devices: Person) -> Encrypted | Missing:
                await alice.draft(bob, "hello")
                fetched = Fetched(
                    {one.account.device_id: await one.bundle() for one in devices}, alice.clock.now()
                )
                drafts = await alice.database.read(lambda tx: queue.next_drafts(tx, 10))
                return await alice.database.run(
                    lambda tx: encrypt_drafts(tx, bob.id, drafts, fetched, alice.system)
                )

            asks = Missing(bob.id, devices=(local.device_id,))
            for _ in range(2):
                assert await send() == asks
                assert isinstance(await send(second), Encrypted)
                for _ in range(3):
                    assert isinstance(await send(), Encrypted)  # nothing is asked, nothing is told
                alice.clock.ms += DAY_MS
            assert await alice.warned() == ["dormant_device"] * 2

            # When no other device can be reached, it is asked about all the same.
            assert await send() == asks
            await send(second)

            def lose_sessions(tx: Transaction) -> None:
                key = alice.id, alice.account.device_id
                found = all_sessions(tx, key)
                save_sessions(tx, key, {k: one.without_sessions() for k, one in found.items()}, 0)

            await alice.database.run(lose_sessions)
            assert await send() == Missing(bob.id, devices=(bob.account.device_id,))
            none = Fetched({bob.account.device_id: None}, alice.clock.now())
            drafts = await alice.database.read(lambda tx: queue.next_drafts(tx, 10))
            missing = await alice.database.run(
                lambda tx: encrypt_drafts(tx, bob.id, drafts, none, alice.system)
            )
            assert missing == asks
