"""Sessions between two devices: set-up, answer, crossing, renewal, replay, lifetimes, and failure without change."""

import pytest

from crypto import labels, limits, sessions
from crypto.errors import (
    CryptoError,
    InvalidEncoding,
    InvalidKey,
    NoSession,
    Replayed,
    SessionExpired,
    StaleKey,
    TooFarAhead,
    Undecryptable,
)
from crypto.limits import DAY_MS
from crypto.local_prekeys import LocalPrekeys
from crypto.padding import BUCKETS, bucket_for, pad
from crypto.prekeys import KeyClass, KeyKind
from crypto.primitives import hpke_seal
from crypto.sealed_first_message import open_setup
from crypto.secret_value import replace
from crypto.session_start import start_session
from crypto.sessions import PeerSessions
from crypto.transcript import transcript, u32
from tests.crypto_people import NOW_MS, Person


@pytest.fixture
def alice() -> Person:
    return Person("alice")


@pytest.fixture
def bob() -> Person:
    return Person("bob")


def test_a_first_message_its_answer_and_what_follows(alice: Person, bob: Person) -> None:
    alice.start(bob)
    first, second = alice.send(bob, b"hello"), alice.send(bob, b"are you there?")
    assert (first[0], second[0]) == (1, 1)
    assert {len(first), len(second)} <= set(BUCKETS)
    assert bob.receive(second) == b"are you there?"
    assert bob.receive(first) == b"hello"
    answer = bob.send(alice, b"yes")
    assert answer[0] == 2
    assert alice.receive(answer) == b"yes"
    third = alice.send(bob, b"good")
    assert (third[0], len(third)) == (2, 256)
    assert bob.receive(third) == b"good"
    assert alice.active_id(bob) == bob.active_id(alice) != b""


def test_one_time_keys_are_deleted_with_the_set_up_that_used_them(alice: Person, bob: Person) -> None:
    alice.start(bob)
    before = len(bob.prekeys.keys)
    first = alice.send(bob, b"one")
    bob.receive(first)
    assert len(bob.prekeys.keys) == before - 2
    assert bob.receive(alice.send(bob, b"two")) == b"two"
    assert len(bob.prekeys.keys) == before - 2


def test_a3_with_last_resort_keys_nothing_is_deleted(alice: Person, bob: Person) -> None:
    alice.start(bob, bundle=bob.relay.claim(one_time=False))
    before = len(bob.prekeys.keys)
    assert bob.receive(alice.send(bob, b"one")) == b"one"
    assert len(bob.prekeys.keys) == before


def test_without_a_session_nothing_is_encrypted(alice: Person, bob: Person) -> None:
    with pytest.raises(NoSession):
        alice.send(bob, b"hello")


def test_a4_a_replayed_set_up_is_shown_once_also_after_reset_and_deletion(alice: Person, bob: Person) -> None:
    alice.start(bob)
    envelope = alice.send(bob, b"pay 10")
    assert bob.receive(envelope) == b"pay 10"
    with pytest.raises(Replayed):
        bob.receive(envelope)
    alice.start(bob)
    assert bob.receive(alice.send(bob, b"after a reset")) == b"after a reset"
    with pytest.raises(Replayed):
        bob.receive(envelope)
    bob.peers[alice.account] = bob.peers[alice.account].without_sessions()
    with pytest.raises(Replayed):
        bob.receive(envelope)


def test_a4_a_replay_entry_lives_as_long_as_the_signed_prekey(alice: Person, bob: Person) -> None:
    alice.start(bob)
    envelope = alice.send(bob, b"once")
    bob.receive(envelope)
    later = NOW_MS + 7 * DAY_MS
    bob.refresh(later)
    for now_ms, entries in ((later + 44 * DAY_MS, 1), (later + 46 * DAY_MS, 0)):
        bob.prekeys = bob.prekeys.forget_expired(caught_up_at_ms=now_ms)
        bob.peers[alice.account] = sessions.forget_expired(
            bob.peers[alice.account], bob.prekeys, now_ms=now_ms
        )
        assert len(bob.peers[alice.account].replays) == entries
        with pytest.raises(Undecryptable):
            bob.receive(envelope, now_ms)


def test_a12_fetched_on_day_0_encrypted_on_7_submitted_on_14_read_on_44_opens(bob: Person) -> None:
    start = NOW_MS + 7 * DAY_MS
    alice = Person("alice", start)
    bundle = bob.relay.claim(one_time=False)  # the oldest keys that the relay may still hand out
    bob.refresh(start)
    alice.start(bob, start, bundle=bundle)
    envelope = alice.send(bob, b"late", start + 7 * DAY_MS)
    for week in range(1, 7):
        bob.refresh(start + week * 7 * DAY_MS)
        bob.prekeys = bob.prekeys.forget_expired(caught_up_at_ms=start + week * 7 * DAY_MS)
    assert bob.receive(envelope, start + 44 * DAY_MS) == b"late"


