"""Post-quantum steps: ML-KEM secrets enter the root chain, whatever the relay loses, reorders or repeats (B11)."""

import random as stdlib_random

import pytest

from crypto import limits
from crypto.double_ratchet import MessageInfo
from crypto.errors import CryptoError, InvalidKey, Replayed, Undecryptable
from crypto.headers import HAS_KEM_CIPHERTEXT, HAS_KEM_OFFER
from crypto.padding import is_bucket
from crypto.root_chain import KemSchedule
from crypto.secret_value import replace
from tests.ratchet_pair import End, start_pair, warm_pair

EVERY_TURN = KemSchedule(root_steps=0)


def kem_flags(end: End) -> int:
    assert end.state.sending is not None
    return end.state.sending.opening.kem_flags


def turn(sender: End, receiver: End, text: bytes = b"turn") -> MessageInfo:
    plaintext, info = receiver.open_with_info(sender.seal(text))
    assert plaintext == text
    return info


@pytest.mark.proves("M-RATCHET-09")
def test_a_step_is_offered_after_twenty_root_steps_and_done_by_the_next_chain() -> None:
    alice, bob = start_pair()
    ends = (alice, bob)
    offers, steps = [], []
    for number in range(1, 70):
        sender, receiver = ends[(number + 1) % 2], ends[number % 2]
        if turn(sender, receiver).kem_step:
            steps.append(number)
        if kem_flags(sender) & HAS_KEM_OFFER:
            offers.append(number)
    assert offers == [20, 41, 62]
    assert steps == [21, 42, 63]


def test_a_step_is_offered_after_a_day() -> None:
    alice, bob = warm_pair()
    for now_ms, due in ((limits.DAY_MS - 1, False), (limits.DAY_MS, True)):
        alice.now_ms = now_ms
        turn(alice, bob)
        assert bool(kem_flags(alice) & HAS_KEM_OFFER) == due
        bob.now_ms = now_ms
        assert turn(bob, alice).kem_step == due
    alice.now_ms += limits.DAY_MS - 1
    turn(alice, bob)
    assert kem_flags(alice) == 0


def test_the_schedule_can_be_set_lower_but_not_higher() -> None:
    assert KemSchedule(root_steps=3, age_ms=5).root_steps == 3
    for steps, age_ms in ((21, 0), (-1, 0), (20, limits.DAY_MS + 1), (20, -1)):
        with pytest.raises(ValueError, match="post-quantum step is due"):
            KemSchedule(root_steps=steps, age_ms=age_ms)


def test_b11_one_chain_can_carry_offer_and_ciphertext() -> None:
    alice, bob = start_pair("both", EVERY_TURN)
    turn(alice, bob)
    assert kem_flags(alice) == HAS_KEM_OFFER
    for _ in range(5):
        assert turn(bob, alice).kem_step
        assert kem_flags(bob) == HAS_KEM_OFFER | HAS_KEM_CIPHERTEXT
        assert turn(alice, bob).kem_step
        assert kem_flags(alice) == HAS_KEM_OFFER | HAS_KEM_CIPHERTEXT


def test_b11_sizes_with_and_without_a_step_come_from_one_table() -> None:
    plain, _ = start_pair("plain")
    both, peer = start_pair("both", EVERY_TURN)
    turn(both, peer)
    turn(peer, both)
    for length in range(0, 20_000, 997):
        for end in (plain, both):
            assert is_bucket(len(end.seal(bytes(length))))
    smallest = {len(plain.seal(b"")), len(both.seal(b""))}
    assert smallest == {256, 2_432}


def test_b11_any_one_message_of_a_chain_carries_the_step() -> None:
    """Offer and ciphertext ride on every message: the first ones may be lost, or come last."""
    alice, bob = warm_pair("lossy")
    alice.now_ms = bob.now_ms = limits.DAY_MS
    offers = [alice.seal(b"offer %d" % number) for number in range(5)]
    assert bob.open(offers[3]) == b"offer 3"
    answers = [bob.seal(b"answer %d" % number) for number in range(5)]
    plaintext, info = alice.open_with_info(answers[4])
    assert (plaintext, info.kem_step) == (b"answer 4", True)
    assert bob.open(offers[0]) == b"offer 0"
    plaintext, info = alice.open_with_info(answers[0])
    assert (plaintext, info.kem_step) == (b"answer 0", False)
    with pytest.raises(Replayed):
        alice.open(answers[4])
    turn(alice, bob)
    assert kem_flags(alice) == 0


def test_b11_the_offerer_deletes_its_key_at_the_first_message_of_the_answer() -> None:
    alice, bob = warm_pair("delete")
    alice.now_ms = limits.DAY_MS
    turn(alice, bob)
    assert alice.state.root.offered is not None
    assert bob.state.root.peer_offer
    before_failure = alice.state
    answer = bob.seal(b"answer")
    with pytest.raises(CryptoError):
        alice.open(answer[:-1] + bytes((answer[-1] ^ 1,)))
    assert alice.state is before_failure
    alice.open(answer)
    assert alice.state.root.offered is None
    assert bob.state.root.peer_offer == b""


def test_b11_a_lazily_opened_chain_answers_long_after_the_offer() -> None:
    """Bob reads for days without a word; his first send answers, and its age counts from then."""
    alice, bob = warm_pair("lazy")
    alice.now_ms = limits.DAY_MS
    for _ in range(50):
        turn(alice, bob)
    assert kem_flags(alice) == HAS_KEM_OFFER
    assert bob.state.sending is None
    alice.now_ms = bob.now_ms = 9 * limits.DAY_MS
    assert turn(bob, alice).kem_step
    assert kem_flags(bob) == HAS_KEM_CIPHERTEXT
    turn(alice, bob)
    assert kem_flags(alice) == 0


