"""A copy of old state that somebody uses betrays itself, and reads nothing once the session has healed."""

import pytest

from crypto import limits
from crypto.errors import (
    CopiedState,
    Replayed,
    Undecryptable,
)
from crypto.secret_value import replace
from tests.ratchet_pair import End, warm_pair

DAY_MS = limits.DAY_MS


def test_a_repeated_envelope_is_a_replay_and_another_one_under_its_number_is_an_alarm() -> None:
    alice, bob = warm_pair()
    copied = replace(alice.state)
    first = alice.seal(b"real")
    bob.open(first)
    with pytest.raises(Replayed):
        bob.open(first)
    alice.state = copied
    with pytest.raises(CopiedState):  # opens another chain under the same header key
        bob.open(alice.seal(b"from the copy"))


def test_b4_a_copy_in_use_within_one_chain_is_an_alarm() -> None:
    alice, bob = warm_pair()
    bob.open(alice.seal(b"opens the chain"))
    copied = alice.state
    bob.open(alice.seal(b"real"))
    alice.state = copied
    with pytest.raises(CopiedState, match="another envelope"):
        bob.open(alice.seal(b"from the copy"))


def test_b4_two_chains_under_one_header_key_are_an_alarm_even_with_a_fresh_number() -> None:
    alice, bob = warm_pair()
    copied = alice.state
    bob.open(alice.seal(b"opens the real chain"))
    alice.state = copied
    alice.seal(b"number 0 of the copy's chain")
    with pytest.raises(CopiedState, match="different ratchet keys"):
        bob.open(alice.seal(b"number 1 of the copy's chain"))


def test_b4_a_copy_that_opens_the_next_chain_betrays_itself() -> None:
    alice, bob = warm_pair()
    bob.open(alice.seal(b"0"))
    copied = alice.state
    bob.open(alice.seal(b"1"))
    alice.state = copied
    alice.open(bob.seal(b"turn"))
    with pytest.raises(CopiedState, match="shorter"):
        bob.open(alice.seal(b"next chain of the copy"))


def test_b4_numbers_beyond_the_announced_end_are_an_alarm() -> None:
    alice, bob = warm_pair()
    bob.open(alice.seal(b"0"))
    copied = alice.state
    alice.open(bob.seal(b"turn"))
    bob.open(alice.seal(b"next chain"))
    alice.state = copied
    with pytest.raises(CopiedState, match="beyond the end"):
        bob.open(alice.seal(b"the copy goes on with the old chain"))


def test_b4_an_old_copy_reads_nothing_after_one_healing_round_trip() -> None:
    alice, bob = warm_pair()
    thief = End(bob.state, bob.ad, bob.random)
    assert End(thief.state, thief.ad, thief.random).open(alice.seal(b"before healing")) == b"before healing"
    alice.seal(b"")
    bob.open(alice.seal(b"ping"))
    alice.open(bob.seal(b"healing: a key the copy does not have"))
    with pytest.raises(Undecryptable):
        thief.open(alice.seal(b"after healing"))


def test_replays_that_fell_out_of_the_record_raise_no_alarm() -> None:
    alice, bob = warm_pair()
    envelopes = [alice.seal(b"x") for _ in range(2_200)]
    for envelope in envelopes:
        bob.open(envelope)
    for envelope in (envelopes[0], envelopes[100], envelopes[-1], envelopes[-2_000]):
        with pytest.raises(Replayed):
            bob.open(envelope)
    assert sum(len(chain.used.pages) for chain in bob.state.receiving) <= 40