def test_a12_a_bundle_or_an_unanswered_session_is_good_for_seven_days(alice: Person, bob: Person) -> None:
    alice.start(bob)
    last = NOW_MS + 7 * DAY_MS
    alice.send(bob, b"on the last day", last)
    before = alice.peers[bob.account]
    with pytest.raises(SessionExpired):
        alice.send(bob, b"too late", last + 1)
    assert alice.peers[bob.account] is before


def test_a12_a_set_up_begins_with_a_bundle_of_the_last_seven_days(alice: Person, bob: Person) -> None:
    def begin(now_ms: int, peer: PeerSessions) -> PeerSessions:
        return start_session(
            peer,
            alice.device,
            alice.manifest,
            bob.manifest,
            bob.relay.claim(one_time=False),
            fetched_at_ms=NOW_MS,
            now_ms=now_ms,
            random=alice.random,
        )

    fresh = alice.sessions_with(bob)
    assert begin(NOW_MS + 7 * DAY_MS, fresh).active is not None
    with pytest.raises(SessionExpired):
        begin(NOW_MS + 7 * DAY_MS + 1, fresh)
    with pytest.raises(InvalidKey, match="used up"):
        begin(NOW_MS, replace(fresh, highest_setup_number=2**32 - 1))


def test_an_answered_session_does_not_expire(alice: Person, bob: Person) -> None:
    alice.start(bob)
    bob.receive(alice.send(bob, b"hello"))
    alice.receive(bob.send(alice, b"hi"))
    year = NOW_MS + 365 * DAY_MS
    assert bob.receive(alice.send(bob, b"a year later", year), year) == b"a year later"


def test_a11_an_older_key_than_one_seen_is_refused(alice: Person, bob: Person) -> None:
    old = bob.relay.claim(one_time=False)
    bob.refresh(NOW_MS + 7 * DAY_MS)
    alice.start(bob, NOW_MS + 7 * DAY_MS, bundle=bob.relay.claim(one_time=False))
    before = alice.peers[bob.account]
    with pytest.raises(StaleKey):
        alice.start(bob, NOW_MS + 7 * DAY_MS, bundle=old)
    assert alice.peers[bob.account] is before


def test_b12_both_start_at_once_and_agree(alice: Person, bob: Person) -> None:
    alice.start(bob)
    bob.start(alice)
    from_alice, from_bob = alice.send(bob, b"a"), bob.send(alice, b"b")
    assert bob.receive(from_alice) == b"a"
    assert alice.receive(from_bob) == b"b"
    assert alice.active_id(bob) == bob.active_id(alice)
    assert bob.receive(alice.send(bob, b"a2")) == b"a2"
    assert alice.receive(bob.send(alice, b"b2")) == b"b2"
    assert bob.receive(alice.send(bob, b"a3")) == b"a3"


def test_b12_a_renewal_that_overtakes_the_first_set_up(alice: Person, bob: Person) -> None:
    alice.start(bob)
    lost = alice.send(bob, b"first")
    alice.start(bob)
    renewed = alice.send(bob, b"renewed")
    assert bob.receive(renewed) == b"renewed"
    newest = bob.active_id(alice)
    assert bob.receive(lost) == b"first"
    assert bob.active_id(alice) == newest == alice.active_id(bob)


def test_a_reset_is_told_and_a_renewal_is_not(alice: Person, bob: Person) -> None:
    alice.start(bob)
    assert not bob.receive_setup(alice.send(bob, b"one")).reset
    alice.start(bob)
    assert not bob.receive_setup(alice.send(bob, b"never answered")).reset
    alice.receive(bob.send(alice, b"answer"))
    alice.start(bob)
    assert bob.receive_setup(alice.send(bob, b"started anew")).reset


def test_what_was_sent_on_an_archived_session_still_opens(alice: Person, bob: Person) -> None:
    alice.start(bob)
    bob.receive(alice.send(bob, b"hello"))
    late = bob.send(alice, b"late")
    alice.start(bob)
    assert alice.receive(late) == b"late"
    assert alice.send(bob, b"still set-up")[0] == 1


def test_five_sessions_are_archived_for_45_days(alice: Person, bob: Person) -> None:
    late = []
    for number in range(8):
        alice.start(bob, bundle=bob.relay.claim(one_time=False))
        bob.receive(alice.send(bob, b"hello"))
        late.append(bob.send(alice, b"%d" % number))
    kept = alice.peers[bob.account]
    assert len(kept.archived) == limits.MAX_ARCHIVED_SESSIONS
    assert [sessions.locate(kept, envelope) is not None for envelope in late] == [False] * 2 + [True] * 6
    after = sessions.forget_expired(kept, LocalPrekeys(), now_ms=NOW_MS + 45 * DAY_MS)
    assert after.archived == ()
    assert after.active is not None


