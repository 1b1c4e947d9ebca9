"""The ratchet under loss, reordering, repetition, alteration, floods and copied states."""

import random as stdlib_random

import pytest

from crypto import limits
from crypto.double_ratchet import decrypt, encrypt, find_header
from crypto.errors import (
    CopiedState,
    CryptoError,
    InvalidEncoding,
    Replayed,
    SessionExpired,
    TooFarAhead,
    Undecryptable,
)
from crypto.headers import ENVELOPE_START, HAS_KEM_OFFER, HeaderKey, seal_header
from crypto.ratchet_state import AssociatedData, forget_expired, start_responder
from crypto.secret_value import replace
from crypto.snapshots import encode_state
from tests.ratchet_pair import End, secrets_of, start_pair, warm_pair

DAY_MS = limits.DAY_MS


def shuffled(items: list[bytes], seed: int) -> list[bytes]:
    copied = list(items)
    stdlib_random.Random(seed).shuffle(copied)
    return copied


def skipped_keys(end: End) -> int:
    return sum(chain.skipped.count for chain in end.state.receiving)


def forged(end: End, number: int, previous_length: int = 0, *, header_key: HeaderKey | None = None) -> bytes:
    """An envelope with any counters, as only the peer itself could make: its header opens, its body does not."""
    chain = end.state.sending
    assert chain is not None
    opening = chain.opening
    nonce = end.random(12)
    sealed = seal_header(
        header_key or opening.header_key,
        nonce,
        opening.ratchet_public,
        previous_length,
        number,
        opening.kem_flags,
    )
    return ENVELOPE_START + nonce + sealed + bytes(256 - 78)


def test_a_conversation_in_order() -> None:
    alice, bob = start_pair()
    for turn in range(60):
        for index in range(turn % 4 + 1):
            text = b"%d %d" % (turn, index)
            sender, receiver = (alice, bob) if turn % 2 == 0 else (bob, alice)
            plaintext, info = receiver.open_with_info(sender.seal(text))
            assert plaintext == text
            assert info.number == index
            assert info.opened_chain == (index == 0)
    assert skipped_keys(alice) == skipped_keys(bob) == 0


def test_a_responder_cannot_send_before_it_received() -> None:
    _, bob = start_pair()
    assert not bob.state.can_send
    with pytest.raises(ValueError, match="first message"):
        bob.seal(b"too early")


def test_the_sending_half_of_a_step_waits_for_the_first_send() -> None:
    alice, bob = warm_pair()
    sent = alice.random.calls
    alice.open(bob.seal(b"one more"))
    assert alice.random.calls == sent
    bob.open(alice.seal(b"same chain as before?"))
    assert alice.state.sending is not None


def test_b1_a_flood_of_skipped_numbers_is_bounded() -> None:
    alice, bob = warm_pair()
    for _ in range(12):
        for _ in range(999):
            alice.seal(b"lost")
        bob.open(alice.seal(b"kept"))
        assert skipped_keys(bob) <= limits.MAX_SKIPPED_KEYS
    assert skipped_keys(bob) == limits.MAX_SKIPPED_KEYS
    assert len(encode_state(bob.state)) < 100_000


def test_b1_the_newest_skipped_keys_of_a_jump_are_kept() -> None:
    alice, bob = warm_pair()
    envelopes = [alice.seal(b"%d" % number) for number in range(5_000)]
    assert bob.open(envelopes[-1]) == b"4999"
    assert skipped_keys(bob) == limits.MAX_SKIPPED_KEYS
    assert bob.open(envelopes[2_999]) == b"2999"
    with pytest.raises(Replayed):
        bob.open(envelopes[2_998])


