"""What a client does with what its mailbox gives: opened once, kept in one transaction, never lost in silence."""

import random
from dataclasses import replace

import msgspec
import pytest

from client.account import save_account
from client.contents import Content, Text, content_hash, decode_content, encode_body, encode_content
from client.envelopes import Encrypted
from client.errors import DevicesForked
from client.mailbox_round import ANSWER_AFTER_MESSAGES
from client.message import Gap, Missed, Unopened
from client.store import facts, history, notices, queue
from client.store.peers import find_peer, learn_handle
from client.store.session_rows import all_sessions, save_sessions
from client.system import Step
from crypto.manifest import build_manifest, sign_manifest
from crypto.manifest_chain import VerifiedManifest, verify_chain
from crypto.sessions import encrypt
from relay.wire.frames import Missed as MissedFrame
from relay.wire.frames import MissedReason
from relay.wire.links import encode_id
from tests.client_pair import DAY_MS, UNKNOWN_TYPE, Person, bodies, open_pair


async def repeats(person: Person) -> int:
    return await person.database.read(lambda tx: facts.number(tx, facts.REPEATS))


async def unopened(person: Person) -> list[str]:
    return [one.reason for one in await person.told() if isinstance(one, Unopened)]


async def answered_pair(alice: Person, bob: Person) -> None:
    """A session on which both have spoken."""
    await bob.receive(await alice.say(bob, "hello"))
    await alice.receive(await bob.say(alice, "hello to you"))