def test_b11_both_sides_at_their_limit_at_once() -> None:
    """Both clocks say that a step is due: the turn order lets one offer, and the answer resets both."""
    alice, bob = warm_pair("limit")
    alice.now_ms = bob.now_ms = 3 * limits.DAY_MS
    turn(alice, bob)
    assert kem_flags(alice) == HAS_KEM_OFFER
    assert turn(bob, alice).kem_step
    assert kem_flags(bob) == HAS_KEM_CIPHERTEXT
    assert alice.state.root.steps_since_kem == bob.state.root.steps_since_kem == 0
    assert alice.state.root.last_kem_at_ms == bob.state.root.last_kem_at_ms == 3 * limits.DAY_MS
    turn(alice, bob)
    assert kem_flags(alice) == 0


@pytest.mark.parametrize("seed", range(4))
def test_b11_steps_survive_loss_reordering_and_repetition(seed: int) -> None:
    alice, bob = start_pair(f"storm {seed}", KemSchedule(root_steps=seed))
    chance = stdlib_random.Random(seed)
    wires: dict[str, list[bytes]] = {"alice": [], "bob": []}
    opened: set[bytes] = set()
    steps = 0
    for number in range(400):
        sender, name = (alice, "alice") if chance.random() < 0.5 or not bob.state.can_send else (bob, "bob")
        wires[name].append(sender.seal(b"%s %d" % (name.encode(), number)))
        receiver, source = (bob, "alice") if chance.random() < 0.5 else (alice, "bob")
        if wires[source] and chance.random() < 0.8:
            index = chance.randrange(len(wires[source]))
            envelope = wires[source][index]
            if chance.random() < 0.8:
                del wires[source][index]
            try:
                plaintext, info = receiver.open_with_info(envelope)
            except Undecryptable:
                continue  # repeated, or of a chain that is no longer kept
            assert plaintext not in opened
            opened.add(plaintext)
            steps += info.kem_step
    assert steps > 3
    assert len(opened) > 150
    alice.open(bob.seal(b"at last"))
    bob.open(alice.seal(b"in step"))


def test_the_secret_of_a_step_enters_the_root_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """With another shared secret on one side, the chain that should carry the step does not open."""
    alice, bob = warm_pair("secret")
    alice.now_ms = limits.DAY_MS
    turn(alice, bob)
    answer = bob.seal(b"answer")
    monkeypatch.setattr("crypto.primitives.KemPrivateKey.decapsulate", lambda *_: bytes(32))
    with pytest.raises(Undecryptable):
        alice.open(answer)
    monkeypatch.undo()
    assert alice.open(answer) == b"answer"


@pytest.mark.proves("M-RATCHET-10")
def test_an_answer_that_is_missing_or_was_not_asked_for_is_refused() -> None:
    alice, bob = warm_pair("strip")
    alice.now_ms = limits.DAY_MS
    turn(alice, bob)
    bob.state = replace(bob.state, root=replace(bob.state.root, peer_offer=b""))
    with pytest.raises(Undecryptable, match="must answer"):
        alice.open(bob.seal(b"a chain without the ciphertext"))
    carol, dave = warm_pair("unasked")
    turn(carol, dave)
    offer = alice.state.root.offered
    assert offer is not None
    dave.state = replace(dave.state, root=replace(dave.state.root, peer_offer=offer.public_bytes()))
    with pytest.raises(Undecryptable, match="must answer"):
        carol.open(dave.seal(b"a ciphertext for nothing"))


@pytest.mark.proves("M-RATCHET-11")
def test_a7_an_offer_that_fails_the_modulus_check_is_refused_on_receipt() -> None:
    alice, bob = warm_pair("modulus")
    alice.now_ms = limits.DAY_MS
    alice.seal(b"opens the chain")
    chain = alice.state.sending
    assert chain is not None
    bad = replace(chain.opening, kem_block=b"\xff" * limits.KEM_PUBLIC_KEY_BYTES)
    alice.state = replace(alice.state, sending=replace(chain, opening=bad))
    before = bob.state
    with pytest.raises(InvalidKey, match="modulus"):
        bob.open(alice.seal(b"x"))
    assert bob.state is before


@pytest.mark.proves("M-RATCHET-01")
@pytest.mark.parametrize("public", [bytes(32), b"\x01" + bytes(31), b"\xff" * 32])
def test_a7_a_ratchet_key_of_small_order_or_not_canonical_is_refused(public: bytes) -> None:
    alice, bob = warm_pair("order")
    alice.seal(b"opens the chain")
    chain = alice.state.sending
    assert chain is not None
    bad = replace(chain, opening=replace(chain.opening, ratchet_public=public))
    alice.state = replace(alice.state, sending=bad)
    with pytest.raises(InvalidKey):
        bob.open(alice.seal(b"x"))


@pytest.mark.proves("M-RATCHET-04")
def test_a_peer_cannot_open_two_chains_in_a_row() -> None:
    alice, bob = warm_pair("turns")
    turn(alice, bob)
    assert bob.state.sending is None
    alice.state = replace(alice.state, sending=None)
    with pytest.raises(Undecryptable, match="two chains in a row"):
        bob.open(alice.seal(b"x"))