@pytest.mark.proves("M-SHAKE-07")
def test_the_set_up_number_may_not_jump_far(alice: Person, bob: Person) -> None:
    alice.start(bob)
    kept = alice.peers[bob.account]
    for highest, allowed in ((999, True), (1_000, False)):
        alice.peers[bob.account] = sessions.PeerSessions(
            kept.account_id, kept.device_id, highest_setup_number=highest
        )
        alice.start(bob)
        envelope = alice.send(bob, b"jump")
        if allowed:
            assert Person("bob").receive(envelope) == b"jump"
        else:
            with pytest.raises(TooFarAhead):
                bob.receive(envelope)


@pytest.mark.proves("M-SHAKE-11")
def test_b2_no_flipped_byte_of_a_set_up_envelope_opens_or_changes_anything(
    alice: Person, bob: Person
) -> None:
    alice.start(bob)
    envelope = alice.send(bob, b"hello")
    before = bob.prekeys
    for at in [*range(40), *range(40, len(envelope), 29), len(envelope) - 1]:
        broken = bytearray(envelope)
        broken[at] ^= 1
        with pytest.raises(CryptoError):
            bob.receive_setup(bytes(broken))
    assert (bob.prekeys, bob.peers, bob.known) == (before, {}, {})
    assert bob.receive(envelope) == b"hello"


def test_b2_no_flipped_byte_of_a_ratchet_envelope_opens_or_changes_anything(
    alice: Person, bob: Person
) -> None:
    alice.start(bob)
    bob.receive(alice.send(bob, b"hello"))
    envelope = bob.send(alice, b"answer")
    before = alice.peers[bob.account]
    for at in range(len(envelope)):
        broken = bytearray(envelope)
        broken[at] ^= 0x80
        with pytest.raises(CryptoError):
            alice.receive(bytes(broken))
    assert alice.peers[bob.account] is before
    assert alice.receive(envelope) == b"answer"


@pytest.mark.parametrize("length", [0, 1, 255, 256, 1_200, 2_000])
def test_envelopes_that_are_cut_or_of_no_bucket_are_refused(alice: Person, bob: Person, length: int) -> None:
    alice.start(bob)
    envelope = alice.send(bob, b"hello")
    with pytest.raises(CryptoError):
        open_setup(envelope[:length], bob.prekeys, bob.account, bob.device.device_id)


@pytest.mark.proves("M-ENV-01")
def test_a_set_up_envelope_of_no_bucket_is_refused_although_it_would_open(alice: Person, bob: Person) -> None:
    alice.start(bob)
    content = open_setup(alice.send(bob, b"hello"), bob.prekeys, bob.account, bob.device.device_id)
    sealing = bob.relay.rotating[KeyKind.SEALING, KeyClass.ROTATING]
    info = transcript(labels.SETUP_ENVELOPE, bob.account, bob.device.device_id, u32(sealing.key_id))
    encoded = content.encode()
    for extra, is_good in ((bucket_for(len(encoded) + 1_146) - 1_142, True), (len(encoded) + 5, False)):
        sealed = hpke_seal(sealing.key, info, pad(encoded, extra))
        envelope = b"\x01\x01" + u32(sealing.key_id) + sealed
        if is_good:
            assert open_setup(envelope, bob.prekeys, bob.account, bob.device.device_id) == content
        else:
            with pytest.raises(InvalidEncoding):
                open_setup(envelope, bob.prekeys, bob.account, bob.device.device_id)


def test_a_set_up_is_bound_to_the_recipient(alice: Person, bob: Person) -> None:
    alice.start(bob)
    envelope = alice.send(bob, b"hello")
    for account, device in ((alice.account, bob.device.device_id), (bob.account, bytes(16))):
        with pytest.raises(Undecryptable):
            open_setup(envelope, bob.prekeys, account, device)


def test_an_ephemeral_message_may_be_the_first(alice: Person, bob: Person) -> None:
    alice.start(bob)
    peer, typing = sessions.encrypt(
        alice.sessions_with(bob),
        b"typing",
        alice.manifest,
        now_ms=NOW_MS,
        random=alice.random,
        ephemeral=True,
    )
    alice.peers[bob.account] = peer
    result = bob.receive_setup(typing)
    assert (result.plaintext, result.info.ephemeral) == (b"typing", True)
    assert bob.receive(alice.send(bob, b"text")) == b"text"


def test_what_no_session_opens_is_undecryptable(alice: Person, bob: Person) -> None:
    alice.start(bob)
    bob.receive(alice.send(bob, b"hello"))
    envelope = bob.send(alice, b"for alice")
    with pytest.raises(Undecryptable):
        bob.receive(envelope)
    with pytest.raises(InvalidEncoding):
        bob.receive(envelope[:-1])