async def test_texts_are_kept_in_order_with_their_author_and_a_way_to_answer(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        taken = await bob.receive(await alice.say(bob, "one", "two", "three"))
        assert (taken.messages, taken.up_to, taken.gap_of) == (3, 3, None)
        assert await bob.texts(alice) == bodies("one", "two", "three")
        peer = await bob.database.read(lambda tx: find_peer(tx, alice.id))
        assert peer is not None
        token, _ = await alice.database.run(lambda tx: facts.own_token(tx, "contact", alice.system.random))
        assert (peer.token, peer.claimed, peer.handle, peer.accepted) == (token, "alice", None, False)
        await alice.receive(await bob.say(alice, "answer"))
        assert await alice.texts(bob) == bodies("answer")


async def test_the_introduction_goes_until_the_other_side_was_heard(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):

        async def introduced(person: Person, other: Person, text: str) -> tuple[bool, bytes]:
            await person.draft(other, text)
            assert isinstance(await person.encrypt(other), Encrypted)
            (row,) = await person.outgoing()
            return decode_content(row.content).introduction is not None, row.envelopes[0].ciphertext

        for text in ("first", "second"):
            is_introduced, ciphertext = await introduced(alice, bob, text)
            assert is_introduced
            await bob.receive([ciphertext])
        is_introduced, ciphertext = await introduced(bob, alice, "the first of the other side")
        assert is_introduced
        await alice.receive([ciphertext])
        assert not (await introduced(alice, bob, "third"))[0]


async def test_b3_many_messages_permuted_and_duplicated_are_shown_once(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await answered_pair(alice, bob)
        sent = [f"message {number}" for number in range(200)]
        ciphertexts = await alice.say(bob, *sent)
        shuffled = ciphertexts * 2
        random.Random(3).shuffle(shuffled)
        for at in range(0, len(shuffled), 7):
            await bob.receive(shuffled[at : at + 7])
        assert sorted(await bob.texts(alice)) == sorted(bodies("hello", *sent))
        assert await unopened(bob) == []  # a repeat is no failure
        assert await repeats(bob) == 200
        assert not await bob.database.run(history.tell_absent)


async def test_a4_a_replayed_set_up_shows_its_plaintext_once(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        (setup,) = await alice.say(bob, "hello")
        await bob.receive([setup])
        await bob.receive([setup])

        def lose_sessions(tx):
            own = bob.account.account_id, bob.account.device_id
            lost = {key: one.without_sessions() for key, one in all_sessions(tx, own).items()}
            save_sessions(tx, own, lost, bob.clock.now())

        await bob.database.run(lose_sessions)
        await bob.receive([setup])
        # As after a restart: nothing is remembered but what is in the file.
        await bob.database.run(lambda tx: tx.cache.clear())
        await bob.receive([setup])
        assert await bob.texts(alice) == bodies("hello")
        assert await unopened(bob) == []
        assert await repeats(bob) == 3


async def test_what_was_committed_is_not_opened_again_when_the_relay_delivers_it_again(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        frames = [bob.frame(ciphertext) for ciphertext in await alice.say(bob, "one", "two")]
        await bob.take(frames)
        taken = await bob.take(frames)
        assert (taken.messages, taken.up_to) == (0, 2)
        assert await bob.texts(alice) == bodies("one", "two")
        assert await bob.told() == []


async def test_b2_what_does_not_open_changes_nothing_and_is_kept_and_counted(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await answered_pair(alice, bob)
        (good,) = await alice.say(bob, "good")
        state = await bob.database.read(lambda tx: tx.all("SELECT state FROM sessions"))
        bad = [good[:-1] + bytes((good[-1] ^ 1,)), b"\x01" * 256, b"\x02" * 256, b"\x07" * 256, b"\x02"]
        taken = await bob.receive(bad)
        assert (taken.messages, taken.up_to) == (0, bob.sequence)
        assert await bob.database.read(lambda tx: tx.all("SELECT state FROM sessions")) == state
        assert await bob.database.read(notices.unopened_count) == len(bad) == len(await unopened(bob))
        await bob.receive([good])
        assert await bob.texts(alice) == bodies("hello", "good")


async def test_b9_a_gap_is_told_after_catching_up_and_is_over_when_it_fills(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        one, two, three, four = await alice.say(bob, "1", "2", "3", "4")
        await bob.receive([one, four])
        (told,) = await bob.database.run(history.tell_absent)
        assert told[1:] == (alice.id, 2)
        assert await bob.database.run(history.tell_absent) == []
        await bob.receive([three, two])
        assert sorted(await bob.texts(alice)) == bodies("1", "2", "3", "4")
        assert await bob.database.read(lambda tx: tx.one("SELECT count(*) FROM absent")) == (0,)
        assert not [one for one in await bob.told() if isinstance(one, Gap)]
        assert await bob.warned() == ["reordered"]  # both came in one batch: told once


async def forged(alice: Person, bob: Person, change) -> bytes:
    """A ciphertext of Alice whose content a changed client made."""
    await alice.draft(bob, "as it should be")
    assert isinstance(await alice.encrypt(bob), Encrypted)
    (row,) = await alice.outgoing()
    content = change(decode_content(row.content))

    def seal(tx):
        own = alice.account.account_id, alice.account.device_id
        key = bob.account.account_id, bob.account.device_id
        sessions, ciphertext = encrypt(
            all_sessions(tx, own)[key],
            encode_content(content) if isinstance(content, Content) else content,
            alice.account.own,
            now_ms=alice.clock.now(),
            random=alice.system.random,
        )
        save_sessions(tx, own, {key: sessions}, alice.clock.now())
        return ciphertext

    return await alice.database.run(seal)


def changed(content: Content, **fields) -> Content:
    return msgspec.structs.replace(content, **fields)


async def test_b9_a_chain_of_messages_that_was_changed_is_told(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await answered_pair(alice, bob)
        other = await forged(
            alice, bob, lambda content: changed(content, previous_hash=content_hash(b"other"))
        )
        await bob.receive([other])
        assert await bob.warned() == ["sequence_broken"]
        assert len(await bob.texts(alice)) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda content: changed(content, counter=1),
        lambda content: changed(content, counter=0, previous_hash=b""),
        lambda content: b"\xc1 not MessagePack",
        lambda content: msgspec.msgpack.encode(["too", "short"]),
    ],
    ids=["two first ones", "not counted", "no content", "a short content"],
)
async def test_a_content_that_breaks_a_rule_is_kept_unopened_and_the_session_goes_on(tmp_path, change):
    async with open_pair(tmp_path) as (alice, bob):
        await answered_pair(alice, bob)
        await bob.receive([await forged(alice, bob, change)])
        assert await unopened(bob) == ["invalid_encoding"]
        assert await bob.texts(alice) == bodies("hello")
        await bob.receive(await alice.say(bob, "further"))
        assert await bob.texts(alice) == bodies("hello", "further")


async def test_b9_a_content_that_was_moved_to_another_conversation_is_told_by_its_own_word(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await answered_pair(alice, bob)
        for _ in range(2):
            await bob.receive(
                [await forged(alice, bob, lambda content: changed(content, conversation_id=bytes(32)))]
            )
        assert await unopened(bob) == ["redirected"] * 2
        assert await bob.database.read(notices.unopened_by_reason) == {"redirected": 2}
        assert await bob.texts(alice) == bodies("hello")


async def test_a_type_of_the_future_is_kept_and_shown_as_unknown(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await alice.draft(bob, "", body=msgspec.msgpack.encode({"poll": ["a", "b"]}), kind=UNKNOWN_TYPE)
        assert isinstance(await alice.encrypt(bob), Encrypted)
        await bob.receive([row.envelopes[0].ciphertext for row in await alice.outgoing()])
        (row,) = await bob.database.read(lambda tx: history.not_given(tx, 0, 10))
        assert (row.type, row.body) == (UNKNOWN_TYPE, msgspec.msgpack.encode({"poll": ["a", "b"]}))


async def test_the_same_message_in_two_envelopes_is_shown_once(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await alice.draft(bob, "once")
        assert isinstance(await alice.encrypt(bob), Encrypted)
        (first,) = await alice.outgoing()
        await alice.database.run(
            lambda tx: queue.add_draft(tx, first.message_n, "bob", bob.id, content=first.content)
        )
        assert isinstance(await alice.encrypt(bob), Encrypted)
        (second,) = await alice.outgoing()
        assert second.envelope_id != first.envelope_id
        assert second.content == first.content
        await bob.receive([first.envelopes[0].ciphertext, second.envelopes[0].ciphertext])
        assert await bob.texts(alice) == bodies("once")
        assert await bob.told() == []


async def test_what_the_relay_says_is_missing_is_told_and_acknowledged(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        (ciphertext,) = await alice.say(bob, "after the gap")
        bob.sequence = 9
        frames = [MissedFrame(1, 9, MissedReason.EXPIRED), bob.frame(ciphertext)]
        assert (await bob.take(frames)).up_to == 10
        assert await bob.take([MissedFrame(1, 12, MissedReason.REMOVED)]) is not None
        assert await bob.told() == [Missed(9, "expired"), Missed(2, "removed")]
        assert await bob.texts(alice) == bodies("after the gap")


async def test_an_accepted_contact_gets_an_empty_answer_after_100_messages_or_7_days(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        many = await alice.say(bob, *(str(number) for number in range(2 * ANSWER_AFTER_MESSAGES)))
        assert not (await bob.receive(many)).drafted  # a stranger gets none
        await alice.receive(await bob.say(alice, "accepted"))
        some = await alice.say(bob, *(str(number) for number in range(2 * ANSWER_AFTER_MESSAGES)))
        due = [(await bob.receive(some[at : at + 10])).drafted for at in range(0, len(some), 10)]
        assert [at for at, is_due in enumerate(due) if is_due] == [9, 19]
        drafts = await bob.database.read(lambda tx: queue.next_drafts(tx, 10))
        assert [draft.account_id for draft in drafts] == [alice.id, alice.id]
        assert isinstance(await bob.encrypt(alice), Encrypted)
        shown = await alice.texts(bob)
        await alice.receive([row.envelopes[0].ciphertext for row in await bob.outgoing()])
        assert await alice.texts(bob) == shown  # nothing to see
        bob.clock.ms += 7 * DAY_MS
        assert (await bob.receive(await alice.say(bob, "a week later"))).drafted


@pytest.mark.proves("M-SHAKE-10")
async def test_a10_a_peer_that_was_shown_another_device_list_of_ours_is_told(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        own = bob.account.own
        entries = list(own.manifest.devices)
        body = build_manifest(own.manifest.root_public, 2, own.hash, entries)
        signed = sign_manifest(body, bob.account.local.signing, bob.account.device_id)
        bob.account = replace(bob.account, own=verify_chain(own.account_id, own, [signed]))
        await alice.knows(bob)
        frames = [
            bob.frame(one) for one in await alice.say(bob, "to a list that the owner never made", "again")
        ]
        taken = await bob.take(frames)
        assert (taken.up_to, taken.gap_of) == (0, bob.id)  # first the own list has to be fetched
        assert await bob.told() == []
        assert (await bob.take(frames[:1], fetched=frozenset({bob.id}))).gap_of is None
        assert await bob.warned() == ["split_view"]
        assert await unopened(bob) == ["split_view"]
        assert await bob.texts(alice) == []


@pytest.mark.proves("M-IDENT-06")
async def test_a13_a_fork_of_the_senders_devices_is_kept_and_stops_sending(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await answered_pair(alice, bob)
        own = alice.account.own

        def second(added_at_ms: int) -> VerifiedManifest:
            entry = replace(own.manifest.devices[0], added_at_ms=added_at_ms)
            body = build_manifest(own.manifest.root_public, 2, own.hash, [entry])
            signed = sign_manifest(body, alice.account.local.signing, alice.account.device_id)
            return verify_chain(own.account_id, own, [signed])

        alice.account = alice.account.with_chain(second(1))
        await bob.knows(alice)
        fork = second(2)

        def become(tx):
            tx.run("DELETE FROM sessions")
            save_account(tx, alice.account.with_chain(fork))
            tx.cache.clear()

        await alice.database.run(become)
        await bob.receive(await alice.say(bob, "the other view"))
        assert await bob.warned() == ["devices_forked"]
        peer = await bob.database.read(lambda tx: find_peer(tx, alice.id))
        assert peer is not None
        assert peer.forked
        await bob.draft(alice, "to whom?")
        with pytest.raises(DevicesForked):
            await bob.encrypt(alice)
        assert await bob.database.read(queue.waiting) == 1


async def test_a_crash_in_the_middle_of_a_batch_leaves_all_of_it_undone(tmp_path):
    class Crash(BaseException):
        pass

    async with open_pair(tmp_path) as (alice, bob):
        ciphertexts = await alice.say(bob, "1", "2", "3")
        left = 2

        def crash(step: Step) -> None:
            nonlocal left
            left -= step is Step.DECRYPTED
            if left == 0:
                raise Crash

        healthy, bob.system = bob.system, replace(bob.system, reached=crash)
        frames = [bob.frame(ciphertext) for ciphertext in ciphertexts]
        with pytest.raises(Crash):
            await bob.take(frames)
        assert await bob.texts(alice) == []
        assert await bob.database.read(lambda tx: facts.number(tx, facts.COMMITTED_SEQUENCE)) == 0
        bob.system = healthy
        await bob.take(frames)
        assert await bob.texts(alice) == bodies("1", "2", "3")
        assert encode_body(Text("1")) == bodies("1")[0]


async def test_a_name_that_is_known_to_be_anothers_is_not_shown(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await bob.database.run(lambda tx: learn_handle(tx, b"\x05" * 32, "alice"))
        await bob.receive(await alice.say(bob, "it is me, alice", "really"))
        peer = await bob.database.read(lambda tx: find_peer(tx, alice.id))
        assert peer is not None
        assert (peer.claimed, peer.name) == (None, encode_id(alice.id))
        assert await bob.warned() == ["name_of_another"]


async def test_a_claimed_name_ends_when_the_directory_gives_it_to_another(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        await bob.receive(await alice.say(bob, "hello"))
        await bob.database.run(lambda tx: learn_handle(tx, b"\x05" * 32, "alice"))
        peer = await bob.database.read(lambda tx: find_peer(tx, alice.id))
        assert peer is not None
        assert peer.name == encode_id(alice.id)
