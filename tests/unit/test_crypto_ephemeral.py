"""Ephemeral messages: lost ones leave nothing behind, and none is shown twice (B14)."""

import pytest

from crypto.errors import Replayed, Undecryptable
from crypto.secret_value import replace
from crypto.snapshots import encode_state
from tests.ratchet_pair import start_pair, warm_pair


def test_b14_a_hundred_thousand_lost_ephemeral_messages_leave_no_skipped_key() -> None:
    alice, bob = warm_pair()
    alice.seal(b"lost", ephemeral=True)
    chain = alice.state.sending
    assert chain is not None
    size_before = len(encode_state(alice.state))
    for _ in range(99_998):
        chain = chain.next_ephemeral()
    alice.state = replace(alice.state, sending=chain)
    plaintext, info = bob.open_with_info(alice.seal(b"typing", ephemeral=True))
    assert (plaintext, info.ephemeral) == (b"typing", True)
    assert info.number == 99_999
    assert all(chain.skipped.count == 0 for chain in bob.state.receiving)
    assert bob.open(alice.seal(b"durable")) == b"durable"
    assert len(encode_state(alice.state)) < size_before + 20


def test_ephemeral_messages_take_no_number() -> None:
    alice, bob = warm_pair()
    for index in range(5):
        assert bob.open(alice.seal(b"e", ephemeral=True)) == b"e"
        plaintext, info = bob.open_with_info(alice.seal(b"d"))
        assert (plaintext, info.number, info.ephemeral) == (b"d", index, False)


@pytest.mark.proves("M-RATCHET-12")
def test_the_ephemeral_counter_must_rise() -> None:
    alice, bob = warm_pair()
    first, second, third = (alice.seal(b"%d" % number, ephemeral=True) for number in range(3))
    assert bob.open(second) == b"1"
    for late in (first, second):
        with pytest.raises(Replayed):
            bob.open(late)
    assert bob.open(third) == b"2"


def test_an_ephemeral_message_can_open_a_chain_without_skipping_any() -> None:
    alice, bob = warm_pair()
    first = alice.seal(b"first durable one")
    plaintext, info = bob.open_with_info(alice.seal(b"typing", ephemeral=True))
    assert (plaintext, info.opened_chain) == (b"typing", True)
    assert bob.open(first) == b"first durable one"
    assert alice.open(bob.seal(b"answer")) == b"answer"


def test_each_ephemeral_message_has_its_own_nonce_and_the_chains_have_different_keys() -> None:
    alice, bob = start_pair()
    same = {alice.seal(b"same", ephemeral=True) for _ in range(50)}
    assert len(same) == 50
    bob.open(alice.seal(b"x"))
    alice.open(bob.seal(b"y"))
    first_key = bob.state.receiving[0].opening.ephemeral_key
    bob.open(alice.seal(b"z", ephemeral=True))
    assert bob.state.receiving[0].opening.ephemeral_key != first_key


def test_the_flag_cannot_be_taken_off() -> None:
    """An ephemeral body does not open as a numbered message, nor the other way round."""
    alice, bob = warm_pair()
    bob.open(alice.seal(b"opens the chain"))
    ephemeral, numbered = alice.seal(b"e", ephemeral=True), alice.seal(b"n")
    for spliced in (numbered[:78] + ephemeral[78:], ephemeral[:78] + numbered[78:]):
        with pytest.raises(Undecryptable):
            bob.open(spliced)
    assert bob.open(numbered) == b"n"
    assert bob.open(ephemeral) == b"e"
