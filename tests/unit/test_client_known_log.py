"""Heads are judged by all that is known of the relay's log: what contradicts is told once, with both objects kept."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from client.account import new_account
from client.store import facts
from client.store.log_rows import (
    MAX_UNCONNECTED,
    add_unconnected,
    all_evidence,
    known_logs,
    remove_unconnected,
    unconnected,
)
from client.transparency.kept_alarm import trust_again
from client.transparency.known_log import (
    Judged,
    connect,
    hear_head,
    judge_head,
    present_head,
    verdict_on_another_log,
)
from crypto.keys import SigningKeyPair
from crypto.transparency import SignedHead
from relay.wire.links import InviteLink
from tests.client_pair import DAY_MS, START_MS, Clock, Person, open_person
from tests.crypto_people import SeededRandom
from tests.signed_log import RELAY, SignedLog


@pytest.fixture
async def alice(tmp_path: Path) -> AsyncIterator[Person]:
    invite = InviteLink("http://relay.example", RELAY.public, bytes(16))
    account = new_account(invite, "alice", now_ms=START_MS, random=SeededRandom("alice"))
    async with open_person(tmp_path / "alice", "alice", Clock(), account) as person:
        yield person


@pytest.fixture
def log() -> SignedLog:
    log = SignedLog()
    log.grow(9)
    return log


async def judge(person: Person, head: SignedHead, *, from_relay: bool = True) -> Judged:
    return await person.database.run(
        lambda tx: judge_head(tx, head, person.clock.now(), from_relay=from_relay)
    )


async def joined(person: Person, head: SignedHead, proof: tuple[bytes, ...]) -> Judged:
    return await person.database.run(lambda tx: connect(tx, person.account, head, proof, person.clock.now()))


async def evidence(person: Person) -> list[tuple[str, bytes, bytes]]:
    rows = await person.database.read(all_evidence)
    return [(row.kind, row.known, row.other) for row in rows]


async def test_the_first_head_is_kept_and_a_larger_one_once_it_is_proved(
    alice: Person, log: SignedLog
) -> None:
    first = log.head(5)
    assert await judge(alice, first) == Judged()
    assert await judge(alice, larger := log.head(9)) == Judged(needs_proof=True)
    assert await alice.database.read(present_head) == first
    assert await joined(alice, larger, log.consistency(5, 9)) == Judged()
    assert await alice.database.read(present_head) == larger
    smaller = log.head(7, time_ms=first.time_ms + 1)  # older than `larger`: an answer that was overtaken
    assert await judge(alice, smaller) == Judged(needs_proof=True)
    assert await joined(alice, smaller, log.consistency(7, 9)) == Judged()
    assert await alice.database.read(present_head) == larger
    assert await alice.told() == []


async def test_the_same_log_signed_again_needs_no_proof_and_counts_as_the_newest(
    alice: Person, log: SignedLog
) -> None:
    first, again = log.head(), log.head()
    await judge(alice, first)
    assert await judge(alice, again) == Judged()
    assert await alice.database.read(present_head) == again
    assert await judge(alice, first) == Judged()
    assert await alice.database.read(present_head) == again


@pytest.mark.parametrize("lie", ["two roots of one size", "shrunk", "no proof", "the proof of a fork"])
async def test_a10_two_heads_that_cannot_both_be_true_are_an_alarm_with_both(
    alice: Person, log: SignedLog, lie: str
) -> None:
    known = log.head(8)
    await judge(alice, known)
    fork = log.forked(3)
    fork.time_ms = log.time_ms
    if lie == "two roots of one size":
        wrong = await judge(alice, other := fork.head(8))
    elif lie == "shrunk":
        wrong = await judge(alice, other := log.head(6))
    else:
        other = fork.head(9)
        assert (await judge(alice, other)).needs_proof
        wrong = await joined(alice, other, () if lie == "no proof" else fork.consistency(8, 9))
    assert wrong.wrong is not None
    assert await alice.warned() == ["log_split"]
    assert await evidence(alice) == [("log_split", known.encode(), other.encode())]
    assert await alice.database.read(present_head) == known


async def test_an_alarm_is_told_once_a_day(alice: Person, log: SignedLog) -> None:
    await judge(alice, log.head(8))
    fork = log.forked(3)
    for _ in range(3):
        assert (await judge(alice, fork.head(8))).wrong is not None
    assert await alice.warned() == ["log_split"]
    alice.clock.ms += DAY_MS
    assert (await judge(alice, fork.head(8))).wrong is not None
    assert await alice.warned() == ["log_split"] * 2


async def test_a_restored_relay_is_told_once_and_its_new_log_counts(alice: Person, log: SignedLog) -> None:
    await judge(alice, old := log.head())
    log.log_id = b"M" * 32
    new = log.head(3)  # of the backup
    assert await judge(alice, new) == Judged()
    assert await judge(alice, log.head(3)) == Judged()
    assert await alice.warned() == ["log_restored"]
    logs = await alice.database.read(known_logs)
    assert [one.head.log_id for one in logs] == [new.log_id, old.log_id]


async def test_a10_a_relay_that_goes_on_with_a_log_it_replaced_is_an_alarm(
    alice: Person, log: SignedLog
) -> None:
    await judge(alice, log.head())
    restored = SignedLog(log.leaves, log_id=b"M" * 32, time_ms=log.time_ms)
    await judge(alice, new := restored.head())
    log.time_ms = restored.time_ms
    for from_relay in (True, False):
        assert (await judge(alice, log.head(), from_relay=from_relay)).wrong is not None
    assert await alice.warned() == ["log_restored", "log_split"]
    assert (await evidence(alice))[0][1] == new.encode()


async def test_what_the_old_log_had_before_the_restore_is_no_alarm(alice: Person, log: SignedLog) -> None:
    await judge(alice, old := log.head())
    restored = SignedLog(log.leaves, log_id=b"M" * 32, time_ms=log.time_ms)
    await judge(alice, restored.head())
    assert await judge(alice, replace(old, time_ms=old.time_ms - 1), from_relay=False) == Judged()
    assert await alice.warned() == ["log_restored"]


async def test_a_contacts_head_of_an_unknown_log_waits_for_the_relays_word(
    alice: Person, log: SignedLog
) -> None:
    await judge(alice, mine := log.head())
    other = SignedLog(log.leaves, log_id=b"M" * 32, time_ms=log.time_ms).head()
    assert await judge(alice, other, from_relay=False) == Judged(needs_proof=True)
    log.time_ms = other.time_ms
    present = log.head()  # the relay was asked, and has no other log
    judged = await alice.database.run(lambda tx: verdict_on_another_log(tx, other, present, START_MS))
    assert judged.wrong is not None
    assert await alice.warned() == ["log_split"]
    older = replace(other, time_ms=mine.time_ms - 1)  # from before a restore that was before Alice's time
    assert (
        await alice.database.run(lambda tx: verdict_on_another_log(tx, older, present, START_MS)) == Judged()
    )


async def test_a_head_that_the_relay_did_not_sign_says_nothing(alice: Person, log: SignedLog) -> None:
    await judge(alice, log.head(8))
    stranger = SigningKeyPair.generate(SeededRandom("somebody"))
    forged = SignedLog(log.forked(3).leaves, key=stranger).head(8)
    source = b"s" * 32
    assert not await alice.database.run(lambda tx: hear_head(tx, alice.account, forged, source, START_MS))
    assert await alice.told() == []
    assert await alice.database.run(lambda tx: hear_head(tx, alice.account, log.head(9), source, START_MS))
    (waiting,) = await alice.database.read(unconnected)
    assert (waiting.source, waiting.head.size) == (source, 9)


async def test_few_heads_of_one_source_wait_for_a_proof(alice: Person, log: SignedLog) -> None:
    log.grow(40)
    heads = [log.head(size) for size in range(1, 41)]

    def add(tx) -> None:
        for head in heads:
            add_unconnected(tx, b"", head, START_MS)
            add_unconnected(tx, b"a" * 32, head, START_MS)
            add_unconnected(tx, b"b" * 32, head, START_MS)

    await alice.database.run(add)
    waiting = await alice.database.read(unconnected)
    assert [one.head.size for one in waiting if not one.source] == list(range(41 - MAX_UNCONNECTED, 41))
    assert [one.head.size for one in waiting if one.source] == [40, 40]
    await alice.database.run(lambda tx: remove_unconnected(tx, heads[-1]))
    assert {one.source for one in await alice.database.read(unconnected)} == {b""}


@pytest.mark.proves("M-TRANSP-02")
async def test_a_user_may_begin_anew_with_the_log_and_a_split_that_goes_on_is_told_again(
    alice: Person, log: SignedLog
):
    before = log.head()
    assert await judge(alice, before) == Judged()
    replaced = log.forked(2).head()
    for _ in range(2):
        assert (await judge(alice, replaced)).wrong is not None
    told = await evidence(alice)
    assert [kind for kind, *_ in told] == ["log_split"]
    await alice.database.run(trust_again)
    assert await alice.database.read(lambda tx: facts.number(tx, facts.OWN_LOG_CHECKED_AT_MS)) == 0
    assert await judge(alice, replaced) == Judged()
    assert await evidence(alice) == told
    assert (await judge(alice, before, from_relay=False)).wrong is not None