def test_b1_old_chains_lose_their_skipped_keys_first_and_chains_are_bounded() -> None:
    alice, bob = warm_pair()
    late: list[list[bytes]] = []
    for _ in range(limits.MAX_RECEIVING_CHAINS + 2):
        late.append([alice.seal(b"late %d" % number) for number in range(600)])
        bob.open(alice.seal(b"now"))
        alice.open(bob.seal(b"turn"))
    assert len(bob.state.receiving) == limits.MAX_RECEIVING_CHAINS
    assert skipped_keys(bob) == limits.MAX_SKIPPED_KEYS
    for chain in late[-3:]:
        assert bob.open(chain[0]) == b"late 0"
    with pytest.raises(Replayed):  # of the fourth newest chain the newest 200 of 600 are left
        bob.open(late[-4][399])
    assert bob.open(late[-4][400]) == b"late 400"
    with pytest.raises(Replayed):
        bob.open(late[-5][599])
    with pytest.raises(Undecryptable):
        bob.open(late[0][0])


@pytest.mark.proves("M-RATCHET-06")
@pytest.mark.parametrize("number", [1 + 10_001, 2**31, 2**32 - 1])
def test_b1_a_number_too_far_ahead_is_refused_before_any_key_is_derived(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = warm_pair()
    bob.open(alice.seal(b"number 0 of this chain"))

    def no_step(*_: object) -> None:
        raise AssertionError("derived a key")

    monkeypatch.setattr("crypto.chains.hmac_sha256", no_step)
    monkeypatch.setattr("crypto.chains.hmac_sha256_twice", no_step)
    with pytest.raises(TooFarAhead):
        bob.open(forged(alice, number))


def test_the_longest_jump_allowed_opens() -> None:
    alice, bob = warm_pair()
    alice.seal(b"lost: number 0")
    chain = alice.state.sending
    assert chain is not None
    for _ in range(limits.MAX_FORWARD_JUMP - 1):
        chain, _ = chain.next_message()
    alice.state = replace(alice.state, sending=chain)
    assert bob.open(alice.seal(b"far")) == b"far"


@pytest.mark.proves("M-RATCHET-07")
def test_b2_every_flipped_byte_fails_and_leaves_the_state_as_it_was() -> None:
    alice, bob = warm_pair()
    bob.open(alice.seal(b"first of the chain"))
    waiting = alice.seal(b"late")
    envelope = alice.seal(b"payload")
    bob.open(alice.seal(b"newer"))
    for original in (waiting, envelope):
        before = encode_state(bob.state)
        for position in range(len(original)):
            flipped = bytearray(original)
            flipped[position] ^= 1 << (position % 8)
            with pytest.raises(CryptoError) as caught:
                decrypt(bob.state, bytes(flipped), bob.ad.reversed(), 0)
            assert not isinstance(caught.value, CopiedState), position
            assert encode_state(bob.state) == before
    assert bob.open(envelope) == b"payload"
    assert bob.open(waiting) == b"late"


@pytest.mark.proves("M-RATCHET-07")
def test_b2_every_flipped_byte_of_a_chain_opening_with_a_kem_step_fails_too() -> None:
    alice, bob = start_pair("flip")
    alice.now_ms = bob.now_ms = DAY_MS
    offering = alice.seal(b"with an offer")
    for position in range(0, len(offering), 3):
        flipped = bytearray(offering)
        flipped[position] ^= 0x80
        with pytest.raises(CryptoError):
            bob.open(bytes(flipped))
    assert bob.open(offering) == b"with an offer"
    answering = bob.seal(b"with a ciphertext")
    for position in range(0, len(answering), 3):
        flipped = bytearray(answering)
        flipped[position] ^= 0x80
        with pytest.raises(CryptoError):
            alice.open(bytes(flipped))
    plaintext, info = alice.open_with_info(answering)
    assert (plaintext, info.kem_step) == (b"with a ciphertext", True)


@pytest.mark.parametrize("cut", [0, 1, 13, 14, 77, 78, 97, 98, 255, 257])
def test_b2_cut_or_lengthened_envelopes_are_refused(cut: int) -> None:
    alice, bob = warm_pair()
    envelope = alice.seal(b"whole")
    before = encode_state(bob.state)
    with pytest.raises(CryptoError):
        bob.open((envelope + b"\0")[:cut])
    with pytest.raises(CryptoError):
        decrypt(bob.state, (envelope + b"\0")[:cut], bob.ad.reversed(), 0, embedded=True)
    assert encode_state(bob.state) == before
    assert bob.open(envelope) == b"whole"


@pytest.mark.parametrize("start", [b"\x01\x01", b"\x03\x01", b"\x02\x00", b"\x02\x02"])
def test_another_kind_or_suite_is_refused(start: bytes) -> None:
    alice, bob = warm_pair()
    with pytest.raises(InvalidEncoding):
        bob.open(start + alice.seal(b"x")[2:])


@pytest.mark.proves("M-RATCHET-03")
def test_header_flags_that_promise_a_block_beyond_the_end_are_refused() -> None:
    alice, bob = warm_pair()
    bob.open(alice.seal(b"x"))
    chain = alice.state.sending
    assert chain is not None
    nonce = bytes(12)
    sealed = seal_header(chain.opening.header_key, nonce, chain.opening.ratchet_public, 0, 1, HAS_KEM_OFFER)
    with pytest.raises(InvalidEncoding, match="before its body"):
        bob.open(ENVELOPE_START + nonce + sealed + bytes(256 - 78))
    unknown = seal_header(chain.opening.header_key, nonce, chain.opening.ratchet_public, 0, 1, 8)
    with pytest.raises(InvalidEncoding, match="unknown flags"):
        bob.open(ENVELOPE_START + nonce + unknown + bytes(256 - 78))


@pytest.mark.proves("M-RATCHET-03")
@pytest.mark.parametrize("place", range(41, 48))
def test_each_of_the_last_seven_bytes_of_a_header_must_be_zero(place: int) -> None:
    alice, bob = warm_pair()
    bob.open(alice.seal(b"x"))
    chain = alice.state.sending
    assert chain is not None
    plain = bytearray(chain.opening.ratchet_public + bytes(4) + (1).to_bytes(4, "big") + bytes(8))
    plain[place] = 1
    nonce = bytes(12)
    sealed = chain.opening.header_key.headers.seal(nonce, bytes(plain), ENVELOPE_START)
    with pytest.raises(InvalidEncoding, match="reserved bytes"):
        bob.open(ENVELOPE_START + nonce + sealed + bytes(256 - 78))


@pytest.mark.proves("M-RATCHET-05")
def test_a_known_chain_takes_no_header_with_another_ratchet_key() -> None:
    alice, bob = warm_pair()
    bob.open(alice.seal(b"x"))
    chain = alice.state.sending
    assert chain is not None
    nonce, before = bytes(12), bob.state
    sealed = seal_header(chain.opening.header_key, nonce, b"\x09" + bytes(31), 0, 1, 0)
    with pytest.raises(CopiedState):
        bob.open(ENVELOPE_START + nonce + sealed + bytes(256 - 78))
    assert bob.state is before


@pytest.mark.parametrize("seed", range(3))
def test_b3_a_thousand_messages_permuted_and_duplicated_show_once_each(seed: int) -> None:
    alice, bob = warm_pair(f"permuted {seed}")
    envelopes: list[bytes] = []
    for turn in range(10):
        envelopes += [alice.seal(b"%d/%d" % (turn, number)) for number in range(100)]
        if turn % 5 == 4:
            bob.open(envelopes[-1])
            alice.open(bob.seal(b"turn"))
    opened = {b"4/99", b"9/99"}
    for envelope in shuffled(envelopes * 2, seed):
        try:
            plaintext = bob.open(envelope)
        except Replayed:
            continue
        assert plaintext not in opened
        opened.add(plaintext)
    assert opened == {b"%d/%d" % (turn, number) for turn in range(10) for number in range(100)}


def test_a_backlog_larger_than_the_skipped_keys_survives_the_next_chain() -> None:
    """What is under way when a chain closes is not lost: its keys are derived when it comes."""
    alice, bob = warm_pair()
    backlog = [alice.seal(b"%d" % number) for number in range(3_000)]
    bob.open(backlog[0])
    alice.open(bob.seal(b"turn"))
    assert bob.open(alice.seal(b"next chain first")) == b"next chain first"
    for number, envelope in enumerate(backlog[1:], start=1):
        assert bob.open(envelope) == b"%d" % number
    assert bob.state.receiving[1].chain_key == b""


def test_a_message_of_another_session_costs_no_state_and_names_no_session() -> None:
    alice, bob = warm_pair("one")
    stranger, _ = warm_pair("two")
    assert find_header(bob.state, stranger.seal(b"x")) is None
    with pytest.raises(Undecryptable, match="no header key"):
        bob.open(stranger.seal(b"x"))
    assert bob.open(alice.seal(b"y")) == b"y"


@pytest.mark.parametrize(
    "field", ["sender_account", "sender_device", "recipient_account", "recipient_device"]
)
def test_each_field_of_the_associated_data_binds(field: str) -> None:
    alice, bob = warm_pair()
    ad = bob.ad.reversed()
    fields = {
        name: getattr(ad, name)
        for name in ("session_id", "sender_account", "sender_device", "recipient_account", "recipient_device")
    }
    changed = AssociatedData(**{**fields, field: bytes(len(fields[field]))})
    envelope = alice.seal(b"bound")
    with pytest.raises(Undecryptable):
        decrypt(bob.state, envelope, changed, 0)
    with pytest.raises(ValueError, match="another session"):
        decrypt(bob.state, envelope, AssociatedData(**{**fields, "session_id": bytes(32)}), 0)
    assert bob.open(envelope) == b"bound"


@pytest.mark.proves("M-ENV-01")
def test_an_embedded_envelope_may_have_any_size_and_another_only_a_bucket() -> None:
    alice, bob = start_pair()
    alice.state, inner = encrypt(
        alice.state, b"inner", alice.ad, alice.random, 0, padded_to=lambda smallest: smallest
    )
    assert len(inner) == 2 + 12 + 64 + 4 + 5 + 16
    with pytest.raises(InvalidEncoding, match="bucket"):
        bob.open(inner)
    assert decrypt(bob.state, inner, bob.ad.reversed(), 0, embedded=True)[1] == b"inner"


def test_skipped_keys_and_closed_chains_are_forgotten_after_their_lifetime() -> None:
    alice, bob = warm_pair()
    early, late = alice.seal(b"early"), alice.seal(b"late")
    bob.open(alice.seal(b"opens"))
    unread = alice.seal(b"never read in time")
    bob.now_ms = 10 * DAY_MS
    alice.open(bob.seal(b"turn"))
    bob.open(alice.seal(b"next chain closes the old one"))
    assert bob.open(early) == b"early"
    bob.state = forget_expired(bob.state, 45 * DAY_MS)
    assert skipped_keys(bob) == 1
    bob.state = forget_expired(bob.state, 45 * DAY_MS + 1)
    assert skipped_keys(bob) == 0
    with pytest.raises(Replayed):
        bob.open(late)
    assert forget_expired(bob.state, 55 * DAY_MS) is bob.state
    bob.state = forget_expired(bob.state, 55 * DAY_MS + 1)
    assert len(bob.state.receiving) == 1
    with pytest.raises(Undecryptable):
        bob.open(unread)


def test_a_chain_that_used_all_its_numbers_sends_no_more() -> None:
    alice, _ = warm_pair()
    alice.seal(b"x")
    chain = alice.state.sending
    assert chain is not None
    alice.state = replace(alice.state, sending=replace(chain, number=2**32, ephemeral_number=2**32))
    with pytest.raises(SessionExpired):
        alice.seal(b"one too many")
    with pytest.raises(SessionExpired):
        alice.seal(b"one too many", ephemeral=True)


def test_secrets_do_not_show_in_a_repr() -> None:
    alice, bob = warm_pair()
    alice.seal(b"x")
    secrets, _ = secrets_of("warm")
    for value in (alice.state, alice.state.root, alice.state.sending, bob.state.receiving[0], secrets):
        shown = repr(value)
        for secret in (secrets.root_key, alice.state.root.root_key, alice.state.root.own_private):
            assert repr(secret)[2:-1] not in shown


def test_the_responder_needs_the_private_key_of_the_prekey() -> None:
    alice, bob = start_pair()
    secrets, _ = secrets_of("pair")
    wrong = start_responder(secrets, bytes(31) + b"\x40", 0)
    with pytest.raises(Undecryptable):
        decrypt(wrong, alice.seal(b"x"), bob.ad.reversed(), 0)
